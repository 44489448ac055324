"""The verdict of an experiment: a bet against "the change is no better", settled after every task.

Stands in the experiment stage of the loop: the sandbox feeds it resolved tasks **in assignment order**, and
it answers WIN, LOSS, INCONCLUSIVE, INVALID or not yet. Wealth multiplies by e = 1 + λ[(A − π)(Y − m) +
shift]; under the null its expectation never grows, so P(sup E ≥ 1/α) ≤ α at every peek, any drift, ramp and
task mix (Ville 1939). It never reads a clock, drops a record or revises a verdict, and it never learns what
is being tested.

Sources: Ville 1939; Waudby-Smith & Ramdas 2024 (betting); Turner, Ly & Grünwald 2024 (arXiv 2106.02693);
Duan, Ramdas & Wasserman 2022 (arXiv 2009.05892); Lindon & Malek 2022 (sequential sample-ratio test).
Results repeat bit for bit on one platform; between C libraries `log` may differ in the last digit.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from services.domain.bet import (
    LIMIT_SHARE,
    UNDECIDED,
    BetPlan,
    BetState,
    Decision,
    PlanRefusedError,
    Record,
    RecordRefusedError,
    Verdict,
    predictable_mean,
    start_state,
)
from services.domain.confidence import Estimate, confidence_sequence
from services.domain.guardrails import PROOF_FRACTIONS, harm_step, log_mean_exp, proof_step, update_guardrail
from services.domain.metrics import mid_rank

__all__ = [
    "DEADLINE",
    "FUTILE",
    "UNDECIDED",
    "BetPlan",
    "BetState",
    "Decision",
    "Estimate",
    "PathPoint",
    "PlanRefusedError",
    "Record",
    "RecordRefusedError",
    "Replay",
    "Verdict",
    "confidence_sequence",
    "decide",
    "predictable_mean",
    "replay",
    "share_now",
    "start",
    "start_probation",
    "update",
]

SRM_WEIGHT: Final = 100.0  # Beta(50, 50) at equal shares: pseudo-tasks at the promised share
RAMP_EVIDENCE: Final = 2.0  # harm E below which the ramp goes on
PROOF_ALPHA: Final = 0.05  # level at which a guardrail's non-inferiority is proved
FUTILE: Final = "futile"
DEADLINE: Final = "deadline reached"  # what the sandbox says of a bet that its time left open
PROBATION_WEIGHT: Final = 50.0  # pseudo-tasks of the rate that probation expects


class PathPoint(NamedTuple):
    """The bet after one task: its ordinal, log E, both arms' rates (None before an arm's first task)."""

    ordinal: int
    log_e: float
    control_rate: float | None
    treatment_rate: float | None


@dataclass(frozen=True, slots=True)
class Replay:
    """The fold of `update` over records, up to and including the one that decided."""

    state: BetState
    decision: Decision
    path: tuple[PathPoint, ...]


def start(plan: BetPlan) -> BetState:
    """Return the state before the first task: every wealth is 1."""
    return start_state(plan)


def start_probation(
    plan: BetPlan, state: BetState, *, alpha: float, share: float, cap_tasks: int
) -> tuple[BetPlan, BetState]:
    """Return plan and state of the probation that follows a won trial, with most tasks on the new value.

    The wealth for superiority goes on (one e-process over both legs); harm, sample ratio and guardrail
    harm start afresh, so that a change that was good only at first is caught; guardrail proof goes on. The
    predictable mean starts from what both arms' rates so far make of the new shares. No futility; a win
    ("confirmed") needs E ≥ 1/`alpha` and every guardrail's proof. Raises PlanRefusedError.
    """
    rates = [rate if rate is not None else 0.5 for rate in (state.control_rate, state.treatment_rate)]
    later = replace(
        plan,
        alpha=alpha,
        treatment_share=share,
        cap_tasks=cap_tasks,
        minimum_tasks=min(plan.minimum_tasks, cap_tasks),
        base_rate=min(1.0, (1.0 - share) * rates[0] + share * rates[1]),
        base_weight=PROBATION_WEIGHT,
        futility_alpha=None,
        is_proof_required=True,
        minimum_per_arm=0,
        minimum_cycle_us=0,
        ramp_share=None,
    )
    fresh = start(later)
    guardrails = tuple(
        replace(new, proof_logs=old.proof_logs, proof_log=old.proof_log)
        for new, old in zip(fresh.guardrails, state.guardrails, strict=True)
    )
    carried = replace(
        fresh, e_logs=state.e_logs, e_log=state.e_log, e_max_log=state.e_log, guardrails=guardrails,
        past=state.past,
    )  # fmt: skip
    return later, carried


def share_now(plan: BetPlan, state: BetState, current: float) -> float:
    """Return the treatment share π of the next tasks: the ramp's, then the plan's for good.

    A ramp is over once `ramp_tasks` are counted and the harm evidence is under 2. π enters the bet, so a
    ramp costs no validity. `current` is the share in force.
    """
    if plan.ramp_share is None or current >= plan.treatment_share:
        return plan.treatment_share
    is_calm = state.next_ordinal >= plan.ramp_tasks and state.harm_log < math.log(RAMP_EVIDENCE)
    return plan.treatment_share if is_calm else plan.ramp_share


def update(plan: BetPlan, state: BetState, record: Record) -> BetState:
    """Return the state after one more record, its `decision` included.

    Raises RecordRefusedError, naming the field, for a record out of assignment order, already counted, with
    an arm other than 0 or 1, a share outside (0, 1) or an outcome outside the metric's range.
    """
    _check(plan, state, record)
    arm, share, outcome, past = record.arm, record.share, record.outcome, state.past
    if plan.metric.is_ranked:
        place = bisect_right(past, outcome)
        outcome, past = mid_rank(past, outcome), (*past[:place], outcome, *past[place:])
    n, total = state.strata.get(record.stratum, (0, 0.0))
    mean = predictable_mean(plan, state.next_ordinal, state.successes[0] + state.successes[1], n, total)
    x = (arm - share) * (outcome - mean)
    e_logs, harm_logs, futility_logs = _bets(plan, state, share, mean, x)
    e_log = _mixed(e_logs, plan.stated_weight)
    control, treated = state.assigned
    failed, succeeded = state.successes
    resolved, resolved_expected, resolved_srm_log = _resolution(state, record)
    guardrails = state.guardrails
    if guardrails:
        guardrails = tuple(
            update_guardrail(
                guardrail, old, plan.grid, tasks=state.next_ordinal, arm=arm, share=share, measure=measure
            )
            for guardrail, old, measure in zip(plan.guardrails, guardrails, record.guardrails, strict=True)
        )
    fresh = BetState(
        state.next_ordinal + 1,
        (control + 1 - arm, treated + arm),
        (failed, succeeded + outcome) if arm else (failed + outcome, succeeded),
        e_logs,
        harm_logs,
        futility_logs,
        e_log,
        max(state.e_max_log, e_log),
        log_mean_exp(harm_logs),
        log_mean_exp(futility_logs),
        state.srm_log + _srm_step(state.assigned[1], state.expected_treated, state.next_ordinal, arm, share),
        state.expected_treated + share,
        resolved,
        resolved_expected,
        resolved_srm_log,
        max(state.elapsed_us, record.at_us),
        past,
        guardrails,
        {**state.strata, record.stratum: (n + 1, total + outcome)},
        state.decision,
    )
    if fresh.decision.verdict is None:
        decision = _judge(plan, fresh)
        if decision is not UNDECIDED:
            object.__setattr__(fresh, "decision", decision)
    return fresh


def decide(plan: BetPlan, state: BetState) -> Decision:
    """Return the verdict of the state under its plan; the first verdict reached is final."""
    return state.decision if state.decision.verdict else _judge(plan, state)


def replay(plan: BetPlan, records: Iterable[Record], state: BetState | None = None) -> Replay:
    """Fold `update` over records in assignment order, from `state` if given, and stop at the decision.

    Raises RecordRefusedError as `update` does, and also when a (non-empty) unit is counted twice: the unit
    that was randomised is the unit that is bet on, once.
    """
    state = start(plan) if state is None else state
    path: list[PathPoint] = []
    units: set[str] = set()
    for record in records:
        if record.unit and record.unit in units:
            raise RecordRefusedError(
                "unit", f"{record.unit!r} was already counted; bet once per randomised unit"
            )
        units.add(record.unit)
        state = update(plan, state, record)
        path.append(PathPoint(record.ordinal, state.e_log, state.control_rate, state.treatment_rate))
        if state.decision.verdict:
            break
    return Replay(state, state.decision, tuple(path))


def _bets(
    plan: BetPlan, state: BetState, share: float, mean: float, x: float
) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """Return the log wealths (superiority, harm, futility) after x = (A − π)(Y − m); every e stays > 0."""
    other = 1.0 - share
    unit = x / (mean * (1.0 - mean))
    widest = min(mean / share, (1.0 - mean) / other)
    stake = min(plan.effect / plan.spread(mean), LIMIT_SHARE * widest / (mean * (1.0 - mean)))
    gain = widest * unit
    log1p = math.log1p
    e_logs = (
        state.e_logs[0] + log1p(stake * x),
        *[log + log1p(c * gain) for c, log in zip(plan.grid, state.e_logs[1:], strict=True)],
    )
    loss = harm_step(share, mean, x)
    harm_logs = tuple([log + log1p(c * loss) for c, log in zip(plan.grid, state.harm_logs, strict=True)])
    miss = proof_step(other, mean, -x, plan.effect, plan.spread(mean))
    futility_logs = tuple(
        [log + log1p(c * miss) for c, log in zip(PROOF_FRACTIONS, state.futility_logs, strict=True)]
    )
    return e_logs, harm_logs, futility_logs


def _srm_step(treated: int, expected_treated: float, tasks: int, arm: int, share: float) -> float:
    """Return log(predicted / promised probability of this arm), Beta(50, 50) carried over to any share.

    The predicted share is π plus the treated surplus so far over (100 + tasks): at constant π exactly the
    Beta posterior mean, and under a ramp still a probability fixed before the arm is seen, so the product
    is an e-process.
    """
    surplus = (treated - expected_treated) / (SRM_WEIGHT + tasks)
    predicted = min(max(share + surplus, 0.01 * share), 1.0 - 0.01 * (1.0 - share))
    return math.log(predicted / share if arm else (1.0 - predicted) / (1.0 - share))


def _resolution(state: BetState, record: Record) -> tuple[tuple[int, int], float, float]:
    """Return counts, expectation and sample-ratio wealth of the tasks whose outcome came in time."""
    if not record.is_resolved:
        return state.resolved, state.resolved_expected, state.resolved_srm_log
    control, treated = state.resolved
    step = _srm_step(treated, state.resolved_expected, control + treated, record.arm, record.share)
    counts = (control + 1 - record.arm, treated + record.arm)
    return counts, state.resolved_expected + record.share, state.resolved_srm_log + step


def _judge(plan: BetPlan, state: BetState) -> Decision:
    """Return the verdict these numbers give by themselves, in the order of the rules."""
    tasks = state.next_ordinal
    trip = -math.log(plan.srm_alpha)
    if state.srm_log >= trip:
        return Decision(Verdict.INVALID, "sample ratio mismatch")
    if state.resolved_srm_log >= trip:
        return Decision(Verdict.INVALID, "sample ratio mismatch of resolved outcomes")
    harm = math.log(plan.harm_evidence)
    if state.harm_log >= harm:
        return Decision(Verdict.LOSS, "harm shown")
    for guardrail, bets in zip(plan.guardrails, state.guardrails, strict=True):
        if bets.harm_log >= harm:
            return Decision(Verdict.LOSS, f"harm shown in guardrail {guardrail.metric}")
    if tasks >= plan.minimum_tasks:
        if state.e_log >= -math.log(plan.alpha) and _may_win(plan, state):
            return Decision(Verdict.WIN, "improvement shown")
        if plan.futility_alpha is not None and state.futility_log >= -math.log(plan.futility_alpha):
            return Decision(Verdict.INCONCLUSIVE, FUTILE)
    if tasks >= plan.cap_tasks:
        return Decision(Verdict.INCONCLUSIVE, "cap reached")
    return UNDECIDED


def _may_win(plan: BetPlan, state: BetState) -> bool:
    """Tell whether everything that a win needs besides the evidence is there."""
    is_proved = not plan.is_proof_required or all(
        bets.proof_log >= -math.log(PROOF_ALPHA) for bets in state.guardrails
    )
    is_seen = min(state.assigned) >= plan.minimum_per_arm and state.elapsed_us >= plan.minimum_cycle_us
    return is_proved and is_seen


def _mixed(logs: Sequence[float], first_weight: float) -> float:
    """Return the log of the mean wealth: `first_weight` on the first bet, the rest evenly on the others."""
    if first_weight == 0.0 or len(logs) == 1:
        logs, first_weight = (logs[1:] or logs), 1.0 / max(1, len(logs) - 1)
    top = max(logs)
    scaled = [math.exp(log - top) for log in logs]
    if len(scaled) == 1:
        return top
    rest = (1.0 - first_weight) / (len(scaled) - 1)
    return top + math.log(first_weight * scaled[0] + rest * sum(scaled[1:]))


def _check(plan: BetPlan, state: BetState, record: Record) -> None:
    """Refuse a record that would break assignment order or the range of the bet."""
    due = state.next_ordinal
    if record.ordinal != due:
        what = "was already counted" if 0 <= record.ordinal < due else "is out of assignment order"
        raise RecordRefusedError("ordinal", f"{record.ordinal} {what}; the next is {due}")
    if record.arm not in (0, 1):
        raise RecordRefusedError("arm", f"must be 0 or 1, got {record.arm!r}")
    if not 0.0 < record.share < 1.0:
        raise RecordRefusedError("share", f"must lie strictly between 0 and 1, got {record.share!r}")
    _check_measure("outcome", record.outcome, is_ranked=plan.metric.is_ranked)
    if len(record.guardrails) != len(plan.guardrails):
        raise RecordRefusedError("guardrails", f"must have {len(plan.guardrails)} measures")
    for guardrail, measure in zip(plan.guardrails, record.guardrails, strict=True):
        _check_measure("guardrails", measure, is_ranked=guardrail.metric.is_ranked)


def _check_measure(name: str, measure: float, *, is_ranked: bool) -> None:
    if is_ranked and not 0.0 <= measure < math.inf:
        raise RecordRefusedError(name, f"must be a finite number from 0, got {measure!r}")
    if not is_ranked and not 0.0 <= measure <= 1.0:
        raise RecordRefusedError(name, f"must lie in [0, 1], got {measure!r}")
