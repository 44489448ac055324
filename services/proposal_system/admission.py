"""Admission: what a proposal must state, and whether its experiment can be finished at the current traffic.

Stands at the door of layer 5. It never weighs whether a change is a good idea; that is the voters' and then
the evidence's to say.
"""

import math
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from services.domain import power
from services.domain.clock import DAY_US, seconds
from services.domain.errors import InvalidValueError
from services.domain.metrics import Metric
from services.domain.sequential import PROOF_ALPHA
from services.domain.states import ExperimentScope
from services.operations import levels, production_config
from services.store import governance
from services.store.tx import Tx

BASE_RATE_TASKS = 200
TRAFFIC_WINDOW_US = DAY_US
LEAST_EFFECT = Decimal("0.001")
"""No experiment can show less with the tasks that a cap allows."""
EFFECT_LENGTH = 32


@dataclass(frozen=True, slots=True)
class ProposalDraft:
    """What an agent asks for.

    `expected_effect` is decimal text: the gain in success rate, in (0, 1); for duration and cost the chance
    that a treated task is better, minus one half, in (0, 0.5]. `guardrails` are (metric, margin) pairs, the
    margin in success rate or as a share of the metric's 95th percentile.
    """

    parameter: str
    to: str
    expected_effect: str
    root_cause: str
    evidence: tuple[int, ...]
    cap_tasks: int
    cap_days: int
    meta_task_id: int | None
    metric: str = Metric.SUCCESS
    scope: ExperimentScope = ExperimentScope.TASK
    guardrails: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Admission:
    """What the experiment would need at the current traffic, and what it watches."""

    base_rate: float
    effect: Decimal
    tasks: int
    units_per_day: float
    metric: Metric
    guardrails: list[dict[str, str]]


def check_evidence(tx: Tx, task_type: str, evidence: tuple[int, ...]) -> None:
    """Raise InvalidValueError unless the evidence is ended tasks of the type, each named once."""
    if not evidence or len(set(evidence)) != len(evidence):
        msg = "evidence must name at least one ended task, each once"
        raise InvalidValueError(msg, field="body.evidence", code="evidence_unknown")
    known = governance.ended_tasks(tx, evidence)
    wrong = [number for number in evidence if number not in known or known[number]["type"] != task_type]
    if wrong:
        msg = f"task {wrong[0]} is no ended {task_type} task; evidence must be what the parameter governs"
        raise InvalidValueError(msg, field="body.evidence", code="evidence_unknown")


def admit(tx: Tx, task_type: str, draft: ProposalDraft) -> Admission:
    """Refuse an experiment whose needed tasks do not fit its cap or the traffic, with that figure."""
    metric = _metric(draft.metric, "body.metric")
    effect = _effect(draft.expected_effect, metric)
    verified, ended = governance.recent_outcomes(tx, task_type, BASE_RATE_TASKS)
    base = verified / ended if ended else 0.0
    if metric is Metric.SUCCESS and (not ended or base + float(effect) > 1):
        msg = (
            f"{task_type} succeeds in {base:.0%} of {ended} recent tasks; a gain of {effect} is not possible"
        )
        raise InvalidValueError(msg, field="body.expected_effect", code="effect_too_large")
    per_day = _units_per_day(tx, task_type, draft.scope)
    needed = _needed(tx, metric, base, float(effect), per_day)
    floor = int(production_config.number(tx, "sandbox.minimum_tasks"))
    if max(needed, floor) > draft.cap_tasks or needed > per_day * draft.cap_days:
        unit = "tasks" if draft.scope is ExperimentScope.TASK else "windows"
        msg = f"{needed} {unit} are needed (at least {floor}); the cap allows {draft.cap_tasks}, "
        msg += f"traffic brings {per_day * draft.cap_days:.0f} in {draft.cap_days} days"
        raise InvalidValueError(msg, field="body.cap_tasks", code="admission_refused", needed_tasks=needed)
    guardrails = _guardrails(tx, task_type, metric, draft.guardrails)
    for item in guardrails:
        if item["metric"] == Metric.SUCCESS:
            _check_proof(tx, base, needed, per_day, float(item["margin"]))
    return Admission(base, effect, needed, per_day, metric, guardrails)


def _units_per_day(tx: Tx, task_type: str, scope: ExperimentScope) -> float:
    """Return the units that a day brings: tasks, or windows (per agent that won a task of late)."""
    since_us = tx.now_us - TRAFFIC_WINDOW_US
    count, first_us = governance.posted_since(tx, task_type, since_us)
    per_day = count * DAY_US / max(1, tx.now_us - (first_us or tx.now_us))
    if scope is ExperimentScope.TASK:
        return per_day
    windows = DAY_US / seconds(production_config.number(tx, "sandbox.window_seconds"))
    agents = governance.winners_since(tx, task_type, since_us) if scope is ExperimentScope.AGENT else 1
    return min(per_day, windows * agents)


