"""Queries of the production config: values by task type, the next exposure ordinal, the ledger's last word.

Stands under `services.operations.production_config`. It never changes a value.
"""

import json

from sqlalchemy import select

from services.domain.canonical import digest_hex
from services.domain.ledger_schema import EntryType
from services.store.sql import Row, rows
from services.store.tables import experiment, ledger_entry, parameter
from services.store.tx import Tx

CONFIG_ENTRIES = (
    EntryType.GENESIS,
    EntryType.REGISTERED,
    EntryType.PROMOTED,
    EntryType.ROLLED_BACK,
    EntryType.OVERRIDE,
)


def of_type(tx: Tx, task_type: str) -> list[Row]:
    """Return the parameters whose name begins with `task_type.`."""
    return rows(tx, select(parameter).where(parameter.c.name.startswith(f"{task_type}.", autoescape=True)))


def next_ordinal(tx: Tx, experiment_id: int) -> int:
    """Count one more assignment of an experiment and return its 0-based ordinal."""
    statement = (
        experiment.update()
        .where(experiment.c.id == experiment_id)
        .values(assigned_count=experiment.c.assigned_count + 1)
        .returning(experiment.c.assigned_count)
    )
    return int(tx.connection.execute(statement).scalar_one()) - 1


def last_recorded_hash(tx: Tx) -> str | None:
    """Return the config hash after the ledger's newest change of config, or None for an empty ledger."""
    statement = (
        select(ledger_entry.c.leaf)
        .where(ledger_entry.c.type.in_([str(kind) for kind in CONFIG_ENTRIES]))
        .order_by(ledger_entry.c.index.desc())
    )
    for row in tx.connection.execute(statement).mappings():
        payload = json.loads(row["leaf"])["payload"]
        if "config_after" in payload:
            return str(payload["config_after"])
        if "config" in payload:
            return digest_hex(payload["config"])
    return None
