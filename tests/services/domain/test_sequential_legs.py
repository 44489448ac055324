"""The bet's second leg and what stands beside the evidence: probation, ramp, minima, guardrails, ranks."""

import math
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from services.domain.guardrails import Guardrail
from services.domain.metrics import Metric, mid_rank
from services.domain.sequential import (
    BetPlan,
    BetState,
    Decision,
    PlanRefusedError,
    Record,
    RecordRefusedError,
    Verdict,
    replay,
    share_now,
    start,
    start_probation,
    update,
)

COSTS = Guardrail(Metric.COST, 0.4, 100.0)
PLAN = BetPlan(effect=0.2, cap_tasks=2_000, base_rate=0.67, guardrails=(COSTS,), ramp_share=0.1)


def stream(
    seed: int, tasks: int, control: float, treatment: float, share: float = 0.5, **fields: Any
) -> Iterator[Record]:
    """Yield Bernoulli tasks whose cost is about 50 in control and 40 in treatment."""
    source = random.Random(seed)
    for ordinal in range(tasks):
        arm = int(source.random() < share)
        outcome = float(source.random() < (treatment if arm else control))
        costs = (source.uniform(40, 60) - 10 * arm,)
        yield Record(ordinal, "", arm, share, outcome, guardrails=costs, **fields)


def won() -> tuple[BetPlan, BetState]:
    end = replay(PLAN, stream(1, 500, 0.6, 0.95))
    assert end.decision.verdict is Verdict.WIN
    return PLAN, end.state


def on_probation(alpha: float = 0.001, cap_tasks: int = 500) -> tuple[BetPlan, BetState]:
    return start_probation(*won(), alpha=alpha, share=0.85, cap_tasks=cap_tasks)


# --- probation --------------------------------------------------------------------------------------------


def test_probation_carries_the_wealth_and_starts_harm_afresh():
    _, ended = won()
    plan, state = on_probation()
    assert (state.e_logs, state.e_log, state.e_max_log) == (ended.e_logs, ended.e_log, ended.e_log)
    assert (state.next_ordinal, state.assigned, state.strata) == (0, (0, 0), {})
    assert ended.harm_log != 0.0
    assert (state.harm_log, state.harm_logs) == (0.0, (0.0,) * len(plan.grid))
    assert (state.srm_log, state.resolved_srm_log, state.decision.verdict) == (0.0, 0.0, None)
    assert state.guardrails[0].proof_log == ended.guardrails[0].proof_log != 0.0
    assert (state.guardrails[0].harm_log, state.guardrails[0].total) == (0.0, 0.0)


def test_the_plan_of_probation_asks_for_more_and_expects_both_arms_rates():
    trial, ended = won()
    plan, _ = on_probation()
    mixed = 0.15 * ended.control_rate + 0.85 * ended.treatment_rate
    assert plan.base_rate == pytest.approx(mixed)
    assert (plan.alpha, plan.treatment_share, plan.cap_tasks, plan.base_weight) == (0.001, 0.85, 500, 50.0)
    assert (plan.futility_alpha, plan.is_proof_required, plan.ramp_share) == (None, True, None)
    assert (plan.minimum_per_arm, plan.minimum_cycle_us) == (0, 0)
    kept = ("effect", "metric", "guardrails", "grid", "harm_evidence", "srm_alpha", "stated_weight")
    assert all(getattr(plan, name) == getattr(trial, name) for name in kept)


def test_probation_without_a_task_in_an_arm_expects_one_half_there():
    state = update(PLAN, start(PLAN), Record(0, "", 1, 0.1, 1.0, guardrails=(1.0,)))
    plan, _ = start_probation(PLAN, state, alpha=0.01, share=0.85, cap_tasks=10)
    assert plan.base_rate == pytest.approx(0.15 * 0.5 + 0.85)
    assert plan.minimum_tasks == 10


@pytest.mark.parametrize(("name", "value"), [("alpha", 0.0), ("share", 1.0), ("cap_tasks", 0)])
def test_a_probation_that_cannot_be_bet_on_is_refused(name, value):
    arguments = {"alpha": 0.01, "share": 0.85, "cap_tasks": 100, name: value}
    with pytest.raises(PlanRefusedError):
        start_probation(*won(), **arguments)


def test_a_change_that_stays_good_is_confirmed_and_one_that_turns_bad_is_not():
    plan, state = on_probation()
    good = replay(plan, stream(3, 500, 0.6, 0.95, share=0.85), state)
    assert good.decision == Decision(Verdict.WIN, "improvement shown")
    assert good.state.e_log >= -math.log(0.001)
    bad = replay(plan, stream(3, 500, 0.9, 0.6, share=0.85), state)
    assert bad.decision == Decision(Verdict.LOSS, "harm shown")
    vanished = replay(plan, stream(8, 500, 0.9, 0.9, share=0.85), state)
    assert vanished.decision.verdict is not Verdict.WIN


