"""An experiment analysed from its records alone: evidence, verdict and effect of a whole file at once.

Stands outside the loop, for people who want to see what the bet says before they trust it, and for checks
against other methods. It is the same bet as `sequential`, over columns. It never stops early: E runs over
every row, and beside it stands the first verdict on the way, which nothing later changes.

The unit that was randomised is the unit that is bet on, once: rows of one unit are folded into their mean
outcome, in order of the units' first appearance. Betting on every row of a unit as if each had been
randomised promotes 17 to 35 % of changes that do nothing.
"""

import math
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from services.domain.bet import BetPlan, Verdict
from services.domain.bet_refusals import RecordRefusedError, require
from services.domain.confidence import gap_interval
from services.domain.metrics import Metric
from services.domain.paths import (
    Floats,
    Integers,
    Names,
    Numbers,
    Paths,
    RowRefusedError,
    columns,
    non_inferiority_log,
    numbered,
    wealth_paths,
)
from services.domain.sequential import FUTILE

UNDECIDED: Final = "undecided"
IMPROVED: Final = "improvement shown"
HARMED: Final = "harm shown"
MISMATCHED: Final = "sample ratio mismatch"
CAPPED: Final = "cap reached"
OPEN: Final = "nothing shown yet"
_LARGEST_LOG: Final = math.log(np.finfo(np.float64).max)
_UNUSED_EFFECT: Final = 0.5  # stands in the plan when no effect was stated: no wealth is bet on it


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked of the records; it should be fixed before they are looked at.

    effect: stated improvement (MDE): half the wealth is bet on it, and it can be refuted (futility); None
    spreads all wealth over the grid. base_rate: recent mean outcome, worth 50 tasks; None starts from
    Beta(1, 1). margin: non-inferiority is tested beside superiority. minimum_tasks, cap_tasks: units before
    a win or futility counts, and after which an open experiment ends; None: no cap. For a ranked metric
    effect and margin are gaps of P(treated is better) from ½. Raises PlanRefusedError.
    """

    metric: Metric = Metric.SUCCESS
    effect: float | None = None
    alpha: float = 0.05
    margin: float | None = None
    base_rate: float | None = None
    minimum_tasks: int = 0
    cap_tasks: int | None = None

    def __post_init__(self) -> None:
        """Refuse a question that no records could answer."""
        widest = 0.5 if self.metric.is_ranked else 1.0
        require("alpha", 0.0 < self.alpha < 1.0, "must lie strictly between 0 and 1")
        for name, value in (("effect", self.effect), ("margin", self.margin)):
            said = f"must lie in (0, {widest:g}] for {self.metric}"
            require(name, value is None or 0.0 < value <= widest, said)
        require("minimum_tasks", self.minimum_tasks >= 0, "must be at least 0")
        if self.cap_tasks is not None:
            least = max(1, self.minimum_tasks)
            said = f"{self.cap_tasks} is below the minimum of {least} tasks: nothing could be shown in time"
            require("cap_tasks", self.cap_tasks >= least, said)
        if self.base_rate is not None:
            said = f"{self.metric} is decided by ranks, which have no base rate: leave it out"
            require("base_rate", not self.metric.is_ranked, said)
            require("base_rate", 0.0 <= self.base_rate <= 1.0, "must lie in [0, 1]")
            room = 1.0 - self.base_rate
            said = f"{self.effect} is too large: a base rate of {self.base_rate} leaves room for {room:.6g}"
            require("effect", self.effect is None or self.effect <= room + 1e-12, said)

    def plan(self, units: int) -> BetPlan:
        """Return the bet's plan for so many units."""
        return BetPlan(
            effect=_UNUSED_EFFECT if self.effect is None else self.effect,
            cap_tasks=self.cap_tasks or max(units, self.minimum_tasks, 1),
            alpha=self.alpha,
            base_rate=self.base_rate,
            minimum_tasks=self.minimum_tasks,
            stated_weight=0.0 if self.effect is None else 0.5,
            futility_alpha=None if self.effect is None else 0.1,
            metric=self.metric,
        )


@dataclass(frozen=True, slots=True)
class Arm:
    """One arm: rows, units, and over units the mean and median outcome (None without any)."""

    tasks: int
    units: int
    mean: float | None
    median: float | None


