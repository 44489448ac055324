"""Was it a spike or a shift, and is a second fall worse than the first.

Stands in the observe stage, after a detector: the observatory asks with the windows since an alarm. A shape
is a word for people and for the choice of what to do; it never opens or closes an episode, never moves a
baseline, and says nothing before the windows decide.
"""

import math
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeVar

from services.domain.measures import Bad
from services.domain.states import EpisodeShape

SPIKE_WINDOWS: Final = 3
SHIFT_WINDOWS: Final = (6, 24)
WORSE_BY: Final = 0.25  # a share of the first departure by which a second must exceed it

Window = TypeVar("Window")


class Departure(NamedTuple):
    """How far a metric left what was expected, both in its own unit."""

    observed: float
    expected: float


def shape_of(since: Sequence[Window], is_inside: Callable[[Sequence[Window]], bool]) -> EpisodeShape | None:
    """Return SPIKE, SHIFT, or None while the windows since the alarm do not decide.

    since: the windows after the one that raised the alarm, oldest first, idle windows and gaps left out.
    is_inside: whether some of them, pooled, lie in the band that held before the alarm (`proportion_band`,
    `count_band`, `gauge_band` give it for exactly that pool, so it narrows as the pool grows). SHIFT: there
    are 24, and the newest 6 and the newest 24 are both outside; it is final. SPIKE: the first 3 are inside,
    and it has not become a shift since.
    """
    is_long = len(since) >= max(SHIFT_WINDOWS)
    if is_long and not any(is_inside(since[-count:]) for count in SHIFT_WINDOWS):
        return EpisodeShape.SHIFT
    is_back = len(since) >= SPIKE_WINDOWS and is_inside(since[:SPIKE_WINDOWS])
    return EpisodeShape.SPIKE if is_back else None


def is_in(value: float, band: tuple[float, float], bad: Bad = Bad.EITHER) -> bool:
    """Return whether a value lies in the band (low, high); a side that is not bad has no limit.

    No number (NaN) is refused with ValueError: it is neither in nor out.
    """
    low, high = band
    if math.isnan(value) or math.isnan(low) or math.isnan(high):
        raise ValueError(f"value and band must be numbers, got {value!r} in {band!r}")
    return (bad is Bad.RISE or value >= low) and (bad is Bad.FALL or value <= high)


def is_worse(now: Departure, before: Departure, bad: Bad = Bad.EITHER, *, by: float = WORSE_BY) -> bool:
    """Return whether `now` is further out than `before` was at its worst, by a quarter of that departure.

    Departures are compared in the metric's own unit and in the bad direction (EITHER: on the side on which
    `now` lies; the other side was no departure at all). Raises ValueError for numbers that are not finite.
    """
    if not all(map(math.isfinite, (*now, *before, by))) or by < 0.0:
        raise ValueError(f"departures must be finite and by at least 0, got {now!r}, {before!r}, {by!r}")
    step = now.observed - now.expected
    sign = {Bad.FALL: -1.0, Bad.RISE: 1.0, Bad.EITHER: math.copysign(1.0, step)}[bad]
    depth = sign * step
    return depth > 0.0 and depth > (1.0 + by) * max(0.0, sign * (before.observed - before.expected))
