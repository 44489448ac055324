"""Shares in which nothing happens: false alarms per 1,000 metric-hours at a nominal 1e-3, peers beside."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from services.domain.anomaly import Sample, detect_proportion
from tests.benchmarks.observatory import peers
from tests.benchmarks.observatory.report import AT_MOST, Row
from tests.benchmarks.observatory.simulate import shares

TITLE = "Shares in which nothing happens: false alarms per 1,000 metric-hours"
NOMINAL_WEEKLY = 0.168  # a weekly budget of one metric that is 1e-3 an hour
HISTORY = 192
STRETCH = 250
LINE = 2.0
SETTINGS = (
    (8, 0.93, 0.0),
    (40, 0.93, 0.0),
    (40, 0.93, 0.03),
    (40, 0.93, 0.1),
    (300, 0.93, 0.02),
    (300, 0.80, 0.02),
)
Window = TypeVar("Window")


def run(seed: int, quick: bool) -> list[Row]:
    """Return one row per setting."""
    stretches = 2 if quick else 40
    rows = []
    for number, (volume, rate, correlation) in enumerate(SETTINGS):
        rng = np.random.default_rng([seed, 1, number])
        series = [shares(rng, HISTORY + STRETCH, volume, rate, correlation) for _ in range(stretches)]
        rivals = (
            ("line 70 %", peers.is_under_line),
            ("MAD z", peers.is_far_from_median),
            ("plain binomial", peers.is_rare_binomial),
        )
        rows.append(
            Row(
                f"{volume} an hour, {rate:g}, correlation {correlation:g}",
                per_thousand(series, HISTORY, is_alarm),
                "",
                AT_MOST,
                LINE,
                stretches * STRETCH,
                tuple((name, per_thousand(series, 169, rule)) for name, rule in rivals),
            )
        )
    return rows


def is_alarm(history: Sequence[Sample]) -> bool:
    """Ask our detector for a fall against the week (the fixed line is left out: 0.80 is not far from it)."""
    return detect_proportion(history, line=None, metrics=1, budget_per_week=NOMINAL_WEEKLY) is not None


def per_thousand(
    series: Sequence[Sequence[Window]], width: int, is_alarm: Callable[[Sequence[Window]], bool]
) -> float:
    """Return alarms per 1,000 newest windows; every rule sees the `width` windows that end with it."""
    judged = alarms = 0
    for windows in series:
        for end in range(HISTORY + 1, len(windows) + 1):
            judged += 1
            alarms += bool(is_alarm(windows[end - width : end]))
    return 1_000.0 * alarms / judged
