"""What one look of each detector costs, median microseconds of processor time."""

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import numpy as np

from services.domain.anomaly import detect_proportion
from services.domain.clock import SECOND_US
from services.domain.counts import detect_count
from services.domain.gauge_windows import detect_gauge
from services.domain.gauges import GaugeDetector
from services.domain.measures import Bad
from tests.benchmarks.observatory.gauges import STEP_SECONDS
from tests.benchmarks.observatory.report import AT_MOST, Row
from tests.benchmarks.observatory.shares import HISTORY
from tests.benchmarks.observatory.simulate import SHAPES, counts, durations, gauge, levels, shares

TITLE = "Cost of one look, median microseconds of processor time"
A_POINT = 50.0
BATCH = 50


def run(seed: int, quick: bool) -> list[Row]:
    """Return the cost per point of the streaming detector and per look of the hourly ones."""
    rng = np.random.default_rng([seed, 8])
    points = 2_500 if quick else 4_500
    rows = []
    for shape in SHAPES:
        cost = point_cost(gauge(rng, shape, points, STEP_SECONDS))
        rows.append(Row(f"gauge point by point, {shape}", cost, "µs", AT_MOST, A_POINT, points))
    looks = 40 if quick else 200
    series: dict[str, tuple[Sequence[Any], Callable[[Sequence[Any]], object]]] = {
        "share": (
            shares(rng, HISTORY + looks, 40, 0.9, 0.03),
            lambda part: detect_proportion(part, metrics=60),
        ),
        "count": (
            counts(rng, HISTORY + looks, 50, 0.05),
            lambda part: detect_count(part, bad=Bad.EITHER, metrics=60),
        ),
        "gauge": (levels(rng, HISTORY + looks, 20), lambda part: detect_gauge(part, metrics=60)),
        "duration": (
            durations(rng, HISTORY + looks, 20),
            lambda part: detect_gauge(part, bad=Bad.RISE, is_log=True, metrics=60),
        ),
    }
    for name, (windows, detect) in series.items():
        parts = [windows[at : at + HISTORY] for at in range(looks)]
        cost = median(timed(detect, part) for part in parts)
        rows.append(Row(f"{name}, one series and hour with its week", cost, "µs", runs=looks))
    return rows


def point_cost(values: np.ndarray) -> float:
    """Return the median over batches of the cost per point, once a week of history is held."""
    detector = GaugeDetector()
    given = [float(value) for value in values]
    full = 7 * 86_400 // STEP_SECONDS
    for at in range(full):
        detector.update(at * STEP_SECONDS * SECOND_US, given[at])
    costs = []
    for start in range(full, len(given) - BATCH, BATCH):
        began = time.process_time_ns()
        for at in range(start, start + BATCH):
            detector.update(at * STEP_SECONDS * SECOND_US, given[at])
        costs.append((time.process_time_ns() - began) / 1_000.0 / BATCH)
    return median(costs)


def timed(detect: Callable[[Sequence[Any]], object], part: Sequence[Any]) -> float:
    """Return what one look costs, in microseconds of processor time."""
    began = time.process_time_ns()
    detect(part)
    return (time.process_time_ns() - began) / 1_000.0
