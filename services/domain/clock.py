"""Time as the core sees it: integer microseconds since the epoch, UTC, from a clock that is passed in.

Stands under every layer. The wall clock is read here and nowhere else, so that a virtual clock can run two
weeks in a minute. It never sleeps and never looks at a time zone.
"""

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """Something that tells the time in microseconds since the epoch, UTC."""

    def now_us(self) -> int:
        """Return the present instant in microseconds."""
        ...


class WallClock:
    """The machine's clock, never running backwards within one process."""

    def __init__(self) -> None:
        self._last_us = 0
        self._lock = threading.Lock()

    def now_us(self) -> int:
        """Return the wall clock's microseconds, at least the last answer."""
        with self._lock:
            self._last_us = max(self._last_us, time.time_ns() // 1000)
            return self._last_us


class VirtualClock:
    """A clock that stands still until it is moved."""

    def __init__(self, start_us: int = 1_767_225_600 * SECOND_US) -> None:
        self._now_us = start_us

    def now_us(self) -> int:
        """Return the virtual instant in microseconds."""
        return self._now_us

    def advance(self, microseconds: int) -> None:
        """Move the clock forward; raise ValueError when asked to go back."""
        if microseconds < 0:
            msg = f"a clock cannot go back by {-microseconds} µs"
            raise ValueError(msg)
        self._now_us += microseconds


def seconds(value: float) -> int:
    """Return `value` seconds as whole microseconds."""
    return round(value * SECOND_US)


def to_datetime(instant_us: int) -> datetime:
    """Return the instant as an aware datetime in UTC."""
    return EPOCH + timedelta(microseconds=instant_us)


def to_rfc3339(instant_us: int) -> str:
    """Return the instant as RFC 3339 text in UTC with six decimals, as the ledger writes it."""
    return to_datetime(instant_us).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def from_rfc3339(text: str) -> int:
    """Return the microseconds of RFC 3339 text; raise ValueError when it has no offset."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        msg = f"{text!r} has no UTC offset; write it like 2026-01-31T12:00:00Z"
        raise ValueError(msg)
    return (moment - EPOCH) // timedelta(microseconds=1)
