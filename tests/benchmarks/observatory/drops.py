"""Planted drops: hours until the alarm, and how many are found within a day."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from services.domain.anomaly import Sample, detect_proportion
from services.domain.counts import CountWindow, detect_count
from services.domain.measures import Bad
from tests.benchmarks.observatory import peers
from tests.benchmarks.observatory.report import AT_LEAST, AT_MOST, Row
from tests.benchmarks.observatory.shares import HISTORY
from tests.benchmarks.observatory.simulate import counts, shares

TITLE = "Planted drops: hours to the alarm, share found in a day"
WEEKLY = 0.2 * 7 / 30  # one metric: a chance of one in five per 30 days
DAY = 24
METRICS = 60
SHARE_DROPS = (
    (8, 0.93, 0.65, 6, 100),
    (8, 0.93, 0.80, 11, 85),
    (40, 0.93, 0.80, 6, 100),
    (40, 0.93, 0.87, 24, 50),
    (300, 0.93, 0.87, 9, 97),
    (40, 0.80, 0.65, 6, 100),
    (40, 0.93, 0.65, 2, 100),
)
COUNT_DROPS = ((50, 0.0, 0.4, 3, 100), (50, 0.1, 0.4, 8, 95), (4, 0.0, 0.4, 18, 70))
Window = TypeVar("Window")


def run(seed: int, quick: bool) -> list[Row]:
    """Return two rows per drop: median delay and share found within a day."""
    draws = 10 if quick else 200
    rows = []
    for number, (volume, before, after, hours, percent) in enumerate(SHARE_DROPS):
        rng = np.random.default_rng([seed, 3, number])
        cases = [
            (shares(rng, HISTORY, volume, before), shares(rng, DAY, volume, after)) for _ in range(draws)
        ]
        name = f"{volume} an hour, {before:g} → {after:g}"
        lines = (peers.is_under_line, peers.is_rare_binomial)
        others = dict(zip(("line 70 %", "plain binomial"), (delays(cases, r) for r in lines), strict=True))
        rows += two_rows(name, delays(cases, is_fall), hours, percent, others)
        if (volume, before, after) == (40, 0.93, 0.80):
            shared = delays(cases, is_fall_of_many)
            rows += two_rows(f"{name}, one of {METRICS} metrics on one budget", shared, hours, percent, {})
    for number, (mean, dispersion, left, hours, percent) in enumerate(COUNT_DROPS):
        rng = np.random.default_rng([seed, 4, number])
        fallen = [
            (counts(rng, HISTORY, mean, dispersion), counts(rng, DAY, left * mean, dispersion))
            for _ in range(draws)
        ]
        name = f"count {mean} an hour, overdispersion {dispersion:g}, falls by {1 - left:.0%}"
        rows += two_rows(name, delays(fallen, is_fewer), hours, percent, {})
    return rows


def two_rows(
    name: str, ours: np.ndarray, hours: float, percent: float, others: dict[str, np.ndarray]
) -> list[Row]:
    """Return the median and the share found of one drop, ours and the peers'."""
    medians = tuple((rule, float(np.median(found))) for rule, found in others.items())
    caught = tuple((rule, found_percent(found)) for rule, found in others.items())
    return [
        Row(f"{name}: median", float(np.median(ours)), "h", AT_MOST, hours, len(ours), medians),
        Row(f"{name}: found", found_percent(ours), "%", AT_LEAST, percent, len(ours), caught),
    ]


def found_percent(delays: np.ndarray) -> float:
    """Return the share of finite delays in per cent."""
    return 100.0 * float(np.isfinite(delays).mean())


def delays(
    cases: Sequence[tuple[Sequence[Window], Sequence[Window]]], is_alarm: Callable[[Sequence[Window]], bool]
) -> np.ndarray:
    """Return the hours to the first alarm of each case, infinite when there is none (shape: cases)."""
    return np.array([delay(before, after, is_alarm) for before, after in cases])


def delay(
    before: Sequence[Window], after: Sequence[Window], is_alarm: Callable[[Sequence[Window]], bool]
) -> float:
    """Return after how many windows the rule first alarms."""
    series = [*before, *after]
    hits = (k for k in range(1, len(after) + 1) if is_alarm(series[k : len(before) + k]))
    return float(next(hits, np.inf))


def is_fall(history: Sequence[Sample]) -> bool:
    """Ask our detector at the level of the drops."""
    return detect_proportion(history, line=None, metrics=1, budget_per_week=WEEKLY) is not None


def is_fall_of_many(history: Sequence[Sample]) -> bool:
    """Ask our detector as the platform does: one of 60 metrics, one false alarm a week for all."""
    return detect_proportion(history, line=None, metrics=METRICS) is not None


def is_fewer(windows: Sequence[CountWindow]) -> bool:
    """Ask our detector of counts for a fall."""
    return detect_count(windows, bad=Bad.FALL, metrics=1, budget_per_week=WEEKLY) is not None
