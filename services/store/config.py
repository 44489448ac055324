"""Queries of the production config: values by task type, running experiments, the ledger's last word.

Stands under `services.operations.production_config` and `assignments`. It never changes a value.
"""

import json
from collections.abc import Collection

from sqlalchemy import ColumnElement, and_, bindparam, func, or_, select

from services.domain.canonical import digest_hex
from services.domain.ledger_schema import EntryType
from services.domain.states import BETTING_EXPERIMENTS, ExperimentKind
from services.store import sql
from services.store.sql import Row
from services.store.tables import epoch, experiment, exposure, ledger_entry, parameter, parameter_change
from services.store.tx import Tx

CONFIG_ENTRIES = (
    EntryType.GENESIS,
    EntryType.REGISTERED,
    EntryType.PROMOTED,
    EntryType.ROLLED_BACK,
    EntryType.OVERRIDE,
)
OF_TYPE = select(parameter).where(
    func.substr(parameter.c.name, 1, bindparam("length")) == bindparam("prefix")
)
BETTING_ON = (
    select(experiment)
    .where(
        experiment.c.state.in_(BETTING_EXPERIMENTS),
        or_(
            experiment.c.task_type.in_(bindparam("task_types", expanding=True)),
            experiment.c.kind == ExperimentKind.PLACEBO,
        ),
    )
    .order_by(experiment.c.id)
    .with_for_update(key_share=True)
)
OPEN_UNIT = (
    select(exposure.c.unit, exposure.c.arm, exposure.c.share, exposure.c.is_folded)
    .where(
        exposure.c.experiment_id == bindparam("experiment_id"),
        exposure.c.ordinal >= bindparam("first_ordinal"),
        func.substr(exposure.c.unit, 1, bindparam("length")) == bindparam("prefix"),
    )
    .order_by(exposure.c.ordinal.desc())
    .limit(1)
)
NO_ENTRY = 2**63 - 1
"""An index that no entry has: all come before it."""
CONFIG_PAGE, LONGEST_PAGE = 16, 1_024
CONFIG_NAMED = b'"config'
"""What an entry that changes the config has among its bytes; the others need not be read."""
NEWEST_OF_CONFIG = (
    select(ledger_entry.c.index, ledger_entry.c.leaf)
    .where(
        ledger_entry.c.index >= bindparam("first_index"),
        ledger_entry.c.index < bindparam("before_index"),
        ledger_entry.c.type.in_([str(kind) for kind in CONFIG_ENTRIES]),
    )
    .order_by(ledger_entry.c.index.desc())
    .limit(bindparam("most_rows"))
)
EPOCH_NOW = select(epoch).where(epoch.c.ended_at_us.is_(None)).order_by(epoch.c.id.desc()).limit(1)


def of_type(tx: Tx, task_type: str) -> list[Row]:
    """Return the parameters whose name begins with `task_type.`."""
    prefix = f"{task_type}."
    return sql.listed(tx, OF_TYPE, prefix=prefix, length=len(prefix))


def betting_on(tx: Tx, task_types: Collection[str]) -> list[Row]:
    """Return the experiments that user tasks of these types are assigned in, and hold them in order of id."""
    return sql.listed(tx, BETTING_ON, task_types=list(task_types))


def open_unit(tx: Tx, experiment_id: int, first_ordinal: int, key: str) -> Row | None:
    """Return an exposure of the unit whose name begins with `key:` in this leg, or None before its first."""
    prefix = f"{key}:"
    where = {"experiment_id": experiment_id, "first_ordinal": first_ordinal}
    return sql.first(tx, OPEN_UNIT, **where, prefix=prefix, length=len(prefix))


def epoch_now(tx: Tx) -> Row | None:
    """Return the epoch whose starting config the holdout keeps, or None before the first."""
    return sql.first(tx, EPOCH_NOW)


def changes_at(tx: Tx, at_us: int) -> list[Row]:
    """Return what last set each parameter at or before an instant, by name."""
    return _last_of_each(tx, parameter_change.c.changed_at_us <= at_us)


def changes_of_size(tx: Tx, size: int) -> list[Row]:
    """Return what last set each parameter among the first `size` entries of the ledger, by name.

    Parameters that were registered before such entries were linked count from their instant.
    """
    ended_at_us = select(ledger_entry.c.at_us).where(ledger_entry.c.index == size - 1).scalar_subquery()
    index = parameter_change.c.ledger_index
    is_older = and_(index.is_(None), parameter_change.c.changed_at_us <= ended_at_us)
    return _last_of_each(tx, or_(index < size, is_older))


def _last_of_each(tx: Tx, is_before: ColumnElement[bool]) -> list[Row]:
    newest = select(parameter_change.c.name, func.max(parameter_change.c.version).label("version"))
    last = newest.where(is_before).group_by(parameter_change.c.name).subquery()
    statement = (
        select(parameter_change)
        .join(
            last,
            and_(parameter_change.c.name == last.c.name, parameter_change.c.version == last.c.version),
        )
        .order_by(parameter_change.c.name)
    )
    return sql.rows(tx, statement)


def last_recorded_hash(tx: Tx, since: int = 0) -> str | None:
    """Return the config hash after the newest change of config in the ledger's entries from `since` on.

    None where none of them changes it. Reads from the newest back, no further than it must.
    """
    before, size = NO_ENTRY, CONFIG_PAGE
    while True:
        place = {"first_index": since, "before_index": before}
        page = sql.listed(tx, NEWEST_OF_CONFIG, **place, most_rows=size)
        for row in page:
            leaf = bytes(row["leaf"])
            payload = json.loads(leaf)["payload"] if CONFIG_NAMED in leaf else {}
            if "config_after" in payload:
                return str(payload["config_after"])
            if "config" in payload:
                return digest_hex(payload["config"])
        if len(page) < size:
            return None
        before, size = page[-1]["index"], min(2 * size, LONGEST_PAGE)
