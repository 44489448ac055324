"""Is a count (tasks posted, tasks ended) really falling or rising.

Stands in the observe stage beside the shares: the observatory hands in windows of events, oldest first. Each
hour of the day has its own mean of the trailing week, times what its weekday is worth by the trailing three
weeks; the spread beyond chance is fitted by moments, and the tail is a negative binomial widened by how
uncertain the fitted mean is (a flat Poisson gives hundreds of false alarms per 1,000 hours as soon as there
is a daily cycle). It never keeps history, never alarms before 12 windows, and never takes a window for an
hour: every expectation is per time seen.
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
from services.domain.weekdays import (
    DAYS,
    NO_WEEK,
    UNSEEN_FALL,
    UNSEEN_RISE,
    WEEKS,
    Weekdays,
    fit_weekdays,
    visits_of,
)

HOURS: Final = 24
WEEK_US: Final = 7 * DAY_US
SEEN_BEFORE_SEASON: Final = 2  # days an hour of the day must have been seen before it has its own mean
LEAST_HISTORY: Final = 2
TURNS: Final = 3  # of fitting hours given weekdays and weekdays given hours
MOST_PERSISTENCE: Final = 0.98
UNKNOWN_SEASON: Final = 0.25
"""Relative variance of a day whose course is not known yet: a swing of seven tenths of the mean."""
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CountWindow:
    """Events of one window, how long it was, the hour of day (UTC, 0 to 23) it began in.

    is_excluded: the window lies in an open episode or is a gap; it is neither history nor news.
    day_of_week: Monday 0 to Sunday 6; where one window does not tell it, all days are taken to be alike.
    """

    count: int
    length_us: int
    hour_of_day: int
    is_excluded: bool = False
    day_of_week: int | None = None


@dataclass(frozen=True, slots=True)
class CountBaseline:
    """What is normal: events per hour of a usual day, and how far single windows stray from it.

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
    week: Weekdays = NO_WEEK
    """What each weekday is worth against a usual day."""


