"""Instants as people write them: a UTC day, or RFC 3339 with an offset.

Stands at the edges (API and command line). It never guesses a time zone.
"""

from services.domain.clock import from_rfc3339, to_datetime
from services.domain.errors import InvalidValueError

DAY_LENGTH = len("2026-01-31")


def span_of(start: str | None, end: str | None, fields: tuple[str, str]) -> tuple[int | None, int | None]:
    """Return both ends of a span; raise InvalidValueError for one that ends before it begins, or at once."""
    start_us, end_us = instant_of(start, fields[0]), instant_of(end, fields[1])
    if start_us is not None and end_us is not None and start_us >= end_us:
        begins, ends = str(start)[:40], str(end)[:40]
        msg = f"{fields[1]} must be later than {fields[0]}, but {ends!r} is not after {begins!r}"
        raise InvalidValueError(msg, field=fields[1], code="span_reversed")
    return start_us, end_us


def instant_of(text: str | None, field: str) -> int | None:
    """Return microseconds since the epoch, None for no text; a day is its beginning in UTC.

    Raises InvalidValueError naming `field` for anything else.
    """
    if text is None:
        return None
    try:
        instant_us = from_rfc3339(f"{text}T00:00:00Z" if len(text) == DAY_LENGTH else text)
        to_datetime(instant_us)
    except (OverflowError, ValueError) as error:
        msg = f"{field} takes a UTC day (2026-01-31) or an instant (2026-01-31T12:00:00Z), not {text[:40]!r}"
        raise InvalidValueError(msg, field=field) from error
    return instant_us
