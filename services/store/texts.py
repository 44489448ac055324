"""Queries of the texts that people and agents wrote: where one is kept in plain, and which were erased.

Stands under layer 7's erasure and the read models that show such texts. It never decides what may go.
"""

import json
from collections.abc import Collection
from typing import Final

from sqlalchemy import or_, select

from services.domain.ledger_history import EMPTY_BLOB_SHA256
from services.domain.ledger_schema import EntryType
from services.store import sql
from services.store.sql import Row, rows
from services.store.tables import (
    ballot,
    blob,
    experiment,
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
    """Replace a text by nothing in every column that keeps it."""
    for table, name in PLAIN:
        sql.update(tx, table, {name: text}, **{name: ""})


def erased_of_proposal(tx: Tx, proposal_id: int) -> set[str]:
    """Return whose texts about a proposal were erased: `agent:3` for a ballot's reason, `root_cause`."""
    statement = (
        select(ledger_entry.c.type, ledger_entry.c.leaf)
        .join(ledger_subject, ledger_subject.c.index == ledger_entry.c.index)
        .where(ledger_subject.c.subject == f"proposal:{proposal_id}")
        .where(ledger_entry.c.type.in_([EntryType.PROPOSAL, EntryType.BALLOT]))
    )
    named: dict[str, str] = {}
    for row in rows(tx, statement):
        payload = json.loads(row["leaf"])["payload"]
        if row["type"] == EntryType.PROPOSAL:
            named["root_cause"] = payload["root_cause_sha256"]
        else:
            named[str(payload.get("agent", payload["voter"]))] = payload["reason_sha256"]
    gone = erased_among(tx, named.values())
    return {whose for whose, sha256 in named.items() if sha256 in gone}


def erased_among(tx: Tx, hashes: Collection[str]) -> set[str]:
    """Return which of these blobs were erased."""
    asked = set(hashes) - {EMPTY_BLOB_SHA256}
    statement = select(blob.c.sha256).where(blob.c.sha256.in_(asked), blob.c.erased_at_us.is_not(None))
    return set(tx.connection.scalars(statement)) if asked else set()