def fit_counts(history: Sequence[CountWindow], longer: Sequence[CountWindow] | None = None) -> CountBaseline:
    """Fit the hour-of-day baseline on all windows that are not excluded; ValueError when there are none.

    longer: the windows that weekdays are learnt from (`history` itself where it is not given). An hour of a
    weekday worth f counts as f hours below, so a Sunday does not thin the Mondays.

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
    week = _fit_week(history if longer is None else longer)
    if week is not NO_WEEK:
        hours *= week.factors[_days(used)]
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
    return CountBaseline(rates, variances, dispersions, is_seasonal, persistence, len(used), week)


def _days(windows: Sequence[CountWindow]) -> NDArray[np.int64]:
    return np.array([window.day_of_week or 0 for window in windows], dtype=np.int64)


def _fit_week(history: Sequence[CountWindow]) -> Weekdays:
    """Fit weekdays × hours of the day in turns, then `fit_weekdays`; the chance of a day is 1/events."""
    used = [window for window in history if not window.is_excluded]
    if any(window.day_of_week is None for window in used):
        return NO_WEEK
    counts = np.array([window.count for window in used], dtype=np.float64)
    hours = np.array([window.length_us for window in used], dtype=np.float64) / HOUR_US
    slots = np.array([window.hour_of_day for window in used])
    days = _days(used)
    tallies, events = np.bincount(slots, counts, HOURS), np.bincount(days, counts, DAYS)
    factors, usual = np.ones(DAYS), hours
    for _ in range(TURNS):
        seen = np.bincount(slots, hours * factors[days], HOURS)
        usual = ((tallies + 0.5) / np.where(seen > 0.0, seen, 1.0))[slots] * hours
        factors = (events + 0.5) / (np.bincount(days, usual, DAYS) + 0.5)
    visits = visits_of(days)
    held = np.asarray(np.bincount(visits, counts) + 0.5, dtype=np.float64)
    ratios = np.log(held / np.asarray(np.bincount(visits, usual) + 0.5, dtype=np.float64))
    first = np.flatnonzero(np.diff(visits, prepend=-1))
    lengths = np.asarray(np.bincount(visits, hours), dtype=np.float64)
    return fit_weekdays(days[first], ratios, 1.0 / held, lengths)


def expect(baseline: CountBaseline, pool: Sequence[CountWindow], unseen: float = 1.0) -> tuple[float, float]:
    """Return mean and variance of the number of events in the pool, excluded windows left out.

    Variance = Σ μ + Σᵢⱼ √(αᵢαⱼ) φ^|i−j| μᵢ μⱼ + Σ over slots (hours)² Var(m) + ¼ (Σ μ of hours without a
    season)² + (Σ over weekdays μ σ)²: chance, spread that lasts, the uncertainty of the fitted mean, a course
    of the day that is not known yet (windows of a day and more have none), and σ² the predictive variance of
    the weekday. unseen: by what a mean is multiplied on a kind of day that was never seen.
    """
    part = [(at, window) for at, window in enumerate(pool) if not window.is_excluded]
    if not part:
        return 0.0, 0.0
    places = np.array([at for at, _ in part], dtype=np.float64)
    slots = np.array([window.hour_of_day for _, window in part])
    hours = np.array([window.length_us for _, window in part], dtype=np.float64) / HOUR_US
    days = _days([window for _, window in part])
    is_known = baseline.week.is_known
    worth = hours * (baseline.week.factors * np.where(is_known, 1.0, unseen))[days]
    means = baseline.rates[slots] * worth
    spread = np.sqrt(baseline.dispersions[slots]) * means
    lasting = baseline.persistence ** np.abs(places[:, None] - places[None, :])
    uncertain = np.bincount(slots, worth, HOURS) ** 2 * baseline.rate_variances
    of_days = float((means * np.sqrt(baseline.week.variances[days])).sum())
    unknown = float(means[~baseline.is_seasonal[slots] & (hours < HOURS)].sum())
    mean = float(means.sum())
    variance = mean + float(spread @ lasting @ spread) + float(uncertain.sum())
    return mean, variance + UNKNOWN_SEASON * unknown * unknown + of_days * of_days


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
    baseline = fit_counts(_trailing(history, 1), _trailing(history, WEEKS))
    return _edges(baseline, pool)


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
    against the 7 days before them (weekdays by the 21 days before), once these hold `minimum_history`
    windows. On a kind of day not seen yet (the first weekend) a fall is one under a twentieth of the
    expectation, a rise one over fifty times it. A newest window that is excluded is no news: None.
    Raises ValueError naming a bad argument.
    """
    threshold = threshold_of(budget_per_week, metrics)
    _check(windows, minimum_history)
    if not windows or windows[-1].is_excluded:
        return None
    guard = _guard(windows, minimum_history)
    if not guard:
        return None
    past = windows[:-guard]
    baseline = fit_counts(_trailing(past, 1), _trailing(past, WEEKS))
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
        p_value = _p_value(baseline, pool, sum(counted), bad)
        if p_value < threshold:
            mean, _ = expect(baseline, pool)
            yield Detection(
                Rule.BASELINE,
                sum(counted),
                len(counted),
                mean,
                p_value,
                width,
                float(sum(counted)),
                mean,
                _edges(baseline, pool),
                baseline.windows < LOW_CONFIDENCE_BEFORE,
            )


def _p_value(baseline: CountBaseline, pool: Sequence[CountWindow], count: int, bad: Bad) -> float:
    """Return the tail of a pool's count; a kind of day that was never seen gets the benefit of the doubt."""
    is_known = baseline.week.is_known
    if is_known.all() or all(is_known[window.day_of_week or 0] for window in pool):
        return tail(count, *expect(baseline, pool), bad)
    if bad is Bad.EITHER:
        sides = (_p_value(baseline, pool, count, side) for side in (Bad.FALL, Bad.RISE))
        return min(1.0, 2.0 * min(sides))
    unseen = 1.0 / UNSEEN_FALL if bad is Bad.FALL else UNSEEN_RISE
    return tail(count, *expect(baseline, pool, unseen), bad)


def _edges(baseline: CountBaseline, pool: Sequence[CountWindow]) -> tuple[float, float]:
    """Return the smallest and largest count whose tail is not under half of what may lie outside."""
    outside = BAND_OUTSIDE / 2.0
    least, most = (expect(baseline, pool, unseen) for unseen in (1.0 / UNSEEN_FALL, UNSEEN_RISE))
    if most[0] <= 0.0:
        return 0.0, 0.0
    low = _first(lambda count: tail(count, *least, Bad.FALL) >= outside)
    high = _first(lambda count: tail(count + 1, *most, Bad.RISE) < outside)
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


def _trailing(windows: Sequence[CountWindow], weeks: int) -> Sequence[CountWindow]:
    """Return the newest windows that together span at most so many weeks, excluded ones included."""
    left = weeks * WEEK_US
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
        if window.day_of_week is not None and not 0 <= window.day_of_week < DAYS:
            raise ValueError(f"windows must hold weekdays 0 to 6 or None, got {window!r}")
