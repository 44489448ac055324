"""Is a gauge or a duration of the platform out of line, judged on its hourly windows.

Stands in the observe stage beside the shares and counts, under the same weekly budget. The mean of the newest
1, 3, 6 and 24 windows, less what the hour of day times its weekday usually holds, is held against the same
mean of the trailing 7 days by a robust z-score; so is the spread within the newest window. What the week has
already seen is no news. It never keeps history and never alarms before 12 windows.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from services.domain.anomaly import (
    BAND_OUTSIDE,
    BASELINE_SAMPLES,
    LOW_CONFIDENCE_BEFORE,
    MINIMUM_HISTORY,
    WINDOWS,
    Detection,
    Rule,
    threshold_of,
)
from services.domain.measures import Bad
from services.domain.robust import scale_of, z_of
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
SEEN_BEFORE_SEASON: Final = 2  # days an hour of the day must have been seen before it has its own level
FLOOR_SHARE: Final = 0.01
"""The scale is at least this share of the level (of the value's own size where it is a logarithm)."""
MOST_FREEDOM: Final = 8.0
LEAST_FREEDOM: Final = 3.0
LEAST_HISTORY: Final = 2
LONGER: Final = WEEKS * BASELINE_SAMPLES
"""Windows that weekdays are learnt from."""
TURNS: Final = 2  # of fitting hours given weekdays and weekdays given hours
Array = NDArray[np.float64]
FloatOrArray = TypeVar("FloatOrArray", float, Array)


@dataclass(frozen=True, slots=True)
class GaugeWindow:
    """One window: mean and standard deviation of the values seen, how many, the hour of day (UTC).

    count 0: nothing was seen, the window is no evidence. is_excluded: it lies in an open episode or is a gap.
    day_of_week: Monday 0 to Sunday 6; where one window does not tell it, all days are taken to be alike.
    """

    mean: float
    sd: float
    count: int
    hour_of_day: int
    is_excluded: bool = False
    day_of_week: int | None = None


@dataclass(frozen=True, slots=True)
class GaugeBaseline:
    """What is normal, on the judged scale (logarithms where `is_log`).

    usual: level by hour of a usual day; week: what each weekday is worth against it.
    strays: what was left of each window, oldest first; weights: values in each.
    within: variance of one value inside a window. typical: median number of values in a window. penalty: by
    which a scale grows because `usual` was fitted on the same windows. floor: least scale.
    """

    usual: Array
    strays: Array
    weights: Array
    spreads: list[float]
    within: float
    typical: float
    penalty: float
    floor: float
    is_log: bool
    week: Weekdays = NO_WEEK


class _Pool(NamedTuple):
    """Newest windows taken together: level left after the season, usual level, values, windows.

    slack: standard deviation of the usual level by its weekdays. low, high: how far under and over the usual
    level a kind of day that was never seen may lie (0 for days that are known).
    """

    stray: float
    usual: float
    values: float
    windows: int
    slack: float
    low: float
    high: float


def fit_gauge(
    history: Sequence[GaugeWindow],
    longer: Sequence[GaugeWindow] | None = None,
    *,
    is_log: bool = False,
    least_step: float = 0.0,
) -> GaugeBaseline:
    """Fit level by hour of day (median, flat where seen on fewer than two days); ValueError without windows.

    longer: the windows that weekdays are learnt from (`history` itself where it is not given); levels are
    divided by what their weekday is worth, of logarithms it is taken off.
    least_step: smallest change worth a word, in the metric's unit (1 for a number of things); 0 for none.
    """
    used = [window for window in history if window.count and not window.is_excluded]
    if not used:
        raise ValueError("a baseline needs at least one window with values that is not excluded")
    week = _fit_week(history if longer is None else longer, is_log=is_log)
    levels = np.array([_level(window, is_log=is_log) for window in used])
    slots = np.array([window.hour_of_day for window in used])
    worth = week.logs[_days(used)]
    plain = levels - worth if is_log else levels / np.exp(worth)
    by_slot = _by_slot(slots, plain)
    middle = float(np.median(plain))
    days = _days_seen(used)
    usual = np.array(
        [median(held) if days[slot] >= SEEN_BEFORE_SEASON else middle for slot, held in enumerate(by_slot)]
    )
    expected = usual[slots] + worth if is_log else usual[slots] * np.exp(worth)
    seen = float(np.median(days[days >= SEEN_BEFORE_SEASON])) if (days >= SEEN_BEFORE_SEASON).any() else 0.0
    size = 1.0 if is_log else abs(middle)
    spreads = sorted(_spread(window, is_log=is_log) for window in used if window.count > 1)
    return GaugeBaseline(
        usual=usual,
        strays=levels - expected,
        weights=np.array([window.count for window in used], dtype=np.float64),
        spreads=spreads,
        within=spreads[len(spreads) // 2] ** 2 if spreads else 0.0,
        typical=float(np.median([window.count for window in used])),
        penalty=math.sqrt((seen + 1.0) / (seen - 1.0)) if seen > 1.0 else 1.0,
        floor=max(FLOOR_SHARE * size, 0.0 if is_log else least_step),
        is_log=is_log,
        week=week,
    )


def _days(windows: Sequence[GaugeWindow]) -> NDArray[np.int64]:
    return np.array([window.day_of_week or 0 for window in windows], dtype=np.int64)


def _by_slot(slots: NDArray[np.int64], levels: Array) -> list[list[float]]:
    held: list[list[float]] = [[] for _ in range(HOURS)]
    for slot, level in zip(slots.tolist(), levels.tolist(), strict=True):
        held[slot].append(level)
    return held


def _fit_week(history: Sequence[GaugeWindow], *, is_log: bool) -> Weekdays:
    """Fit hours of the day × weekdays by medians in turns, then weekdays by `fit_weekdays`.

    On logarithms; levels under a hundredth of the median count as that much. No weekdays where the median is
    not positive: nothing there has a share of it.
    """
    used = [window for window in history if window.count and not window.is_excluded]
    if not used or any(window.day_of_week is None for window in used):
        return NO_WEEK
    levels = np.array([_level(window, is_log=is_log) for window in used])
    if not is_log:
        middle = float(np.median(levels))
        if middle <= 0.0:
            return NO_WEEK
        levels = np.log(np.maximum(levels, FLOOR_SHARE * middle))
    slots = np.array([window.hour_of_day for window in used])
    days = _days(used)
    visits = visits_of(days)
    first = np.flatnonzero(np.diff(visits, prepend=-1))
    ends = [*first[1:].tolist(), len(used)]
    lengths = np.bincount(visits).astype(np.float64)
    ratios = np.zeros(len(first))
    for _ in range(TURNS):
        kinds = np.bincount(days[first], ratios, DAYS) / np.maximum(
            np.bincount(days[first], minlength=DAYS), 1
        )
        usual = np.array([median(held) if held else 0.0 for held in _by_slot(slots, levels - kinds[days])])
        strays = (levels - usual[slots]).tolist()
        ratios = np.array([median(strays[a:b]) for a, b in zip(first.tolist(), ends, strict=True)])
    return fit_weekdays(days[first], ratios, np.zeros(len(first)), lengths)


def gauge_level(pool: Sequence[GaugeWindow], *, is_log: bool = False) -> float:
    """Return the mean (of logarithms: the geometric mean) of a pool; ValueError when it has no values."""
    used = [window for window in pool if window.count and not window.is_excluded]
    if not used:
        raise ValueError("a pool needs at least one window with values that is not excluded")
    total = sum(window.count for window in used)
    level = math.fsum(window.count * _level(window, is_log=is_log) for window in used) / total
    return _back(level, is_log=is_log)


def gauge_band(
    history: Sequence[GaugeWindow],
    pool: Sequence[GaugeWindow],
    *,
    is_log: bool = False,
    least_step: float = 0.0,
) -> tuple[float, float]:
    """Return between which levels (low, high) the pool lies in 99 of 100 cases if nothing changed.

    history: what was normal, oldest first. To be held against `gauge_level(pool)`. ValueError if empty.
    """
    baseline = fit_gauge(history[-BASELINE_SAMPLES:], history[-LONGER:], is_log=is_log, least_step=least_step)
    gauge_level(pool, is_log=is_log)
    return _band(baseline, _pooled(baseline, pool))


def detect_gauge(
    history: Sequence[GaugeWindow],
    *,
    bad: Bad = Bad.EITHER,
    is_log: bool = False,
    least_step: float = 0.0,
    budget_per_week: float = 1.0,
    metrics: int,
    minimum_history: int = MINIMUM_HISTORY,
) -> Detection | None:
    """Return the strongest departure of the newest windows in the bad direction, or None; oldest first.

    Tested at p < budget_per_week / (metrics · 168 · 4 windows) once `minimum_history` windows with values
    lie before the pool. p = P(t ≥ z) (twice that for EITHER) with as many degrees of freedom as separate
    pools fit into the history, 3 to 8, and never under the share of the past that was as far out. The spread
    within the newest window is one more test of that window (for RISE and FALL only while the level is out
    the same way). Levels are held against hour of day × weekday; the variance of the weekday (learnt from 21
    days) widens the scale, and on a kind of day not seen yet (the first weekend) only what lies beyond a
    twentieth, or fifty times, of the usual level counts. A newest window without values, or
    excluded, is no news: None. Raises ValueError.
    """
    threshold = threshold_of(budget_per_week, metrics)
    _check(history, minimum_history, least_step)
    if not history or not history[-1].count or history[-1].is_excluded:
        return None
    guard = _guard(history, minimum_history)
    if not guard:
        return None
    past = history[-(BASELINE_SAMPLES + guard) : -guard]
    longer = history[-(LONGER + guard) : -guard]
    baseline = fit_gauge(past, longer, is_log=is_log, least_step=least_step)
    found = [hit for hit in _scan(history, baseline, guard, bad) if hit.p_value < threshold]
    return min(found, key=lambda hit: hit.p_value, default=None)


def _scan(
    history: Sequence[GaugeWindow], baseline: GaugeBaseline, guard: int, bad: Bad
) -> Iterator[Detection]:
    """Yield one detection per pool that lies out in the bad direction."""
    for width in WINDOWS:
        if width > guard:
            return
        newest = history[-width:]
        pool = _pooled(baseline, newest)
        if pool.windows * LEAST_FREEDOM > len(baseline.strays):
            return
        p_value = _p_value(baseline, pool, bad)
        if width == 1:
            p_value = min(1.0, 2.0 * min(p_value, _spread_p_value(baseline, newest[0], pool, bad)))
        if p_value >= 1.0:
            continue
        used = [window for window in newest if window.count and not window.is_excluded]
        yield Detection(
            Rule.BASELINE,
            round(math.fsum(window.mean * window.count for window in used)),
            sum(window.count for window in used),
            _back(pool.usual, is_log=baseline.is_log),
            p_value,
            width,
            _back(pool.usual + pool.stray, is_log=baseline.is_log),
            _back(pool.usual, is_log=baseline.is_log),
            _band(baseline, pool),
            len(baseline.strays) < LOW_CONFIDENCE_BEFORE,
        )


def _pooled(baseline: GaugeBaseline, pool: Sequence[GaugeWindow]) -> _Pool:
    used = [window for window in pool if window.count and not window.is_excluded]
    values = float(sum(window.count for window in used))
    level = math.fsum(window.count * _level(window, is_log=baseline.is_log) for window in used) / values
    share = np.array([window.count for window in used]) / values
    days, week = _days(used), baseline.week
    usual = baseline.usual[np.array([window.hour_of_day for window in used])]
    usual = usual + week.logs[days] if baseline.is_log else usual * week.factors[days]
    size = np.ones(len(used)) if baseline.is_log else np.abs(usual)
    slack = float((share * size * np.sqrt(week.variances[days])).sum())
    unseen = share * size * ~week.is_known[days]
    beyond = math.log(UNSEEN_RISE) if baseline.is_log else UNSEEN_RISE - 1.0
    below = math.log(UNSEEN_FALL) if baseline.is_log else 1.0 - 1.0 / UNSEEN_FALL
    middle, low, high = float(share @ usual), -below * float(unseen.sum()), beyond * float(unseen.sum())
    return _Pool(level - middle, middle, values, len(used), slack, low, high)


def _usual_pools(baseline: GaugeBaseline, windows: int) -> list[float]:
    """Return the weighted means of every run of `windows` neighbours of the past, sorted."""
    weighted = np.concatenate(([0.0], np.cumsum(baseline.strays * baseline.weights)))
    weights = np.concatenate(([0.0], np.cumsum(baseline.weights)))
    runs = (weighted[windows:] - weighted[:-windows]) / (weights[windows:] - weights[:-windows])
    ordered: list[float] = np.sort(runs).tolist()
    return ordered


def _measure(baseline: GaugeBaseline, pool: _Pool) -> tuple[list[float], float, float, float]:
    """Return the past's pools sorted, their median, the scale for this pool, and the degrees of freedom.

    A pool of fewer values than usual strays further by chance alone: its scale² grows by within · (1/values −
    1/usual values).
    """
    past = _usual_pools(baseline, pool.windows)
    scale = scale_of(past, baseline.floor) * baseline.penalty
    thin = max(0.0, 1.0 / pool.values - 1.0 / (baseline.typical * pool.windows))
    freedom = min(MOST_FREEDOM, max(LEAST_FREEDOM, len(baseline.strays) / pool.windows - 1.0))
    return past, past[len(past) // 2], math.sqrt(scale**2 + baseline.within * thin + pool.slack**2), freedom


def _p_value(baseline: GaugeBaseline, pool: _Pool, bad: Bad) -> float:
    past, middle, scale, freedom = _measure(baseline, pool)
    stray = pool.stray - min(max(pool.stray, pool.low), pool.high)
    z = z_of(stray, middle, scale)
    away = _in_bad_direction(z, bad)
    if away <= 0.0:
        return 1.0
    sides = 2.0 if bad is Bad.EITHER else 1.0
    depth = abs(stray - middle)
    steps = np.array(past) - middle
    as_far = int((_in_bad_direction(steps, bad) >= depth).sum())
    return min(1.0, max(sides * float(stdtr(freedom, -away)), as_far / (len(past) + 1.0)))


def _spread_p_value(baseline: GaugeBaseline, window: GaugeWindow, pool: _Pool, bad: Bad) -> float:
    """Return how unusual the newest window's spread is; 1 where spreads cannot be judged."""
    usual = baseline.spreads
    if window.count < baseline.typical or len(usual) < MINIMUM_HISTORY:
        return 1.0
    if bad is not Bad.EITHER and _in_bad_direction(pool.stray, bad) <= 0.0:
        return 1.0
    spread, middle = _spread(window, is_log=baseline.is_log), usual[len(usual) // 2]
    z = z_of(spread, middle, scale_of(usual, baseline.floor))
    if bad is not Bad.EITHER and z <= 0.0:
        return 1.0
    as_far = sum(1 for other in usual if (other - middle) * z >= (spread - middle) * z)
    return min(1.0, max(2.0 * float(stdtr(MOST_FREEDOM, -abs(z))), as_far / (len(usual) + 1.0)))


def _band(baseline: GaugeBaseline, pool: _Pool) -> tuple[float, float]:
    _, middle, scale, freedom = _measure(baseline, pool)
    reach = float(stdtrit(freedom, 1.0 - BAND_OUTSIDE / 2.0)) * scale
    middle += pool.usual
    low, high = middle + pool.low - reach, middle + pool.high + reach
    return _back(low, is_log=baseline.is_log), _back(high, is_log=baseline.is_log)


def _level(window: GaugeWindow, *, is_log: bool) -> float:
    return math.log(max(1.0, window.mean)) if is_log else window.mean


def _spread(window: GaugeWindow, *, is_log: bool) -> float:
    """Return the spread; of logarithms √ln(1 + (sd/mean)²), exact for a log-normal."""
    return math.sqrt(math.log1p((window.sd / max(1.0, window.mean)) ** 2)) if is_log else window.sd


def _back(level: float, *, is_log: bool) -> float:
    return math.exp(min(level, 700.0)) if is_log else level


def _in_bad_direction(step: FloatOrArray, bad: Bad) -> FloatOrArray:
    return abs(step) if bad is Bad.EITHER else step if bad is Bad.RISE else -step


def _days_seen(used: Sequence[GaugeWindow]) -> NDArray[np.int64]:
    """Return on how many separate visits each hour of the day was seen."""
    seen = np.zeros(HOURS, dtype=np.int64)
    before = None
    for window in used:
        if window.hour_of_day != before:
            seen[window.hour_of_day] += 1
        before = window.hour_of_day
    return seen


def _guard(history: Sequence[GaugeWindow], minimum_history: int) -> int:
    """Return how many newest windows to keep out of the baseline: the widest pool that leaves enough."""
    for width in reversed(WINDOWS):
        past = history[-(BASELINE_SAMPLES + width) : -width]
        if sum(1 for window in past if window.count and not window.is_excluded) >= minimum_history:
            return width
    return 0


def _check(history: Sequence[GaugeWindow], minimum_history: int, least_step: float) -> None:
    if minimum_history < LEAST_HISTORY:
        raise ValueError(f"minimum_history must be at least {LEAST_HISTORY}, got {minimum_history!r}")
    if not 0.0 <= least_step < math.inf:
        raise ValueError(f"least_step must be finite and at least 0, got {least_step!r}")
    for window in history:
        if not (math.isfinite(window.mean) and 0.0 <= window.sd < math.inf):
            raise ValueError(f"history must hold finite means and spreads, got {window!r}")
        if window.count < 0 or not 0 <= window.hour_of_day < HOURS:
            raise ValueError(f"history must hold counts from 0 and hours 0 to 23, got {window!r}")
        if window.day_of_week is not None and not 0 <= window.day_of_week < DAYS:
            raise ValueError(f"history must hold weekdays 0 to 6 or None, got {window!r}")