def test_over_both_legs_a_useless_change_is_confirmed_at_its_level_only():
    trial = BetPlan(effect=0.2, cap_tasks=300, base_rate=0.7)
    confirmed = provisional = 0
    for seed in range(400):
        first = replay(trial, [replace(r, guardrails=()) for r in stream(seed, 300, 0.7, 0.7)])
        if first.decision.verdict is not Verdict.WIN:
            continue
        provisional += 1
        plan, state = start_probation(trial, first.state, alpha=0.005, share=0.85, cap_tasks=400)
        second = [replace(r, guardrails=()) for r in stream(10_000 + seed, 400, 0.7, 0.7, share=0.85)]
        confirmed += replay(plan, second, state).decision.verdict is Verdict.WIN
    assert 2 <= provisional <= 28
    assert confirmed <= 6  # 0.5 % of 400 is 2


# --- the ramp ---------------------------------------------------------------------------------------------


def test_a_ramp_ends_once_its_tasks_are_counted_without_a_hint_of_harm():
    state = start(PLAN)
    for record in stream(1, 19, 0.6, 0.95, share=0.1):
        assert share_now(PLAN, state, 0.1) == 0.1
        state = update(PLAN, state, record)
    assert share_now(PLAN, state, 0.1) == 0.1
    state = update(PLAN, state, Record(19, "", 0, 0.1, 1.0, guardrails=(50.0,)))
    assert state.harm_log < math.log(2)
    assert share_now(PLAN, state, 0.1) == 0.5


def test_a_hint_of_harm_keeps_the_ramp_and_nothing_brings_it_back():
    state = replace(start(PLAN), next_ordinal=30, harm_log=math.log(2))
    assert share_now(PLAN, state, 0.1) == 0.1
    assert share_now(PLAN, state, 0.5) == 0.5
    assert share_now(PLAN, replace(state, harm_log=math.log(1.999)), 0.1) == 0.5
    assert share_now(replace(PLAN, ramp_share=None), start(PLAN), 0.5) == 0.5


# --- what a win needs besides the evidence ----------------------------------------------------------------


def evidence(plan: BetPlan, *, control: int, treated: int, at_us: int = 0) -> Decision:
    """The decision when every treated task succeeds and every other fails."""
    state = start(plan)
    arms = [0] * control + [1] * treated
    for ordinal, arm in enumerate(arms):
        state = update(plan, state, Record(ordinal, "", arm, 0.5, float(arm), at_us=at_us * (ordinal + 1)))
        if state.decision.verdict:
            break
    return state.decision


OPEN = BetPlan(effect=0.5, cap_tasks=1_000, srm_alpha=1e-12, minimum_tasks=0, base_rate=0.5)


def test_no_win_before_both_arms_have_their_tasks():
    plan = replace(OPEN, minimum_per_arm=8)
    assert evidence(plan, control=7, treated=40).verdict is None
    assert evidence(plan, control=8, treated=40).verdict is Verdict.WIN
    assert evidence(plan, control=40, treated=7).verdict is None
    assert evidence(plan, control=40, treated=8).verdict is Verdict.WIN


def test_no_win_before_the_cycle_has_passed():
    plan = replace(OPEN, minimum_cycle_us=1_000)
    assert evidence(plan, control=10, treated=30, at_us=24).verdict is None
    assert evidence(plan, control=10, treated=30, at_us=25).verdict is Verdict.WIN


def test_harm_does_not_wait_for_minima():
    plan = replace(OPEN, minimum_per_arm=500, minimum_cycle_us=10**12, minimum_tasks=900)
    state = start(plan)
    for ordinal in range(100):
        record = Record(ordinal, "", ordinal % 2, 0.5, float(1 - ordinal % 2))
        state = update(plan, state, record)
    assert state.decision == Decision(Verdict.LOSS, "harm shown")


# --- guardrails -------------------------------------------------------------------------------------------


def test_harm_in_a_guardrail_stops_what_wins_otherwise():
    plan = BetPlan(effect=0.2, cap_tasks=2_000, guardrails=(COSTS,), minimum_tasks=2_000)
    source = random.Random(4)
    records = [
        replace(record, guardrails=(source.uniform(20, 40) + 50 * record.arm,))
        for record in stream(1, 1_000, 0.6, 0.9)
    ]
    end = replay(plan, records)
    assert end.decision == Decision(Verdict.LOSS, "harm shown in guardrail task_cost")
    assert end.state.e_log > 0.0


