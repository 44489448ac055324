"""The review gate: a GATED change that passed its vote waits for a person.

Stands between the vote and the sandbox. The decision is bound to the hash of what the person was shown, is
made once, and silence means no. Whoever proposed cannot decide. It never reads a text to decide anything.
"""

from collections.abc import Mapping
from typing import Any

from services.domain.canonical import canonical_bytes
from services.domain.clock import seconds, to_rfc3339
from services.domain.errors import ConflictError, ForbiddenError, InvalidValueError, NotFoundError
from services.domain.events import Event, EventType
from services.domain.ledger_schema import EntryType
from services.domain.lookalikes import skeleton
from services.domain.states import ProposalState, ReviewState
from services.event_bus import publish
from services.operations import agent_registry, audit_log, production_config, review_queue
from services.proposal_system.closing import close, get_proposal
from services.store import sql, tables
from services.store.sql import Row
from services.store.tx import Tx

DAY_SECONDS = 86_400
REASON_LENGTH = 4_000
REVIEWER_LENGTH = 80


def open_review(tx: Tx, proposal: Row, counts: Mapping[str, int]) -> None:
    """Lay a passed GATED change before a person, with everything that its voters knew and said."""
    shown = audit_log.keep_blob(tx, "review", canonical_bytes(_shown(tx, proposal, counts)))
    expires = tx.now_us + seconds(production_config.number(tx, "consensus.review_seconds"))
    facts = {"proposal_id": proposal["id"], "shown_sha256": shown, "expires_at_us": expires}
    index = audit_log.append(tx, EntryType.REVIEW_OPENED, facts)
    sql.insert(
        tx,
        tables.review_gate,
        proposal_id=proposal["id"],
        shown_sha256=shown,
        state=ReviewState.PENDING,
        ledger_index=index,
        opened_at_us=tx.now_us,
        expires_at_us=expires,
    )
    subject = f"proposal {proposal['id']}: {proposal['parameter']} is GATED"
    review_queue.open_item(tx, kind=review_queue.REVIEW, subject=subject, context=facts)
    told = {**facts, "ledger_index": index, "parameter": proposal["parameter"]}
    publish(tx, Event(EventType.REVIEW_ASKED, f"proposal:{proposal['id']}", told))


def _shown(tx: Tx, proposal: Row, counts: Mapping[str, int]) -> dict[str, Any]:
    """Return everything that a person decides on; fractions as text, for canonical JSON has none."""
    per_day = proposal["units_per_day"]
    lasts = proposal["admission_tasks"] * DAY_SECONDS / per_day if per_day else None
    ballots = sql.find_all(tx, tables.ballot, order_by="id", proposal_id=proposal["id"])
    return {
        "proposal_id": proposal["id"],
        "parameter": proposal["parameter"],
        "risk": proposal["risk"],
        "from": proposal["from_value"],
        "to": proposal["to_value"],
        "from_version": proposal["from_version"],
        "inverse": {"from": proposal["to_value"], "to": proposal["from_value"]},
        "proposer": f"agent:{proposal['proposer_id']}",
        "root_cause": proposal["root_cause"],
        "evidence": proposal["evidence"],
        "metric": proposal["metric"],
        "scope": proposal["scope"],
        "guardrails": proposal["guardrails"],
        "expected_effect": proposal["expected_effect"],
        "base_rate": repr(proposal["base_rate"]),
        "needed_tasks": proposal["admission_tasks"],
        "units_per_day": repr(per_day) if per_day else None,
        "expected_seconds": None if lasts is None else repr(lasts),
        "cap_tasks": proposal["cap_tasks"],
        "cap_days": proposal["cap_days"],
        "rules": proposal["rules"],
        "electorate_mode": proposal["electorate_mode"],
        "conflicts": proposal["conflicts"],
        "votes": {**counts, "electorate": proposal["electorate"]},
        "ballots": [
            {
                "voter": row["unit"],
                "choice": row["choice"],
                "forecast_percent": row["forecast_percent"],
                "reason": row["reason"],
            }
            for row in ballots
        ],
    }


