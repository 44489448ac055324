"""What a bet is made of: the plan fixed before it, its records, the state it keeps, the verdicts it gives.

Stands under `sequential` (which moves the state) and `confidence` (which inverts the bet); the sandbox
stores these payloads and the ledger digests them. It never decides anything and never holds a float in a
payload.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from services.domain.bet_refusals import PlanRefusedError, RecordRefusedError, require
from services.domain.guardrails import (
    LIMIT_SHARE,
    MEAN_FLOOR,
    PROOF_FRACTIONS,
    Guardrail,
    GuardrailState,
    start_guardrail,
)
from services.domain.metrics import RANK_VARIANCE, Metric

__all__ = [
    "LIMIT_SHARE",
    "MEAN_FLOOR",
    "UNDECIDED",
    "BetPlan",
    "BetState",
    "Decision",
    "PlanRefusedError",
    "Record",
    "RecordRefusedError",
    "Verdict",
    "predictable_mean",
    "require",
    "start_state",
]

STRATUM_WEIGHT: Final = 3.0  # pseudo-tasks with which a stratum's mean is shrunk to the pooled mean


class Verdict(StrEnum):
    """How an experiment ended; the sandbox writes it to the ledger and nobody moves it on."""

    WIN = "win"  # evidence that treatment is better
    LOSS = "loss"  # evidence that treatment is worse
    INCONCLUSIVE = "inconclusive"  # the stated effect is refuted, or the cap was reached
    INVALID = "invalid"  # the arms do not have the promised shares: nothing can be concluded


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict so far (None: keep going) and the reason in words."""

    verdict: Verdict | None
    reason: str


UNDECIDED: Final = Decision(None, "running")


