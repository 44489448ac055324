"""The sequential bet: what it promotes, what it refuses, and that it can be stored and replayed exactly.

Simulations use fixed seeds; their bounds leave room for noise and still fail for a rule that peeks naively
(about 20 % false wins in the null cell).
"""

import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.domain.sequential import (
    BetPlan,
    BetState,
    Decision,
    PlanRefusedError,
    Record,
    RecordRefusedError,
    Verdict,
    decide,
    predictable_mean,
    replay,
    start,
    update,
)

NEVER = 1e-12  # a level no wealth here reaches: switches one rule off


def stream(
    seed: int, tasks: int, control: float, treatment: float, share: float = 0.5, promised: float | None = None
) -> Iterator[Record]:
    """Yield Bernoulli tasks assigned with probability `share` and recorded with `promised`."""
    rng = random.Random(seed)
    for ordinal in range(tasks):
        arm = int(rng.random() < share)
        outcome = float(rng.random() < (treatment if arm else control))
        yield Record(ordinal, f"task_{ordinal}", arm, share if promised is None else promised, outcome)


def verdicts(
    plan: BetPlan, runs: int, tasks: int, control: float, treatment: float
) -> list[tuple[Decision, int]]:
    """Run the public fold on `runs` seeds; return each decision with the tasks it took."""
    ends = []
    for seed in range(runs):
        end = replay(plan, stream(seed, tasks, control, treatment))
        ends.append((end.decision, end.state.next_ordinal))
    return ends


def fold(plan: BetPlan, records: Sequence[Record]) -> BetState:
    state = start(plan)
    for record in records:
        state = update(plan, state, record)
    return state


# --- what it decides --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rate", "effect"), [(0.67, 0.27), (0.90, 0.05)])
def test_a_useless_change_is_rarely_promoted_however_often_one_looks(rate: float, effect: float) -> None:
    plan = BetPlan(effect=effect, cap_tasks=600, base_rate=rate, futility_alpha=NEVER, harm_evidence=1e12)
    ends = verdicts(plan, 300, 600, rate, rate)
    false_wins = sum(decision.verdict is Verdict.WIN for decision, _ in ends)
    assert false_wins / 300 <= 0.08
    assert any(decision.reason == "cap reached" for decision, _ in ends)


def test_drift_and_ramp_do_not_promote_a_useless_change() -> None:
    plan = BetPlan(effect=0.1, cap_tasks=1_000, base_rate=0.6, futility_alpha=NEVER, harm_evidence=1e12)
    false_wins = 0
    for seed in range(120):
        rng = random.Random(seed)
        state = start(plan)
        for ordinal in range(1_000):
            share = 0.1 + 0.8 * ordinal / 1_000
            rate = 0.6 + 0.3 * ordinal / 1_000
            arm = int(rng.random() < share)
            state = update(plan, state, Record(ordinal, "", arm, share, float(rng.random() < rate)))
            if state.decision.verdict:
                break
        false_wins += state.decision.verdict is Verdict.WIN
    assert false_wins <= 14  # 5 % of 120 is 6; a pooled z-test promotes nearly all of them


def test_the_seed_case_is_promoted_within_a_hundred_tasks() -> None:
    plan = BetPlan(effect=0.27, cap_tasks=2_000, base_rate=0.67)
    wins = [
        tasks for decision, tasks in verdicts(plan, 300, 2_000, 0.67, 0.94) if decision.verdict is Verdict.WIN
    ]
    assert sum(tasks <= 100 for tasks in wins) / 300 >= 0.80
    assert sum(wins) / len(wins) <= 64
    assert min(wins) >= plan.minimum_tasks


def test_the_grid_alone_promotes_the_seed_case_without_history() -> None:
    plan = BetPlan(effect=0.27, cap_tasks=2_000, stated_weight=0.0, futility_alpha=NEVER)
    ends = verdicts(plan, 300, 2_000, 0.67, 0.94)
    assert sum(tasks for _, tasks in ends) / 300 <= 78
    assert sum(tasks <= 100 for _, tasks in ends) / 300 >= 0.75


def test_harm_is_found() -> None:
    plan = BetPlan(effect=0.05, cap_tasks=2_000, base_rate=0.90, futility_alpha=NEVER)
    ends = verdicts(plan, 150, 2_000, 0.90, 0.75)
    assert sum(decision.verdict is Verdict.LOSS for decision, _ in ends) / 150 >= 0.97
    assert sum(tasks for _, tasks in ends) / 150 <= 210


