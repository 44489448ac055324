"""The bet along many tasks at once: what `sequential.update` gives after every record, as whole columns.

Stands beside `sequential` for work done after the fact: an analysis of a file, a simulation of thousands of
experiments, a picture of the wealth. Nothing in the bet feeds back from wealth (mean and stake depend on past
outcomes alone), so every path is a cumulative sum: about a microsecond a task. It never decides anything,
and it never differs from the fold by more than rounding (a property-based test holds it to 1e-9).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from services.domain.bet import (
    LIMIT_SHARE,
    STRATUM_WEIGHT,
    BetPlan,
    RecordRefusedError,
)
from services.domain.guardrails import MEAN_FLOOR, PROOF_FRACTIONS
from services.domain.metrics import RANK_VARIANCE
from services.domain.sequential import SRM_WEIGHT

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Numbers = npt.ArrayLike
Names = Sequence[str] | Sequence[int] | Integers

LEAST_SHARE: Final = 1e-6
"""No task may get either arm more rarely: below, floats lose the bet's figures."""
_PROMISED_FLOOR: Final = 0.01  # as in the sequential test: no arm is predicted below this part of its share


class RowRefusedError(RecordRefusedError):
    """A row that may not be counted: `field` is its column, `row` its index from 0, `rule` what is right."""

    def __init__(self, field_name: str, rule: str, row: int) -> None:
        super().__init__(field_name, f"{rule} at index {row}")
        self.rule = rule
        self.row = row


@dataclass(frozen=True, slots=True, eq=False)
class Paths:
    """One value per task, in assignment order (shape: tasks); logs are natural and taken after the task.

    y: the outcome that was bet on, in [0, 1]. m: the predictable mean, fixed before the task's arm was seen.
    e_log, harm_log, futility_log, srm_log: log wealth of the bets "better", "worse", "the stated effect is
    not there" and "the arms do not have their shares".
    """

    y: Floats
    m: Floats
    e_log: Floats
    harm_log: Floats
    futility_log: Floats
    srm_log: Floats


def wealth_paths(
    plan: BetPlan, shares: Numbers, arms: Numbers, outcomes: Numbers, strata: Names | None = None
) -> Paths:
    """Return the paths of every bet over tasks in assignment order.

    shares: π of each task, in [10⁻⁶, 1 − 10⁻⁶]; arms: 0 control, 1 treatment; outcomes: success or score in
    [0, 1], higher is better, or for a ranked metric the raw measure from 0, lower is better; strata: a name
    or number per task, None when there is only one kind. All have shape (tasks,). Raises RecordRefusedError
    naming the column for a length, share, arm or outcome that cannot be bet on.
    """
    share, arm, outcome = columns(shares, arms, outcomes, is_ranked=plan.metric.is_ranked)
    y = midranks(outcome) if plan.metric.is_ranked else outcome
    codes = None if strata is None else stratum_codes(strata, len(share))
    m = predictable_means(plan, y, codes)
    x = (arm - share) * (y - m)
    return Paths(
        y,
        m,
        superiority_log(plan, share, m, x),
        harm_log(plan, share, m, x),
        futility_log(plan, share, m, x),
        srm_log(share, arm),
    )


def columns(
    shares: Numbers, arms: Numbers, outcomes: Numbers, *, is_ranked: bool = False
) -> tuple[Floats, Floats, Floats]:
    """Return π, A and outcome as columns of floats; RecordRefusedError names column and index of a fault."""
    share = np.asarray(shares, dtype=np.float64)
    arm = np.asarray(arms, dtype=np.float64)
    outcome = np.asarray(outcomes, dtype=np.float64)
    if share.ndim != 1:
        raise RecordRefusedError("share", f"must have one dimension, has {share.ndim}")
    for name, column in (("arm", arm), ("outcome", outcome)):
        if column.shape != share.shape:
            raise RecordRefusedError(name, f"has shape {column.shape}, the shares have {share.shape}")
    within = (share >= LEAST_SHARE) & (share <= 1.0 - LEAST_SHARE)
    _require_rows("share", share, within, f"must lie in [{LEAST_SHARE:f}, {1.0 - LEAST_SHARE:f}]")
    _require_rows("arm", arm, (arm == 0.0) | (arm == 1.0), "must be 0 or 1")
    if is_ranked:
        within = (outcome >= 0.0) & (outcome < np.inf)
        _require_rows("outcome", outcome, within, "must be a finite number from 0")
    else:
        _require_rows("outcome", outcome, (outcome >= 0.0) & (outcome <= 1.0), "must lie in [0, 1]")
    return share, arm, outcome


