"""Queries of the texts that people and agents wrote: where one is kept in plain, and which were erased.

Stands under layer 7's erasure and the read models that show such texts. It never decides what may go.
"""

import json
from typing import Any, Final

from sqlalchemy import or_, select

from services.domain.ledger_history import EMPTY_BLOB_SHA256
from services.domain.ledger_schema import EntryType
from services.store import sql
from services.store.sql import Row, rows
from services.store.tables import (
    ballot,
    experiment,
    idempotency,
    ledger_entry,
    ledger_subject,
    probation,
    proposal,
    review_gate,
)
from services.store.tx import Tx

ERASED: Final = "[erased]"
"""What is shown in the place of a text that was erased."""
PLAIN: Final = ((proposal, "root_cause"), (ballot, "reason"), (review_gate, "reason"))
"""The columns that keep a text beside its blob."""
SOUGHT_CHARACTERS: Final = 200
"""So much of a text's beginning is looked for among recorded answers."""


def is_evidence(tx: Tx, sha256: str) -> bool:
    """Tell whether an experiment's records are kept under this hash."""
    return any(sql.find(tx, leg, records_sha256=sha256) is not None for leg in (experiment, probation))


def shown_with(tx: Tx, sha256: str, text: str) -> list[Row]:
    """Return the review gates whose reviewer was shown this blob, or this text among others."""
    spoken = select(ballot.c.proposal_id).where(ballot.c.reason == text)
    filed = select(proposal.c.id).where(proposal.c.root_cause == text)
    statement = (
        select(review_gate)
        .where(
            or_(
                review_gate.c.shown_sha256 == sha256,
                review_gate.c.proposal_id.in_(spoken),
                review_gate.c.proposal_id.in_(filed),
            )
        )
        .order_by(review_gate.c.id)
    )
    return rows(tx, statement)


def remove(tx: Tx, text: str) -> None:
    """Replace a text by nothing in every column that keeps it, and in the answers recorded for replays."""
    for table, name in PLAIN:
        sql.update(tx, table, {name: text}, **{name: ""})
    begins = json.dumps(text[:SOUGHT_CHARACTERS], ensure_ascii=False)[1:-1]
    found = select(idempotency).where(idempotency.c.body.contains(begins, autoescape=True))
    for row in rows(tx, found):
        body = json.dumps(_without(json.loads(row["body"]), text), ensure_ascii=False, separators=(",", ":"))
        if body != row["body"]:
            sql.update(tx, idempotency, {"principal": row["principal"], "key": row["key"]}, body=body)


def _without(value: Any, text: str) -> Any:
    """Return a JSON value in which `ERASED` stands wherever a string was the text."""
    if isinstance(value, dict):
        return {name: _without(item, text) for name, item in value.items()}
    if isinstance(value, list):
        return [_without(item, text) for item in value]
    return ERASED if value == text else value


def erased_of_proposal(tx: Tx, proposal_id: int) -> set[str]:
    """Return whose reasons about a proposal were erased, as `agent:3`; also of a text that lives again."""
    statement = (
        select(ledger_entry.c.leaf)
        .join(ledger_subject, ledger_subject.c.index == ledger_entry.c.index)
        .where(ledger_subject.c.subject == f"proposal:{proposal_id}")
        .where(ledger_entry.c.type == EntryType.BALLOT)
    )
    silent = sql.find_all(tx, ballot, proposal_id=proposal_id, reason="", order_by="agent_id")
    if not silent:
        return set()
    said = [json.loads(row["leaf"])["payload"] for row in rows(tx, statement)]
    spoken = {
        str(one.get("agent", one["voter"])) for one in said if one["reason_sha256"] != EMPTY_BLOB_SHA256
    }
    return spoken & {f"agent:{row['agent_id']}" for row in silent}
