"""What is usual and how far one value lies from it, when history has outliers, steps and few distinct values.

Stands under the detector of gauges. A scale is never the median deviation alone (of a series with few
distinct values that is 0, and every step an alarm): it is the largest of it, the range of the middle nine
tenths and a floor. It never alarms by itself.
"""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Sequence
from math import inf, sqrt
from typing import Final

MAD_TO_SD: Final = 1.4826  # of a normal distribution
RANGE_TO_SD: Final = 1.0 / 3.2897  # its 5 to 95 % range in standard deviations
TAIL_SHARE: Final = 0.05
MOST_Z: Final = 1_000.0  # what a change has where nothing ever changed


class Trailing:
    """The values of the trailing `width_us`, kept sorted; one more costs about a microsecond at 2,000."""

    __slots__ = ("_arrived", "_ordered", "_width_us")

    def __init__(self, width_us: int) -> None:
        """Start empty."""
        self._width_us = width_us
        self._ordered: list[float] = []
        self._arrived: deque[tuple[int, float]] = deque()

    def __len__(self) -> int:
        return len(self._ordered)

    @property
    def since_us(self) -> int | None:
        """When the oldest value that is still held arrived."""
        return self._arrived[0][0] if self._arrived else None

    def add(self, at_us: int, value: float) -> None:
        """Take one value in and let go of those that have become too old."""
        self.forget(at_us)
        insort(self._ordered, value)
        self._arrived.append((at_us, value))

    def forget(self, now_us: int) -> None:
        """Let go of values from before now − width."""
        arrived, ordered, before_us = self._arrived, self._ordered, now_us - self._width_us
        while arrived and arrived[0][0] <= before_us:
            del ordered[bisect_left(ordered, arrived.popleft()[1])]

    def median(self) -> float:
        """Return the (upper) median; IndexError when there is no value."""
        return self._ordered[len(self._ordered) // 2]

    def scale(self, floor: float) -> float:
        """Return the robust scale, at least `floor`."""
        return scale_of(self._ordered, floor)

    def z(self, value: float, floor: float) -> float:
        """Return how many scales `value` lies over the median."""
        return z_of(value, self.median(), self.scale(floor))


def scale_of(ordered: Sequence[float], floor: float) -> float:
    """Return the largest of 1.4826 · MAD, the 5 to 95 % range / 3.29 and `floor` of sorted values.

    The MAD is found by bisection: of all runs of k = ⌈n/2⌉ neighbours the tightest around the median m has
    max(m − first, last − m) equal to it.
    """
    n = len(ordered)
    if not n:
        return floor
    middle, k = ordered[n // 2], n // 2 + 1
    low, high = 0, n - k
    while low < high:
        at = (low + high) // 2
        if ordered[at] + ordered[at + k - 1] >= middle + middle:
            high = at
        else:
            low = at + 1
    mad = max(middle - ordered[low], ordered[low + k - 1] - middle)
    if low:
        mad = min(mad, max(middle - ordered[low - 1], ordered[low + k - 2] - middle))
    tail = int(TAIL_SHARE * (n - 1) + 0.5)
    return max(MAD_TO_SD * mad, (ordered[n - 1 - tail] - ordered[tail]) * RANGE_TO_SD, floor)


def z_of(value: float, median: float, scale: float) -> float:
    """Return (value − median) / scale, within ±1,000; where nothing ever changed any change has that much."""
    step = value - median
    if scale <= 0.0:
        return 0.0 if step == 0.0 else MOST_Z if step > 0.0 else -MOST_Z
    return min(MOST_Z, max(-MOST_Z, step / scale))


class Moving:
    """Mean and standard deviation of the values of the newest `width_us`, at least `least` of them.

    A series slower than the width keeps its newest `least` values, as long as they are within `reach_us`.
    Sums are kept around an anchor that follows the level, so a large offset costs no precision.
    """

    __slots__ = ("_anchor", "_held", "_least", "_left", "_reach_us", "_squares", "_sum", "_width_us")

    def __init__(self, width_us: int, least: int, reach_us: int) -> None:
        """Start empty."""
        self._width_us, self._least, self._reach_us = width_us, least, reach_us
        self._held: deque[tuple[int, float]] = deque()
        self._anchor = self._sum = self._squares = 0.0
        self._left = 0

    def add(self, at_us: int, value: float) -> None:
        """Take one value in, let go of the old ones."""
        held = self._held
        if not held:
            self._anchor = value
        held.append((at_us, value))
        step = value - self._anchor
        self._sum += step
        self._squares += step * step
        while held[0][0] <= at_us - self._reach_us or (
            held[0][0] <= at_us - self._width_us and len(held) > self._least
        ):
            step = held.popleft()[1] - self._anchor
            self._sum -= step
            self._squares -= step * step
            self._left += 1
        if self._left > len(held):
            self._settle()

    def mean(self) -> float:
        """Return the mean of what is held (at least the newest value)."""
        return self._anchor + self._sum / len(self._held)

    def deviation(self) -> float | None:
        """Return the standard deviation (divisor n), None while fewer than `least` values are held."""
        n = len(self._held)
        if n < self._least:
            return None
        spread = self._squares - self._sum * self._sum / n
        if spread < 1e-7 * self._squares:  # lost in the distance to the anchor
            self._settle()
            spread = self._squares - self._sum * self._sum / n
        return sqrt(spread / n) if spread > 0.0 else 0.0

    def _settle(self) -> None:
        """Move the anchor to the mean and sum up afresh."""
        self._anchor = self.mean()
        if not -inf < self._anchor < inf:
            self._anchor = self._held[-1][1]
        steps = [value - self._anchor for _, value in self._held]
        self._sum, self._squares, self._left = sum(steps), sum([step * step for step in steps]), 0
