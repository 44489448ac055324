"""Rows of the agents' records: those that are new are inserted, the others updated.

Stands under `services.operations.records`. It never folds anything.
"""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import Table

from services.store import sql
from services.store.tables import agent_counterparty, agent_record
from services.store.tx import Tx

OF_TYPE = ("agent_id", "task_type")
OF_COUNTERPARTY = ("agent_id", "task_type", "requester_id")


def put_records(tx: Tx, rows: Sequence[Mapping[str, object]], known: Collection[tuple[object, ...]]) -> None:
    """Write records per agent and type; `known` holds the keys that have a row already."""
    _put(tx, agent_record, OF_TYPE, rows, known)


def put_evidence(tx: Tx, rows: Sequence[Mapping[str, object]], known: Collection[tuple[object, ...]]) -> None:
    """Write what counterparties stand for, per agent, type and requester; `known` as above."""
    _put(tx, agent_counterparty, OF_COUNTERPARTY, rows, known)


def _put(
    tx: Tx,
    table: Table,
    key: Sequence[str],
    rows: Sequence[Mapping[str, object]],
    known: Collection[tuple[object, ...]],
) -> None:
    keyed = [(tuple(row[name] for name in key) in known, row) for row in rows]
    sql.insert_many(tx, table, [row for is_known, row in keyed if not is_known])
    sql.update_many(tx, table, key, [row for is_known, row in keyed if is_known])
