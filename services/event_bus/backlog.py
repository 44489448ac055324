"""How far the bus is behind: what waits, for how long, what fails and what failed for good.

Stands in the bus (L2), read by the snapshot and the health score. It reads the partial indexes of what is
under way and counts no further than `COUNTED`, so that it costs the same whatever has been delivered.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from services.store import deliveries
from services.store.tx import Tx

COUNTED = 10_000
"""Rows of one state are counted up to here; more are told as this many."""


@dataclass(frozen=True, slots=True)
class BusLag:
    """The backlog: counts (each up to `COUNTED`), and the age of the oldest event still under way, in µs.

    `pending` waits for its first or next try, `failing` is the part of it that has failed before, `dead` was
    given up. `by_subscriber` shares out the oldest `COUNTED` of `pending`.
    """

    pending: int
    oldest_age_us: int
    failing: int
    dead: int
    by_subscriber: Mapping[str, int]


def lag(tx: Tx) -> BusLag:
    """Return how far the bus is behind at this instant."""
    shares = deliveries.pending_by_subscriber(tx, COUNTED)
    oldest_us = deliveries.oldest_published_us(tx)
    return BusLag(
        pending=sum(shares.values()),
        oldest_age_us=0 if oldest_us is None else max(0, tx.now_us - oldest_us),
        failing=deliveries.failing_count(tx, COUNTED),
        dead=deliveries.dead_count(tx, COUNTED),
        by_subscriber=shares,
    )
