"""One leg of an experiment as a reader sees it: verdict, wealth, guardrails, counts of both arms, its times.

Stands in the store under the read model of experiments. Trial and probation have one shape. A leg's salt
stays hidden until the leg has its verdict. It never computes a verdict: figures come from the stored state of
the bet and from its exposures.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import and_, case, func, select

from services.domain.clock import SECOND_US
from services.domain.guardrails import Guardrail, GuardrailState
from services.domain.sequential import PROOF_ALPHA
from services.domain.states import Leg
from services.store.sql import Row, rows
from services.store.tables import exposure, probation
from services.store.tx import Tx
from services.store.views.paging import JsonObject, at

HIGHEST_EXPONENT = 700.0
"""exp() of more than this overflows a double; a larger E is shown as exp(700)."""


class ArmCounts(NamedTuple):
    """What the exposures of one arm of one leg add up to; all but `assigned` is what the bet counted."""

    assigned: int = 0
    resolved: int = 0
    successes: float = 0.0
    duration_seconds: float | None = None
    cost_microcredits: float | None = None
    last_us: int | None = None


Arms = dict[tuple[int, Leg, int], ArmCounts]
"""Counts by experiment, leg and arm (0 control, 1 treatment)."""


def e_value(log_e: float) -> float:
    """Return the E of a natural logarithm, at most exp(700)."""
    return math.exp(min(log_e, HIGHEST_EXPONENT))


def decimal(payload: Any, name: str, default: float) -> float:
    """Return a decimal of a stored bet (decimals are text there), or the default where it is missing."""
    value = payload.get(name) if isinstance(payload, Mapping) else None
    return default if value is None else float(value)


def count_arms(tx: Tx, ids: Sequence[int]) -> Arms:
    """Count each arm of each leg: a task belongs to the probation from its first ordinal on."""
    is_counted = exposure.c.is_folded.is_(True)
    is_later = and_(probation.c.experiment_id.is_not(None), exposure.c.ordinal >= probation.c.first_ordinal)
    leg = case((is_later, Leg.PROBATION.value), else_=Leg.TRIAL.value).label("leg")
    statement = (
        select(
            exposure.c.experiment_id,
            leg,
            exposure.c.arm,
            func.count().label("assigned"),
            func.sum(case((is_counted, 1), else_=0)).label("resolved"),
            func.sum(case((is_counted, exposure.c.outcome), else_=0.0)).label("successes"),
            func.avg(case((is_counted, exposure.c.duration_seconds))).label("duration_seconds"),
            func.avg(case((is_counted, exposure.c.cost_microcredits))).label("cost_microcredits"),
            func.max(case((is_counted, exposure.c.resolved_at_us))).label("last_us"),
        )
        .select_from(exposure.outerjoin(probation, probation.c.experiment_id == exposure.c.experiment_id))
        .where(exposure.c.experiment_id.in_(ids))
        .group_by(exposure.c.experiment_id, "leg", exposure.c.arm)
    )
    return {
        (row["experiment_id"], Leg(row["leg"]), row["arm"]): ArmCounts(
            row["assigned"],
            int(row["resolved"]),
            float(row["successes"]),
            None if row["duration_seconds"] is None else float(row["duration_seconds"]),
            None if row["cost_microcredits"] is None else float(row["cost_microcredits"]),
            row["last_us"],
        )
        for row in rows(tx, statement)
    }


def leg_of(row: Row, experiment_id: int, name: Leg, arms: Arms) -> JsonObject:
    """Return one leg from the row that keeps it: the experiment's own, or its probation's."""
    state, plan = row["bet_state"], row["plan"]
    log_e = decimal(state, "e_log", 0.0)
    harm_log, srm_log = decimal(state, "harm_log", 0.0), decimal(state, "srm_log", 0.0)
    alpha = decimal(plan, "alpha", 0.05)
    counts = [arms.get((experiment_id, name, arm), ArmCounts()) for arm in (0, 1)]
    is_revealed = row["verdict"] is not None
    return {
        "leg": name.value,
        "verdict": row["verdict"],
        "reason": row["reason"],
        "control": _arm(counts[0], state, 0),
        "treatment": _arm(counts[1], state, 1),
        "units": int(decimal(state, "next_ordinal", 0)),
        "log_e": log_e,
        "e_value": e_value(log_e),
        "e_max": e_value(decimal(state, "e_max_log", 0.0)),
        "alpha": alpha,
        "threshold": 1.0 / alpha,
        "threshold_log_e": -math.log(alpha),
        "harm_e": e_value(harm_log),
        "harm_threshold": decimal(plan, "harm_evidence", 20.0),
        "futility_e": None
        if plan.get("futility_alpha") is None
        else e_value(decimal(state, "futility_log", 0)),
        "srm_e": e_value(max(srm_log, decimal(state, "resolved_srm_log", 0.0))),
        "srm_threshold": 1.0 / decimal(plan, "srm_alpha", 0.01),
        "guardrails": _guardrails(plan, state),
        "estimate": row["estimate"],
        "lower": row["lower"],
        "upper": row["upper"],
        "cap_tasks": int(decimal(plan, "cap_tasks", 0)),
        "salt_commitment": row["salt_commitment"],
        "salt": row["salt"] if is_revealed else None,
        "started_at": at(row["started_at_us"]),
        "closes_at": at(row["closes_at_us"]),
        "ended_at": at(_ended_us(row, counts)) if is_revealed else None,
    }


def _ended_us(row: Row, counts: Sequence[ArmCounts]) -> int | None:
    """Return when a leg ended: a won trial's experiment goes on, so it ended with its last counted task."""
    last_us = [arm.last_us for arm in counts if arm.last_us is not None]
    ended_us: int | None = row["ended_at_us"]
    return min(max(last_us), ended_us or max(last_us)) if last_us else ended_us


def _arm(counts: ArmCounts, state: Mapping[str, Any], arm: int) -> JsonObject:
    """Return one arm: its tasks, and the units and their mean outcome as the bet has them."""
    units = int((state.get("assigned") or (0, 0))[arm])
    total = float((state.get("successes") or (0.0, 0.0))[arm])
    successes = counts.successes
    return {
        "assigned": counts.assigned,
        "resolved": counts.resolved,
        "successes": int(successes) if successes.is_integer() else successes,
        "rate": successes / counts.resolved if counts.resolved else None,
        "units": units,
        "score": total / units if units else None,
        "mean_duration_seconds": counts.duration_seconds,
        "mean_cost_microcredits": counts.cost_microcredits,
    }


def _guardrails(plan: Mapping[str, Any], state: Mapping[str, Any]) -> list[JsonObject]:
    """Return each guardrail with the evidence that it is harmed, and that it is not worse by its margin."""
    shown = []
    for payload, stored in zip(plan.get("guardrails") or (), state.get("guardrails") or (), strict=True):
        guardrail, bets = Guardrail.from_payload(payload), GuardrailState.from_payload(stored)
        shown.append(
            {
                "metric": guardrail.metric.value,
                "margin": guardrail.margin,
                "ceiling": guardrail.ceiling,
                "harm_e": e_value(bets.harm_log),
                "harm_threshold": decimal(plan, "harm_evidence", 20.0),
                "proof_e": e_value(bets.proof_log),
                "proof_threshold": 1.0 / PROOF_ALPHA,
                "is_proof_required": bool(plan.get("is_proof_required")),
            }
        )
    return shown


def window_seconds(row: Row) -> float | None:
    """Return the length of a unit's window in seconds, None where a unit is a task."""
    return row["window_us"] / SECOND_US if row["window_us"] else None