@dataclass(frozen=True, slots=True, kw_only=True)
class BetPlan:
    """What was fixed before the first task; it never changes while the experiment runs.

    effect: smallest improvement worth having (MDE), absolute, in the direction of "better", in (0, 1].
    treatment_share: the planned share; each record carries the share that really applied. base_rate: the
    platform's recent mean outcome, worth `base_weight` pseudo-tasks; None means Beta(1, 1). stated_weight:
    share of the wealth bet on `effect`, the rest is spread evenly over `grid` (fractions of the admissible
    range). harm_evidence: E at which treatment (or a guardrail) is declared worse. A win needs
    `minimum_tasks`, `minimum_per_arm` and a record assigned `minimum_cycle_us` after the start;
    is_proof_required: and every guardrail's non-inferiority at `alpha` 0.05. futility_alpha None: no
    futility. ramp_share: the share until `ramp_tasks` are counted without a hint of harm. Raises
    PlanRefusedError.
    """

    effect: float
    cap_tasks: int
    alpha: float = 0.05
    treatment_share: float = 0.5
    base_rate: float | None = None
    base_weight: float = 50.0
    grid: tuple[float, ...] = (0.1, 0.2, 0.4, 0.7)
    minimum_tasks: int = 20
    harm_evidence: float = 20.0
    futility_alpha: float | None = 0.1
    srm_alpha: float = 0.01
    stated_weight: float = 0.5
    metric: Metric = Metric.SUCCESS
    guardrails: tuple[Guardrail, ...] = ()
    is_proof_required: bool = False
    minimum_per_arm: int = 0
    minimum_cycle_us: int = 0
    ramp_share: float | None = None
    ramp_tasks: int = 20

    def __post_init__(self) -> None:
        """Refuse a plan whose bet would not be valid."""
        for name in ("alpha", "treatment_share", "futility_alpha", "srm_alpha", "ramp_share"):
            value = getattr(self, name)
            is_set = value is not None or name not in _OPTIONAL
            require(name, not is_set or 0.0 < value < 1.0, "must lie strictly between 0 and 1")
        widest = 0.5 if self.metric.is_ranked else 1.0
        require("effect", 0.0 < self.effect <= widest, f"must lie in (0, {widest:g}] for {self.metric}")
        require("base_rate", self.base_rate is None or 0.0 <= self.base_rate <= 1.0, "must lie in [0, 1]")
        require("base_weight", 0.0 < self.base_weight < math.inf, "must be positive and finite")
        require(
            "grid", bool(self.grid) and all(0.0 < c < 1.0 for c in self.grid), "needs fractions in (0, 1)"
        )
        require("cap_tasks", self.cap_tasks >= 1, "must be at least 1")
        require("minimum_tasks", 0 <= self.minimum_tasks <= self.cap_tasks, "must lie in 0..cap_tasks")
        require("harm_evidence", 1.0 < self.harm_evidence < math.inf, "must exceed 1")
        require("stated_weight", 0.0 <= self.stated_weight < 1.0, "must lie in [0, 1)")
        require("minimum_per_arm", self.minimum_per_arm >= 0, "must be at least 0")
        require("minimum_cycle_us", self.minimum_cycle_us >= 0, "must be at least 0")
        require("ramp_tasks", self.ramp_tasks >= 0, "must be at least 0")
        metrics = [guardrail.metric for guardrail in self.guardrails]
        require("guardrails", len(set(metrics)) == len(metrics), "name each metric once")
        require("guardrails", self.metric not in metrics, f"{self.metric} is what decides already")

    def spread(self, mean: float) -> float:
        """Return the variance with which the stated effect is staked: m(1 − m), 1/12 for ranks."""
        return RANK_VARIANCE if self.metric.is_ranked else mean * (1.0 - mean)

    def first_difference(self, other: "BetPlan") -> str | None:
        """Return the name of the first field in which the plans differ beyond rounding, None when in none."""
        for name in self.__dataclass_fields__:
            mine, theirs = getattr(self, name), getattr(other, name)
            is_close = isinstance(mine, float) and isinstance(theirs, float) and math.isclose(mine, theirs)
            if mine != theirs and not is_close:
                return name
        return None

    def to_payload(self) -> dict[str, Any]:
        """Return the plan without floats: decimals as `repr` strings, for canonical JSON."""
        payload = {name: _without_floats(getattr(self, name)) for name in self.__dataclass_fields__}
        payload["metric"] = str(self.metric)
        payload["guardrails"] = [guardrail.to_payload() for guardrail in self.guardrails]
        return payload

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> "BetPlan":
        """Rebuild exactly what `to_payload` wrote; PlanRefusedError names a missing or broken field.

        A field of `_LATER` may be missing: plans written before it existed mean its default.
        """
        values: dict[str, Any] = {}
        for name in cls.__dataclass_fields__:
            if name in _LATER and name not in payload:
                continue
            values[name] = _plan_value(name, _present(payload, name))
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Record:
    """One resolved task: its place in assignment order (from 0), arm (1 = treatment), share π that applied.

    outcome: success or score in [0, 1], higher is better; an unresolved task counts as 0 at max-wait, in
    both arms. For a ranked metric the raw measure (seconds, microcredits), lower is better. stratum: task
    type (or agent), known before the arm was; "" when there is only one kind. at_us: when it was assigned,
    in µs since the start. is_resolved: False when the maximum wait ended it. guardrails: the raw measure of
    each of the plan's guardrails, in its order.
    """

    ordinal: int
    unit: str
    arm: int
    share: float
    outcome: float
    stratum: str = ""
    at_us: int = 0
    is_resolved: bool = True
    guardrails: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class BetState:
    """Everything the bet remembers: about twenty numbers and one pair per stratum; logs are natural.

    next_ordinal: ordinal the next record must have, and the number of tasks counted. assigned, successes:
    count and outcome sum per arm (control, treatment). *_logs: log wealth of each single bet; e_log,
    harm_log, futility_log: log of their weighted mean; e_max_log: highest e_log so far. expected_treated:
    sum of π. resolved_*: the same for the tasks whose outcome came within the maximum wait. strata: count
    and outcome sum by name. past: outcomes so far in ascending order (ranked metrics only). decision: the
    first verdict reached; later records still move the numbers, never the verdict. For a ranked metric
    "outcome" means the rank.
    """

    next_ordinal: int
    assigned: tuple[int, int]
    successes: tuple[float, float]
    e_logs: tuple[float, ...]
    harm_logs: tuple[float, ...]
    futility_logs: tuple[float, ...]
    e_log: float = 0.0
    e_max_log: float = 0.0
    harm_log: float = 0.0
    futility_log: float = 0.0
    srm_log: float = 0.0
    expected_treated: float = 0.0
    resolved: tuple[int, int] = (0, 0)
    resolved_expected: float = 0.0
    resolved_srm_log: float = 0.0
    elapsed_us: int = 0
    past: tuple[float, ...] = ()
    guardrails: tuple[GuardrailState, ...] = ()
    strata: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    decision: Decision = UNDECIDED

    @property
    def control_rate(self) -> float | None:
        """Mean outcome of the control arm, None before its first task."""
        return self.successes[0] / self.assigned[0] if self.assigned[0] else None

    @property
    def treatment_rate(self) -> float | None:
        """Mean outcome of the treatment arm, None before its first task."""
        return self.successes[1] / self.assigned[1] if self.assigned[1] else None

    def to_payload(self) -> dict[str, Any]:
        """Return the state without floats: decimals as `repr` strings, strata as sorted triples."""
        payload = {name: _without_floats(getattr(self, name)) for name in _STATE_NUMBERS}
        payload["strata"] = [[name, n, repr(total)] for name, (n, total) in sorted(self.strata.items())]
        payload["guardrails"] = [state.to_payload() for state in self.guardrails]
        verdict = self.decision.verdict
        payload["verdict"] = verdict.value if verdict else None
        payload["reason"] = self.decision.reason
        return payload

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> "BetState":
        """Rebuild exactly what `to_payload` wrote; PlanRefusedError names a missing or broken field."""
        values: dict[str, Any] = {
            name: _decoded(name, _present(payload, name))
            for name in _STATE_NUMBERS
            if name in payload or name not in _LATER
        }
        strata = {
            str(name): (int(n), _number("strata", total)) for name, n, total in _present(payload, "strata")
        }
        guardrails = tuple(GuardrailState.from_payload(item) for item in payload.get("guardrails", ()))
        verdict = _present(payload, "verdict")
        decision = Decision(Verdict(verdict) if verdict else None, str(_present(payload, "reason")))
        kept = UNDECIDED if decision == UNDECIDED else decision
        return cls(**values, strata=strata, guardrails=guardrails, decision=kept)


