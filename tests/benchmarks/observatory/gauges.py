"""The detector of gauges, point by point: right and wrong alerts on simulated series."""

import numpy as np

from services.domain.clock import SECOND_US
from services.domain.gauges import GaugeDetector
from tests.benchmarks.observatory.report import AT_LEAST, AT_MOST, Row
from tests.benchmarks.observatory.simulate import DAY_SECONDS, KINDS, SHAPES, gauge, planted

TITLE = "Gauges point by point: alerts on simulated series"
DAYS = 14
STEP_SECONDS = 300
WITHIN_SECONDS = 12 * 3_600
FALSE_A_WEEK = 1.2
PRECISION = 60
RECALL = 80


def run(seed: int, quick: bool) -> list[Row]:
    """Return false alerts per series-week, precision, recall, and recall by kind of anomaly."""
    draws = 1 if quick else 4
    points = DAYS * DAY_SECONDS // STEP_SECONDS
    false, rivals = 0, 0
    for number, shape in enumerate(SHAPES):
        rng = np.random.default_rng([seed, 6, number])
        for _ in range(draws):
            values = gauge(rng, shape, points, STEP_SECONDS)
            false += len(alerts(values))
            rivals += len(naive_alerts(values))
    weeks = len(SHAPES) * draws * DAYS / 7
    rows = [
        Row(
            "series in which nothing happens: alerts per series-week",
            false / weeks,
            "",
            AT_MOST,
            FALSE_A_WEEK,
            len(SHAPES) * draws,
            (("MAD z > 3 of the trailing week, same silence", rivals / weeks),),
        )
    ]
    return [*rows, *planted_rows(seed, draws, points)]


def planted_rows(seed: int, draws: int, points: int) -> list[Row]:
    """Return precision and recall over all shapes and kinds, then recall by kind."""
    found: dict[str, list[bool]] = {kind: [] for kind in KINDS}
    raised = right = naive_raised = naive_right = naive_found = 0
    for number, (shape, kind) in enumerate((shape, kind) for shape in SHAPES for kind in KINDS):
        rng = np.random.default_rng([seed, 7, number])
        for _ in range(draws):
            case = planted(rng, shape, kind, points, STEP_SECONDS)
            until = case.starts[0] + WITHIN_SECONDS // STEP_SECONDS
            good = [case.starts[0] <= at < until for at in alerts(case.values)]
            raised, right = raised + len(good), right + sum(good)
            found[kind].append(any(good))
            naive = [case.starts[0] <= at < until for at in naive_alerts(case.values)]
            naive_raised, naive_right = naive_raised + len(naive), naive_right + sum(naive)
            naive_found += any(naive)
    total = sum(len(hits) for hits in found.values())
    hits = sum(sum(kind) for kind in found.values())
    name = "MAD z > 3"
    return [
        Row(
            "planted anomalies: precision of alerts",
            100.0 * right / max(1, raised),
            "%",
            AT_LEAST,
            PRECISION,
            raised,
            ((name, 100.0 * naive_right / max(1, naive_raised)),),
        ),
        Row(
            "planted anomalies: found within 12 h",
            100.0 * hits / total,
            "%",
            AT_LEAST,
            RECALL,
            total,
            ((name, 100.0 * naive_found / total),),
        ),
        *(
            Row(f"of these {kind}", 100.0 * float(np.mean(hits_of_kind)), "%", runs=len(hits_of_kind))
            for kind, hits_of_kind in found.items()
        ),
    ]


def alerts(values: np.ndarray) -> list[int]:
    """Return the places of our alerts."""
    detector = GaugeDetector()
    return [
        at
        for at, value in enumerate(values)
        if detector.update(at * STEP_SECONDS * SECOND_US, float(value)).alert
    ]


def naive_alerts(values: np.ndarray) -> list[int]:
    """Return the alerts of |value − median| > 3 MAD of the trailing week, refitted hourly, 15 h silent."""
    week, hour = 7 * DAY_SECONDS // STEP_SECONDS, 3_600 // STEP_SECONDS
    found: list[int] = []
    silent_until = 12 * hour
    middle = scale = 0.0
    for at, value in enumerate(values):
        if at and at % hour == 0:
            past = values[max(0, at - week) : at]
            middle = float(np.median(past))
            scale = 1.4826 * float(np.median(np.abs(past - middle)))
        if at >= silent_until and abs(value - middle) > 3.0 * scale:
            found.append(at)
            silent_until = at + 15 * hour
    return found
