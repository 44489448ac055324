"""Read models of the review gate: what a person was shown of a GATED change, and what came of it.

Stands in the store beside the read models of proposals (L5). What was shown is read from the blob that the
hash in the ledger is of, never composed again. It never decides.
"""

import json

from sqlalchemy import Select, select

from services.domain.states import ReviewState
from services.store.sql import Row, find, rows
from services.store.tables import blob, proposal, review_gate
from services.store.texts import ERASED
from services.store.tx import Tx
from services.store.views.paging import LIMIT_DEFAULT, JsonObject, Page, at, fetch_page, seconds_of


def list_reviews(
    tx: Tx,
    *,
    state: str | None = None,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
    oldest_first: bool = False,
) -> Page:
    """Return a page of reviews, without what was shown."""
    statement = _reviews()
    if state is not None:
        statement = statement.where(review_gate.c.state == state)
    found, following = fetch_page(
        tx, statement, review_gate.c.id, limit=limit, cursor=cursor, oldest_first=oldest_first
    )
    return {"items": [_review(tx, row) for row in found], "next_cursor": following}


def get_review(tx: Tx, proposal_id: int) -> JsonObject | None:
    """Return the review of a proposal with `shown`, or None where nothing was laid before a person.

    `shown` is the object whose canonical JSON (RFC 8785) has the SHA-256 `shown_sha256`; None once erased.
    """
    found = rows(tx, _reviews().where(review_gate.c.proposal_id == proposal_id))
    if not found:
        return None
    kept = find(tx, blob, sha256=found[0]["shown_sha256"])
    is_erased = kept is None or kept["erased_at_us"] is not None
    shown = None if kept is None or is_erased else json.loads(bytes(kept["content"]))
    return {**_review(tx, found[0]), "shown": shown, "is_erased": is_erased}


def review_state(tx: Tx, proposal_id: int) -> JsonObject | None:
    """Return how the review of a proposal stands: state, hash, who and when; None where there is none."""
    row = find(tx, review_gate, proposal_id=proposal_id)
    if row is None:
        return None
    names = ("state", "shown_sha256", "reviewer", "ledger_index")
    times = {name: at(row[f"{name}_us"]) for name in ("opened_at", "expires_at", "decided_at")}
    return {**{name: row[name] for name in names}, **times}


def _reviews() -> Select[tuple[object, ...]]:
    return select(
        review_gate,
        proposal.c.parameter,
        proposal.c.from_value,
        proposal.c.to_value,
        proposal.c.proposer_id,
        proposal.c.lap_id,
        proposal.c.state.label("proposal_state"),
    ).join(proposal, proposal.c.id == review_gate.c.proposal_id)


def _review(tx: Tx, row: Row) -> JsonObject:
    is_pending = row["state"] == ReviewState.PENDING
    left_us = max(0, row["expires_at_us"] - tx.now_us) if is_pending else None
    reason = row["reason"]
    return {
        "proposal_id": row["proposal_id"],
        "lap_id": row["lap_id"],
        "proposer_id": row["proposer_id"],
        "parameter": row["parameter"],
        "from": row["from_value"],
        "to": row["to_value"],
        "state": row["state"],
        "proposal_state": row["proposal_state"],
        "shown_sha256": row["shown_sha256"],
        "reviewer": row["reviewer"],
        "reason": ERASED if reason == "" else reason,
        "ledger_index": row["ledger_index"],
        "opened_at": at(row["opened_at_us"]),
        "expires_at": at(row["expires_at_us"]),
        "decided_at": at(row["decided_at_us"]),
        "seconds_left": seconds_of(left_us),
    }