def test_a_win_waits_for_the_proof_of_every_guardrail_where_it_is_asked_for():
    plan = BetPlan(
        effect=0.2, cap_tasks=3_000, minimum_tasks=0, guardrails=(Guardrail(Metric.COST, 0.1, 100.0),)
    )
    records = list(stream(1, 3_000, 0.6, 0.95))
    free = replay(plan, records)
    bound = replay(replace(plan, is_proof_required=True), records)
    assert free.state.guardrails[0].proof_log < math.log(20) <= bound.state.guardrails[0].proof_log
    assert free.decision == bound.decision == Decision(Verdict.WIN, "improvement shown")
    assert bound.state.next_ordinal > free.state.next_ordinal


@pytest.mark.parametrize("measures", [(), (1.0, 2.0), (-1.0,), (math.nan,), (math.inf,)])
def test_a_record_without_its_guardrails_measures_is_refused(measures):
    with pytest.raises(RecordRefusedError) as refused:
        update(PLAN, start(PLAN), Record(0, "", 1, 0.5, 1.0, guardrails=measures))
    assert refused.value.field == "guardrails"


def test_a_plan_names_each_metric_once():
    with pytest.raises(PlanRefusedError, match="name each metric once"):
        BetPlan(effect=0.1, cap_tasks=10, minimum_tasks=0, guardrails=(COSTS, COSTS))
    with pytest.raises(PlanRefusedError, match="task_cost is what decides already"):
        BetPlan(effect=0.1, cap_tasks=10, minimum_tasks=0, metric=Metric.COST, guardrails=(COSTS,))


# --- resolved outcomes ------------------------------------------------------------------------------------


def test_tasks_that_resolve_unevenly_make_an_experiment_invalid():
    plan = BetPlan(effect=0.2, cap_tasks=5_000, minimum_tasks=5_000)
    source = random.Random(2)
    records = [
        replace(record, guardrails=(), is_resolved=record.arm == 0 or source.random() < 0.7)
        for record in stream(5, 3_000, 0.7, 0.7)
    ]
    end = replay(plan, records)
    assert end.decision == Decision(Verdict.INVALID, "sample ratio mismatch of resolved outcomes")
    assert end.state.srm_log < math.log(100)


def test_tasks_that_resolve_evenly_do_not():
    plan = BetPlan(effect=0.2, cap_tasks=3_000, minimum_tasks=3_000, harm_evidence=1e12)
    source = random.Random(3)
    invalid = 0
    for seed in range(40):
        records = (
            replace(record, guardrails=(), is_resolved=source.random() < 0.7)
            for record in stream(seed, 1_000, 0.7, 0.7)
        )
        end = replay(plan, records)
        assert sum(end.state.resolved) < 800
        invalid += end.decision.verdict is Verdict.INVALID
    assert invalid <= 2


def test_when_everything_resolves_both_ratio_tests_are_one():
    state = replay(PLAN, stream(6, 60, 0.7, 0.7)).state
    assert state.resolved == state.assigned
    assert (state.resolved_srm_log, state.resolved_expected) == (state.srm_log, state.expected_treated)


# --- ranked metrics ---------------------------------------------------------------------------------------


def paid(seed: int, tasks: int, factor: float) -> list[Record]:
    source = random.Random(seed)
    arms = [int(source.random() < 0.5) for _ in range(tasks)]
    return [
        Record(ordinal, "", arm, 0.5, source.paretovariate(1.2) * (factor if arm else 1.0))
        for ordinal, arm in enumerate(arms)
    ]


def test_a_ranked_metric_bets_on_the_rank_among_past_outcomes():
    plan = BetPlan(effect=0.1, cap_tasks=500, metric=Metric.COST)
    state, seen = start(plan), list[float]()
    ranks = [0.0, 0.0]
    for record in paid(2, 80, 0.8):
        ranks[record.arm] += mid_rank(sorted(seen), record.outcome)
        seen.append(record.outcome)
        state = update(plan, state, record)
        assert state.past == tuple(sorted(seen))
    assert state.successes == pytest.approx(ranks)


def test_a_cheaper_treatment_wins_a_dearer_one_loses_and_a_heavy_tail_alone_does_neither():
    plan = BetPlan(effect=0.15, cap_tasks=3_000, metric=Metric.COST, futility_alpha=None)
    assert replay(plan, paid(2, 3_000, 0.6)).decision.verdict is Verdict.WIN
    assert replay(plan, paid(2, 3_000, 1.6)).decision.verdict is Verdict.LOSS
    wins = sum(replay(plan, paid(seed, 400, 1.0)).decision.verdict is Verdict.WIN for seed in range(60))
    assert wins <= 6


