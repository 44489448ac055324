"""Queries of the ledger: leaves in order, nodes of its tree, blobs, entries by what they are about.

Stands under layer 7. It never writes.
"""

import json
from collections.abc import Collection, Iterator
from typing import Any, Final

from sqlalchemy import BigInteger, FromClause, Select, bindparam, func, select

from services.domain.ledger_config import CONFIG_TYPES
from services.domain.ledger_schema import EntryType
from services.domain.states import Leg
from services.store import rowsets
from services.store.sql import Row, listed, rows
from services.store.tables import blob, ledger_entry, ledger_node, ledger_subject
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


def nodes(tx: Tx, places: Collection[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
    """Return the hash of each (level, index) of the tree, in one query; level 0 are the leaves."""
    asked = [{"level": level, "index": index} for level, index in sorted(places)]
    given = rowsets.folded(tx.connection.dialect, ledger_node, PLACE, asked)
    found = listed(tx, _NODES if tx.is_postgresql else _NODES_OF_SQLITE, **given)
    return {(row["level"], row["index"]): bytes.fromhex(row["hash"]) for row in found if row["hash"]}


def _nodes(wanted: FromClause) -> Select[*tuple[Any, ...]]:
    """Return the select of the nodes or leaves at the places of a relation, each found by its key."""
    is_node = (ledger_node.c.level == wanted.c.level) & (ledger_node.c.index == wanted.c.index)
    is_leaf = (wanted.c.level == 0) & (ledger_entry.c.index == wanted.c.index)
    hashed = func.coalesce(ledger_node.c.hash, ledger_entry.c.leaf_hash).label("hash")
    kept = wanted.outerjoin(ledger_node, is_node).outerjoin(ledger_entry, is_leaf)
    return select(wanted.c.level, wanted.c.index, hashed).select_from(kept)


def _wanted_of_sqlite() -> FromClause:
    each = func.json_each(bindparam(rowsets.ROWS)).table_valued("value")
    return select(
        *[func.json_extract(each.c.value, f"$.{name}", type_=BigInteger()).label(name) for name in PLACE]
    ).cte("wanted")


PLACE: Final = ("level", "index")
_NODES: Final = _nodes(rowsets.given(ledger_node, PLACE))
_NODES_OF_SQLITE: Final = _nodes(_wanted_of_sqlite())


def size_at(tx: Tx, at_us: int) -> int:
    """Return how many entries there were at an instant, those written at it included."""
    statement = (
        select(ledger_entry.c.index)
        .where(ledger_entry.c.at_us <= at_us)
        .order_by(ledger_entry.c.index.desc())
        .limit(1)
    )
    index = tx.connection.scalar(statement)
    return 0 if index is None else int(index) + 1


def config_leaves(tx: Tx, size: int) -> Iterator[bytes]:
    """Yield those of the first `size` leaves, in order, that may change the config."""
    statement = (
        select(ledger_entry.c.leaf)
        .where(ledger_entry.c.index < size, ledger_entry.c.type.in_([str(kind) for kind in CONFIG_TYPES]))
        .order_by(ledger_entry.c.index)
    )
    yield from (bytes(row["leaf"]) for row in rows(tx, statement))


def blobs(tx: Tx) -> Iterator[Row]:
    """Yield every blob that is kept and not erased, ordered by digest."""
    yield from rows(tx, select(blob).where(blob.c.erased_at_us.is_(None)).order_by(blob.c.sha256))


def entry_of_experiment(
    tx: Tx, experiment_id: int, lap_id: int | None, *kinds: EntryType, leg: str | None = None
) -> int | None:
    """Return the index of the newest entry of these types that names an experiment of a lap, or None.

    With `leg`, only an entry of that leg (one that names none is of the trial).
    """
    for row in _about(tx, f"experiment:{experiment_id}", kinds):
        payload = json.loads(row["leaf"])["payload"]
        if row["lap_id"] == lap_id and (leg is None or payload.get("leg", Leg.TRIAL) == leg):
            return int(row["index"])
    return None


def last_promotion(tx: Tx, parameter: str) -> tuple[int, dict[str, object]] | None:
    """Return (index, payload) of the newest PROMOTED entry of a parameter, or None."""
    found = _about(tx, f"parameter:{parameter}", (EntryType.PROMOTED,), limit=1)
    return (int(found[0]["index"]), json.loads(found[0]["leaf"])["payload"]) if found else None


def _about(tx: Tx, subject: str, kinds: Collection[EntryType], limit: int | None = None) -> list[Row]:
    """Return index, lap and leaf of the entries about a subject, newest first; see `ledger_subjects`."""
    is_about = (ledger_subject.c.index == ledger_entry.c.index) & (ledger_subject.c.subject == subject)
    statement = (
        select(ledger_entry.c.index, ledger_entry.c.lap_id, ledger_entry.c.leaf)
        .join(ledger_subject, is_about)
        .where(ledger_entry.c.type.in_([str(kind) for kind in kinds]))
        .order_by(ledger_entry.c.index.desc())
        .limit(limit)
    )
    return rows(tx, statement)
