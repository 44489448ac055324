"""Instants as people write them: a UTC day, or RFC 3339 with an offset.

Stands under every edge that is asked about a time, so that all take the same. It never guesses a time zone.
"""

from typing import Final

from services.domain.clock import from_rfc3339, to_datetime
from services.domain.errors import InvalidValueError

DAY_LENGTH: Final = len("2026-01-31")


def instant_of(text: str | None, field: str, *, besides: str = "", code: str | None = None) -> int | None:
    """Return microseconds since the epoch, None for no text; a day is its beginning in UTC.

    Raises InvalidValueError naming `field` for anything else; `besides` says what else it takes.
    """
    if text is None:
        return None
    try:
        instant_us = from_rfc3339(f"{text}T00:00:00Z" if len(text) == DAY_LENGTH else text)
        to_datetime(instant_us)
    except (OverflowError, ValueError) as error:
        right = f"a UTC day (2026-01-31) or an instant (2026-01-31T12:00:00Z){besides}"
        msg = f"{field} takes {right}, not {text[:40]!r}"
        raise InvalidValueError(msg, field=field, code=code) from error
    return instant_us
