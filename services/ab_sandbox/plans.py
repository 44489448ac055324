"""The plan of a bet, read from the production config when an experiment starts; it never changes afterwards.

Stands between what was voted on and the bet. It never looks at an outcome of the experiment itself.
"""

from services.domain.bet import BetPlan
from services.domain.clock import seconds
from services.domain.guardrails import Guardrail
from services.domain.metrics import Metric
from services.domain.states import ExperimentScope
from services.operations import production_config
from services.store.sql import Row
from services.store.tx import Tx

PERCENT = 100.0
PLACEBO_EFFECT = 0.1
"""What a placebo pretends to expect: the size of change that most proposals state."""


def plan_of(tx: Tx, proposal: Row) -> BetPlan:
    """Return the plan of a proposal's trial."""
    metric = Metric(proposal["metric"])
    share = number(tx, "treatment_percent") / PERCENT
    ramp = number(tx, "ramp_percent") / PERCENT
    is_ramped = ramp < share and proposal["scope"] == ExperimentScope.TASK
    return BetPlan(
        effect=float(proposal["expected_effect"]),
        cap_tasks=proposal["cap_tasks"],
        alpha=number(tx, "alpha"),
        treatment_share=share,
        base_rate=None if metric.is_ranked else proposal["base_rate"],
        minimum_tasks=int(number(tx, "minimum_tasks")),
        metric=metric,
        guardrails=_guardrails(proposal),
        minimum_per_arm=int(number(tx, "minimum_per_arm")),
        minimum_cycle_us=seconds(number(tx, "minimum_cycle_seconds")),
        ramp_share=ramp if is_ramped else None,
        ramp_tasks=int(number(tx, "ramp_tasks")),
    )


def placebo_plan(tx: Tx, cap_tasks: int) -> BetPlan:
    """Return the plan of a placebo: as a change's, without futility, so that it runs its whole length."""
    return BetPlan(
        effect=PLACEBO_EFFECT,
        cap_tasks=cap_tasks,
        alpha=number(tx, "alpha"),
        treatment_share=number(tx, "treatment_percent") / PERCENT,
        minimum_tasks=min(cap_tasks, int(number(tx, "minimum_tasks"))),
        minimum_per_arm=int(number(tx, "minimum_per_arm")),
        futility_alpha=None,
    )


def number(tx: Tx, name: str) -> float:
    """Return a setting of the sandbox."""
    return production_config.number(tx, f"sandbox.{name}")


def _guardrails(proposal: Row) -> tuple[Guardrail, ...]:
    return tuple(
        Guardrail(Metric(item["metric"]), float(item["margin"]), float(item["ceiling"]))
        for item in proposal["guardrails"]
    )
