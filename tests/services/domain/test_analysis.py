"""An analysis says what the fold says, keeps the first verdict, and bets once on each randomised unit."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.domain.analysis import Question, analyze
from services.domain.bet import PlanRefusedError, Record, RecordRefusedError
from services.domain.confidence import confidence_sequence
from services.domain.metrics import Metric
from services.domain.paths import RowRefusedError
from services.domain.sequential import replay, start, update


def coin_flips(seed, tasks, control, treatment, share=0.5):
    rng = np.random.default_rng(seed)
    arms = (rng.random(tasks) < share).astype(int)
    outcomes = (rng.random(tasks) < np.where(arms == 1, treatment, control)).astype(float)
    return np.full(tasks, share), arms, outcomes


def records(shares, arms, outcomes, strata):
    rows = zip(shares, arms, outcomes, strata, strict=True)
    return [Record(i, f"u{i}", a, s, y, name) for i, (s, a, y, name) in enumerate(rows)]


ROW = st.tuples(
    st.sampled_from([0.1, 0.5, 0.8]), st.integers(0, 1), st.integers(0, 1).map(float), st.sampled_from("ab")
)
QUESTIONS = st.builds(
    Question,
    effect=st.none() | st.sampled_from([0.1, 0.5]),
    alpha=st.sampled_from([0.05, 0.4]),
    base_rate=st.none() | st.just(0.4),
    minimum_tasks=st.sampled_from([0, 5, 20]),
    cap_tasks=st.none() | st.sampled_from([20, 60]),
)


@settings(max_examples=150, deadline=None)
@given(QUESTIONS, st.lists(ROW, min_size=1, max_size=120), st.integers(1, 5))
def test_the_analysis_is_the_fold(question, rows, copies):
    shares, arms, outcomes, strata = (list(column) for column in zip(*rows * copies, strict=True))
    found = analyze(question, shares, arms, outcomes, strata)
    plan = question.plan(len(arms))
    state = start(plan)
    crossed = None
    for record in records(shares, arms, outcomes, strata):
        state = update(plan, state, record)
        if crossed is None and state.e_log >= -math.log(question.alpha) + 1e-12:
            crossed = record.ordinal
    assert found.superiority.log == pytest.approx(state.e_log, abs=1e-9)
    assert found.superiority.log_max == pytest.approx(state.e_max_log, abs=1e-9)
    assert found.superiority.crossed_at == crossed
    assert found.harm.log == pytest.approx(state.harm_log, abs=1e-9)
    assert found.srm.log == pytest.approx(state.srm_log, abs=1e-9)
    replayed = replay(plan, records(shares, arms, outcomes, strata))
    verdict = replayed.decision.verdict
    if question.cap_tasks is None and replayed.decision.reason == "cap reached":
        verdict = None
    assert found.verdict == (verdict or "undecided")
    if verdict:
        assert (found.reason, found.decided_at) == (replayed.decision.reason, len(replayed.path) - 1)
    interval = confidence_sequence(plan, records(shares, arms, outcomes, strata), question.alpha)
    told = (found.estimate, found.lower, found.upper)
    assert told == pytest.approx(tuple(interval), abs=1e-7)


def test_an_improvement_wins_and_later_rows_do_not_take_it_back():
    shares, arms, outcomes = coin_flips(1, 600, 0.5, 0.9)
    worse = coin_flips(2, 3_000, 0.9, 0.5)
    columns = [np.concatenate(pair) for pair in zip((shares, arms, outcomes), worse, strict=True)]
    first = analyze(Question(), shares, arms, outcomes)
    both = analyze(Question(), *columns)
    assert first.verdict == both.verdict == "win"
    assert first.decided_at == both.decided_at == first.superiority.crossed_at
    assert both.superiority.e < 1.0
    assert both.superiority.e_max >= 20.0
    assert both.harm.crossed_at > 600
    assert first.lower > 0.0


def test_a_stated_effect_needs_fewer_tasks_and_can_be_refuted():
    plain, stated, futile = [], [], []
    for seed in range(60):
        columns = coin_flips(seed, 400, 0.67, 0.94)
        plain.append(analyze(Question(), *columns).superiority.crossed_at)
        stated.append(analyze(Question(effect=0.27, base_rate=0.67), *columns).superiority.crossed_at)
        null = analyze(Question(effect=0.3), *coin_flips(seed, 400, 0.6, 0.6))
        futile.append((null.verdict, null.reason) == ("inconclusive", "futile"))
    assert None not in plain + stated
    assert np.mean(stated) < np.mean(plain) < 100
    assert np.mean(futile) > 0.8
    assert analyze(Question(), *columns).futility is None


def test_useless_changes_are_rarely_promoted_with_or_without_a_stated_effect():
    for question in (Question(), Question(effect=0.1, base_rate=0.7)):
        found = [analyze(question, *coin_flips(seed, 1_000, 0.7, 0.7)) for seed in range(400)]
        promoted = sum(one.superiority.crossed_at is not None for one in found)
        assert promoted / 400 <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 400)


def test_harm_is_a_loss_and_wrong_shares_are_invalid():
    harmed = analyze(Question(), *coin_flips(3, 800, 0.9, 0.6))
    assert (harmed.verdict, harmed.reason) == ("loss", "harm shown")
    shares, arms, outcomes = coin_flips(4, 3_000, 0.5, 0.95, share=0.7)
    skewed = analyze(Question(minimum_tasks=3_000), np.full(3_000, 0.5), arms, outcomes)
    assert (skewed.verdict, skewed.reason) == ("invalid", "sample ratio mismatch")
    assert skewed.srm.crossed_at == skewed.decided_at
    assert analyze(Question(), shares, arms, outcomes).verdict == "win"


def test_minimum_and_cap_bound_the_verdict_and_not_the_evidence():
    columns = coin_flips(1, 600, 0.5, 0.9)
    free = analyze(Question(), *columns)
    assert free.decided_at < 200
    waited = analyze(Question(minimum_tasks=300), *columns)
    assert (waited.verdict, waited.decided_at) == ("win", 299)
    capped = analyze(Question(cap_tasks=10), *columns)
    assert (capped.verdict, capped.reason, capped.decided_at) == ("inconclusive", "cap reached", 9)
    assert waited.superiority == capped.superiority == free.superiority
    assert analyze(Question(cap_tasks=601), *coin_flips(1, 600, 0.5, 0.5)).verdict == "undecided"


def test_non_inferiority_is_shown_beside_the_verdict():
    columns = coin_flips(6, 3_000, 0.9, 0.9)
    found = analyze(Question(margin=0.1), *columns)
    assert found.non_inferiority.crossed_at is not None
    assert found.verdict == "undecided"
    assert analyze(Question(), *columns).non_inferiority is None
    missed = [
        analyze(Question(margin=0.1), *coin_flips(seed, 1_000, 0.9, 0.8)).non_inferiority.crossed_at
        for seed in range(200)
    ]
    assert sum(at is not None for at in missed) / 200 <= 0.1


def test_a_unit_is_bet_on_once_on_its_mean_where_it_first_appears():
    units = ["a", "b", "a", "c", "b", "b"]
    outcomes = [1.0, 0.0, 0.0, 1.0, 1.0, 1.0]
    arms = [1, 0, 1, 1, 0, 0]
    strata = ["x", "y", "x", "x", "y", "y"]
    found = analyze(Question(), [0.5] * 6, arms, outcomes, strata, units)
    alone = analyze(Question(), [0.5] * 3, [1, 0, 1], [0.5, 2 / 3, 1.0], ["x", "y", "x"])
    assert found.superiority.log == pytest.approx(alone.superiority.log, abs=1e-12)
    assert (found.tasks, found.units) == (6, 3)
    assert (found.treatment.tasks, found.treatment.units, found.treatment.mean) == (3, 2, 0.75)
    assert (found.control.tasks, found.control.units) == (3, 1)
    assert [(s.name, s.tasks, s.units) for s in found.strata] == [("x", 3, 2), ("y", 3, 1)]
    assert found.strata[1].estimate is None


def test_a_crossing_is_told_with_the_row_that_settles_it():
    shares, arms, outcomes = coin_flips(1, 300, 0.3, 0.95)
    alone = analyze(Question(), shares, arms, outcomes)
    columns = [np.concatenate((column, column)) for column in (shares, arms, outcomes)]
    units = [*range(300), *range(300)]
    twice = analyze(Question(), *columns, units=units)
    assert twice.superiority.e_max == pytest.approx(alone.superiority.e_max)
    assert twice.superiority.crossed_at == alone.superiority.crossed_at + 300
    late = [*range(300), 0]
    one_late = [np.append(column, column[0]) for column in (shares, arms, outcomes)]
    assert analyze(Question(), *one_late, units=late).superiority.crossed_at == 300


def test_assigned_by_agent_and_analysed_by_task_promotes_and_betting_by_unit_does_not():
    wrong, right = 0, 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        agents, rows = 16, 800
        arm_of, skill = rng.integers(0, 2, agents), rng.beta(2, 2, agents)
        agent = rng.integers(0, agents, rows)
        outcomes = (rng.random(rows) < skill[agent]).astype(float)
        columns = (np.full(rows, 0.5), arm_of[agent], outcomes)
        wrong += analyze(Question(), *columns).superiority.crossed_at is not None
        right += analyze(Question(), *columns, units=agent).superiority.crossed_at is not None
    assert wrong / 200 > 0.15
    assert right / 200 <= 0.05


def test_a_ranked_metric_is_better_when_lower():
    rng = np.random.default_rng(8)
    arms = rng.integers(0, 2, 1_500)
    costs = rng.pareto(1.2, 1_500) * np.where(arms == 1, 0.6, 1.0)
    found = analyze(Question(metric=Metric.COST), np.full(1_500, 0.5), arms, costs)
    assert found.verdict == "win"
    assert 0.0 < found.lower < found.estimate < found.upper < 0.5
    assert found.treatment.median < found.control.median
    scaled = analyze(Question(metric=Metric.COST), np.full(1_500, 0.5), arms, costs * 1e9)
    assert scaled.superiority == found.superiority
    huge = analyze(Question(metric=Metric.COST), [0.5] * 3, [0, 1, 0], [1e308] * 3)
    assert huge.control.mean == pytest.approx(1e308)


def test_one_row_is_enough_and_none_is_refused():
    one = analyze(Question(effect=0.2, margin=0.1), [0.5], [1], [1.0], ["s"], ["u"])
    assert (one.tasks, one.units, one.verdict, one.lower, one.upper) == (1, 1, "undecided", -1.0, 1.0)
    assert one.control.mean is None
    with pytest.raises(RecordRefusedError, match="no row"):
        analyze(Question(), [], [], [])


def test_overwhelming_evidence_stays_a_number():
    columns = coin_flips(5, 20_000, 0.2, 0.9)
    found = analyze(Question(), *columns)
    assert found.superiority.log > 1_000
    assert math.isfinite(found.superiority.e)


@pytest.mark.parametrize(
    ("column", "value", "field"), [(0, 0.4, "share"), (1, 0, "arm"), (3, "other", "stratum")]
)
def test_rows_of_one_unit_that_disagree_are_refused_with_their_row(column, value, field):
    columns = [[0.5] * 3, [1, 0, 1], [1.0, 0.0, 1.0], ["s", "s", "s"]]
    columns[column][2] = value
    with pytest.raises(RowRefusedError) as refusal:
        analyze(Question(), *columns, units=["a", "b", "a"])
    assert (refusal.value.field, refusal.value.row) == (field, 2)


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"alpha": 0.0}, "alpha"),
        ({"alpha": 1.0}, "alpha"),
        ({"effect": 0.0}, "effect"),
        ({"effect": 1.1}, "effect"),
        ({"effect": float("nan")}, "effect"),
        ({"effect": 0.2, "base_rate": 0.9}, "effect"),
        ({"effect": 0.6, "metric": Metric.COST}, "effect"),
        ({"margin": -0.1}, "margin"),
        ({"margin": 0.6, "metric": Metric.DURATION}, "margin"),
        ({"base_rate": 1.1}, "base_rate"),
        ({"base_rate": 0.5, "metric": Metric.COST}, "base_rate"),
        ({"minimum_tasks": -1}, "minimum_tasks"),
        ({"cap_tasks": 0}, "cap_tasks"),
        ({"cap_tasks": 19, "minimum_tasks": 20}, "cap_tasks"),
    ],
)
def test_a_question_without_an_answer_is_refused_by_name(asked, field):
    with pytest.raises(PlanRefusedError) as refusal:
        Question(**asked)
    assert refusal.value.field == field