def test_a_harmful_change_is_stopped_and_never_promoted_under_the_default_plan() -> None:
    plan = BetPlan(effect=0.05, cap_tasks=2_000, base_rate=0.90)
    ends = verdicts(plan, 150, 2_000, 0.90, 0.75)
    assert {decision.verdict for decision, _ in ends} <= {Verdict.LOSS, Verdict.INCONCLUSIVE, Verdict.INVALID}
    assert sum(tasks for _, tasks in ends) / 150 <= 200


def test_futility_ends_a_useless_experiment_and_seldom_a_good_one() -> None:
    plan = BetPlan(effect=0.10, cap_tasks=3_000, base_rate=0.67)
    null = verdicts(plan, 80, 3_000, 0.67, 0.67)
    assert sum(decision == Decision(Verdict.INCONCLUSIVE, "futile") for decision, _ in null) / 80 >= 0.8
    assert sum(tasks for _, tasks in null) / 80 <= 650
    good = Counter(decision.reason for decision, _ in verdicts(plan, 80, 3_000, 0.67, 0.77))
    assert good["futile"] / 80 <= 0.15


def test_a_broken_split_is_invalid_and_a_kept_one_is_not() -> None:
    plan = BetPlan(effect=0.1, cap_tasks=1_500, alpha=NEVER, futility_alpha=NEVER, harm_evidence=1e12)
    broken = [replay(plan, stream(seed, 1_500, 0.7, 0.7, share=0.4, promised=0.5)) for seed in range(40)]
    assert all(end.decision == Decision(Verdict.INVALID, "sample ratio mismatch") for end in broken)
    assert sorted(end.state.next_ordinal for end in broken)[20] <= 450
    kept = [replay(plan, stream(seed, 1_500, 0.7, 0.7)) for seed in range(60)]
    assert sum(end.decision.verdict is Verdict.INVALID for end in kept) <= 3


def test_the_split_test_equals_the_beta_binomial_at_a_constant_share() -> None:
    plan = BetPlan(effect=0.1, cap_tasks=5_000)
    share = 0.3
    state = fold(plan, list(stream(3, 400, 0.7, 0.7, share=share)))
    n0, n1 = state.assigned
    a, b = 100 * share, 100 * (1 - share)
    beta = math.lgamma(a + n1) + math.lgamma(b + n0) - math.lgamma(a + b + n0 + n1)
    beta -= math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    assert state.srm_log == pytest.approx(beta - n1 * math.log(share) - n0 * math.log(1 - share), abs=1e-9)


def test_a_mismatch_outranks_a_win() -> None:
    plan = BetPlan(effect=0.27, cap_tasks=100, minimum_tasks=100, srm_alpha=0.9, harm_evidence=1e12)
    records = [Record(n, "", int(n % 4 != 0), 0.5, float(n % 4 != 0)) for n in range(100)]
    state = fold(plan, records)
    assert state.e_log > math.log(20)
    assert state.decision.verdict is Verdict.INVALID


def test_no_win_before_the_minimum_and_the_first_verdict_stays() -> None:
    plan = BetPlan(effect=0.5, cap_tasks=500, minimum_tasks=60, base_rate=0.5)
    good = [Record(n, "", n % 2, 0.5, float(n % 2)) for n in range(60)]
    state = start(plan)
    for record in good:
        assert decide(plan, state).verdict is None
        state = update(plan, state, record)
    assert decide(plan, state) == Decision(Verdict.WIN, "improvement shown")
    for n in range(60, 400):  # now treatment fails every task: the numbers move, the verdict does not
        state = update(plan, state, Record(n, "", n % 2, 0.5, float(1 - n % 2)))
    assert state.harm_log > math.log(20)
    assert state.e_log < 0 < state.e_max_log
    assert decide(plan, state) == Decision(Verdict.WIN, "improvement shown")


def test_strata_save_tasks_when_kinds_differ() -> None:
    rates = (0.35, 0.55, 0.75, 0.9, 0.97)
    spent = Counter[bool]()
    for is_stratified in (False, True):
        plan = BetPlan(effect=0.12, cap_tasks=3_000, futility_alpha=NEVER)
        for seed in range(80):
            rng = random.Random(seed)
            state = start(plan)
            while state.decision.verdict is None:
                kind, arm = rng.randrange(5), rng.randrange(2)
                rate = min(1.0, rates[kind] + 0.5 * arm * (1 - rates[kind]))
                stratum = f"kind_{kind}" if is_stratified else ""
                outcome = float(rng.random() < rate)
                state = update(plan, state, Record(state.next_ordinal, "", arm, 0.5, outcome, stratum))
            spent[is_stratified] += state.next_ordinal
    assert spent[True] <= 0.95 * spent[False]


