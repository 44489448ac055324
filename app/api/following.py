"""Following a table that grows: every row once, also those whose transaction commits after later ones.

Stands under the waiting room. PostgreSQL gives ids out before it commits, so that a row may become visible
behind newer ones; an id that was skipped is therefore asked for again until its row is there, or until no
transaction that took it can be under way any more. It never decides whom a row concerns.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from itertools import islice

from services.domain.clock import SECOND_US
from services.store.sql import Row
from services.store.tx import Tx

BATCH = 1_000
LATE_US = 120 * SECOND_US
"""How long a skipped id is asked for: longer than any transaction of the platform takes."""
SKIPPED_HIGHEST = 50_000
"""Skipped ids remembered at most; beyond them the oldest are given up."""
FIRST_LOOK_BACK = 10_000
"""How many ids behind the newest row are searched for skipped ones when the following begins."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How one table is read: its newest id, rows behind an id, rows of ids, ranges of ids without rows."""

    newest: Callable[[Tx], int]
    after: Callable[[Tx, int, int], list[Row]]
    among: Callable[[Tx, Collection[int]], list[Row]]
    gaps_after: Callable[[Tx, int], list[tuple[int, int]]]


@dataclass(slots=True)
class Follower:
    """How far one table has been read. `skipped` holds ids without a row yet, and when each was noticed."""

    reading: Reading
    newest: int = 0
    skipped: dict[int, int] = field(default_factory=dict)

    def begin(self, tx: Tx) -> None:
        """Start behind the newest row, knowing which older ones may still come."""
        self.newest = self.reading.newest(tx)
        if tx.is_postgresql:
            for low, high in self.reading.gaps_after(tx, max(0, self.newest - FIRST_LOOK_BACK)):
                self._skip(low, high, tx.now_us)

    def read(self, tx: Tx) -> list[Row]:
        """Return every row that became visible since the last call, late ones first."""
        found = self._late(tx)
        while True:
            page = self.reading.after(tx, self.newest, BATCH)
            for row in page:
                if tx.is_postgresql and row["id"] > self.newest + 1:
                    self._skip(self.newest + 1, row["id"] - 1, tx.now_us)
                self.newest = row["id"]
            found += page
            if len(page) < BATCH:
                return found

    def _late(self, tx: Tx) -> list[Row]:
        given_up = [number for number, at_us in self.skipped.items() if at_us < tx.now_us - LATE_US]
        asked = list(self.skipped)
        found: list[Row] = []
        for start in range(0, len(asked), BATCH):
            found += self.reading.among(tx, asked[start : start + BATCH])
        for number in (*given_up, *(row["id"] for row in found)):
            self.skipped.pop(number, None)
        return found

    def _skip(self, low: int, high: int, now_us: int) -> None:
        for number in range(max(low, high - SKIPPED_HIGHEST + 1), high + 1):
            self.skipped[number] = now_us
        for number in list(islice(self.skipped, max(0, len(self.skipped) - SKIPPED_HIGHEST))):
            del self.skipped[number]
