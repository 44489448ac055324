"""Spans of time as people write and read them: two instants, whole days.

Stands at the edges (API and command line). It never guesses a time zone.
"""

from collections.abc import Mapping
from typing import Any

from services.domain.clock import from_rfc3339, to_datetime
from services.domain.errors import InvalidValueError
from services.domain.moments import DAY_LENGTH, instant_of

__all__ = ["DAY_LENGTH", "days_of", "days_text", "instant_of", "span_of"]


def span_of(start: str | None, end: str | None, fields: tuple[str, str]) -> tuple[int | None, int | None]:
    """Return both ends of a span; raise InvalidValueError for one that ends before it begins, or at once."""
    start_us, end_us = instant_of(start, fields[0]), instant_of(end, fields[1])
    if start_us is not None and end_us is not None and start_us >= end_us:
        begins, ends = str(start)[:40], str(end)[:40]
        msg = f"{fields[1]} must be later than {fields[0]}, but {ends!r} is not after {begins!r}"
        raise InvalidValueError(msg, field=fields[1], code="span_reversed")
    return start_us, end_us


def days_text(from_us: int, to_us: int) -> str:
    """Return a span as two days when it is whole days (both inclusive), else as two instants."""
    first, last = to_datetime(from_us), to_datetime(to_us - 1)
    is_whole = f"{first:%H%M%S%f}" == "000000000000" and f"{to_datetime(to_us):%H%M%S%f}" == "000000000000"
    form = "%Y-%m-%d" if is_whole else "%Y-%m-%d %H:%M:%S UTC"
    start, end = first.strftime(form), (last if is_whole else to_datetime(to_us)).strftime(form)
    return start if start == end else f"{start} to {end}"


def days_of(delivery: Mapping[str, Any] | None) -> str | None:
    """Return the days that a delivered report is of, as its files are named; None before the first."""
    if delivery is None:
        return None
    return days_text(from_rfc3339(delivery["from"]), from_rfc3339(delivery["to"]))