@dataclass(frozen=True, slots=True)
class Stratum:
    """One stratum: its arms and the gap between them, None while an arm is empty."""

    name: str
    tasks: int
    units: int
    control: Arm
    treatment: Arm
    estimate: float | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """One bet: E after the last row, its highest, and the row at which it first reached `needed`.

    log and log_max: the same as natural logs, for what no float can hold (e then shows the largest one).
    """

    e: float
    e_max: float
    log: float
    log_max: float
    needed: float
    crossed_at: int | None


@dataclass(frozen=True, slots=True)
class Analysis:
    """What the records say.

    tasks: rows; units: bets (equal unless a unit has several rows). Indices of rows count from 0. When a
    unit has several rows, the bet on it is settled with the last of them, and so are all bets before it:
    `crossed_at` and `decided_at` are the first row with which everything up to the crossing was known.
    estimate: the gap treatment − control with its two-sided confidence sequence at `alpha`, in outcome units,
    for a ranked metric P(treated is better) − ½. futility: of the stated effect; None without. path: log E
    after each unit, in order of first appearance.
    """

    question: Question
    tasks: int
    units: int
    superiority: Evidence
    harm: Evidence
    srm: Evidence
    futility: Evidence | None
    non_inferiority: Evidence | None
    estimate: float
    lower: float
    upper: float
    verdict: str
    reason: str
    decided_at: int | None
    control: Arm
    treatment: Arm
    strata: tuple[Stratum, ...]
    path: Floats = field(repr=False, compare=False)


class _Units(NamedTuple):
    """One value per unit in order of first appearance; `settled`: the row with which its bet is known."""

    share: Floats
    arm: Floats
    outcome: Floats
    stratum: Integers | None
    rows: Integers
    settled: Integers


def analyze(
    question: Question,
    shares: Numbers,
    arms: Numbers,
    outcomes: Numbers,
    strata: Names | None = None,
    units: Names | None = None,
) -> Analysis:
    """Return what rows in assignment order say: one value per row and column, at least one row.

    shares: π in [10⁻⁶, 1 − 10⁻⁶]; arms: 0 control, 1 treatment; outcomes: in [0, 1], or the raw measure for a
    ranked metric; strata, units: a name or whole number per row. Raises RecordRefusedError naming the column,
    with the row where one is to blame: also when rows of one unit differ in arm, share or stratum.
    """
    share, arm, outcome = columns(shares, arms, outcomes, is_ranked=question.metric.is_ranked)
    if not len(share):
        raise RecordRefusedError("outcome", "there is no row to analyse")
    codes, names = (None, [""]) if strata is None else numbered("stratum", strata, len(share))
    bets = _folded(share, arm, outcome, codes, units)
    every, plan = np.arange(len(bets.arm)), question.plan(len(bets.arm))
    paths = wealth_paths(plan, bets.share, bets.arm, bets.outcome, bets.stratum)
    x = (bets.arm - bets.share) * (paths.y - paths.m)
    proof = None
    if question.margin is not None:
        log = non_inferiority_log(plan, question.margin, bets.share, paths.m, x)
        proof = _evidence(log, 1.0 / plan.alpha, bets.settled)
    futility = None
    if plan.futility_alpha is not None:
        futility = _evidence(paths.futility_log, 1.0 / plan.futility_alpha, bets.settled)
    verdict, reason, at = first_verdict(plan, paths, has_cap=question.cap_tasks is not None)
    gap = gap_interval(plan, bets.share, paths.m, x, question.alpha)
    return Analysis(
        question,
        len(share),
        len(bets.arm),
        _evidence(paths.e_log, 1.0 / plan.alpha, bets.settled),
        _evidence(paths.harm_log, plan.harm_evidence, bets.settled),
        _evidence(paths.srm_log, 1.0 / plan.srm_alpha, bets.settled),
        futility,
        proof,
        *gap,
        verdict,
        reason,
        None if at is None else int(bets.settled[at]),
        _arm(bets, every, 0),
        _arm(bets, every, 1),
        _strata(bets, x, names),
        paths.e_log,
    )


