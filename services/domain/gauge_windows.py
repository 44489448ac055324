"""Is a gauge or a duration of the platform out of line, judged on its hourly windows.

Stands in the observe stage beside the shares and counts, under the same weekly budget. The mean of the newest
1, 3, 6 and 24 windows, less what the hour of day usually adds, is held against the same mean of the trailing
7 days by a robust z-score; so is the spread within the newest window. What the week has already seen is no
news. It never keeps history and never alarms before 12 windows.
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

HOURS: Final = 24
SEEN_BEFORE_SEASON: Final = 2  # days an hour of the day must have been seen before it has its own level
FLOOR_SHARE: Final = 0.01
"""The scale is at least this share of the level (of the value's own size where it is a logarithm)."""
MOST_FREEDOM: Final = 8.0
LEAST_FREEDOM: Final = 3.0
LEAST_HISTORY: Final = 2
Array = NDArray[np.float64]
FloatOrArray = TypeVar("FloatOrArray", float, Array)


@dataclass(frozen=True, slots=True)
class GaugeWindow:
    """One window: mean and standard deviation of the values seen, how many, the hour of day (UTC).

    count 0: nothing was seen, the window is no evidence. is_excluded: it lies in an open episode or is a gap.
    """

    mean: float
    sd: float
    count: int
    hour_of_day: int
    is_excluded: bool = False


@dataclass(frozen=True, slots=True)
class GaugeBaseline:
    """What is normal, on the judged scale (logarithms where `is_log`).

    usual: level by hour of day. strays: what was left of each window, oldest first; weights: values in each.
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


class _Pool(NamedTuple):
    """Newest windows taken together: level left after the season, usual level, values, windows."""

    stray: float
    usual: float
    values: float
    windows: int


def fit_gauge(
    history: Sequence[GaugeWindow], *, is_log: bool = False, least_step: float = 0.0
) -> GaugeBaseline:
    """Fit level by hour of day (median, flat where seen on fewer than two days); ValueError without windows.

    least_step: smallest change worth a word, in the metric's unit (1 for a number of things); 0 for none.
    """
    used = [window for window in history if window.count and not window.is_excluded]
    if not used:
        raise ValueError("a baseline needs at least one window with values that is not excluded")
    by_slot: list[list[float]] = [[] for _ in range(HOURS)]
    for window in used:
        by_slot[window.hour_of_day].append(_level(window, is_log=is_log))
    levels = np.array([_level(window, is_log=is_log) for window in used])
    slots = np.array([window.hour_of_day for window in used])
    middle = float(np.median(levels))
    days = _days_seen(used)
    usual = np.array(
        [median(held) if days[slot] >= SEEN_BEFORE_SEASON else middle for slot, held in enumerate(by_slot)]
    )
    seen = float(np.median(days[days >= SEEN_BEFORE_SEASON])) if (days >= SEEN_BEFORE_SEASON).any() else 0.0
    size = 1.0 if is_log else abs(middle)
    spreads = sorted(_spread(window, is_log=is_log) for window in used if window.count > 1)
    return GaugeBaseline(
        usual=usual,
        strays=levels - usual[slots],
        weights=np.array([window.count for window in used], dtype=np.float64),
        spreads=spreads,
        within=spreads[len(spreads) // 2] ** 2 if spreads else 0.0,
        typical=float(np.median([window.count for window in used])),
        penalty=math.sqrt((seen + 1.0) / (seen - 1.0)) if seen > 1.0 else 1.0,
        floor=max(FLOOR_SHARE * size, 0.0 if is_log else least_step),
        is_log=is_log,
    )


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
    baseline = fit_gauge(history, is_log=is_log, least_step=least_step)
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
    the same way). A newest window without values, or excluded, is no news: None. Raises ValueError.
    """
    threshold = threshold_of(budget_per_week, metrics)
    _check(history, minimum_history, least_step)
    if not history or not history[-1].count or history[-1].is_excluded:
        return None
    guard = _guard(history, minimum_history)
    if not guard:
        return None
    past = history[-(BASELINE_SAMPLES + guard) : -guard]
    baseline = fit_gauge(past, is_log=is_log, least_step=least_step)
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
    usual = math.fsum(window.count * float(baseline.usual[window.hour_of_day]) for window in used) / values
    level = math.fsum(window.count * _level(window, is_log=baseline.is_log) for window in used) / values
    return _Pool(level - usual, usual, values, len(used))


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
    return past, past[len(past) // 2], math.sqrt(scale**2 + baseline.within * thin), freedom


def _p_value(baseline: GaugeBaseline, pool: _Pool, bad: Bad) -> float:
    past, middle, scale, freedom = _measure(baseline, pool)
    z = z_of(pool.stray, middle, scale)
    away = _in_bad_direction(z, bad)
    if away <= 0.0:
        return 1.0
    sides = 2.0 if bad is Bad.EITHER else 1.0
    depth = abs(pool.stray - middle)
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
    return _back(middle - reach, is_log=baseline.is_log), _back(middle + reach, is_log=baseline.is_log)


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
