"""Read models of the config over time: a parameter at an instant, two configs side by side, a task's values.

Stand beside the read models of parameters. A point in time is a day, an instant or a size of the ledger.
They never guess what a task will get: its arm is drawn at its award.
"""

from dataclasses import dataclass

from sqlalchemy import func, select

from services.domain.canonical import digest_hex
from services.domain.clock import to_rfc3339
from services.domain.errors import NotFoundError
from services.domain.moments import instant_of
from services.domain.states import ValueSource
from services.store import config
from services.store.sql import Row, find, find_all, first
from services.store.tables import award, ledger_entry, ledger_head, parameter, task
from services.store.tx import Tx
from services.store.views.paging import JsonObject, at
from services.store.views.parameters import change_of

AT_ITS_AWARD = "these values were fixed at the task's first award; retries and take-overs keep them"
BEFORE_AN_AWARD = "production values as of now; what the task gets, its arm included, is drawn at its award"
NO_AWARD = "the task ended without an award: it got no values; these are the production values as of now"
SIZE_DIGITS = 18


@dataclass(frozen=True, slots=True)
class Point:
    """A config of some time: what last set each parameter, by name, and when or at which size that was."""

    changes: dict[str, Row]
    at_us: int
    ledger_size: int

    @property
    def values(self) -> dict[str, str]:
        """Return the config as `name → value`."""
        return {name: row["value"] for name, row in self.changes.items()}

    def shown(self) -> JsonObject:
        """Return what tells this config from others."""
        return {
            "at": to_rfc3339(self.at_us),
            "ledger_size": self.ledger_size,
            "parameters": len(self.changes),
            "config_sha256": digest_hex(self.values),
        }


def point_of(tx: Tx, text: str, field: str) -> Point:
    """Return the config at `text`: a UTC day (its beginning), an RFC 3339 instant, or a size of the ledger.

    Raises InvalidValueError for anything else, NotFoundError for a size that the ledger never had.
    """
    if text.isascii() and text.isdigit() and len(text) <= SIZE_DIGITS:
        return _of_size(tx, int(text))
    at_us = instant_of(text, field, besides=", or a size of the ledger", code="instant_malformed")
    assert at_us is not None  # noqa: S101 (there is a text)
    found = config.changes_at(tx, at_us)
    statement = select(func.count().label("size")).where(ledger_entry.c.at_us <= at_us)
    counted = first(tx, statement)
    return Point({row["name"]: row for row in found}, at_us, counted["size"] if counted else 0)


def _of_size(tx: Tx, size: int) -> Point:
    head = find(tx, ledger_head, id=1)
    most = head["size"] if head else 0
    if not 1 <= size <= most:
        msg = f"the ledger has {most} entries; there is no config of its first {size}"
        raise NotFoundError(msg, field="size")
    last = find(tx, ledger_entry, index=size - 1)
    assert last is not None  # noqa: S101 (the head says that it is there)
    return Point({row["name"]: row for row in config.changes_of_size(tx, size)}, last["at_us"], size)


def parameter_at(tx: Tx, name: str, text: str) -> JsonObject:
    """Return what a parameter was at an instant or size of the ledger; NotFoundError before its time."""
    found = point_of(tx, text, "query.at").changes.get(name)
    if found is None:
        msg = f"no parameter {name[:96]!a} was registered at {text}"
        raise NotFoundError(msg, field="parameter")
    return {"name": name, "asked_at": text, **change_of(found)}


def config_diff(tx: Tx, before: str, after: str) -> JsonObject:
    """Return two configs of any time and the parameters whose values differ between them, by name."""
    one, other = point_of(tx, before, "query.from"), point_of(tx, after, "query.to")
    names = sorted(one.changes.keys() | other.changes.keys())
    differing = [name for name in names if one.values.get(name) != other.values.get(name)]
    return {
        "from": one.shown(),
        "to": other.shown(),
        "changes": [_difference(name, one.changes.get(name), other.changes.get(name)) for name in differing],
    }


def _difference(name: str, before: Row | None, after: Row | None) -> JsonObject:
    last = after or before
    assert last is not None  # noqa: S101 (one of the two has it)
    return {
        "parameter": name,
        "from": before["value"] if before else None,
        "to": after["value"] if after else None,
        "from_version": before["version"] if before else None,
        "to_version": after["version"] if after else None,
        "source": last["source"],
        "actor": last["actor"],
        "reason": last["reason"],
        "experiment_id": last["experiment_id"],
        "ledger_index": last["ledger_index"],
        "changed_at": at(last["changed_at_us"]),
    }


def config_now(tx: Tx) -> JsonObject:
    """Return the whole config in force with versions, its hash, and the size of the ledger."""
    stored = find_all(tx, parameter, order_by="name")
    head = find(tx, ledger_head, id=1)
    return {
        "exported_at": to_rfc3339(tx.now_us),
        "ledger_size": head["size"] if head else 0,
        "config_sha256": digest_hex({row["name"]: row["value"] for row in stored}),
        "parameters": {row["name"]: {"value": row["value"], "version": row["version"]} for row in stored},
    }


def task_parameters(tx: Tx, task_id: int) -> JsonObject | None:
    """Return the values that a task got at its award, each with its source; None for an unknown task.

    Before an award: the production values of its type as of now, and a word that its arm is not drawn yet.
    """
    row = find(tx, task, id=task_id)
    if row is None:
        return None
    fixed, note = row["effective_values"], AT_ITS_AWARD
    if fixed is None:
        note = BEFORE_AN_AWARD if row["ended_at_us"] is None else NO_AWARD
    values = fixed or {one["name"]: _in_force(one) for one in config.of_type(tx, row["type"])}
    awarded = find_all(tx, award, order_by="awarded_at_us", limit=1, task_id=task_id)
    return {
        "task_id": task_id,
        "type": row["type"],
        "state": row["state"],
        "is_fixed": fixed is not None,
        "fixed_at": at(awarded[0]["awarded_at_us"]) if awarded and fixed is not None else None,
        "is_holdout": bool(row["is_holdout"]),
        "note": note,
        "parameters": [{"name": name, **values[name]} for name in sorted(values)],
    }


def _in_force(row: Row) -> JsonObject:
    source = ValueSource(row["source"]).value
    return {
        "value": row["value"],
        "source": source,
        "version": row["version"],
        "arm": None,
        "experiment_id": None,
    }
