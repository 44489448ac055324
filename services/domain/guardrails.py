"""Guardrails: measures that a change must not make worse, each with a margin and its own two bets.

Stands beside the primary bet: *harm* stops an experiment as soon as it is shown, *non-inferiority* must be
proved before a change is confirmed ("no harm shown" is not proof, and proof is dear: about 1,000 tasks for a
margin of 0.05 at 0.90). Durations and costs are winsorised at a ceiling fixed before the start. It never
promotes anything.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from services.domain.bet_refusals import PlanRefusedError, require
from services.domain.metrics import Metric, winsorised

MEAN_FLOOR: Final = 1e-6
LIMIT_SHARE: Final = 0.98
PROOF_FRACTIONS: Final = (1.0, 0.5)  # of λ = margin/(m(1 − m)); futility, its mirror image, too


@dataclass(frozen=True, slots=True)
class Guardrail:
    """A measure that must not get worse by more than `margin`.

    margin: in success rate, or as a share of `ceiling` for durations and costs, in (0, 1). ceiling: seconds
    or microcredits at which a duration or cost counts as the worst (its 95th percentile before the start); 1
    for success. Raises PlanRefusedError.
    """

    metric: Metric
    margin: float
    ceiling: float = 1.0

    def __post_init__(self) -> None:
        """Refuse a guardrail that could prove nothing."""
        require("guardrails", 0.0 < self.margin < 1.0, "a margin must lie strictly between 0 and 1")
        require("guardrails", 0.0 < self.ceiling < math.inf, "a ceiling must be positive and finite")

    def score(self, measure: float) -> float:
        """Return a task's measure as a score in [0, 1], higher is better."""
        return winsorised(measure, self.ceiling) if self.metric.is_ranked else measure

    def to_payload(self) -> dict[str, str]:
        """Return the guardrail with decimals as `repr` strings."""
        return {"metric": str(self.metric), "margin": repr(self.margin), "ceiling": repr(self.ceiling)}

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> "Guardrail":
        """Rebuild what `to_payload` wrote; raise PlanRefusedError for anything else."""
        try:
            return cls(Metric(payload["metric"]), float(payload["margin"]), float(payload["ceiling"]))
        except (KeyError, TypeError) as error:
            raise PlanRefusedError("guardrails", f"{payload!r} is no guardrail") from error
        except ValueError as error:
            raise PlanRefusedError("guardrails", f"{error}") from error


@dataclass(frozen=True, slots=True)
class GuardrailState:
    """What the two bets of one guardrail remember; logs are natural, `total` is the sum of scores."""

    harm_logs: tuple[float, ...]
    proof_logs: tuple[float, ...]
    total: float = 0.0
    harm_log: float = 0.0
    proof_log: float = 0.0

    def to_payload(self) -> dict[str, Any]:
        """Return the state with decimals as `repr` strings."""
        return {
            "harm_logs": [repr(log) for log in self.harm_logs],
            "proof_logs": [repr(log) for log in self.proof_logs],
            "total": repr(self.total),
            "harm_log": repr(self.harm_log),
            "proof_log": repr(self.proof_log),
        }

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> "GuardrailState":
        """Rebuild what `to_payload` wrote."""
        return cls(
            tuple(float(log) for log in payload["harm_logs"]),
            tuple(float(log) for log in payload["proof_logs"]),
            float(payload["total"]),
            float(payload["harm_log"]),
            float(payload["proof_log"]),
        )


def start_guardrail(grid: Sequence[float]) -> GuardrailState:
    """Return the state before the first task: every wealth is 1."""
    return GuardrailState((0.0,) * len(grid), (0.0,) * len(PROOF_FRACTIONS))


def update_guardrail(
    guardrail: Guardrail,
    state: GuardrailState,
    grid: Sequence[float],
    *,
    tasks: int,
    arm: int,
    share: float,
    measure: float,
) -> GuardrailState:
    """Return the state after one more task; `tasks` is how many came before.

    With m the running mean score (Beta(1, 1) pseudo-counts) and x = (A − π)(Y − m): harm multiplies by
    1 − λx over the grid, non-inferiority by 1 + λ[x + π(1 − π)·margin], λ ∈ {1, ½} × margin/(m(1 − m)).
    """
    score = guardrail.score(measure)
    mean = min(max((1.0 + state.total) / (2.0 + tasks), MEAN_FLOOR), 1.0 - MEAN_FLOOR)
    x = (arm - share) * (score - mean)
    harm_logs = tuple(
        [
            log + math.log1p(c * harm_step(share, mean, x))
            for c, log in zip(grid, state.harm_logs, strict=True)
        ]
    )
    proof = proof_step(share, mean, x, guardrail.margin, mean * (1.0 - mean))
    proof_logs = tuple(
        [log + math.log1p(c * proof) for c, log in zip(PROOF_FRACTIONS, state.proof_logs, strict=True)]
    )
    return GuardrailState(
        harm_logs, proof_logs, state.total + score, log_mean_exp(harm_logs), log_mean_exp(proof_logs)
    )


def harm_step(share: float, mean: float, x: float) -> float:
    """Return −λ·x at the largest admissible λ of the bet that treatment is worse (arms mirrored)."""
    return -min(mean / (1.0 - share), (1.0 - mean) / share) * x / (mean * (1.0 - mean))


def proof_step(share: float, mean: float, x: float, margin: float, spread: float) -> float:
    """Return λ[x + π(1 − π)·margin] with λ = margin/spread, cut so that 1 + λ[…] stays positive.

    With the arms swapped (1 − π for π, −x for x) it is the step of futility, whose margin is the effect.
    """
    shift = share * (1.0 - share) * margin
    worst = max((1.0 - share) * mean, share * (1.0 - mean)) - shift
    stake = margin / spread
    if worst > 0.0:  # not where a margin of 1 leaves nothing to lose
        stake = min(stake, LIMIT_SHARE / worst)
    return stake * (x + shift)


def log_mean_exp(logs: Sequence[float]) -> float:
    """Return the log of the mean of exp(logs)."""
    top = max(logs)
    return top + math.log(sum([math.exp(log - top) for log in logs]) / len(logs))
