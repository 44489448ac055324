"""How large the effect is: a confidence sequence for the gap between the arms, by inverting the bet.

Stands in the experiment stage of the loop, in the report and the ledger entry, beside the verdict it never
decides. A gap δ is refuted when the bet "the gap is no larger than δ" has ever reached 2/α; what no bet has
refuted, from either side, is the interval. It covers the true constant gap at all times at once with
probability at least 1 − α; under a gap that moves it bounds the smallest and the largest one. It never
looks at anything but plan and records.

Source: Waudby-Smith & Ramdas 2024 (confidence sequences by betting), with the increment of `sequential`.
"""

import math
from bisect import insort
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from services.domain.bet import LIMIT_SHARE, BetPlan, Record, predictable_mean, require
from services.domain.metrics import RANK_VARIANCE, mid_rank

_TOLERANCE: Final = 2.0**-29  # of a limit: far below anything a report shows
_NEWTON_STEPS: Final = 4  # that may fail to halve the bracket before it is halved
_ROWS: Final = 1 << 14  # tasks that are settled at once, so that they stay in the cache

Floats = npt.NDArray[np.float64]


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
    moments = _moments(plan, records)
    if not len(moments):
        require("alpha", 0.0 < alpha < 1.0, "must lie strictly between 0 and 1")
        return Estimate(0.0, -1.0, 1.0)
    share, mean, x = moments.T
    return gap_interval(plan, share, mean, x, alpha)


def gap_interval(plan: BetPlan, share: Floats, mean: Floats, x: Floats, alpha: float) -> Estimate:
    """Return the same from columns in assignment order: π, m and x = (A − π)(Y − m), of shape (tasks,).

    There must be at least one task. Raises PlanRefusedError for an alpha outside (0, 1).
    """
    require("alpha", 0.0 < alpha < 1.0, "must lie strictly between 0 and 1")
    threshold = float(np.log(2.0 / alpha))
    lower = _largest_refuted(plan, share, mean, x, threshold)
    upper = -_largest_refuted(plan, 1.0 - share, mean, -x, threshold)
    if lower > upper:  # only when the gap moved: each side is right about its own time
        lower, upper = upper, lower
    centre = float(np.sum(x) / np.sum(share * (1.0 - share)))
    return Estimate(min(max(centre, lower), upper), lower, upper)


def _moments(plan: BetPlan, records: Iterable[Record]) -> npt.NDArray[np.float64]:
    """Return one row (π, m, (A − π)(Y − m)) per record, m as the bet had it (ranks start afresh in a leg)."""
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


def _largest_refuted(plan: BetPlan, share: Floats, mean: Floats, x: Floats, threshold: float) -> float:
    """Return the largest δ in [−1, 1] whose bet "gap ≤ δ" ever reached `threshold` (log), −1 when none did.

    λ does not depend on δ and is admissible for every δ in [−1, 1], so each wealth falls as δ rises: Newton
    steps from the normal approximation close the bracket, halving does wherever they leave it. One side's
    mirror image (arms swapped) gives the other limit.
    """
    balance = share * (1.0 - share)
    worst = np.maximum((1.0 - share) * mean, share * (1.0 - mean)) + balance
    spread = RANK_VARIANCE if plan.metric.is_ranked else mean * (1.0 - mean)
    stakes = [np.minimum(plan.effect / spread, LIMIT_SHARE / worst), *[c / worst for c in plan.grid]]
    weights = [plan.stated_weight, *[(1.0 - plan.stated_weight) / len(plan.grid)] * len(plan.grid)]
    bets = [(stake, weight) for stake, weight in zip(stakes, weights, strict=True) if weight > 0.0]
    gap = float((x.sum() - math.sqrt(2.0 * threshold * np.sum(x * x))) / balance.sum())
    low, high, halved, steps = -1.0, 1.0, 2.0, 0
    while high - low > _TOLERANCE:
        if not low < gap < high or steps == _NEWTON_STEPS:
            gap, halved, steps = (low + high) / 2.0, high - low, 0
        peak, slope = _peak(bets, x, balance, gap)
        low, high = (gap, high) if peak >= threshold else (low, gap)
        halved, steps = (high - low, 0) if high - low <= halved / 2.0 else (halved, steps + 1)
        step = (threshold - peak) / slope if slope < 0.0 else math.inf
        gap += step + math.copysign(_TOLERANCE / 4.0, step)  # beyond the limit: both sides close in
    return low


def _peak(
    bets: Sequence[tuple[Floats, float]], x: Floats, balance: Floats, gap: float
) -> tuple[float, float]:
    """Return the highest log wealth ever of the bet "the gap is no larger than `gap`", and its slope in it.

    The slope is taken at the task of the peak. Blocks that no single stake lifts to the peak are not mixed.
    """
    weights = np.array([weight for _, weight in bets])
    carried, slopes = np.zeros(len(bets)), np.zeros(len(bets))
    peak, slope = -math.inf, 0.0
    for start in range(0, len(x), _ROWS):
        rows = slice(start, start + _ROWS)
        gain, cost = x[rows] - balance[rows] * gap, -balance[rows]
        steps = np.stack([stake[rows] * gain for stake, _ in bets])
        logs = np.cumsum(np.log1p(steps), axis=1) + carried[:, None]
        falls = np.stack([stake[rows] * cost for stake, _ in bets]) / (1.0 + steps)
        top = logs.max(axis=0)
        if top.max() > peak:
            mixed = top + np.log(weights @ np.exp(logs - top))
            at = int(mixed.argmax())
            if mixed[at] > peak:
                peak = float(mixed[at])
                held = weights * np.exp(logs[:, at] - peak)
                slope = float(held @ (slopes + falls[:, : at + 1].sum(axis=1)))
        carried = logs[:, -1]
        slopes = slopes + falls.sum(axis=1)
    return peak, slope
