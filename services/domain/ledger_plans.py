"""What a plan in the ledger must follow from: the vote, the settings in force, the trial before, the stream.

Stands under the acts of `ledger_experiments` and `ledger_safeguards`. What was fixed before the first task
binds the platform too: a plan may not quietly switch off what watches over a change. It never looks at
records.
"""

import math
from collections.abc import Mapping
from typing import Any, Final

from services.domain.bet import BetPlan, BetState
from services.domain.clock import seconds
from services.domain.ledger_history import CausalityError, LedgerHistory, require_cause
from services.domain.sequential import start_probation
from services.domain.states import ExperimentScope
from services.domain.stream import StreamRule, next_level

PERCENT: Final = 100.0
SRM_ALPHA: Final = 0.01  # a sample-ratio test must be at least this alert
HARM_EVIDENCE: Final = 20.0  # E by which harm must stop an experiment


FIXED: Final = ("grid", "stated_weight", "base_weight", "is_proof_required")  # of every trial and placebo
_STANDARD: Final = BetPlan(effect=0.1, cap_tasks=100)


def plan_of(payload: Mapping[str, Any]) -> BetPlan:
    """Return the entry's plan; CausalityError when it cannot be bet on."""
    try:
        return BetPlan.from_payload(payload["plan"])
    except (TypeError, ValueError) as error:
        raise CausalityError(f"the plan cannot be bet on: {error}") from error


def check_plan(
    history: LedgerHistory, plan: BetPlan, payload: Mapping[str, Any], terms: Mapping[str, Any]
) -> None:
    """Hold a trial's plan and scope to the proposal's `terms`, the rest of it to the settings in force."""
    asked = [(item["metric"], float(item["margin"]), float(item["ceiling"])) for item in terms["guardrails"]]
    planned = [(str(guarded.metric), guarded.margin, guarded.ceiling) for guarded in plan.guardrails]
    agree = {
        "effect": math.isclose(plan.effect, float(terms["expected_effect"])),
        "cap_tasks": plan.cap_tasks == terms["cap_tasks"],
        "metric": plan.metric == terms["metric"],
        "guardrails": planned == asked,
    }
    for name, holds in agree.items():
        require_cause(holds, f"the plan's {name} is not what was voted on")
    require_cause(payload["scope"] == terms["scope"], "the scope is not what was voted on")
    is_task = payload["scope"] == ExperimentScope.TASK
    window_us = 0 if is_task else seconds(history.setting("window_seconds"))
    require_cause(payload["window_us"] == window_us, f"window_us is not the config's, {window_us}")
    allowed = history.setting("alpha")
    require_cause(plan.alpha <= allowed, f"the plan's alpha {plan.alpha} is over the config's {allowed}")
    ramp = history.setting("ramp_percent") / PERCENT
    is_ramped = is_task and ramp < history.setting("treatment_percent") / PERCENT
    _check_settings(
        plan,
        {
            **_watch(history),
            "minimum_tasks": int(history.setting("minimum_tasks")),
            "minimum_cycle_us": seconds(history.setting("minimum_cycle_seconds")),
            "ramp_share": ramp if is_ramped else None,
            "ramp_tasks": int(history.setting("ramp_tasks")),
            "futility_alpha": _STANDARD.futility_alpha,
        },
    )


def check_placebo_plan(history: LedgerHistory, plan: BetPlan) -> None:
    """Hold a placebo's plan to the settings in force: it must be as easily won as a change's."""
    cap_tasks = int(history.setting("placebo_tasks"))
    minimum = min(cap_tasks, int(history.setting("minimum_tasks")))
    fixed = {"alpha": history.setting("alpha"), "cap_tasks": cap_tasks, "minimum_tasks": minimum}
    _check_settings(plan, {**_watch(history), **fixed, "minimum_cycle_us": 0, "futility_alpha": None})


def _watch(history: LedgerHistory) -> dict[str, float | int]:
    share = history.setting("treatment_percent") / PERCENT
    return {"treatment_share": share, "minimum_per_arm": int(history.setting("minimum_per_arm"))}


def _check_settings(plan: BetPlan, fixed: Mapping[str, float | int | None]) -> None:
    for name, value in fixed.items():
        given = getattr(plan, name)
        require_cause(
            given == value or _is_close(given, value),
            f"the plan's {name} is {given}, the config says {value}",
        )
    for name in FIXED:
        given, standard = getattr(plan, name), getattr(_STANDARD, name)
        require_cause(given == standard, f"the plan's {name} is {given}, the bet's is {standard}")
    require_cause(plan.srm_alpha >= SRM_ALPHA, f"the plan's srm_alpha is under {SRM_ALPHA}")
    require_cause(plan.harm_evidence <= HARM_EVIDENCE, f"the plan's harm_evidence is over {HARM_EVIDENCE:g}")


def check_level(history: LedgerHistory, plan: BetPlan, payload: Mapping[str, Any]) -> None:
    """The level is the one that the stream's rule gives from what was confirmed before."""
    position = history.started + 1
    require_cause(
        payload["stream_position"] == position, f"this is experiment {position} of the stream, not another"
    )
    rule = StreamRule.E_LOND if history.setting("dependence") else StreamRule.LORD
    require_cause(payload["stream_rule"] == rule, f"the stream's levels are drawn by {rule}")
    level = min(plan.alpha, next_level(rule, plan.alpha, position, history.known))
    stated = float(payload["confirm_alpha"])
    require_cause(
        math.isclose(stated, level, rel_tol=1e-9), f"confirm_alpha is {stated!r}, the stream gives {level!r}"
    )


def probation_of(
    history: LedgerHistory, trial: BetPlan, ended: BetState, alpha: float, stated: BetPlan
) -> tuple[BetPlan, BetState]:
    """Return plan and first state of the probation after a trial; CausalityError unless `stated` is it."""
    if history.format > 1:
        share = 1.0 - history.setting("probation_percent") / PERCENT
        said = stated.treatment_share
        require_cause(_is_close(said, share), f"the probation's share is {said}, the config says {share:g}")
        cap_tasks = int(history.setting("probation_tasks"))
        require_cause(
            stated.cap_tasks == cap_tasks,
            f"the probation's cap_tasks is {stated.cap_tasks}, the config says {cap_tasks}",
        )
    plan, state = start_probation(
        trial, ended, alpha=alpha, share=stated.treatment_share, cap_tasks=stated.cap_tasks
    )
    name = stated.first_difference(plan)
    if name is not None:
        given, computed = getattr(stated, name), getattr(plan, name)
        raise CausalityError(f"the probation's {name} is {given!r}, the trial gives {computed!r}")
    return plan, state


def _is_close(given: object, computed: object) -> bool:
    return isinstance(given, float) and isinstance(computed, float) and math.isclose(given, computed)
