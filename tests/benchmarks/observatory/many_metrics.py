"""Sixty metrics of all kinds in which nothing happens: false detections in a week, on one budget."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from services.domain.anomaly import detect_proportion
from services.domain.counts import detect_count
from services.domain.gauge_windows import detect_gauge
from services.domain.measures import Bad
from tests.benchmarks.observatory import peers
from tests.benchmarks.observatory.report import AT_MOST, Row
from tests.benchmarks.observatory.shares import HISTORY
from tests.benchmarks.observatory.simulate import counts, durations, levels, shares

TITLE = "Sixty metrics in which nothing happens"
METRICS = 60
WEEK = 168
COOL_DOWN = 15
"""Windows for which a metric stays silent after an alarm: an alarm is an episode, not an hour."""
Series = Sequence[Any]


def run(seed: int, quick: bool) -> list[Row]:
    """Return the false detections of a week, with the naive rules on the same shares and counts."""
    weeks, metrics = (1, 12) if quick else (3, METRICS)
    ours = naive = 0
    for week in range(weeks):
        rng = np.random.default_rng([seed, 5, week])
        for number in range(metrics):
            series, detect, rival = metric(rng, number)
            ours += episodes(series, HISTORY, partial(is_found, detect))
            naive += episodes(series, 169, rival) if rival else 0
    scale = METRICS / metrics / weeks
    what = f"{METRICS} metrics (20 shares, 15 counts, 10 gauges, 15 durations): detections a week"
    rivals = (("binomial and flat Poisson at 1e-3, shares and counts alone", naive * scale),)
    return [Row(what, ours * scale, "", AT_MOST, 1.0, weeks * metrics * WEEK, rivals)]


def is_found(detect: Callable[[Series], Any], part: Series) -> bool:
    """Tell whether a detector reports anything."""
    return detect(part) is not None


def metric(
    rng: np.random.Generator, number: int
) -> tuple[Series, Callable[[Series], Any], Callable[[Series], bool] | None]:
    """Return one metric's windows, our detector for its kind, and the naive rule for it if there is one."""
    hours = HISTORY + WEEK
    share = number % 12
    if share < 4:
        made = shares(
            rng, hours, (8, 40, 40, 300)[share], (0.93, 0.93, 0.8, 0.93)[share], (0, 0.03)[share % 2]
        )
        return made, partial(detect_proportion, line=None, metrics=METRICS), peers.is_rare_binomial
    if share < 7:
        tallies = counts(rng, hours, (4, 50, 300)[share - 4], (0, 0.05, 0.02)[share - 4])
        return tallies, partial(detect_count, bad=Bad.EITHER, metrics=METRICS), peers.is_rare_poisson
    if share < 9:
        gauge = partial(detect_gauge, bad=Bad.EITHER, least_step=1.0, metrics=METRICS)
        return levels(rng, hours, (3, 40)[share - 7]), gauge, None
    length = partial(detect_gauge, bad=Bad.RISE, is_log=True, metrics=METRICS)
    return durations(rng, hours, (3, 12, 40)[share - 9]), length, None


def episodes(series: Series, width: int, is_alarm: Callable[[Series], bool]) -> int:
    """Return how many alarms a rule raises in the last week when it is silent after each."""
    alarms, end = 0, HISTORY + 1
    while end <= len(series):
        is_hit = bool(is_alarm(series[end - width : end]))
        alarms += is_hit
        end += COOL_DOWN if is_hit else 1
    return alarms