def decide_review(
    tx: Tx, *, proposal_id: int, shown_sha256: str, is_approved: bool, reviewer: str, reason: str
) -> ReviewState:
    """Decide a review once, as a person's recorded act; return the decision.

    Raises NotFoundError where nothing waits for a person, ConflictError when it is decided or over
    (`review_decided`, `review_expired`) or something else was shown (`review_changed`), ForbiddenError for
    whoever proposed the change, InvalidValueError without a name or a reason.
    """
    tx = audit_log.take_turn(tx)
    proposal = get_proposal(tx, proposal_id)
    gate = _pending(tx, proposal_id)
    if gate["shown_sha256"] != shown_sha256:
        msg = f"what was shown has the hash {gate['shown_sha256']}; look at it again, then decide on that"
        raise ConflictError(msg, field="body.shown_sha256", code="review_changed")
    _check_reviewer(tx, proposal, reviewer)
    if not reason.strip() or len(reason) > REASON_LENGTH:
        msg = f"a review needs a reason of at most {REASON_LENGTH} characters"
        raise InvalidValueError(msg, field="body.reason", code="reason_missing")
    decision = ReviewState.APPROVED if is_approved else ReviewState.REFUSED
    _decide(tx.in_lap(proposal["lap_id"]), proposal, gate, decision, reviewer=reviewer, reason=reason)
    return decision


def _pending(tx: Tx, proposal_id: int) -> Row:
    gate = sql.find(tx, tables.review_gate, lock=True, proposal_id=proposal_id)
    if gate is None:
        msg = f"proposal {proposal_id} was never laid before a person"
        raise NotFoundError(msg, field="proposal_id", code="review_missing")
    if gate["state"] != ReviewState.PENDING:
        msg = f"the review of proposal {proposal_id} is {gate['state']}; it is decided once"
        raise ConflictError(msg, field="proposal_id", code="review_decided", state=gate["state"])
    if tx.now_us >= gate["expires_at_us"]:
        msg = (
            f"the review of proposal {proposal_id} ended at {to_rfc3339(gate['expires_at_us'])}: that is a no"
        )
        raise ConflictError(msg, field="proposal_id", code="review_expired")
    return gate


def _check_reviewer(tx: Tx, proposal: Row, reviewer: str) -> None:
    """Refuse a review without a name, or one by a name that the proposing agent or its owner goes by."""
    shape = skeleton(reviewer)
    if not shape or len(reviewer) > REVIEWER_LENGTH:
        msg = f"say who decides: the name of a person, of at most {REVIEWER_LENGTH} characters"
        raise InvalidValueError(msg, field="body.reviewer", code="reviewer_missing")
    proposer = agent_registry.get(tx, proposal["proposer_id"])
    name, owner = proposer["name"], proposer["owner"]
    own = (name, owner, f"agent:{proposer['id']}", f"agent:{name}", f"owner:{owner}")
    if shape in map(skeleton, own):
        msg = f"{reviewer} stands behind this proposal and cannot decide on it"
        raise ForbiddenError(msg, field="body.reviewer", code="reviewer_proposed")


def _decide(
    tx: Tx, proposal: Row, gate: Row, decision: ReviewState, *, reviewer: str = "", reason: str = ""
) -> None:
    facts = {"proposal_id": proposal["id"], "shown_sha256": gate["shown_sha256"], "decision": str(decision)}
    kept = audit_log.keep_blob(tx, "reason", reason.encode())
    index = audit_log.append(
        tx, EntryType.REVIEW_DECIDED, {**facts, "reviewer": reviewer, "reason_sha256": kept}
    )
    sql.update(
        tx,
        tables.review_gate,
        {"id": gate["id"], "state": ReviewState.PENDING},
        state=decision,
        reviewer=reviewer or None,
        reason=reason or None,
        ledger_index=index,
        decided_at_us=tx.now_us,
    )
    review_queue.close_about(tx, review_queue.REVIEW, "proposal_id", proposal["id"])
    about = f"proposal:{proposal['id']}"
    publish(tx, Event(EventType.REVIEW_DECIDED, about, {**facts, "ledger_index": index}))
    if decision is not ReviewState.APPROVED:
        is_refused = decision is ReviewState.REFUSED
        words = "refused by a person" if is_refused else "no person decided in time, which means no"
        close(tx, proposal, ProposalState.REFUSED if is_refused else ProposalState.EXPIRED, words)
        return
    where = {"id": proposal["id"], "state": ProposalState.REVIEW}
    sql.update(tx, tables.proposal, where, state=ProposalState.PASSED, decided_at_us=tx.now_us)
    publish(tx, Event(EventType.PROPOSAL_PASSED, about, {"proposal_id": proposal["id"]}))


def expire_reviews(tx: Tx) -> int:
    """End every review that nobody decided in time, which means no; return how many."""
    tx = audit_log.take_turn(tx)
    pending = sql.find_all(tx, tables.review_gate, lock=True, order_by="id", state=ReviewState.PENDING)
    late = [gate for gate in pending if gate["expires_at_us"] <= tx.now_us]
    for gate in late:
        proposal = get_proposal(tx, gate["proposal_id"])
        _decide(tx.in_lap(proposal["lap_id"]), proposal, gate, ReviewState.EXPIRED)
    return len(late)
