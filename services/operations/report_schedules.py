"""Schedules of reports: which are made how often, which period is due, and what was delivered.

Stands over the tables of schedules and deliveries; building and writing reports is the edge's. A period is
delivered once for each schedule, however many processes try: the row says so. It never reads the ledger.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from services.domain.clock import MINUTE_US, to_rfc3339
from services.domain.errors import ConflictError, InvalidValueError, NotFoundError
from services.domain.events import Event, EventType
from services.domain.report_calendar import Every, due_periods, period_of
from services.event_bus import publish
from services.store import reports, sql, tables
from services.store.sql import Row
from services.store.tx import Tx

NAME: Final = re.compile(r"[a-z0-9-]{1,80}")
FORMATS: Final = ("html", "pdf", "md", "csv", "json")
SCHEDULES_HIGHEST: Final = 100
ERROR_LETTERS: Final = 500
WAIT_US: Final = MINUTE_US
WAIT_HIGHEST_US: Final = 60 * MINUTE_US


@dataclass(frozen=True, slots=True)
class Due:
    """One period of one schedule that is over and was not delivered."""

    schedule_id: int
    name: str
    formats: tuple[str, ...]
    from_us: int
    to_us: int


@dataclass(frozen=True, slots=True)
class Made:
    """What was written: files as {name, sha256, bytes}, the ledger's size, the headline as shown."""

    files: Sequence[dict[str, Any]]
    ledger_size: int
    headline: dict[str, str]


def add(tx: Tx, *, name: str, every: Every, formats: Sequence[str], is_announced: bool) -> int:
    """Add a schedule and return its id; the first report is of the period that is under way.

    Raises InvalidValueError for a name or formats that do not fit, ConflictError for a name that is taken or
    beyond 100 schedules.
    """
    if NAME.fullmatch(name) is None:
        msg = f"name must be 1 to 80 of a-z, 0-9 and -, not {name[:90]!r}"
        raise InvalidValueError(msg, field="name")
    wanted = list(dict.fromkeys(formats))
    unknown = [one for one in wanted if one not in FORMATS]
    if unknown or not wanted:
        msg = f"formats must be some of {', '.join(FORMATS)}, not {', '.join(unknown) or 'none'}"
        raise InvalidValueError(msg, field="formats")
    if reports.live_count(tx) >= SCHEDULES_HIGHEST:
        msg = f"there are {SCHEDULES_HIGHEST} schedules, the most there may be; remove one first"
        raise ConflictError(msg, field="name", code="too_many_schedules")
    taken = ConflictError(f"there is a schedule {name!r} already", field="name", code="schedule_exists")
    return sql.insert_unique(
        tx,
        tables.report_schedule,
        taken,
        name=name,
        period=str(every),
        formats=wanted,
        is_announced=is_announced,
        last_error=None,
        created_by=tx.actor,
        created_at_us=tx.now_us,
        next_at_us=period_of(every, tx.now_us)[1],
        deleted_at_us=None,
    )


def remove(tx: Tx, name: str) -> None:
    """Remove a schedule; what it delivered stays. Raises NotFoundError when there is none."""
    row = existing(tx, name, lock=True)
    sql.update(tx, tables.report_schedule, {"id": row["id"]}, deleted_at_us=tx.now_us)


def existing(tx: Tx, name: str, *, lock: bool = False) -> Row:
    """Return the schedule's row; raise NotFoundError when there is none."""
    row = sql.find(tx, tables.report_schedule, lock=lock, name=name, deleted_at_us=None)
    if row is None:
        msg = f"there is no schedule {name[:90]!r}"
        raise NotFoundError(msg, field="name")
    return row


def due_now(tx: Tx) -> list[Due]:
    """Return the oldest undelivered period of each schedule whose time has come, or that was asked for."""
    return [waiting[0] for row in reports.due(tx) if (waiting := latest_of(tx, row))]


def waiting_of(tx: Tx, row: Row) -> list[Due]:
    """Return the periods of a schedule that are over and undelivered, oldest first, 31 at most."""
    last = reports.last_delivery(tx, row["id"])
    begins_us = row["created_at_us"] if last is None else last["to_us"]
    periods = due_periods(Every(row["period"]), begins_us, tx.now_us)
    return [Due(row["id"], row["name"], tuple(row["formats"]), *period) for period in periods]


def latest_of(tx: Tx, row: Row) -> list[Due]:
    """Return what a run by hand delivers: what waits, or else the last period that is over."""
    waiting = waiting_of(tx, row)
    if waiting or reports.last_delivery(tx, row["id"]) is not None:
        return waiting
    every = Every(row["period"])
    period = period_of(every, period_of(every, tx.now_us)[0] - 1)
    return [Due(row["id"], row["name"], tuple(row["formats"]), *period)]


def ask_now(tx: Tx, name: str) -> None:
    """Let what `latest_of` says be made at the next look.

    Raises NotFoundError without such a schedule, ConflictError when its last period that is over was made.
    """
    row = existing(tx, name, lock=True)
    if not latest_of(tx, row):
        msg = f"nothing is due: {name} was made for the last period that is over"
        raise ConflictError(msg, field="name", code="nothing_due")
    sql.update(tx, tables.report_schedule, {"id": row["id"]}, next_at_us=tx.now_us)


def note_delivery(tx: Tx, due: Due, made: Made) -> bool:
    """Write down that a period was delivered, once, and say so if asked to; tell whether it is new."""
    row = sql.find(tx, tables.report_schedule, lock=True, id=due.schedule_id, deleted_at_us=None)
    known = sql.find(tx, tables.report_delivery, schedule_id=due.schedule_id, to_us=due.to_us)
    if row is None or known is not None:
        return False
    sql.insert(
        tx,
        tables.report_delivery,
        schedule_id=due.schedule_id,
        from_us=due.from_us,
        to_us=due.to_us,
        ledger_size=made.ledger_size,
        files=list(made.files),
        delivered_at_us=tx.now_us,
    )
    next_us = period_of(Every(row["period"]), due.to_us)[1]
    sql.update(tx, tables.report_schedule, {"id": row["id"]}, next_at_us=next_us, last_error=None)
    if row["is_announced"]:
        facts = {
            "schedule": due.name,
            "from": to_rfc3339(due.from_us),
            "to": to_rfc3339(due.to_us),
            "files": list(made.files),
            "ledger_size": made.ledger_size,
            "headline": made.headline,
        }
        publish(tx, Event(EventType.REPORT_MADE, f"report:{due.name}", facts))
    return True


def note_failure(tx: Tx, due: Due, error: str, tries: int) -> None:
    """Keep why a report could not be made; it is tried again after 1, 2, 4 … minutes, at most an hour."""
    wait_us = min(WAIT_US * 2 ** min(tries, 10), WAIT_HIGHEST_US)
    values = {"last_error": error[:ERROR_LETTERS], "next_at_us": tx.now_us + wait_us}
    sql.update(tx, tables.report_schedule, {"id": due.schedule_id}, **values)
