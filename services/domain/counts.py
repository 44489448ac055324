"""Is a count (tasks posted, tasks ended) really falling or rising.

Stands in the observe stage beside the shares: the observatory hands in windows of events, oldest first. Each
hour of the day has its own mean of the trailing week, the spread beyond chance is fitted by moments, and the
tail is a negative binomial widened by how uncertain the fitted mean is (a flat Poisson gives hundreds of
false alarms per 1,000 hours as soon as there is a daily cycle). It never keeps history, never alarms before
12 windows, and never takes a window for an hour: every expectation is per time seen.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, pdtr, pdtrc

from services.domain.anomaly import (
    BAND_OUTSIDE,
    DISPERSION_MARGIN,
    LOW_CONFIDENCE_BEFORE,
    MINIMUM_HISTORY,
    WINDOWS,
    Detection,
    Rule,
    threshold_of,
)
from services.domain.clock import DAY_US, HOUR_US
from services.domain.measures import Bad

HOURS: Final = 24
WEEK_US: Final = 7 * DAY_US
SEEN_BEFORE_SEASON: Final = 2  # days an hour of the day must have been seen before it has its own mean
LEAST_HISTORY: Final = 2
MOST_PERSISTENCE: Final = 0.98
UNKNOWN_SEASON: Final = 0.25
"""Relative variance of a day whose course is not known yet: a swing of seven tenths of the mean."""
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CountWindow:
    """Events of one window, how long it was, the hour of day (UTC, 0 to 23) it began in.

    is_excluded: the window lies in an open episode or is a gap; it is neither history nor news.
    """

    count: int
    length_us: int
    hour_of_day: int
    is_excluded: bool = False


@dataclass(frozen=True, slots=True)
class CountBaseline:
    """What is normal: events per hour, flat and by hour of day, and how far single windows stray from it.

    rates, rate_variances: by hour of day, the flat rate where that hour was seen on fewer than two days
    (`is_seasonal` is false there).
    dispersions: α of variance = mean + α mean², by hour of day. persistence: correlation in [0, 1) of the
    spread beyond chance from one window to the next. windows: how many were used.
    """

    rates: Array
    rate_variances: Array
    dispersions: Array
    is_seasonal: NDArray[np.bool_]
    persistence: float
    windows: int


def fit_counts(history: Sequence[CountWindow]) -> CountBaseline:
    """Fit the hour-of-day baseline on all windows that are not excluded; ValueError when there are none.

    Slot mean m = (events + ½) / hours seen. With e = x − μ, α = [Σ e² n/(n − 1) − μ] / Σ μ² over the windows
    of seasonal hours (n of its slot), raised by one standard error of Σ e²; the same around the flat mean
    for hours without a season. Var(m) = m/hours + α m²/n. Persistence is the covariance of neighbouring e
    over α, once it exceeds its own standard error.
    """
    used = [window for window in history if not window.is_excluded]
    if not used:
        raise ValueError("a baseline needs at least one window that is not excluded")
    counts = np.array([window.count for window in used], dtype=np.float64)
    hours = np.array([window.length_us for window in used], dtype=np.float64) / HOUR_US
    slots = np.array([window.hour_of_day for window in used])
    number = np.bincount(slots, minlength=HOURS).astype(np.float64)
    time_seen = np.bincount(slots, hours, HOURS)
    flat = (counts.sum() + 0.5) / hours.sum()
    is_seasonal = _days_seen(history) >= SEEN_BEFORE_SEASON
    own = (np.bincount(slots, counts, HOURS) + 0.5) / np.where(time_seen > 0.0, time_seen, 1.0)
    flat_dispersion = _dispersion(counts, flat * hours, np.full(len(used), float(len(used))))
    within = is_seasonal[slots]
    dispersion = flat_dispersion
    if within.any():
        dispersion = _dispersion(counts[within], (own[slots] * hours)[within], number[slots][within])
    rates = np.where(is_seasonal, own, flat)
    dispersions = np.where(is_seasonal, dispersion, flat_dispersion)
    seen = np.where(is_seasonal, time_seen, hours.sum())
    variances = rates / seen + dispersions * rates**2 / np.where(is_seasonal, number, float(len(used)))
    expected = rates[slots] * hours
    persistence = _persistence(counts, expected, dispersions[slots])
    return CountBaseline(rates, variances, dispersions, is_seasonal, persistence, len(used))


def expect(baseline: CountBaseline, pool: Sequence[CountWindow]) -> tuple[float, float]:
    """Return mean and variance of the number of events in the pool, excluded windows left out.

    Variance = Σ μ + Σᵢⱼ √(αᵢαⱼ) φ^|i−j| μᵢ μⱼ + Σ over slots (hours)² Var(m) + ¼ (Σ μ of hours without a
    season)²: chance, spread that lasts, the uncertainty of the fitted mean, and a course of the day that is
    not known yet (windows of a day and more have none).
    """
    part = [(at, window) for at, window in enumerate(pool) if not window.is_excluded]
    if not part:
        return 0.0, 0.0
    places = np.array([at for at, _ in part], dtype=np.float64)
    slots = np.array([window.hour_of_day for _, window in part])
    hours = np.array([window.length_us for _, window in part], dtype=np.float64) / HOUR_US
    means = baseline.rates[slots] * hours
    spread = np.sqrt(baseline.dispersions[slots]) * means
    lasting = baseline.persistence ** np.abs(places[:, None] - places[None, :])
    uncertain = np.bincount(slots, hours, HOURS) ** 2 * baseline.rate_variances
    unknown = float(means[~baseline.is_seasonal[slots] & (hours < HOURS)].sum())
    mean = float(means.sum())
    variance = mean + float(spread @ lasting @ spread) + float(uncertain.sum())
    return mean, variance + UNKNOWN_SEASON * unknown * unknown


def tail(count: int, mean: float, variance: float, bad: Bad) -> float:
    """Return the chance of a count this far out, if the counts are negative binomial of that mean, variance.

    FALL: P(X ≤ count), RISE: P(X ≥ count), EITHER: twice the smaller, at most 1. Poisson where the variance
    does not exceed the mean. P(X ≤ k) = I_p(r, k + 1) with r = mean²/(variance − mean), p = r/(r + mean).
    """
    if bad is Bad.EITHER:
        return min(1.0, 2.0 * min(tail(count, mean, variance, side) for side in (Bad.FALL, Bad.RISE)))
    if mean <= 0.0:
        return 1.0 if bad is Bad.FALL or count <= 0 else 0.0
    if bad is Bad.RISE and count <= 0:
        return 1.0
    excess = variance - mean
    if excess <= 1e-9 * mean:
        return float(pdtr(count, mean) if bad is Bad.FALL else pdtrc(count - 1, mean))
    size = mean * mean / excess
    success = size / (size + mean)
    if bad is Bad.FALL:
        return float(betainc(size, count + 1.0, success))
    return float(betainc(float(count), size, mean / (size + mean)))


def count_band(history: Sequence[CountWindow], pool: Sequence[CountWindow]) -> tuple[float, float]:
    """Return how many events (low, high) the pool holds in 99 of 100 cases if nothing changed.

    history: what was normal, oldest first. Raises ValueError where there is nothing to fit.
    """
    return _band(*expect(fit_counts(history), pool))


def detect_count(
    windows: Sequence[CountWindow],
    *,
    bad: Bad = Bad.FALL,
    budget_per_week: float = 1.0,
    metrics: int,
    minimum_history: int = MINIMUM_HISTORY,
) -> Detection | None:
    """Return the strongest departure of the newest windows in the bad direction, or None; oldest first.

    The newest 1, 3, 6 and 24 windows are pooled and tested at p < budget_per_week / (metrics · 168 · 4)
    against the 7 days before them, once these hold `minimum_history` windows. A newest window that is
    excluded is no news: None. Raises ValueError naming a bad argument.
    """
    threshold = threshold_of(budget_per_week, metrics)
    _check(windows, minimum_history)
    if not windows or windows[-1].is_excluded:
        return None
    guard = _guard(windows, minimum_history)
    if not guard:
        return None
    baseline = fit_counts(_trailing_week(windows[:-guard]))
    return min(_scan(windows, baseline, guard, bad, threshold), key=lambda hit: hit.p_value, default=None)


def _scan(
    windows: Sequence[CountWindow], baseline: CountBaseline, guard: int, bad: Bad, threshold: float
) -> Iterator[Detection]:
    """Yield one detection per pool whose p-value is under the threshold."""
    for width in WINDOWS:
        if width > guard:
            return
        pool = windows[-width:]
        counted = [window.count for window in pool if not window.is_excluded]
        mean, variance = expect(baseline, pool)
        p_value = tail(sum(counted), mean, variance, bad)
        if p_value < threshold:
            yield Detection(
                Rule.BASELINE,
                sum(counted),
                len(counted),
                mean,
                p_value,
                width,
                float(sum(counted)),
                mean,
                _band(mean, variance),
                baseline.windows < LOW_CONFIDENCE_BEFORE,
            )


def _band(mean: float, variance: float) -> tuple[float, float]:
    """Return the smallest and largest count whose tail is not under half of what may lie outside."""
    if mean <= 0.0:
        return 0.0, 0.0
    outside = BAND_OUTSIDE / 2.0
    low = _first(lambda count: tail(count, mean, variance, Bad.FALL) >= outside)
    high = _first(lambda count: tail(count + 1, mean, variance, Bad.RISE) < outside)
    return float(low), float(high)


def _first(holds: Callable[[int], bool]) -> int:
    """Return the smallest count from 0 on at which a condition that stays true becomes true."""
    high = 1
    while not holds(high):
        high *= 2
    low = -1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _days_seen(history: Sequence[CountWindow]) -> NDArray[np.int64]:
    """Return on how many separate visits each hour of the day was seen, excluded windows left out."""
    seen = np.zeros(HOURS, dtype=np.int64)
    before = None
    for window in history:
        if window.is_excluded:
            continue
        if window.hour_of_day != before:
            seen[window.hour_of_day] += 1
        before = window.hour_of_day
    return seen


def _dispersion(counts: Array, expected: Array, number: Array) -> float:
    """Return α ≥ 0 by moments, raised by one standard error; `number`: windows behind each expectation."""
    freedom = float((1.0 - 1.0 / number).sum())
    if freedom <= 0.0:
        return 0.0
    squares = float(((counts - expected) ** 2 * number / np.maximum(number - 1.0, 1.0)).sum())
    squares *= 1.0 + DISPERSION_MARGIN * math.sqrt(2.0 / freedom)
    return max(0.0, (squares - float(expected.sum())) / float((expected**2).sum()))


def _persistence(counts: Array, expected: Array, dispersions: Array) -> float:
    if len(counts) < MINIMUM_HISTORY:
        return 0.0
    strays = counts - expected
    variances = expected + dispersions * expected**2
    common = float((np.sqrt(dispersions[1:] * dispersions[:-1]) * expected[1:] * expected[:-1]).sum())
    together = float((strays[1:] * strays[:-1]).sum())
    if common <= 0.0 or together <= math.sqrt(float((variances[1:] * variances[:-1]).sum())):
        return 0.0
    return min(MOST_PERSISTENCE, together / common)


def _guard(windows: Sequence[CountWindow], minimum_history: int) -> int:
    """Return how many newest windows to keep out of the baseline: the widest pool that leaves enough."""
    for width in reversed(WINDOWS):
        if sum(not window.is_excluded for window in windows[:-width]) >= minimum_history:
            return width
    return 0


def _trailing_week(windows: Sequence[CountWindow]) -> Sequence[CountWindow]:
    """Return the newest windows that together span at most 7 days, excluded ones included in the time."""
    left = WEEK_US
    for at in range(len(windows) - 1, -1, -1):
        left -= windows[at].length_us
        if left < 0:
            return windows[at + 1 :]
    return windows


def _check(windows: Sequence[CountWindow], minimum_history: int) -> None:
    if minimum_history < LEAST_HISTORY:
        raise ValueError(f"minimum_history must be at least {LEAST_HISTORY}, got {minimum_history!r}")
    for window in windows:
        if window.count < 0 or window.length_us <= 0 or not 0 <= window.hour_of_day < HOURS:
            raise ValueError(
                f"windows must hold counts from 0, lengths over 0 and hours 0 to 23, got {window!r}"
            )