# --- numbers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [0.0, 1.0])
@pytest.mark.parametrize("base_rate", [None, 0.0, 1.0, 0.9])
def test_numbers_stay_finite_when_everything_succeeds_or_fails(
    outcome: float, base_rate: float | None
) -> None:
    plan = BetPlan(effect=1.0, cap_tasks=5_000, base_rate=base_rate)
    rng = random.Random(5)
    state = fold(plan, [Record(n, "", rng.randrange(2), 0.5, outcome) for n in range(3_000)])
    logs = (*state.e_logs, *state.harm_logs, *state.futility_logs)
    assert all(math.isfinite(log) for log in (*logs, state.e_log, state.harm_log, state.futility_log))
    assert state.e_log < math.log(20)
    assert state.harm_log < math.log(20)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 1),
            st.floats(1e-6, 1 - 1e-6),
            st.floats(0, 1),
            st.sampled_from(["", "a", "b"]),
        ),
        max_size=60,
    ),
    st.floats(1e-3, 1.0),
    st.one_of(st.none(), st.floats(0, 1)),
)
def test_every_wealth_stays_positive_for_any_share_outcome_and_plan(
    rows: list[tuple[int, float, float, str]], effect: float, base_rate: float | None
) -> None:
    plan = BetPlan(effect=effect, cap_tasks=1_000, base_rate=base_rate)
    state = fold(plan, [Record(n, "", *row) for n, row in enumerate(rows)])
    logs = (*state.e_logs, *state.harm_logs, *state.futility_logs, state.srm_log)
    assert all(math.isfinite(log) for log in logs)
    again = BetState.from_payload(state.to_payload())
    assert again == state
    assert again.to_payload() == state.to_payload()


def test_the_bet_is_fair_under_the_null() -> None:
    """The expected wealth after the next task is the wealth before it, for any share and mean."""
    plan = BetPlan(effect=0.2, cap_tasks=1_000, base_rate=0.7, grid=(0.3,), stated_weight=0.0)
    state = fold(plan, list(stream(1, 25, 0.7, 0.7)))
    rate = 0.8
    for share in (0.1, 0.5, 0.9):
        expected = 0.0
        for arm in (0, 1):
            for outcome in (0.0, 1.0):
                weight = (share if arm else 1 - share) * (rate if outcome else 1 - rate)
                after = update(plan, state, Record(25, "", arm, share, outcome))
                expected += weight * math.exp(after.e_logs[1])
        assert expected == pytest.approx(math.exp(state.e_logs[1]), rel=1e-12)


def test_one_step_of_the_stated_bet_is_the_formula() -> None:
    plan = BetPlan(effect=0.27, cap_tasks=100, base_rate=0.67)
    state = update(plan, start(plan), Record(0, "", 1, 0.5, 1.0))
    mean = 0.67
    assert state.e_logs[0] == pytest.approx(math.log(1 + 0.27 / (mean * (1 - mean)) * 0.5 * (1 - mean)))
    widest = min(mean / 0.5, (1 - mean) / 0.5)
    for c, log in zip(plan.grid, state.e_logs[1:], strict=True):
        assert log == pytest.approx(math.log(1 + c * widest / (mean * (1 - mean)) * 0.5 * (1 - mean)))
    wealth = 0.5 * math.exp(state.e_logs[0]) + 0.125 * sum(math.exp(log) for log in state.e_logs[1:])
    assert state.e_log == pytest.approx(math.log(wealth))


def test_the_mean_shrinks_to_history_and_strata_to_the_pool() -> None:
    plan = BetPlan(effect=0.1, cap_tasks=100, base_rate=0.8, base_weight=50.0)
    assert predictable_mean(plan, 0, 0.0, 0, 0.0) == 0.8
    assert predictable_mean(plan, 50, 25.0, 50, 25.0) == pytest.approx(0.65)
    assert predictable_mean(plan, 50, 25.0, 7, 7.0) == pytest.approx((7 + 3 * 0.65) / 10)
    assert predictable_mean(BetPlan(effect=0.1, cap_tasks=100), 8, 8.0, 8, 8.0) == pytest.approx(0.9)


# --- what it refuses --------------------------------------------------------------------------------------

GOOD = Record(0, "task", 1, 0.5, 1.0)


@pytest.mark.parametrize(
    ("record", "named"),
    [
        (Record(1, "task", 1, 0.5, 1.0), "ordinal"),
        (Record(-1, "task", 1, 0.5, 1.0), "ordinal"),
        (Record(0, "task", 2, 0.5, 1.0), "arm"),
        (Record(0, "task", 1, 0.0, 1.0), "share"),
        (Record(0, "task", 1, 1.0, 1.0), "share"),
        (Record(0, "task", 1, math.nan, 1.0), "share"),
        (Record(0, "task", 1, 0.5, 1.01), "outcome"),
        (Record(0, "task", 1, 0.5, -0.01), "outcome"),
        (Record(0, "task", 1, 0.5, math.nan), "outcome"),
    ],
)
def test_a_record_that_breaks_the_bet_is_refused_by_field(record: Record, named: str) -> None:
    plan = BetPlan(effect=0.1, cap_tasks=100)
    with pytest.raises(RecordRefusedError, match=f"^{named}: ") as refused:
        update(plan, start(plan), record)
    assert refused.value.field == named