_STATE_NUMBERS: Final = tuple(
    n for n in BetState.__dataclass_fields__ if n not in ("strata", "guardrails", "decision")
)
_STATE_INTEGERS: Final = ("next_ordinal", "assigned", "resolved", "elapsed_us")
_OPTIONAL: Final = ("futility_alpha", "ramp_share", "base_rate")
_INTEGERS: Final = ("cap_tasks", "minimum_tasks", "minimum_per_arm", "minimum_cycle_us", "ramp_tasks")
_LATER: Final = frozenset(
    {"metric", "guardrails", "is_proof_required", "minimum_per_arm", "minimum_cycle_us", "ramp_share"}
    | {"ramp_tasks", "resolved", "resolved_expected", "resolved_srm_log", "elapsed_us", "past"}
)


def start_state(plan: BetPlan) -> BetState:
    """Return the state before the first task: every wealth is 1."""
    zeros = (0.0,) * len(plan.grid)
    futility = (0.0,) * len(PROOF_FRACTIONS)
    guardrails = tuple(start_guardrail(plan.grid) for _ in plan.guardrails)
    return BetState(0, (0, 0), (0.0, 0.0), (0.0, *zeros), zeros, futility, guardrails=guardrails)


def predictable_mean(
    plan: BetPlan, tasks: int, total: float, stratum_tasks: int, stratum_total: float
) -> float:
    """Return m for the next task: pooled mean of past outcomes, and the stratum's own mean shrunk to it.

    tasks, total: count and outcome sum of all past tasks; stratum_*: of the next task's stratum. While
    every past task is of this stratum the pooled mean is used as it is, so the weight of `base_rate` holds.
    """
    if plan.base_rate is None:
        mean = (1.0 + total) / (2.0 + tasks)
    else:
        mean = (plan.base_weight * plan.base_rate + total) / (plan.base_weight + tasks)
    if stratum_tasks != tasks:
        mean = (stratum_total + STRATUM_WEIGHT * mean) / (stratum_tasks + STRATUM_WEIGHT)
    return min(max(mean, MEAN_FLOOR), 1.0 - MEAN_FLOOR)


def _plan_value(name: str, raw: Any) -> Any:
    """Return one field of a plan from its payload."""
    if raw is None and name in _OPTIONAL:
        return None
    if name == "guardrails":
        return tuple(Guardrail.from_payload(item) for item in raw)
    if name == "metric":
        require("metric", raw in list(Metric), f"must be one of {', '.join(Metric)}, got {raw!r}")
        return Metric(raw)
    if name == "is_proof_required":
        require(name, isinstance(raw, bool), "must be true or false")
        return raw
    if name == "grid":
        return tuple(_number(name, item) for item in raw)
    return int(raw) if name in _INTEGERS else _number(name, raw)


def _without_floats(value: Any) -> Any:
    if isinstance(value, float):
        return repr(value)
    return [_without_floats(item) for item in value] if isinstance(value, tuple) else value


def _decoded(name: str, raw: Any) -> Any:
    if isinstance(raw, list | tuple):
        return tuple(_decoded(name, item) for item in raw)
    return int(raw) if name in _STATE_INTEGERS else _number(name, raw)


def _present(payload: Mapping[str, Any], name: str) -> Any:
    if name not in payload:
        raise PlanRefusedError(name, "is missing from the payload")
    return payload[name]


def _number(name: str, raw: Any) -> float:
    try:
        return float(raw)
    except (TypeError, ValueError) as error:
        raise PlanRefusedError(name, f"is not a decimal: {raw!r}") from error
