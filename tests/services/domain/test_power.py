"""What a proof costs: the bound is the divergence, the bet keeps to what is planned, nonsense is refused."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.domain.bet import BetPlan, PlanRefusedError
from services.domain.metrics import Metric
from services.domain.paths import wealth_paths
from services.domain.power import (
    OVERHEAD,
    forecast,
    information,
    rank_information,
    smallest_effect,
    tasks_needed,
)


def entropy(p):
    return -sum(q * math.log(q) for q in (p, 1.0 - p) if q > 0.0)


@pytest.mark.parametrize(
    ("base", "effect", "bound"), [(0.67, 0.27, 47.7), (0.65, 0.10, 501.5), (0.90, 0.03, 2061.0)]
)
def test_the_bound_is_the_published_one(base, effect, bound):
    assert math.log(20) / information(base, effect) == pytest.approx(bound, rel=1e-3)
    assert tasks_needed(base, effect, 0.05) == math.ceil(OVERHEAD * math.log(20) / information(base, effect))


@given(st.floats(0.0, 0.98), st.floats(0.01, 1.0), st.floats(0.01, 0.99))
def test_information_is_the_divergence_of_the_arms_from_their_mixture(base, effect, share):
    effect = min(effect, 1.0 - base)
    better = base + effect
    mixture = entropy((1 - share) * base + share * better)
    expected = mixture - (1 - share) * entropy(base) - share * entropy(better)
    assert information(base, effect, share) == pytest.approx(expected, abs=1e-13, rel=1e-9)


def test_a_tiny_effect_keeps_its_digits():
    second_order = 0.25 * 1e-7**2 / (2 * 0.65 * 0.35)
    assert information(0.65, 1e-7) == pytest.approx(second_order, rel=1e-5)
    assert information(0.0, 1.0) == pytest.approx(math.log(2))


def test_an_uneven_share_costs_what_was_measured():
    ratios = [information(b, d, 0.85) / information(b, d) for b, d in ((0.67, 0.27), (0.65, 0.10))]
    assert ratios == pytest.approx([0.61, 0.52], abs=0.01)


def test_ranks_need_tasks_by_the_square_of_the_gap():
    assert rank_information(0.2) == pytest.approx(6 * 0.25 * 0.04)
    assert rank_information(0.1, 0.85) == pytest.approx(6 * 0.1275 * 0.01)


@pytest.mark.parametrize("metric", [Metric.SUCCESS, Metric.COST])
def test_the_bet_takes_no_more_tasks_than_planned(metric):
    rng = np.random.default_rng(11)
    base, effect = (0.65, 0.15) if metric is Metric.SUCCESS else (None, 0.12)
    planned = forecast(metric, base, effect).trial
    crossed = []
    for _ in range(200):
        arm = rng.integers(0, 2, 4_000)
        if metric is Metric.SUCCESS:
            outcome = (rng.random(4_000) < 0.65 + 0.15 * arm).astype(float)
        else:  # P(treated is cheaper) = 1/(1 + 0.38/0.62) = 0.62
            outcome = rng.exponential(size=4_000) * np.where(arm == 1, 0.38 / 0.62, 1.0)
        plan = BetPlan(effect=effect, cap_tasks=4_000, metric=metric, base_rate=base)
        path = wealth_paths(plan, np.full(4_000, 0.5), arm, outcome)
        crossed.append(int(np.argmax(path.e_log >= math.log(20))) + 1)
    assert planned.bound_tasks < np.mean(crossed) < 1.02 * planned.tasks


def test_probation_proves_only_what_the_trial_left_open():
    cost = forecast(Metric.SUCCESS, 0.67, 0.27)
    left = math.log(500) - math.log(20)
    assert cost.probation.tasks == math.ceil(1.3 * left / information(0.67, 0.27, 0.85))
    assert cost.tasks == cost.trial.tasks + cost.probation.tasks > cost.bound_tasks
    assert forecast(Metric.SUCCESS, 0.67, 0.27, confirm_alpha=0.05).probation.tasks == 0
    assert forecast(Metric.SUCCESS, 0.67, 0.27, confirm_alpha=0.2).probation.tasks == 0


@pytest.mark.parametrize(("metric", "base"), [(Metric.SUCCESS, 0.67), (Metric.DURATION, None)])
def test_the_smallest_effect_is_the_one_that_just_fits(metric, base):
    effect = smallest_effect(metric, base, 0.05, 400)
    assert effect is not None
    assert forecast(metric, base, effect).trial.tasks in (400, 401)
    assert forecast(metric, base, 0.99 * effect).trial.tasks > 400
    assert smallest_effect(metric, base, 0.05, 3) is None


@pytest.mark.parametrize(
    ("base", "effect", "share", "field"),
    [
        (0.9, 0.2, 0.5, "effect"),
        (0.5, 0.0, 0.5, "effect"),
        (0.5, -0.1, 0.5, "effect"),
        (0.5, 1e-12, 0.5, "effect"),
        (1.0, 0.1, 0.5, "base"),
        (-0.1, 0.2, 0.5, "base"),
        (float("nan"), 0.2, 0.5, "base"),
        (0.5, float("nan"), 0.5, "effect"),
        (0.5, 0.2, 1.0, "share"),
        (0.5, 0.2, 0.0, "share"),
    ],
)
def test_an_impossible_question_is_refused_by_name(base, effect, share, field):
    with pytest.raises(PlanRefusedError) as refusal:
        tasks_needed(base, effect, 0.05, share)
    assert refusal.value.field == field


def test_a_metric_and_a_base_must_fit_each_other():
    with pytest.raises(PlanRefusedError, match="base"):
        forecast(Metric.SUCCESS, None, 0.1)
    with pytest.raises(PlanRefusedError, match="no base rate"):
        forecast(Metric.COST, 0.5, 0.1)
    with pytest.raises(PlanRefusedError, match="effect"):
        rank_information(0.6)
    with pytest.raises(PlanRefusedError, match="confirm_alpha"):
        forecast(Metric.SUCCESS, 0.5, 0.1, confirm_alpha=1.0)
    with pytest.raises(PlanRefusedError, match="confirm_share"):
        forecast(Metric.SUCCESS, 0.5, 0.1, confirm_share=1.0)
    with pytest.raises(PlanRefusedError, match=r"0\.2 is too large: a base of 0\.9 leaves room for 0\.1"):
        forecast(Metric.SUCCESS, 0.9, 0.2)