def _needed(tx: Tx, metric: Metric, base: float, effect: float, per_day: float) -> int:
    """Return the tasks of the trial; refuse what probation could not confirm at the stream's level."""
    alpha = production_config.number(tx, "sandbox.alpha")
    _, _, level = levels.level_now(tx, alpha)
    rate = None if metric.is_ranked else base
    share, cap = _probation(tx, per_day)
    forecast = power.forecast(metric, rate, effect, alpha=alpha, confirm_alpha=level, confirm_share=share)
    later = forecast.probation.tasks
    if later > cap:
        msg = f"an effect of {effect:g} would take {later} more in probation to be confirmed at "
        msg += f"level {level:.2g}; cap and traffic allow {cap}: only a larger effect can be tried"
        code = "confirmation_refused"
        raise InvalidValueError(msg, field="body.expected_effect", code=code, needed_tasks=later)
    return forecast.trial.tasks


def _probation(tx: Tx, per_day: float) -> tuple[float, int]:
    """Return the treatment share of probation, and the most units that its cap and its time bring."""
    share = 1.0 - production_config.number(tx, "sandbox.probation_percent") / 100
    days = seconds(production_config.number(tx, "sandbox.probation_seconds")) / DAY_US
    return share, min(int(production_config.number(tx, "sandbox.probation_tasks")), int(per_day * days))


def _check_proof(tx: Tx, base: float, needed: int, per_day: float, margin: float) -> None:
    """Refuse a margin of task success that could not be proved by the end of probation.

    The bet on non-inferiority gathers what a gap of the size of the margin would: first in the trial, then,
    at a lower rate, in probation.
    """
    share, cap = _probation(tx, per_day)
    below = max(base - margin, 0.0)
    gap = base - below
    if gap <= 0.0:
        return
    nats = needed * power.information(below, gap) + cap * power.information(below, gap, share)
    wanted = power.OVERHEAD * power.evidence_nats(PROOF_ALPHA)
    if nats < wanted:
        enough = margin * math.sqrt(wanted / nats)
        msg = f"a margin of {margin:g} in task success could not be proved by the end of probation at a "
        msg += f"success rate of {base:.0%}; about {enough:.2g} could"
        raise InvalidValueError(
            msg, field="body.guardrails", code="guardrail_unprovable", needed_margin=enough
        )


def _metric(name: str, field: str) -> Metric:
    try:
        return Metric(name)
    except ValueError as error:
        msg = f"{name[:40]!r} is no metric; there are {', '.join(Metric)}"
        raise InvalidValueError(msg, field=field, code="metric_unknown") from error


def _effect(text: str, metric: Metric) -> Decimal:
    """Return the stated effect; for ranks it is at most one half."""
    effect = _decimal(text)
    largest = Decimal("0.5") if metric.is_ranked else Decimal(1)
    fits = LEAST_EFFECT <= effect <= largest and (metric.is_ranked or effect < 1)
    if not fits or len(f"{effect:f}") > EFFECT_LENGTH:
        what = "P(better) - 1/2" if metric.is_ranked else "a gain in success rate"
        bound = "0.5" if metric.is_ranked else "under 1"
        msg = f"the expected effect must be {what}: a decimal from {LEAST_EFFECT} to {bound}"
        raise InvalidValueError(msg, field="body.expected_effect", code="effect_out_of_bounds")
    return effect


def _guardrails(
    tx: Tx, task_type: str, metric: Metric, stated: tuple[tuple[str, str], ...]
) -> list[dict[str, str]]:
    """Return the guardrails as they are kept: a change for speed or cost always guards task success."""
    margins: dict[Metric, Decimal] = {}
    for place, (name, text) in enumerate(stated):
        guarded, margin = _metric(name, f"body.guardrails.{place}.metric"), _decimal(text)
        if guarded is metric or guarded in margins:
            msg = f"{guarded} is named twice, or decides already; guard each other metric once"
            raise InvalidValueError(msg, field=f"body.guardrails.{place}.metric", code="guardrail_twice")
        if not 0 < margin < 1 or len(f"{margin:f}") > EFFECT_LENGTH:
            msg = "a margin must be a decimal between 0 and 1"
            field = f"body.guardrails.{place}.margin"
            raise InvalidValueError(msg, field=field, code="margin_out_of_bounds")
        margins[guarded] = margin
    if metric is not Metric.SUCCESS and Metric.SUCCESS not in margins:
        percent = int(production_config.number(tx, "sandbox.guardrail_margin_percent"))
        margins[Metric.SUCCESS] = Decimal(percent) / 100
    return [
        {
            "metric": str(name),
            "margin": f"{margin:f}",
            "ceiling": repr(governance.ceiling(tx, task_type, name) if name.is_ranked else 1.0),
        }
        for name, margin in margins.items()
    ]


def _decimal(text: str) -> Decimal:
    """Return a finite decimal, 0 for anything else (which every bound refuses)."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        return Decimal(0)
    return value if value.is_finite() else Decimal(0)
