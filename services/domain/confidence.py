"""How large the effect is: a confidence sequence for the gap between the arms, by inverting the bet.

Stands in the experiment stage of the loop, in the report and the ledger entry, beside the verdict it never
decides. A gap δ is refuted when the bet "the gap is no larger than δ" has ever reached 2/α; what no bet has
refuted, from either side, is the interval. It covers the true constant gap at all times at once with
probability at least 1 − α; under a gap that moves it bounds the smallest and the largest one. It never
looks at anything but plan and records.

Source: Waudby-Smith & Ramdas 2024 (confidence sequences by betting), with the increment of `sequential`.
"""

from bisect import insort
from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from services.domain.bet import LIMIT_SHARE, BetPlan, Record, predictable_mean, require
from services.domain.metrics import RANK_VARIANCE, mid_rank

_BISECTIONS: Final = 30  # 2 / 2**30: far below anything a report shows


class Estimate(NamedTuple):
    """The gap treatment − control in outcome units, with its lower and upper confidence limits in [−1, 1]."""

    estimate: float
    lower: float
    upper: float


def confidence_sequence(plan: BetPlan, records: Iterable[Record], alpha: float) -> Estimate:
    """Return the gap treatment − control with limits that hold at every peek with probability ≥ 1 − alpha.

    `records` are in assignment order, as `replay` takes them. The estimate is Σ(A − π)(Y − m) / Σπ(1 − π),
    which drift and ramps leave unbiased, held inside the limits. Without records the interval is all of
    [−1, 1]. Raises PlanRefusedError for an alpha outside (0, 1).
    """
    require("alpha", 0.0 < alpha < 1.0, "must lie strictly between 0 and 1")
    moments = _moments(plan, records)
    if not len(moments):
        return Estimate(0.0, -1.0, 1.0)
    share, mean, x = moments.T
    balance = share * (1.0 - share)
    threshold = float(np.log(2.0 / alpha))
    lower = _largest_refuted(plan, share, mean, x, threshold)
    upper = -_largest_refuted(plan, 1.0 - share, mean, -x, threshold)
    if lower > upper:  # only when the gap moved: each side is right about its own time
        lower, upper = upper, lower
    centre = float(np.sum(x) / np.sum(balance))
    return Estimate(min(max(centre, lower), upper), lower, upper)


def _moments(plan: BetPlan, records: Iterable[Record]) -> npt.NDArray[np.float64]:
    """Return one row (π, m, (A − π)(Y − m)) per record, m as the verdict's bet had it."""
    rows: list[tuple[float, float, float]] = []
    strata: dict[str, tuple[int, float]] = {}
    past: list[float] = []
    total = 0.0
    for tasks, record in enumerate(records):
        outcome = record.outcome
        if plan.metric.is_ranked:
            outcome = mid_rank(past, record.outcome)
            insort(past, record.outcome)
        n, stratum_total = strata.get(record.stratum, (0, 0.0))
        mean = predictable_mean(plan, tasks, total, n, stratum_total)
        rows.append((record.share, mean, (record.arm - record.share) * (outcome - mean)))
        strata[record.stratum] = (n + 1, stratum_total + outcome)
        total += outcome
    return np.array(rows, dtype=np.float64)


def _largest_refuted(
    plan: BetPlan,
    share: npt.NDArray[np.float64],
    mean: npt.NDArray[np.float64],
    x: npt.NDArray[np.float64],
    threshold: float,
) -> float:
    """Return the largest δ in [−1, 1] whose bet "gap ≤ δ" ever reached `threshold` (log), −1 when none did.

    λ does not depend on δ and is admissible for every δ in [−1, 1], so each wealth falls as δ rises and
    bisection is exact; one side's mirror image (arms swapped) gives the other limit.
    """
    balance = share * (1.0 - share)
    worst = np.maximum((1.0 - share) * mean, share * (1.0 - mean)) + balance
    fractions = np.array(plan.grid)
    spread = RANK_VARIANCE if plan.metric.is_ranked else mean * (1.0 - mean)
    stated = np.minimum(plan.effect / spread, LIMIT_SHARE / worst)
    stakes = np.column_stack([stated, fractions[None, :] / worst[:, None]])
    weights = np.array([plan.stated_weight, *[(1.0 - plan.stated_weight) / len(fractions)] * len(fractions)])

    def is_refuted(gap: float) -> bool:
        logs = np.cumsum(np.log1p(stakes * (x - balance * gap)[:, None]), axis=0)
        top = logs.max(axis=1)
        mixed = top + np.log(np.exp(logs - top[:, None]) @ weights + np.finfo(np.float64).tiny)
        return bool(mixed.max() >= threshold)

    low, high = -1.0, 1.0
    if not is_refuted(low):
        return low
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2.0
        low, high = (middle, high) if is_refuted(middle) else (low, middle)
    return low
