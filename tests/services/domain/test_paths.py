"""The paths are the fold of the sequential test, whatever the shares, strata and outcomes are."""

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.domain.bet import BetPlan, Record, RecordRefusedError, predictable_mean
from services.domain.guardrails import Guardrail, start_guardrail, update_guardrail
from services.domain.metrics import Metric
from services.domain.paths import midranks, non_inferiority_log, stratum_codes, wealth_paths
from services.domain.sequential import start, update

PLANS = st.builds(
    BetPlan,
    effect=st.floats(0.001, 1.0),
    cap_tasks=st.just(1_000),
    base_rate=st.none() | st.floats(0.0, 1.0),
    base_weight=st.floats(0.5, 200.0),
    stated_weight=st.sampled_from([0.0, 0.3, 0.5, 0.9]),
    grid=st.sampled_from([(0.1, 0.2, 0.4, 0.7), (0.5,), (0.05, 0.95)]),
    minimum_tasks=st.just(0),
)
RANKED = st.builds(
    BetPlan,
    effect=st.floats(0.001, 0.5),
    cap_tasks=st.just(1_000),
    metric=st.sampled_from([Metric.DURATION, Metric.COST]),
    base_rate=st.none() | st.just(0.5),
    stated_weight=st.sampled_from([0.0, 0.5]),
)
MEASURES = st.integers(0, 5).map(float) | st.floats(0.0, 1e12)
OUTCOMES = st.sampled_from([0.0, 1.0]) | st.floats(0.0, 1.0)


def rows_of(outcomes):
    """Return a strategy of rows (share, arm, outcome, stratum)."""
    row = st.tuples(st.floats(0.01, 0.99), st.sampled_from([0, 1]), outcomes, st.sampled_from(["", "a", "b"]))
    return st.lists(row, max_size=60)


def fold(plan, rows):
    """Return (m, log E, log harm, log futility, log SRM) after every record, by the sequential test."""
    state, told = start(plan), []
    for ordinal, (share, arm, outcome, stratum) in enumerate(rows):
        n, total = state.strata.get(stratum, (0, 0.0))
        mean = predictable_mean(plan, ordinal, sum(t for _, t in state.strata.values()), n, total)
        state = update(plan, state, Record(ordinal, f"u{ordinal}", arm, share, outcome, stratum))
        told.append((mean, state.e_log, state.harm_log, state.futility_log, state.srm_log))
    return np.array(told).reshape(len(rows), 5)


def together(paths):
    return np.column_stack((paths.m, paths.e_log, paths.harm_log, paths.futility_log, paths.srm_log))


def parts(rows):
    return [[row[i] for row in rows] for i in range(4)]


@settings(max_examples=300, deadline=None)
@given(PLANS, rows_of(OUTCOMES))
def test_the_paths_are_the_fold(plan, rows):
    shares, arms, outcomes, strata = parts(rows)
    told = together(wealth_paths(plan, shares, arms, outcomes, strata))
    np.testing.assert_allclose(told, fold(plan, rows), rtol=0.0, atol=1e-9)


@settings(max_examples=200, deadline=None)
@given(RANKED, rows_of(MEASURES))
def test_the_paths_of_a_ranked_metric_are_the_fold(plan, rows):
    shares, arms, measures, strata = parts(rows)
    told = together(wealth_paths(plan, shares, arms, measures, strata))
    np.testing.assert_allclose(told, fold(plan, rows), rtol=0.0, atol=1e-9)


def test_the_paths_are_the_fold_over_a_long_ramp_with_strata():
    rng = np.random.default_rng(7)
    shares = np.linspace(0.1, 0.9, 3_000)
    arms = (rng.random(3_000) < shares).astype(int)
    names = rng.choice(["short", "long", "odd"], 3_000)
    outcomes = (rng.random(3_000) < np.where(names == "short", 0.9, 0.4) + 0.05 * arms).astype(float)
    rows = list(zip(shares.tolist(), arms.tolist(), outcomes.tolist(), names.tolist(), strict=True))
    for plan in (
        BetPlan(effect=0.05, cap_tasks=3_000, base_rate=0.6),
        BetPlan(effect=0.05, cap_tasks=3_000, stated_weight=0.0),
    ):
        told = together(wealth_paths(plan, shares, arms, outcomes, names))
        np.testing.assert_allclose(told, fold(plan, rows), rtol=0.0, atol=1e-9)
    one = wealth_paths(plan, shares, arms, outcomes)
    plain = fold(plan, [(*row[:3], "") for row in rows])
    np.testing.assert_allclose(together(one), plain, rtol=0.0, atol=1e-9)


def test_stratum_names_and_numbers_mean_the_same():
    names = ["b", "a", "b", "c", "a"]
    codes = stratum_codes(names, 5)
    assert codes.tolist() == [0, 1, 0, 2, 1]
    assert stratum_codes([4, 9, 4, 7, 9], 5).tolist() == [0, 1, 0, 2, 1]
    assert stratum_codes(np.array([4, 9, 4, 7, 9]), 5).tolist() == [4, 9, 4, 7, 9]
    plan = BetPlan(effect=0.1, cap_tasks=5, minimum_tasks=0)
    columns = ([0.5] * 5, [1, 0, 1, 1, 0], [1.0, 0.0, 1.0, 0.0, 1.0])
    by_name, by_code = (wealth_paths(plan, *columns, strata) for strata in (names, codes))
    np.testing.assert_array_equal(together(by_name), together(by_code))


