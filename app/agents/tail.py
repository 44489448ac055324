"""How likely slow work would end if it were given more time, from durations cut off at a limit.

Pure. Durations above a threshold u are taken to fall like a power, P(X > x | X > u) = (x/u)^−α, with α by
maximum likelihood under right-censoring at each task's own limit (Hill 1975; for censored data Beirlant,
Guillou, Dierckx, Fils-Villetard 2007): α = k / Σ ln(min(x, limit)/u) over all that passed u, k of them
uncensored. A tail that falls faster than a power is thereby understated: the prediction errs to the
careful side.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

NEAREST_SHARE_OF_LIMIT = 0.5  # the threshold is at least this share of the limit: what is near decides
LEAST_BEYOND = 8  # tasks seen beyond the limit, from which their fate is believed
FARTHEST_SHARE_OF_LIMIT = 0.9  # and leaves room below the limit for durations to be seen


@dataclass(frozen=True, slots=True)
class Tail:
    """The fitted tail. `exponent` 0: nothing that got close to the limit ended, more time gains nothing."""

    threshold_seconds: float
    exponent: float
    finished_above: int
    cut_off: int
    limit_seconds: float
    cut_off_share: float

    def unfinished_share(self, limit_seconds: float) -> float:
        """Predicted share of tasks not done within another limit (not below the present one)."""
        ratio = max(1.0, limit_seconds / self.limit_seconds)
        return self.cut_off_share * math.pow(ratio, -self.exponent)


def fit_tail(finished: Sequence[float], cut_off: Sequence[float], limit_seconds: float) -> Tail:
    """Fit the tail from durations that ended (`finished`) and the limits at which others were cut off.

    All in seconds; `limit_seconds` is the limit now in force. The threshold is the pooled lower third, moved
    into 0.5 to 0.9 of the limit: lower than usual for Hill, as cut-off data are few and variance weighs more.

    Raises:
        ValueError: no durations at all, or a limit that is not positive.
    """
    total = len(finished) + len(cut_off)
    if total == 0 or limit_seconds <= 0:
        raise ValueError("a tail needs durations and a positive limit")
    pooled = sorted([*finished, *cut_off])
    threshold = max(pooled[(total - 1) // 3], NEAREST_SHARE_OF_LIMIT * limit_seconds)
    threshold = min(threshold, FARTHEST_SHARE_OF_LIMIT * limit_seconds)
    above = [duration for duration in finished if duration > threshold]
    censored = [limit for limit in cut_off if limit > threshold]
    log_sum = sum(math.log(value / threshold) for value in (*above, *censored))
    exponent = len(above) / log_sum if log_sum > 0 else 0.0
    return Tail(threshold, exponent, len(above), len(censored), limit_seconds, len(cut_off) / total)


def beyond_the_limit(
    finished: Sequence[tuple[float, int]], cut_off: Sequence[tuple[float, int]], limit_seconds: float
) -> tuple[float, int] | None:
    """The exponent of what ran past the limit where it was given more time, and how many did; None for few.

    `finished` are (seconds, tasks) of work that ended under longer limits, `cut_off` are (limit, tasks) of
    work that these cut off. What has been seen beyond the limit needs no fit below it: the same estimate,
    with the limit itself as the threshold.
    """
    past = [(value, count) for value, count in finished if value > limit_seconds]
    cut = [(limit, count) for limit, count in cut_off if limit > limit_seconds]
    seen = sum(count for _, count in (*past, *cut))
    if seen < LEAST_BEYOND:
        return None
    ended = sum(count for _, count in past)
    return ended / sum(count * math.log(value / limit_seconds) for value, count in (*past, *cut)), seen


def candidate_limits(limit_seconds: float, highest_seconds: float, steps: int = 24) -> list[float]:
    """Values above the present limit up to the highest, equally spaced by factor, 3 digits each."""
    if highest_seconds <= limit_seconds:
        return []
    ratio = highest_seconds / limit_seconds
    raw = (limit_seconds * ratio ** (step / steps) for step in range(1, steps + 1))
    rounded = (min(highest_seconds, float(f"{value:.3g}")) for value in raw)
    return sorted({value for value in rounded if value > limit_seconds})


def best_limit(tail: Tail, candidates: Sequence[float], enough: float = 0.9) -> tuple[float, float]:
    """The smallest candidate that brings `enough` of the best predicted gain, and its gain (share of tasks).

    Raises:
        ValueError: there is no candidate.
    """
    gains = {value: tail.cut_off_share - tail.unfinished_share(value) for value in sorted(candidates)}
    if not gains:
        raise ValueError("there is no candidate")
    best = max(gains.values())
    value = next(value for value, gain in gains.items() if gain >= enough * best)
    return value, gains[value]
