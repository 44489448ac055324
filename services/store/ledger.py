"""Queries of the ledger: leaves and leaf hashes in order, blobs, the newest promotion of a parameter.

Stands under layer 7. It never writes.
"""

import json
from collections.abc import Iterator

from sqlalchemy import select

from services.domain.ledger_schema import EntryType
from services.domain.states import Leg
from services.store.sql import Row, rows
from services.store.tables import blob, ledger_entry
from services.store.tx import Tx

PAGE = 1_000


def leaves(tx: Tx) -> Iterator[bytes]:
    """Yield every leaf in order, a page at a time."""
    start = 0
    while True:
        statement = (
            select(ledger_entry.c.index, ledger_entry.c.leaf)
            .where(ledger_entry.c.index >= start)
            .order_by(ledger_entry.c.index)
            .limit(PAGE)
        )
        page = rows(tx, statement)
        yield from (bytes(row["leaf"]) for row in page)
        if len(page) < PAGE:
            return
        start = page[-1]["index"] + 1


def leaf_hashes(tx: Tx, size: int) -> list[bytes]:
    """Return the first `size` leaf hashes."""
    statement = (
        select(ledger_entry.c.leaf_hash).where(ledger_entry.c.index < size).order_by(ledger_entry.c.index)
    )
    return [bytes.fromhex(row["leaf_hash"]) for row in rows(tx, statement)]


def blobs(tx: Tx) -> Iterator[Row]:
    """Yield every blob that is kept, ordered by digest."""
    yield from rows(tx, select(blob).order_by(blob.c.sha256))


def entry_of_experiment(
    tx: Tx, experiment_id: int, lap_id: int | None, *kinds: EntryType, leg: str | None = None
) -> int | None:
    """Return the index of the newest entry of these types that names an experiment of a lap, or None.

    With `leg`, only an entry of that leg (one that names none is of the trial).
    """
    statement = (
        select(ledger_entry.c.index, ledger_entry.c.leaf)
        .where(ledger_entry.c.type.in_([str(kind) for kind in kinds]))
        .where(ledger_entry.c.lap_id.is_(None) if lap_id is None else ledger_entry.c.lap_id == lap_id)
        .order_by(ledger_entry.c.index.desc())
    )
    for row in rows(tx, statement):
        payload = json.loads(row["leaf"])["payload"]
        is_of_leg = leg is None or payload.get("leg", Leg.TRIAL) == leg
        if payload.get("experiment_id") == experiment_id and is_of_leg:
            return int(row["index"])
    return None


def last_promotion(tx: Tx, parameter: str) -> tuple[int, dict[str, object]] | None:
    """Return (index, payload) of the newest PROMOTED entry of a parameter, or None."""
    statement = (
        select(ledger_entry.c.index, ledger_entry.c.leaf)
        .where(ledger_entry.c.type == EntryType.PROMOTED)
        .order_by(ledger_entry.c.index.desc())
    )
    for row in rows(tx, statement):
        payload: dict[str, object] = json.loads(row["leaf"])["payload"]
        if payload["parameter"] == parameter:
            return int(row["index"]), payload
    return None
