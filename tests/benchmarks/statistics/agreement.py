"""The installed peers themselves: that our closed forms say what they say, and what one look of theirs costs.

`gbstats` (GrowthBook), `statsmodels` and `ville` are an optional extra; without them the closed forms still
run and the table says that they were not checked.
"""

import math
import time
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from tests.benchmarks.statistics.data import Batch
from tests.benchmarks.statistics.peers import NEVER, growthbook_interval, pooled_z, totals_of

try:
    from gbstats.bayesian.tests import EffectBayesianABTest
    from gbstats.frequentist.tests import SequentialTwoSidedTTest
    from gbstats.models.statistics import ProportionStatistic
except ImportError:
    ProportionStatistic = None
try:
    from statsmodels.stats.proportion import proportions_ztest
except ImportError:
    proportions_ztest = None
try:
    import ville
except ImportError:
    ville = None

PACKAGES = ("numpy", "scipy", "gbstats", "statsmodels", "ville")
ROUNDS = 10
LOOKS = 200


def versions() -> dict[str, str]:
    """Return the version of each package the table leans on, "not installed" where it is missing."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _totals_at(batch: Batch, run: int, task: int) -> tuple[int, int, int, int]:
    arms, outcomes = batch.arms[run, : task + 1], batch.outcomes[run, : task + 1]
    n1, s1 = int(arms.sum()), int((arms * outcomes).sum())
    return task + 1 - n1, int(outcomes.sum()) - s1, n1, s1


def _looks(batch: Batch) -> list[tuple[int, int]]:
    """Return (run, task) of the looks compared: spread evenly over runs and tasks, from 4 tasks on."""
    tasks = np.unique(np.geomspace(4, batch.tasks, 40).astype(int)) - 1
    return [(run, int(task)) for run in range(min(batch.runs, 10)) for task in tasks]


def growthbook_difference(batch: Batch) -> float | None:
    """Return the largest difference of an interval's end to gbstats' own, None where it is not installed.

    Where gbstats has no result the closed form must have none either, else the difference is infinite.
    """
    if ProportionStatistic is None:
        return None
    estimate, width = growthbook_interval(totals_of(batch))
    largest = 0.0
    for run, task in _looks(batch):
        n0, s0, n1, s1 = _totals_at(batch, run, task)
        theirs = SequentialTwoSidedTTest(
            ProportionStatistic(n0, s0), ProportionStatistic(n1, s1)
        ).compute_result()
        if theirs.error_message is not None or not math.isfinite(width[run, task]):
            is_same = theirs.error_message is not None and not math.isfinite(width[run, task])
            largest = max(largest, 0.0 if is_same else math.inf)
            continue
        ends = (estimate[run, task] - width[run, task], estimate[run, task] + width[run, task])
        largest = max(largest, *[abs(ours - end) for ours, end in zip(ends, theirs.ci, strict=True)])
    return largest


def statsmodels_difference(batch: Batch) -> float | None:
    """Return the largest difference of our pooled z to statsmodels' own, None where it is not installed."""
    if proportions_ztest is None:
        return None
    z = pooled_z(totals_of(batch))
    largest = 0.0
    for run, task in _looks(batch):
        n0, s0, n1, s1 = _totals_at(batch, run, task)
        if min(n0, n1) and 0 < s0 + s1 < n0 + n1:
            theirs = proportions_ztest(np.array([s1, s0]), np.array([n1, n0]))[0]
            largest = max(largest, abs(float(theirs) - float(z[run, task])))
    return largest


def ville_stops(batch: Batch) -> np.ndarray | None:
    """Return when ville's betting A/B sequence (α = 0.05) first excludes 0 with treatment ahead."""
    if ville is None:
        return None
    found = np.full(batch.runs, NEVER)
    for run in range(batch.runs):
        test = ville.BettingABTest(alpha=0.05, propensity=0.5)
        test.fit(batch.outcomes[run], batch.arms[run])
        at = test.stopping_time()
        if at is not None and test.lower_[at - 1] > 0.0:
            found[run] = at
    return found


def look_us() -> dict[str, float]:
    """Return µs of CPU of one look at 400 tasks for each installed peer, best of a few rounds."""
    looks: dict[str, Callable[[], object]] = {}
    if ProportionStatistic is not None:
        looks["gbstats sequential"] = lambda: SequentialTwoSidedTTest(
            ProportionStatistic(200, 134), ProportionStatistic(200, 150)
        ).compute_result()
        looks["gbstats Bayesian"] = lambda: EffectBayesianABTest(
            ProportionStatistic(200, 134), ProportionStatistic(200, 150)
        ).compute_result()
    if proportions_ztest is not None:
        counts, sizes = np.array([150, 134]), np.array([200, 200])
        looks["statsmodels z-test"] = lambda: proportions_ztest(counts, sizes)
    if ville is not None:
        test = ville.BettingABTest(alpha=0.05, propensity=0.5)
        looks["ville betting"] = lambda: test.update([1.0], [1.0])
    return {name: _best_us(look) for name, look in looks.items()}


def _best_us(look: Callable[[], object]) -> float:
    best = math.inf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(ROUNDS):
            began = time.process_time()
            for _ in range(LOOKS):
                look()
            best = min(best, time.process_time() - began)
    return best / LOOKS * 1e6
