"""An office week: sixty metrics that are quiet every weekend, false detections by week since the start."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from services.domain.counts import detect_count
from services.domain.gauge_windows import detect_gauge
from services.domain.measures import Bad
from tests.benchmarks.observatory.report import AT_MOST, Row
from tests.benchmarks.observatory.simulate import office_counts, office_levels

TITLE = "Office weeks in which nothing happens, from the first hour on"
METRICS = 60
WEEK = 168
WEEKS = 8
LEARNT = 2
"""Weeks after which every weekday has been seen twice and the budget is held."""
ROWS = 600
"""Windows that one look reads."""
COOL_DOWN = 15
WEEKDAYS = 40
WEEKENDS = (12, 2)
Series = Sequence[Any]


def run(seed: int, quick: bool) -> list[Row]:
    """Return for counts and gauges the detections a week of sixty metrics, weeks 1, 2, and 3 to 8."""
    draws, weeks = (1, 3) if quick else (10, WEEKS)
    rows = []
    kinds: tuple[tuple[str, Callable[..., Series], Callable[[Series], Any]], ...] = (
        ("counts", office_counts, partial(detect_count, bad=Bad.EITHER, metrics=METRICS)),
        (
            "gauges",
            office_levels,
            partial(detect_gauge, bad=Bad.EITHER, least_step=1.0, metrics=METRICS),
        ),
    )
    for number, (kind, draw, detect) in enumerate(kinds):
        for place, weekend in enumerate(WEEKENDS):
            rng = np.random.default_rng([seed, 13, number, place])
            found = np.zeros(weeks)
            for _ in range(draws):
                start = int(rng.integers(WEEK))
                found += by_week(draw(rng, weeks * WEEK, WEEKDAYS, weekend, start), detect)
            found *= METRICS / draws
            what = f"{METRICS} {kind}, {WEEKDAYS} an hour and {weekend} at weekends"
            rows += [Row(f"{what}: week {week + 1}", found[week], "", runs=draws) for week in range(LEARNT)]
            later = float(found[LEARNT:].mean())
            name = f"{what}: a week from the third on"
            rows.append(Row(name, later, "", AT_MOST, 1.0, draws * (weeks - LEARNT)))
    return rows


def by_week(series: Series, detect: Callable[[Series], Any]) -> np.ndarray:
    """Return how many alarms a detector raises in each week when it is silent after each (shape: weeks)."""
    alarms = np.zeros(len(series) // WEEK)
    end = 1
    while end <= len(series):
        is_hit = detect(series[max(0, end - ROWS) : end]) is not None
        alarms[(end - 1) // WEEK] += is_hit
        end += COOL_DOWN if is_hit else 1
    return alarms
