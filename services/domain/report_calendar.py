"""The calendar of reports: days, weeks from Monday and months that they are made for, all in UTC.

Stands under the schedules. Pure arithmetic on instants. It never reads a clock.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from services.domain.clock import DAY_US, EPOCH, to_datetime
from services.domain.errors import InvalidValueError

PERIOD_DAYS_HIGHEST: Final = 366
DAYS_BEYOND_ANY_MONTH: Final = 32
CAUGHT_UP_HIGHEST: Final = 31
"""Missed periods that are still delivered; older ones are let go."""


class Every(StrEnum):
    """How often a scheduled report is made."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


def period_of(every: Every, at_us: int) -> tuple[int, int]:
    """Return the period [from, to) around an instant, in microseconds."""
    moment = to_datetime(at_us)
    start = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    if every is Every.DAY:
        return _us(start), _us(start + timedelta(days=1))
    if every is Every.WEEK:
        monday = start - timedelta(days=start.weekday())
        return _us(monday), _us(monday + timedelta(days=7))
    first = start.replace(day=1)
    after = (first + timedelta(days=DAYS_BEYOND_ANY_MONTH)).replace(day=1)
    return _us(first), _us(after)


def due_periods(every: Every, begins_us: int, now_us: int) -> list[tuple[int, int]]:
    """Return the periods from the one around `begins_us` that are over, in order, the newest 31 at most."""
    found: list[tuple[int, int]] = []
    start = begins_us
    while (period := period_of(every, start))[1] <= now_us:
        found.append(period)
        start = period[1]
    return found[-CAUGHT_UP_HIGHEST:]


def check_period(from_us: int, to_us: int, now_us: int | None, place: str = "") -> None:
    """Raise InvalidValueError for a period that is empty, in the future (of `now_us`) or over 366 days.

    It names the field `to`, after `place`.
    """
    field, start = f"{place}to", f"{place}from"
    if from_us >= to_us:
        raise InvalidValueError(f"{field} must be later than {start}", field=field, code="span_reversed")
    if to_us - from_us > PERIOD_DAYS_HIGHEST * DAY_US:
        most = f"a report covers at most {PERIOD_DAYS_HIGHEST} days"
        msg = f"{most}; take a later {start} or an earlier {field}"
        raise InvalidValueError(msg, field=field, code="span_too_long")
    if now_us is not None and to_us > now_us:
        now = f"{to_datetime(now_us):%Y-%m-%dT%H:%M:%SZ}"
        msg = f"{field} lies in the future, and a report tells the past; use {now}, which is now"
        raise InvalidValueError(msg, field=field, code="in_the_future")


def _us(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)