def first_verdict(plan: BetPlan, paths: Paths, *, has_cap: bool) -> tuple[str, str, int | None]:
    """Return the first verdict on the way, its reason and index, as `sequential` decides after each task."""
    waited = max(0, plan.minimum_tasks - 1)
    futile = math.inf if plan.futility_alpha is None else -math.log(plan.futility_alpha)
    found = [
        (_first(paths.srm_log, -math.log(plan.srm_alpha)), Verdict.INVALID, MISMATCHED),
        (_first(paths.harm_log, math.log(plan.harm_evidence)), Verdict.LOSS, HARMED),
        (_first(paths.e_log, -math.log(plan.alpha), waited), Verdict.WIN, IMPROVED),
        (_first(paths.futility_log, futile, waited), Verdict.INCONCLUSIVE, FUTILE),
    ]
    if has_cap and len(paths.m) >= plan.cap_tasks:
        found.append((plan.cap_tasks - 1, Verdict.INCONCLUSIVE, CAPPED))
    reached = [(at, verdict, reason) for at, verdict, reason in found if at is not None]
    if not reached:
        return UNDECIDED, OPEN, None
    at, verdict, reason = min(reached, key=lambda one: one[0])  # the first of the list when they coincide
    return str(verdict), reason, at


def _first(log: Floats, needed: float, waited: int = 0) -> int | None:
    """Return the first index from `waited` at which a path has reached `needed`, None when none has."""
    reached = log[waited:] >= needed
    at = int(reached.argmax()) if len(reached) else 0
    return waited + at if len(reached) and reached[at] else None


def _evidence(log: Floats, needed: float, settled: Integers) -> Evidence:
    at = _first(log, math.log(needed))
    last, highest = float(log[-1]), max(0.0, float(log.max()))
    return Evidence(
        _finite(last), _finite(highest), last, highest, needed, None if at is None else int(settled[at])
    )


def _finite(log: float) -> float:
    return math.exp(min(log, _LARGEST_LOG))


def _folded(
    share: Floats, arm: Floats, outcome: Floats, strata: Integers | None, units: Names | None
) -> _Units:
    """Return one value per unit; RowRefusedError for a row that is unlike its unit's first row."""
    rows = np.arange(len(arm))
    if units is None:
        return _Units(share, arm, outcome, strata, np.ones_like(rows), rows)
    unit, names = numbered("unit", units, len(arm))
    first = np.unique(unit, return_index=True)[1]
    _require_agreement("arm", arm, unit, first)
    _require_agreement("share", share, unit, first)
    if strata is not None:
        _require_agreement("stratum", strata, unit, first)
    counts = np.bincount(unit)
    last = np.empty(len(names), dtype=np.int64)
    last[unit] = rows  # of equal places the last value stays
    mean = np.bincount(unit, weights=outcome) / counts
    settled = np.maximum.accumulate(last)
    return _Units(share[first], arm[first], mean, None if strata is None else strata[first], counts, settled)


def _require_agreement(name: str, column: npt.NDArray[np.generic], unit: Integers, first: Integers) -> None:
    wrong = np.flatnonzero(column != column[first[unit]])
    if len(wrong):
        raise RowRefusedError(name, "must be the same in all rows of one unit", int(wrong[0]))


def _arm(bets: _Units, rows: Integers, arm: int) -> Arm:
    """Return the figures of one arm among these units."""
    chosen = rows[bets.arm[rows] == arm]
    outcomes = bets.outcome[chosen]
    if not len(outcomes):
        return Arm(0, 0, None, None)
    scale = max(1.0, float(outcomes.max()))  # no sum of raw measures overflows
    mean, median = (float(of(outcomes / scale)) * scale for of in (np.mean, np.median))
    return Arm(int(bets.rows[chosen].sum()), len(outcomes), mean, median)


def _strata(bets: _Units, x: Floats, names: list[str]) -> tuple[Stratum, ...]:
    """Return the figures of each stratum in order of first appearance; none when there are no strata."""
    if bets.stratum is None:
        return ()
    order = np.argsort(bets.stratum, kind="stable")
    bounds = np.cumsum(np.bincount(bets.stratum, minlength=len(names)))[:-1]
    return tuple(
        _stratum(bets, x, name, rows) for name, rows in zip(names, np.split(order, bounds), strict=True)
    )


def _stratum(bets: _Units, x: Floats, name: str, rows: Integers) -> Stratum:
    control, treatment = _arm(bets, rows, 0), _arm(bets, rows, 1)
    estimate = None
    if control.units and treatment.units:
        balance = bets.share[rows] * (1.0 - bets.share[rows])
        estimate = min(max(float(x[rows].sum() / balance.sum()), -1.0), 1.0)
    return Stratum(name, control.tasks + treatment.tasks, len(rows), control, treatment, estimate)