def test_the_scale_of_a_ranked_metric_does_not_matter():
    plan = BetPlan(effect=0.15, cap_tasks=3_000, metric=Metric.DURATION)
    records = paid(4, 200, 0.7)
    logs = [replace(record, outcome=math.log1p(record.outcome)) for record in records]
    there, back = replay(plan, records), replay(plan, logs)
    assert (there.path, there.decision) == (back.path, back.decision)


def test_probation_remembers_the_outcomes_that_ranks_are_taken_among():
    plan = BetPlan(effect=0.15, cap_tasks=3_000, metric=Metric.COST)
    ended = replay(plan, paid(2, 3_000, 0.6)).state
    _, state = start_probation(plan, ended, alpha=0.01, share=0.85, cap_tasks=100)
    assert state.past == ended.past
    assert len(state.past) == ended.next_ordinal


@pytest.mark.parametrize("outcome", [-1.0, math.inf, math.nan])
def test_a_ranked_outcome_is_a_finite_number_from_zero(outcome):
    plan = BetPlan(effect=0.1, cap_tasks=500, metric=Metric.DURATION)
    with pytest.raises(RecordRefusedError, match=r"^outcome"):
        update(plan, start(plan), Record(0, "", 1, 0.5, outcome))


def test_the_effect_on_ranks_is_at_most_one_half():
    assert BetPlan(effect=0.5, cap_tasks=100, metric=Metric.COST).effect == 0.5
    with pytest.raises(PlanRefusedError, match="effect"):
        BetPlan(effect=0.51, cap_tasks=100, metric=Metric.COST)


# --- stored -----------------------------------------------------------------------------------------------

LATER_PLAN = ("metric", "guardrails", "is_proof_required", "minimum_per_arm", "minimum_cycle_us")
LATER_PLAN += ("ramp_share", "ramp_tasks")
LATER_STATE = ("resolved", "resolved_expected", "resolved_srm_log", "elapsed_us", "past", "guardrails")


def test_plan_and_state_are_read_back_exactly():
    plan, state = on_probation()
    assert BetPlan.from_payload(plan.to_payload()) == plan
    records = list(stream(3, 60, 0.6, 0.9, share=0.85, stratum="a", at_us=5, is_resolved=False))
    half = replay(plan, records[:30], state).state
    again = BetState.from_payload(half.to_payload())
    assert again == half
    assert replay(plan, records[30:], again).state == replay(plan, records, state).state


@pytest.mark.parametrize("left_out", [*[(name,) for name in LATER_PLAN], LATER_PLAN], ids=str)
def test_a_plan_written_before_a_field_existed_means_its_default(left_out):
    plan = BetPlan(effect=0.1, cap_tasks=100, base_rate=0.5)
    payload = {name: value for name, value in plan.to_payload().items() if name not in left_out}
    assert BetPlan.from_payload(payload) == plan


@pytest.mark.parametrize("left_out", [*[(name,) for name in LATER_STATE], LATER_STATE], ids=str)
def test_a_state_written_before_a_field_existed_means_its_default(left_out):
    state = start(BetPlan(effect=0.1, cap_tasks=100))
    payload = {name: value for name, value in state.to_payload().items() if name not in left_out}
    assert BetState.from_payload(payload) == state


@pytest.mark.parametrize(
    ("name", "value"),
    [("metric", "joy"), ("guardrails", [{}]), ("is_proof_required", "yes"), ("ramp_share", "2"),
     ("minimum_per_arm", -1), ("minimum_cycle_us", -1), ("ramp_tasks", -1)],
)  # fmt: skip
def test_a_later_field_that_is_there_is_checked(name, value):
    payload = BetPlan(effect=0.1, cap_tasks=100).to_payload()
    with pytest.raises(PlanRefusedError) as refused:
        BetPlan.from_payload({**payload, name: value})
    assert refused.value.field == name


@pytest.mark.parametrize("share", [0.85, 0.86, 0.87, 0.88, 0.89, 0.9])
def test_probation_starts_where_every_task_has_succeeded(share):
    plan = BetPlan(effect=0.3, cap_tasks=100, base_rate=0.5)
    state = replace(start(plan), next_ordinal=60, assigned=(30, 30), successes=(30.0, 30.0))
    for rates in ((1.0, 1.0), (0.1, 1.0), (1.0 - 2**-53, 1.0)):
        sure = replace(state, successes=(30 * rates[0], 30 * rates[1]))
        later, _ = start_probation(plan, sure, alpha=0.001, share=share, cap_tasks=100)
        assert 0.0 <= later.base_rate <= 1.0