def test_a_record_counted_before_is_called_that() -> None:
    plan = BetPlan(effect=0.1, cap_tasks=100)
    with pytest.raises(RecordRefusedError, match="0 was already counted; the next is 1"):
        update(plan, update(plan, start(plan), GOOD), GOOD)


def test_replay_refuses_a_unit_bet_on_twice() -> None:
    plan = BetPlan(effect=0.1, cap_tasks=100)
    with pytest.raises(RecordRefusedError, match="unit"):
        replay(plan, [GOOD, Record(1, "task", 0, 0.5, 1.0)])


@pytest.mark.parametrize(
    ("named", "value"),
    [
        ("alpha", 0.0),
        ("alpha", math.nan),
        ("effect", 0.0),
        ("effect", 1.5),
        ("treatment_share", 1.0),
        ("base_rate", 1.2),
        ("base_weight", 0.0),
        ("grid", ()),
        ("grid", (0.5, 1.0)),
        ("cap_tasks", 0),
        ("minimum_tasks", 1_000),
        ("harm_evidence", 1.0),
        ("futility_alpha", 1.0),
        ("srm_alpha", 0.0),
        ("stated_weight", 1.0),
    ],
)
def test_a_plan_that_cannot_be_bet_on_is_refused_by_field(named: str, value: object) -> None:
    arguments = {"effect": 0.1, "cap_tasks": 100, named: value}
    with pytest.raises(PlanRefusedError, match=f"^{named}: "):
        BetPlan(**arguments)


# --- stored and replayed ----------------------------------------------------------------------------------


def holds_float(value: object) -> bool:
    if isinstance(value, dict):
        return any(holds_float(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(holds_float(item) for item in value)
    return isinstance(value, float)


@given(
    effect=st.floats(1e-9, 1.0),
    alpha=st.floats(1e-12, 1.0, exclude_max=True),
    base_rate=st.one_of(st.none(), st.floats(0, 1)),
    grid=st.lists(st.floats(1e-9, 1.0, exclude_max=True), min_size=1, max_size=5),
)
def test_a_plan_payload_is_float_free_and_exact(
    effect: float, alpha: float, base_rate: float | None, grid: list[float]
) -> None:
    plan = BetPlan(effect=effect, cap_tasks=100, alpha=alpha, base_rate=base_rate, grid=tuple(grid))
    payload = plan.to_payload()
    assert not holds_float(payload)
    assert BetPlan.from_payload(payload) == plan


def test_a_state_payload_is_float_free_and_the_bet_goes_on_from_it() -> None:
    plan = BetPlan(effect=0.2, cap_tasks=500, base_rate=0.7)
    records = list(stream(11, 300, 0.7, 0.75))
    half = BetState.from_payload(fold(plan, records[:150]).to_payload())
    assert not holds_float(half.to_payload())
    for record in records[150:]:
        half = update(plan, half, record)
    assert half == fold(plan, records)


def test_a_payload_with_a_missing_or_broken_field_is_refused_by_name() -> None:
    plan = BetPlan(effect=0.1, cap_tasks=100)
    payload = plan.to_payload()
    with pytest.raises(PlanRefusedError, match="alpha"):
        BetPlan.from_payload({name: value for name, value in payload.items() if name != "alpha"})
    with pytest.raises(PlanRefusedError, match="effect"):
        BetPlan.from_payload({**payload, "effect": "much"})
    state = start(plan).to_payload()
    del state["harm_logs"]
    with pytest.raises(PlanRefusedError, match="harm_logs"):
        BetState.from_payload(state)


def test_replay_is_the_fold_of_update_and_stops_at_the_decision() -> None:
    plan = BetPlan(effect=0.27, cap_tasks=400, base_rate=0.67)
    records = list(stream(2, 400, 0.67, 0.94))
    first = replay(plan, records)
    assert first == replay(plan, iter(records))
    assert first.decision.verdict is Verdict.WIN
    assert first.state == fold(plan, records[: len(first.path)])
    assert [point.ordinal for point in first.path] == list(range(len(first.path)))
    assert first.path[-1].log_e == first.state.e_log >= math.log(20)
    assert first.path[-1].treatment_rate == first.state.treatment_rate
    assert all(point.log_e < math.log(20) for point in first.path[plan.minimum_tasks - 1 : -1])
