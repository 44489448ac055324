"""Levels of the stream: the formula term by term, what may be known, and what all levels sum to."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.domain.bet import PlanRefusedError
from services.domain.stream import StreamRule, gamma, next_level

ALPHA = 0.05


def plain_gamma(j):
    return 1 / ((j + 20) ** 2 * (math.pi**2 / 6 - sum(n**-2 for n in range(1, 21)))) if j >= 1 else 0.0


def plain_lord(alpha, position, rejections):
    """W₀γ_t + (α − W₀)γ_{t − τ₁} 1(τ₁ < t) + α Σ_{j ≥ 2} γ_{t − τ_j} 1(τ_j < t), W₀ = α/2."""
    level = alpha / 2 * plain_gamma(position)
    for place, when in enumerate(sorted(rejections)):
        if when < position:
            level += (alpha / 2 if place == 0 else alpha) * plain_gamma(position - when)
    return level


known_before = st.integers(1, 300).flatmap(
    lambda position: (
        st.tuples(
            st.just(position), st.lists(st.integers(1, position - 1), max_size=8 if position > 1 else 0)
        )
        if position > 1
        else st.just((1, []))
    )
)


@given(known_before, st.floats(1e-6, 0.5))
def test_lord_is_the_sum_of_its_terms(case, alpha):
    position, known = case
    assert next_level(StreamRule.LORD, alpha, position, known) == pytest.approx(
        plain_lord(alpha, position, known), rel=1e-12
    )


@given(known_before, st.floats(1e-6, 0.5))
def test_e_lond_is_its_share_times_the_confirmations(case, alpha):
    position, known = case
    level = next_level(StreamRule.E_LOND, alpha, position, known)
    assert level == pytest.approx(alpha * plain_gamma(position) * (len(known) + 1), rel=1e-12)


def test_worked_levels():
    first = [next_level(StreamRule.LORD, ALPHA, j, []) for j in (1, 2, 3, 10, 100)]
    assert first == pytest.approx(
        [1.162362e-03, 1.059094e-03, 9.690011e-04, 5.695573e-04, 3.559733e-05], rel=1e-6
    )
    after = next_level(StreamRule.LORD, ALPHA, 11, [10])
    assert after == pytest.approx(0.025 * gamma(11) + 0.025 * gamma(1), rel=1e-12)
    twice = next_level(StreamRule.LORD, ALPHA, 11, [10, 10])
    assert twice == pytest.approx(after + 0.05 * gamma(1), rel=1e-12)


def test_the_order_of_what_is_known_does_not_matter():
    assert next_level(StreamRule.LORD, ALPHA, 9, [7, 2, 5]) == next_level(
        StreamRule.LORD, ALPHA, 9, [2, 5, 7]
    )


def test_gammas_fall_and_sum_to_no_more_than_one():
    terms = [gamma(j) for j in range(1, 200_001)]
    assert all(later < earlier for earlier, later in itertools.pairwise(terms))
    rest = terms[-1] * 200_020**2 / 200_020.5  # ∫ dx/(x + 20)² beyond: the rest of the sum
    assert sum(terms) + rest == pytest.approx(1, abs=1e-9)
    assert sum(terms[:20]) == pytest.approx(0.5, abs=0.02), "half is spent on the next twenty"
    assert (gamma(0), gamma(-3)) == (0.0, 0.0)


def test_without_a_confirmation_all_levels_together_stay_under_alpha():
    for rule, limit in ((StreamRule.LORD, ALPHA / 2), (StreamRule.E_LOND, ALPHA)):
        total = sum(next_level(rule, ALPHA, j, []) for j in range(1, 20_001))
        assert 0.4 * limit < total < limit


@given(st.lists(st.booleans(), min_size=1, max_size=150))
def test_the_levels_paid_out_are_covered_by_the_confirmations(confirmed):
    """Σ α_j ≤ α · max(1, R): the invariant that LORD++ and e-LOND rest on."""
    for rule in StreamRule:
        known, total, weighted = [], 0.0, 0.0
        for place, is_confirmed in enumerate(confirmed):
            level = next_level(rule, ALPHA, place + 1, known)
            total += level
            weighted += level / (len(known) + 1)
            known += [place + 1] if is_confirmed else []
        covered = total if rule is StreamRule.LORD else weighted
        assert covered <= ALPHA * (max(1, len(known)) if rule is StreamRule.LORD else 1)


@pytest.mark.parametrize("rule", StreamRule)
@pytest.mark.parametrize(
    ("alpha", "position", "known", "field"),
    [
        (0.0, 1, [], "alpha"),
        (1.0, 1, [], "alpha"),
        (math.nan, 1, [], "alpha"),
        (ALPHA, 0, [], "position"),
        (ALPHA, 3, [3], "known"),
        (ALPHA, 3, [0], "known"),
        (ALPHA, 1, [1], "known"),
    ],
)
def test_a_level_that_cannot_be_asked_for_is_refused_by_name(rule, alpha, position, known, field):
    with pytest.raises(PlanRefusedError) as refused:
        next_level(rule, alpha, position, known)
    assert refused.value.field == field