def stratum_codes(strata: Names, tasks: int) -> Integers:
    """Return one number per task, equal for tasks of the same stratum (shape: tasks)."""
    if (
        isinstance(strata, np.ndarray)
        and strata.shape == (tasks,)
        and np.issubdtype(strata.dtype, np.integer)
    ):
        return strata.astype(np.int64)
    return numbered("stratum", strata, tasks)[0]


def numbered(field_name: str, names: Names, tasks: int) -> tuple[Integers, list[str]]:
    """Return one number per task and the names they stand for, numbered by first appearance.

    names: one text or whole number per task. Raises RecordRefusedError for `field_name` at another length.
    """
    given: Sequence[object] = names.tolist() if isinstance(names, np.ndarray) else names
    if len(given) != tasks:
        raise RecordRefusedError(field_name, f"has {len(given)} rows, the shares have {tasks}")
    numbers: dict[object, int] = {}
    codes = np.fromiter([numbers.setdefault(name, len(numbers)) for name in given], dtype=np.int64)
    return codes, [str(name) for name in numbers]


def predictable_means(plan: BetPlan, y: Floats, strata: Integers | None = None) -> Floats:
    """Return m before each task: `bet.predictable_mean` of everything before it (shape: tasks)."""
    tasks = np.arange(len(y), dtype=np.float64)
    total = before(y)
    if plan.base_rate is None:
        mean = (1.0 + total) / (2.0 + tasks)
    else:
        mean = (plan.base_weight * plan.base_rate + total) / (plan.base_weight + tasks)
    if strata is not None:
        n, stratum_total = _before_in_stratum(y, strata)
        own = (stratum_total + STRATUM_WEIGHT * mean) / (n + STRATUM_WEIGHT)
        mean = np.where(n == tasks, mean, own)
    return np.clip(mean, MEAN_FLOOR, 1.0 - MEAN_FLOOR)


def superiority_log(plan: BetPlan, share: Floats, m: Floats, x: Floats) -> Floats:
    """Return log E of "treatment is better" after each task; x = (A − π)(Y − m)."""
    widest = np.minimum(m / share, (1.0 - m) / (1.0 - share))
    unit = x / (m * (1.0 - m))
    gain = widest * unit
    stake = np.minimum(plan.effect / spread(plan, m), LIMIT_SHARE * widest / (m * (1.0 - m)))
    steps = [stake * x, *[c * gain for c in plan.grid]]
    return mixed([np.cumsum(np.log1p(step)) for step in steps], plan.stated_weight)


def harm_log(plan: BetPlan, share: Floats, m: Floats, x: Floats) -> Floats:
    """Return log E of "treatment is worse" after each task: the mirrored bet on the grid alone."""
    loss = -np.minimum(m / (1.0 - share), (1.0 - m) / share) * (x / (m * (1.0 - m)))
    return mixed([np.cumsum(np.log1p(c * loss)) for c in plan.grid], 1.0 / len(plan.grid))


def futility_log(plan: BetPlan, share: Floats, m: Floats, x: Floats) -> Floats:
    """Return log E of "the effect is smaller than stated" after each task: non-inferiority, arms swapped."""
    return non_inferiority_log(plan, plan.effect, 1.0 - share, m, -x)


def non_inferiority_log(plan: BetPlan, margin: float, share: Floats, m: Floats, x: Floats) -> Floats:
    """Return log E of "treatment is not worse by `margin` or more" after each task.

    Multiplies by 1 + λ[x + π(1 − π)·margin], λ ∈ {1, ½} × margin over the spread, kept admissible.
    """
    shift = share * (1.0 - share) * margin
    worst = np.maximum((1.0 - share) * m, share * (1.0 - m)) - shift
    step = _admissible(margin / spread(plan, m), worst) * (x + shift)
    return mixed([np.cumsum(np.log1p(c * step)) for c in PROOF_FRACTIONS], 1.0 / len(PROOF_FRACTIONS))


def srm_log(share: Floats, arm: Floats) -> Floats:
    """Return log E of "the arms do not have their shares" after each task (sequential sample-ratio test)."""
    surplus = (before(arm) - before(share)) / (SRM_WEIGHT + np.arange(len(arm), dtype=np.float64))
    lowest = _PROMISED_FLOOR * share
    predicted = np.clip(share + surplus, lowest, 1.0 - _PROMISED_FLOOR * (1.0 - share))
    treated = arm == 1.0
    return np.cumsum(
        np.log(np.where(treated, predicted, 1.0 - predicted) / np.where(treated, share, 1.0 - share))
    )


