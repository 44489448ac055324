"""Reads timestamps of one kind and says where a series has gaps.

Stands between the file and the detector. A kind (with a zone, without one, seconds or milliseconds since
1970) is settled by the first row and kept: rows of another kind would land hours or decades away. It never
sorts, and never fills a gap.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from statistics import median
from typing import Final, NamedTuple

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)
SECOND_US: Final = 1_000_000
MILLISECONDS_FROM: Final = 1e11  # seconds reach it in the year 5138, milliseconds did in 1973
MILLISECONDS_TO: Final = 1e14
NUMBER: Final = re.compile(r"\d+(\.\d*)?([eE][+-]?\d+)?")
DATE_IN_DIGITS: Final = re.compile(r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])")
RULE: Final = "must be a time such as 2014-02-14 14:30:00, 2014-02-14T14:30:00Z or seconds since 1970"
SPACINGS_KEPT: Final = 101
SPACINGS_NEEDED: Final = 10
GAP_SPACINGS: Final = 3  # times the usual spacing that make a gap
JUDGED_EVERY: Final = 50
GAPS_KEPT: Final = 1_000


class Kind(StrEnum):
    """How the instants of a file are written."""

    ZONED = "has a zone"
    LOCAL = "has no zone"
    SECONDS = "counts seconds"
    MILLISECONDS = "counts milliseconds"


class TimestampRefusedError(ValueError):
    """A timestamp that cannot be read or is of another kind than those before; says what would be right."""


@dataclass(slots=True)
class Timestamps:
    """Reads the timestamps of one file, all of one kind."""

    kind: Kind | None = None

    def read(self, text: str) -> int:
        """Return the instant in microseconds since 1970; without a zone it is taken as UTC."""
        text = text.strip()
        return self._read_number(text) if NUMBER.fullmatch(text) else self._read_date(text)

    def _read_date(self, text: str) -> int:
        try:
            instant = datetime.fromisoformat(text)
        except ValueError as error:
            raise TimestampRefusedError(RULE) from error
        if instant.tzinfo is None:
            self._keep(Kind.LOCAL)
            instant = instant.replace(tzinfo=UTC)
        else:
            self._keep(Kind.ZONED)
        return (instant - EPOCH) // MICROSECOND

    def _read_number(self, text: str) -> int:
        number = float(text)
        if self.kind is None and DATE_IN_DIGITS.fullmatch(text):
            raise TimestampRefusedError("may be a date or a count of seconds; write dates as 2014-02-14")
        if number >= MILLISECONDS_TO:
            raise TimestampRefusedError("is too large; write seconds or milliseconds since 1970")
        self._keep(Kind.MILLISECONDS if number >= MILLISECONDS_FROM else Kind.SECONDS)
        return round(number * (SECOND_US if self.kind is Kind.SECONDS else 1_000))

    def _keep(self, kind: Kind) -> None:
        if self.kind is None:
            self.kind = kind
        elif kind is not self.kind:
            raise TimestampRefusedError(f"{kind} where the rows above {_plural(self.kind)}; write all alike")


class Gap(NamedTuple):
    """A hole in a series: the line after it, where it begins (µs since 1970), and its length."""

    line: int
    from_us: int
    length_us: int


@dataclass(slots=True)
class Spacing:
    """The usual distance of a series' points, and the gaps: more than three times that distance.

    The usual distance is the median of the last hundred; the first ones are judged once there are ten.
    """

    usual_us: float | None = None
    gaps: list[Gap] = field(default_factory=list)
    gap_count: int = 0
    _recent: list[int] = field(default_factory=list)
    _waiting: list[Gap] = field(default_factory=list)
    _until_judged: int = SPACINGS_NEEDED

    def add(self, line: int, from_us: int, to_us: int) -> None:
        """Take in the distance between a point and the next."""
        step = Gap(line, from_us, to_us - from_us)
        if not step.length_us:
            return
        self._recent.append(step.length_us)
        if self.usual_us is None:
            self._waiting.append(step)
        else:
            self._judge(step)
        self._until_judged -= 1
        if not self._until_judged:
            self.settle()

    def settle(self) -> None:
        """Say anew what is usual, and judge what waited for it."""
        self._until_judged = JUDGED_EVERY
        del self._recent[:-SPACINGS_KEPT]
        if self._recent:
            self.usual_us = median(self._recent)
            for step in self._waiting:
                self._judge(step)
            self._waiting.clear()

    def _judge(self, step: Gap) -> None:
        if self.usual_us is not None and step.length_us > GAP_SPACINGS * self.usual_us:
            self.gap_count += 1
            if len(self.gaps) < GAPS_KEPT:
                self.gaps.append(step)


def written(at_us: int) -> str:
    """Return an instant as ISO 8601 in UTC without its zone."""
    return (EPOCH + at_us * MICROSECOND).replace(tzinfo=None).isoformat(" ")


def span(length_us: float) -> str:
    """Return a length of time in its largest fitting unit: "5 min", "3.2 days"."""
    for unit, size_us in _units():
        if length_us >= size_us:
            count = f"{length_us / size_us:.3g}"
            return f"{count} {unit.removesuffix('s') if count == '1' else unit}"
    return f"{length_us / SECOND_US:.3g} s"


def _units() -> Iterator[tuple[str, int]]:
    yield "days", 86_400 * SECOND_US
    yield "h", 3_600 * SECOND_US
    yield "min", 60 * SECOND_US


def _plural(kind: Kind) -> str:
    return kind.replace("has ", "have ").replace("counts", "count")
