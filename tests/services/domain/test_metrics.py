"""Ranks among past outcomes: ties in the middle, lower is better, uniform when nothing changes."""

import itertools
import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.domain.metrics import RANK_VARIANCE, Metric, mid_rank, winsorised


@pytest.mark.parametrize(
    ("past", "value", "rank"),
    [
        ([], 7.0, 1 / 2),
        ([1.0], 2.0, 1 / 4),
        ([2.0], 1.0, 3 / 4),
        ([1.0], 1.0, 1 / 2),
        ([1.0, 2.0, 2.0, 3.0], 2.0, (1 + 3 / 2) / 5),
        ([1.0, 2.0, 3.0], 0.5, 3.5 / 4),
        ([1.0, 2.0, 3.0], 9.0, 0.5 / 4),
    ],
)
def test_worked_ranks(past, value, rank):
    assert mid_rank(past, value) == pytest.approx(rank)


@given(st.lists(st.integers(0, 5)), st.integers(0, 5))
def test_a_rank_is_what_counting_gives(past, value):
    worse, equal = sum(v > value for v in past), sum(v == value for v in past)
    assert mid_rank(sorted(past), value) == pytest.approx((worse + (equal + 1) / 2) / (len(past) + 1))
    assert 0.0 < mid_rank(sorted(past), value) < 1.0


@pytest.mark.parametrize("values", [(1, 2, 3, 4), (1, 1, 2, 3), (2, 2, 2, 5), (4, 4, 4, 4)])
def test_exchangeable_outcomes_have_ranks_of_mean_one_half_whatever_the_ties(values):
    ranks = [Fraction(mid_rank(sorted(order[:-1]), order[-1])) for order in itertools.permutations(values)]
    assert float(sum(ranks) / len(ranks)) == pytest.approx(0.5)


def test_without_ties_every_rank_is_equally_likely():
    ranks = sorted(mid_rank(sorted(order[:-1]), order[-1]) for order in itertools.permutations(range(5)))
    assert ranks == pytest.approx(sorted([0.1, 0.3, 0.5, 0.7, 0.9] * 24))


def test_ranks_of_a_heavy_tail_have_the_variance_of_a_uniform():
    source = random.Random(5)
    past: list[float] = []
    ranks = []
    for _ in range(2_000):
        value = source.paretovariate(0.8)  # no mean at all
        ranks.append(mid_rank(sorted(past), value))
        past.append(value)
    late = ranks[200:]
    mean = sum(late) / len(late)
    assert mean == pytest.approx(0.5, abs=0.03)
    assert sum((rank - mean) ** 2 for rank in late) / len(late) == pytest.approx(RANK_VARIANCE, rel=0.08)


def test_a_score_falls_with_the_measure_and_stops_at_the_ceiling():
    assert [winsorised(value, 20.0) for value in (0.0, 5.0, 20.0, 1e9)] == [1.0, 0.75, 0.0, 0.0]


def test_only_success_is_bet_on_as_it_is():
    assert {metric: metric.is_ranked for metric in Metric} == {
        Metric.SUCCESS: False,
        Metric.DURATION: True,
        Metric.COST: True,
    }