def spread(plan: BetPlan, m: Floats) -> Floats:
    """Return `BetPlan.spread` of each mean: m(1 − m), 1/12 for ranks."""
    return np.full_like(m, RANK_VARIANCE) if plan.metric.is_ranked else m * (1.0 - m)


def mixed(logs: Sequence[Floats], first_weight: float) -> Floats:
    """Return the log of the mean wealth after each task: `first_weight` on the first path, the rest evenly.

    With `first_weight` 0 the first path counts for nothing, as in the fold.
    """
    if first_weight == 0.0 or len(logs) == 1:
        logs = logs[1:] or logs
        first_weight = 1.0 / len(logs)
    top = logs[0]
    for log in logs[1:]:
        top = np.maximum(top, log)
    total = first_weight * np.exp(logs[0] - top)
    for log in logs[1:]:
        total += (1.0 - first_weight) / (len(logs) - 1) * np.exp(log - top)
    return np.asarray(top + np.log(total), dtype=np.float64)


def midranks(measures: Numbers) -> Floats:
    """Return each measure's mid-rank among those before it, in (0, 1): 1 means lower than all (better).

    Y_i = (#{j < i: x_j > x_i} + (#{j < i: x_j = x_i} + 1)/2)/(i + 1), i from 0; in assignment order this is
    the sequential Wilcoxon score. O(n log n): earlier larger values are counted bit by bit of the dense
    rank, over tasks kept grouped by the bits above and in order inside each group.
    """
    x = np.asarray(measures, dtype=np.float64)
    tasks = len(x)
    values, ranks = np.unique(x, return_inverse=True)
    bits = max(1, int(len(values) - 1).bit_length())
    first = np.zeros((1 << bits) + 1, dtype=np.int64)  # how many tasks have a rank below
    np.cumsum(np.bincount(ranks, minlength=1 << bits), out=first[1:])
    rank, task = ranks.astype(np.int64), np.arange(tasks)
    place, larger = np.arange(tasks), np.zeros(tasks, dtype=np.int64)
    for bit in range(bits - 1, -1, -1):
        is_low = (rank >> bit) & 1 == 0
        lows = np.concatenate(([0], np.cumsum(is_low)))
        start = first[(rank >> (bit + 1)) << (bit + 1)]
        lows_before = lows[:-1] - lows[start]
        highs_before = place - start - lows_before
        larger += np.where(is_low, highs_before, 0)
        target = first[(rank >> bit) << bit] + np.where(is_low, lows_before, highs_before)
        rank, task, larger = (_moved(column, target) for column in (rank, task, larger))
    equal = place - first[rank]
    scores = np.empty(tasks, dtype=np.float64)
    scores[task] = (larger + (equal + 1) / 2.0) / (task + 1)
    return scores


def before(column: Floats) -> Floats:
    """Return the sum of everything before each task (shape: tasks)."""
    total = np.empty_like(column)
    if len(column):
        total[0] = 0.0
        np.cumsum(column[:-1], out=total[1:])
    return total


def _admissible(stake: Floats, worst: Floats) -> Floats:
    """Return the stake cut so that it loses at most LIMIT_SHARE of the wealth at the worst outcome."""
    limit = np.divide(LIMIT_SHARE, worst, out=np.full_like(worst, np.inf), where=worst > 0.0)
    return np.minimum(stake, limit)


def _before_in_stratum(y: Floats, strata: Integers) -> tuple[Floats, Floats]:
    """Return count and outcome sum of the earlier tasks of the same stratum, for each task."""
    order = np.argsort(strata, kind="stable")
    grouped = strata[order]
    is_first = np.ones(len(y), dtype=np.bool_)
    is_first[1:] = grouped[1:] != grouped[:-1]
    first = np.flatnonzero(is_first)[np.cumsum(is_first) - 1] if len(y) else order
    total = before(y[order])
    n, own = np.empty_like(y), np.empty_like(y)
    n[order] = np.arange(len(y)) - first
    own[order] = total - total[first]
    return n, own


def _moved(column: Integers, target: Integers) -> Integers:
    moved = np.empty_like(column)
    moved[target] = column
    return moved


def _require_rows(name: str, column: Floats, holds: npt.NDArray[np.bool_], rule: str) -> None:
    wrong = np.flatnonzero(~holds)
    if len(wrong):
        at = int(wrong[0])
        raise RowRefusedError(name, f"{rule}, got {float(column[at])!r}", at)