@pytest.mark.parametrize("metric", [Metric.SUCCESS, Metric.COST])
def test_non_inferiority_is_the_guardrails_bet_on_the_same_measure(metric):
    rng = np.random.default_rng(3)
    shares, arms = np.full(400, 0.3), rng.integers(0, 2, 400)
    outcomes = rng.integers(0, 2, 400).astype(float)
    plan = BetPlan(effect=0.1, cap_tasks=400, metric=metric)
    bet = wealth_paths(plan, shares, arms, outcomes)
    x = (arms - shares) * (bet.y - bet.m)
    told = non_inferiority_log(plan, 0.08, shares, bet.m, x)
    logs = np.zeros(2)
    for i in range(400):
        spread = bet.m[i] * (1 - bet.m[i]) if metric is Metric.SUCCESS else 1 / 12
        worst = max(0.7 * bet.m[i], 0.3 * (1 - bet.m[i])) - 0.21 * 0.08
        step = min(0.08 / spread, 0.98 / worst) * (x[i] + 0.21 * 0.08)
        logs += [math.log1p(step), math.log1p(step / 2)]
        assert told[i] == pytest.approx(math.log(np.exp(logs).mean()), abs=1e-9)
    rail, state = Guardrail(Metric.SUCCESS, 0.08), start_guardrail(plan.grid)
    for i in range(400):
        row = {"arm": int(arms[i]), "share": 0.3, "measure": float(outcomes[i])}
        state = update_guardrail(rail, state, plan.grid, tasks=i, **row)
    if metric is Metric.SUCCESS:
        assert told[-1] == pytest.approx(state.proof_log, abs=1e-9)


def slow_midranks(measures):
    """Return the mid-ranks by their definition, one comparison at a time."""
    scores = []
    for i, x in enumerate(measures):
        larger = sum(y > x for y in measures[:i])
        equal = sum(y == x for y in measures[:i])
        scores.append((larger + (equal + 1) / 2) / (i + 1))
    return scores


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, 6).map(float) | st.floats(0.0, 1e300), max_size=80))
def test_midranks_are_what_they_are_defined_to_be(measures):
    assert midranks(measures).tolist() == pytest.approx(slow_midranks(measures), abs=1e-15)


def test_midranks_of_a_rising_and_a_falling_column():
    assert midranks([1.0, 2.0, 3.0, 4.0]).tolist() == [0.5, 0.25, 0.5 / 3, 0.125]
    assert midranks([4.0, 3.0, 2.0]).tolist() == [0.5, 0.75, 2.5 / 3]
    assert midranks([5.0, 5.0, 5.0]).tolist() == [0.5, 0.5, 0.5]
    assert midranks([]).tolist() == []


@pytest.mark.parametrize(
    ("columns", "field", "where"),
    [
        (([0.5, 1.0], [0, 1], [0.0, 1.0]), "share", "index 1"),
        (([0.5, 0.0], [0, 1], [0.0, 1.0]), "share", "index 1"),
        (([0.5, 0.5], [0, 2], [0.0, 1.0]), "arm", "index 1"),
        (([0.5, 0.5], [0, 1], [1.5, 1.0]), "outcome", "index 0"),
        (([0.5, 0.5], [0, 1], [float("nan"), 1.0]), "outcome", "index 0"),
        (([0.5, 0.5], [0], [1.0, 1.0]), "arm", "shape"),
        (([[0.5, 0.5]], [0, 1], [1.0, 1.0]), "share", "dimension"),
    ],
)
def test_a_column_that_cannot_be_bet_on_is_refused_by_name(columns, field, where):
    with pytest.raises(RecordRefusedError, match=where) as refusal:
        wealth_paths(BetPlan(effect=0.1, cap_tasks=50), *columns)
    assert refusal.value.field == field


@pytest.mark.parametrize("measure", [-1.0, float("inf"), float("nan")])
def test_a_measure_that_has_no_rank_is_refused(measure):
    plan = BetPlan(effect=0.1, cap_tasks=50, metric=Metric.COST)
    with pytest.raises(RecordRefusedError, match=r"outcome.* from 0.*index 1"):
        wealth_paths(plan, [0.5, 0.5], [0, 1], [3.0, measure])


def test_a_stratum_column_of_another_length_is_refused():
    plan = BetPlan(effect=0.1, cap_tasks=50)
    with pytest.raises(RecordRefusedError, match="stratum"):
        wealth_paths(plan, [0.5, 0.5], [0, 1], [1.0, 0.0], ["a"])


def test_a_task_costs_about_a_microsecond():
    rng = np.random.default_rng(1)
    tasks = 200_000
    arms, outcomes = rng.integers(0, 2, tasks), rng.integers(0, 2, tasks)
    strata = rng.integers(0, 5, tasks)
    plan = BetPlan(effect=0.05, cap_tasks=tasks)
    begun = time.process_time()
    wealth_paths(plan, np.full(tasks, 0.5), arms, outcomes, strata)
    assert (time.process_time() - begun) / tasks < 5e-6  # measured 0.3 µs; the rest is for a busy machine
