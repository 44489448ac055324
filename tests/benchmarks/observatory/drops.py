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
HELD = (40, 0.93, 0.80)
"""The drop that is held to lines: at most 6 h in the median, every one within a day."""
HELD_HOURS = 6.0
SHARE_DROPS = (
    HELD,
    (8, 0.93, 0.65),
    (8, 0.93, 0.80),
    (40, 0.93, 0.87),
    (300, 0.93, 0.87),
    (40, 0.80, 0.65),
    (40, 0.93, 0.65),
)
COUNT_DROPS = ((50, 0.0, 0.4), (50, 0.1, 0.4), (4, 0.0, 0.4))
Window = TypeVar("Window")


def run(seed: int, quick: bool) -> list[Row]:
    """Return two rows per drop: median delay and share found within a day."""
    draws = 10 if quick else 200
    rows = []
    for number, (volume, before, after) in enumerate(SHARE_DROPS):
        rng = np.random.default_rng([seed, 3, number])
        cases = [
            (shares(rng, HISTORY, volume, before), shares(rng, DAY, volume, after)) for _ in range(draws)
        ]
        name = f"{volume} an hour, {before:g} → {after:g}"
        lines = (peers.is_under_line, peers.is_rare_binomial)
        others = dict(zip(("line 70 %", "plain binomial"), (delays(cases, r) for r in lines), strict=True))
        is_held = (volume, before, after) == HELD
        rows += two_rows(name, delays(cases, is_fall), others, is_held=is_held)
        if is_held:
            shared = delays(cases, is_fall_of_many)
            rows += two_rows(f"{name}, one of {METRICS} metrics on one budget", shared, {}, is_held=True)
    for number, (mean, dispersion, left) in enumerate(COUNT_DROPS):
        rng = np.random.default_rng([seed, 4, number])
        fallen = [
            (counts(rng, HISTORY, mean, dispersion), counts(rng, DAY, left * mean, dispersion))
            for _ in range(draws)
        ]
        name = f"count {mean} an hour, overdispersion {dispersion:g}, falls by {1 - left:.0%}"
        rows += two_rows(name, delays(fallen, is_fewer), {})
    return rows


def two_rows(
    name: str, ours: np.ndarray, others: dict[str, np.ndarray], *, is_held: bool = False
) -> list[Row]:
    """Return the median and the share found of one drop, ours and the peers'; only one drop has lines."""
    medians = tuple((rule, float(np.median(found))) for rule, found in others.items())
    caught = tuple((rule, found_percent(found)) for rule, found in others.items())
    senses = (AT_MOST, AT_LEAST) if is_held else ("", "")
    median, share = float(np.median(ours)), found_percent(ours)
    return [
        Row(f"{name}: median", median, "h", senses[0], HELD_HOURS, len(ours), medians),
        Row(f"{name}: found", share, "%", senses[1], 100.0, len(ours), caught),
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
