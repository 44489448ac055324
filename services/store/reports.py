"""Queries of scheduled reports: which schedules there are, which are due, what was delivered last.

Stands under the record of schedules. It never writes.
"""

from sqlalchemy import bindparam, func, select

from services.store import sql
from services.store.sql import Row
from services.store.tables import report_delivery, report_schedule
from services.store.tx import Tx

IS_LIVE = report_schedule.c.deleted_at_us.is_(None)
LIVE = select(report_schedule).where(IS_LIVE).order_by(report_schedule.c.name)
DUE = LIVE.where(report_schedule.c.next_at_us <= bindparam("now_us"))
LAST = (
    select(report_delivery)
    .where(report_delivery.c.schedule_id == bindparam("schedule_id"))
    .order_by(report_delivery.c.to_us.desc())
    .limit(1)
)
COUNT = select(func.count()).select_from(report_schedule).where(IS_LIVE)


def schedules(tx: Tx) -> list[Row]:
    """Return every schedule that is not removed, by name."""
    return sql.listed(tx, LIVE)


def due(tx: Tx) -> list[Row]:
    """Return the schedules whose next look is due."""
    return sql.listed(tx, DUE, now_us=tx.now_us)


def last_delivery(tx: Tx, schedule_id: int) -> Row | None:
    """Return the newest delivery of a schedule, or None."""
    return sql.first(tx, LAST, schedule_id=schedule_id)


def live_count(tx: Tx) -> int:
    """Return how many schedules there are."""
    return int(sql.value(tx, COUNT))
