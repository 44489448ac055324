"""Counts in which nothing happens: false alarms per 1,000 metric-hours at a nominal 1e-3, peers beside."""

from collections.abc import Sequence

import numpy as np

from services.domain.counts import CountWindow, detect_count
from services.domain.measures import Bad
from tests.benchmarks.observatory import peers
from tests.benchmarks.observatory.report import AT_MOST, Row
from tests.benchmarks.observatory.shares import HISTORY, LINE, NOMINAL_WEEKLY, STRETCH, per_thousand
from tests.benchmarks.observatory.simulate import CYCLE, counts

TITLE = "Counts in which nothing happens: false alarms per 1,000 metric-hours"
SETTINGS = (
    (4, 0.0, CYCLE),
    (50, 0.0, CYCLE),
    (50, 0.1, CYCLE),
    (300, 0.02, CYCLE),
    (50, 0.0, 0.0),
)


def run(seed: int, quick: bool) -> list[Row]:
    """Return one row per setting."""
    stretches = 2 if quick else 60
    rows = []
    for number, (mean, dispersion, swing) in enumerate(SETTINGS):
        rng = np.random.default_rng([seed, 2, number])
        series = [counts(rng, HISTORY + STRETCH, mean, dispersion, swing) for _ in range(stretches)]
        cycle = "daily cycle" if swing else "no cycle"
        rivals = (("flat Poisson", peers.is_rare_poisson), ("MAD z", peers.is_far_count))
        rows.append(
            Row(
                f"mean {mean}, overdispersion {dispersion:g}, {cycle}",
                per_thousand(series, HISTORY, is_alarm),
                "",
                AT_MOST,
                LINE,
                stretches * STRETCH,
                tuple((name, per_thousand(series, 169, rule)) for name, rule in rivals),
            )
        )
    return rows


def is_alarm(windows: Sequence[CountWindow]) -> bool:
    """Ask our detector for a departure on either side."""
    found = detect_count(windows, bad=Bad.EITHER, metrics=1, budget_per_week=NOMINAL_WEEKLY)
    return found is not None
