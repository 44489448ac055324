"""Queries of the production config: values by task type, the next exposure ordinal, the ledger's last word.

Stands under `services.operations.production_config`. It never changes a value.
"""

import json

from sqlalchemy import or_, select

from services.domain.canonical import digest_hex
from services.domain.ledger_schema import EntryType
from services.domain.states import BETTING_EXPERIMENTS, ExperimentKind
from services.store.sql import Row, rows
from services.store.tables import epoch, experiment, exposure, ledger_entry, parameter
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


def betting_on(tx: Tx, task_type: str) -> list[Row]:
    """Return the experiments that a user task of this type is assigned in, placebos last, and hold them."""
    statement = (
        select(experiment)
        .where(
            experiment.c.state.in_(BETTING_EXPERIMENTS),
            or_(experiment.c.task_type == task_type, experiment.c.kind == ExperimentKind.PLACEBO),
        )
        .order_by(experiment.c.kind, experiment.c.id)
    )
    return rows(tx, statement.with_for_update(key_share=True) if tx.is_postgresql else statement)


def open_unit(tx: Tx, experiment_id: int, first_ordinal: int, key: str) -> Row | None:
    """Return an exposure of the unit whose name begins with `key:` in this leg, or None before its first."""
    statement = (
        select(exposure.c.unit, exposure.c.arm, exposure.c.share)
        .where(
            exposure.c.experiment_id == experiment_id,
            exposure.c.ordinal >= first_ordinal,
            exposure.c.unit.startswith(f"{key}:", autoescape=True),
        )
        .order_by(exposure.c.ordinal.desc())
        .limit(1)
    )
    found = rows(tx, statement)
    return found[0] if found else None


def epoch_now(tx: Tx) -> Row | None:
    """Return the epoch whose starting config the holdout keeps, or None before the first."""
    found = rows(tx, select(epoch).where(epoch.c.ended_at_us.is_(None)).order_by(epoch.c.id.desc()).limit(1))
    return found[0] if found else None


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
