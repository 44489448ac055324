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

STRATUM_WEIGHT: Final = 3.0  # pseudo-tasks with which a stratum's mean is shrunk to the pooled mean
MEAN_FLOOR: Final = 1e-6  # m stays inside (floor, 1 - floor): m(1 - m) never vanishes at 0 % or 100 %
LIMIT_SHARE: Final = 0.98  # a stake beyond the admissible range is cut to this share of it: e stays > 0
FUTILITY_FRACTIONS: Final = (1.0, 0.5)  # of λ = MDE/(m(1 - m))


class Verdict(StrEnum):
    """How an experiment ended; the sandbox writes it to the ledger and nobody moves it on."""

    WIN = "win"  # evidence that treatment is better
    LOSS = "loss"  # evidence that treatment is worse
    INCONCLUSIVE = "inconclusive"  # the stated effect is refuted, or the cap was reached
    INVALID = "invalid"  # the arms do not have the promised shares: nothing can be concluded


class RecordRefusedError(ValueError):
    """A record that may not be counted; `field` names the offending field and the state is unchanged."""

    def __init__(self, field_name: str, message: str) -> None:
        super().__init__(f"{field_name}: {message}")
        self.field = field_name


class PlanRefusedError(ValueError):
    """A plan (or its payload) that cannot be bet on; `field` names the offending field."""

    def __init__(self, field_name: str, message: str) -> None:
        super().__init__(f"{field_name}: {message}")
        self.field = field_name


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
    range). harm_evidence: E at which treatment is declared worse. Raises PlanRefusedError.
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
    futility_alpha: float = 0.1
    srm_alpha: float = 0.01
    stated_weight: float = 0.5

    def __post_init__(self) -> None:
        """Refuse a plan whose bet would not be valid."""
        for name in ("alpha", "treatment_share", "futility_alpha", "srm_alpha"):
            require(name, 0.0 < getattr(self, name) < 1.0, "must lie strictly between 0 and 1")
        require("effect", 0.0 < self.effect <= 1.0, "must lie in (0, 1]")
        require("base_rate", self.base_rate is None or 0.0 <= self.base_rate <= 1.0, "must lie in [0, 1]")
        require("base_weight", 0.0 < self.base_weight < math.inf, "must be positive and finite")
        require(
            "grid", bool(self.grid) and all(0.0 < c < 1.0 for c in self.grid), "needs fractions in (0, 1)"
        )
        require("cap_tasks", self.cap_tasks >= 1, "must be at least 1")
        require("minimum_tasks", 0 <= self.minimum_tasks <= self.cap_tasks, "must lie in 0..cap_tasks")
        require("harm_evidence", 1.0 < self.harm_evidence < math.inf, "must exceed 1")
        require("stated_weight", 0.0 <= self.stated_weight < 1.0, "must lie in [0, 1)")

    def to_payload(self) -> dict[str, Any]:
        """Return the plan without floats: decimals as `repr` strings, for canonical JSON."""
        return {name: _without_floats(getattr(self, name)) for name in self.__dataclass_fields__}

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> "BetPlan":
        """Rebuild exactly what `to_payload` wrote; PlanRefusedError names a missing or broken field."""
        values: dict[str, Any] = {}
        for name in cls.__dataclass_fields__:
            raw = _present(payload, name)
            if name in ("cap_tasks", "minimum_tasks"):
                values[name] = int(raw)
            elif name == "grid":
                values[name] = tuple(_number(name, item) for item in raw)
            else:
                values[name] = None if raw is None and name == "base_rate" else _number(name, raw)
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Record:
    """One resolved task: its place in assignment order (from 0), arm (1 = treatment), share π that applied.

    outcome: success or score in [0, 1], higher is better; an unresolved task counts as 0 at max-wait, in
    both arms. stratum: task type (or agent), known before the arm was; "" when there is only one kind.
    """

    ordinal: int
    unit: str
    arm: int
    share: float
    outcome: float
    stratum: str = ""


@dataclass(frozen=True, slots=True)
class BetState:
    """Everything the bet remembers: about twenty numbers and one pair per stratum; logs are natural.

    next_ordinal: ordinal the next record must have, and the number of tasks counted. assigned, successes:
    count and outcome sum per arm (control, treatment). *_logs: log wealth of each single bet; e_log,
    harm_log, futility_log: log of their weighted mean; e_max_log: highest e_log so far. expected_treated:
    sum of π. strata: count and outcome sum by name. decision: the first verdict reached; later records
    still move the numbers, never the verdict.
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
        verdict = self.decision.verdict
        payload["verdict"] = verdict.value if verdict else None
        payload["reason"] = self.decision.reason
        return payload

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> "BetState":
        """Rebuild exactly what `to_payload` wrote; PlanRefusedError names a missing or broken field."""
        values: dict[str, Any] = {name: _decoded(name, _present(payload, name)) for name in _STATE_NUMBERS}
        strata = {
            str(name): (int(n), _number("strata", total)) for name, n, total in _present(payload, "strata")
        }
        verdict = _present(payload, "verdict")
        decision = Decision(Verdict(verdict) if verdict else None, str(_present(payload, "reason")))
        return cls(**values, strata=strata, decision=UNDECIDED if decision == UNDECIDED else decision)


_STATE_NUMBERS: Final = tuple(n for n in BetState.__dataclass_fields__ if n not in ("strata", "decision"))
_STATE_INTEGERS: Final = ("next_ordinal", "assigned")


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


def require(name: str, holds: bool, message: str) -> None:  # noqa: FBT001  a condition is what it checks
    """Raise PlanRefusedError for the field `name` unless the condition holds."""
    if not holds:
        raise PlanRefusedError(name, message)


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
