"""Our figure beside the peers': the bet of `services.domain`, through its public functions alone.

`wealth_paths` gives the wealth after every task; the record-by-record fold (`sequential.update`, what the
platform runs) is held to it on a sample of every cell and does the probation leg of the stream by itself.
"""

import math
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from services.domain.metrics import Metric
from services.domain.paths import Paths, wealth_paths
from services.domain.sequential import BetPlan, Record, decide, start, update
from tests.benchmarks.statistics.data import Batch
from tests.benchmarks.statistics.peers import NEVER

FIRST_LOOK_TASKS = 1_024  # computed first; the rest only for experiments still undecided by then
SAMPLED_TASKS = 1_500
TIMED_TASKS = 3_000
TIMED_ROUNDS = 15

DEFAULT = BetPlan(effect=0.1, cap_tasks=10**9, stated_weight=0.0, futility_alpha=None)
"""Nothing stated: the grid alone, Beta(1, 1); `effect` is unused (no weight on its bet, no futility)."""


def stated(control: float, treatment: float) -> BetPlan:
    """Return the plan of a proposal that states its effect, on a platform whose recent rate is known."""
    return replace(DEFAULT, effect=treatment - control, base_rate=control, stated_weight=0.5)


def ranked(effect: float | None = None) -> BetPlan:
    """Return the plan that decides cost by ranks; `effect`, if stated: P(a treated task is cheaper) − ½."""
    weight = 0.0 if effect is None else 0.5
    return replace(DEFAULT, metric=Metric.COST, effect=effect or 0.1, stated_weight=weight)


def per_unit_plan() -> BetPlan:
    """Return the plan for one record per unit: a dozen agents are fewer than the usual minimum of tasks."""
    return replace(DEFAULT, minimum_tasks=2)


def paths_of(plan: BetPlan, batch: Batch, run: int, tasks: int | None = None) -> Paths:
    """Return the paths of one experiment of a batch, over its first `tasks` tasks."""
    strata = None if batch.strata is None else batch.strata[run, :tasks]
    return wealth_paths(
        plan, batch.shares[run, :tasks], batch.arms[run, :tasks], batch.outcomes[run, :tasks], strata
    )


def wins_at(plan: BetPlan, paths: Paths) -> int:
    """Return the tasks at which E ≥ 1/α, not before the plan's minimum; NEVER if it does not get there."""
    hit = np.flatnonzero(paths.e_log[max(plan.minimum_tasks, 1) - 1 :] >= -math.log(plan.alpha))
    return int(hit[0]) + max(plan.minimum_tasks, 1) if len(hit) else NEVER


def harms_at(plan: BetPlan, paths: Paths) -> int:
    """Return the tasks at which harm is shown, NEVER if it is not."""
    return _reached(paths.harm_log, math.log(plan.harm_evidence))


def mismatches_at(plan: BetPlan, paths: Paths) -> int:
    """Return the tasks at which the arms are seen not to have their shares, NEVER if they are not."""
    return _reached(paths.srm_log, -math.log(plan.srm_alpha))


def _reached(log: np.ndarray, line: float) -> int:
    hit = np.flatnonzero(log >= line)
    return int(hit[0]) + 1 if len(hit) else NEVER


def stops(plan: BetPlan, batch: Batch, reached: Callable[[BetPlan, Paths], int] = wins_at) -> np.ndarray:
    """Return the tasks at which each experiment of the batch reaches its line (shape: runs)."""
    found = np.zeros(batch.runs, dtype=np.int64)
    for run in range(batch.runs):
        at = NEVER
        if batch.tasks > 2 * FIRST_LOOK_TASKS:
            at = reached(plan, paths_of(plan, batch, run, FIRST_LOOK_TASKS))
        found[run] = at if at != NEVER else reached(plan, paths_of(plan, batch, run))
    return found


def records_of(batch: Batch, run: int, first: int = 0, last: int | None = None) -> list[Record]:
    """Return tasks first … last of one experiment as the platform records them, ordinals from 0."""
    chosen = slice(first, last)
    strata = None if batch.strata is None else batch.strata[run, chosen].tolist()
    rows = zip(
        batch.arms[run, chosen].tolist(),
        batch.shares[run, chosen].tolist(),
        batch.outcomes[run, chosen].tolist(),
        strict=True,
    )
    return [
        Record(n, "", int(arm), share, outcome, "" if strata is None else str(strata[n]))
        for n, (arm, share, outcome) in enumerate(rows)
    ]


def fold_difference(plan: BetPlan, batch: Batch, run: int) -> float:
    """Return the largest difference of log wealth between the columns and the fold of `update`, any bet."""
    records = records_of(batch, run, last=SAMPLED_TASKS)
    paths = paths_of(plan, batch, run, SAMPLED_TASKS)
    state, largest = start(plan), 0.0
    for n, record in enumerate(records):
        state = update(plan, state, record)
        largest = max(
            largest,
            abs(state.e_log - float(paths.e_log[n])),
            abs(state.harm_log - float(paths.harm_log[n])),
            abs(state.srm_log - float(paths.srm_log[n])),
        )
    return largest


def update_and_decision_us() -> float:
    """Return µs of CPU for one task counted and judged, effect stated, best of several rounds."""
    plan = BetPlan(effect=0.1, cap_tasks=10**9, base_rate=0.6, futility_alpha=None)
    records = [Record(n, "", n % 2, 0.5, float(n % 5 < 3)) for n in range(TIMED_TASKS)]
    best = math.inf
    for _ in range(TIMED_ROUNDS):
        state = start(plan)
        began = time.process_time()
        for record in records:
            state = update(plan, state, record)
            decide(plan, state)
        best = min(best, time.process_time() - began)
    return best / TIMED_TASKS * 1e6
