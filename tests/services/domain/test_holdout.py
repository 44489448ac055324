"""What promotions are worth together: stratified, with limits that hold at every look."""

import math
import random

import pytest

from services.domain.bet_refusals import PlanRefusedError
from services.domain.holdout import Stratum, boundary, promotions_effect


def test_the_difference_is_weighted_by_task_type():
    strata = [Stratum("a", 100, 50, 900, 630), Stratum("b", 10, 9, 90, 81)]
    found = promotions_effect(strata)
    assert found.difference == pytest.approx((1000 * (0.7 - 0.5) + 100 * 0.0) / 1100)
    assert found.lower < found.difference < found.upper


def test_without_both_sides_nothing_is_said():
    for strata in ([], [Stratum("a", 0, 0, 50, 40)], [Stratum("a", 50, 40, 0, 0)]):
        assert promotions_effect(strata) == (None, -1.0, 1.0)
    known = promotions_effect([Stratum("a", 30, 15, 970, 800)])
    assert promotions_effect([Stratum("a", 30, 15, 970, 800), Stratum("b", 0, 0, 5, 5)]) == known


def test_full_success_of_a_small_holdout_is_no_certainty():
    found = promotions_effect([Stratum("a", 9, 9, 291, 291)])
    assert found.difference == 0.0
    assert found.upper - found.lower > 0.5


def test_the_limits_are_the_closed_form():
    n, alpha = 5_000, 0.05
    rho = (2 * math.log(20) + math.log(1 + 2 * math.log(20))) / 10_000
    expected = math.sqrt(2 * (n * rho + 1) / (n**2 * rho) * math.log(math.sqrt(n * rho + 1) / alpha))
    assert boundary(n, alpha) == pytest.approx(expected)
    pooled = (100 + 2) / (150 + 4)
    others = (3_880 + 2) / (4_850 + 4)
    share = 150 / 5_000
    variance = pooled * (1 - pooled) / share + others * (1 - others) / (1 - share)
    found = promotions_effect([Stratum("a", 150, 100, 4_850, 3_880)])
    assert found.upper - found.difference == pytest.approx(math.sqrt(variance) * expected)


def test_more_tasks_tell_more():
    widths = []
    for scale in (1, 10, 100):
        found = promotions_effect([Stratum("a", 30 * scale, 20 * scale, 970 * scale, 900 * scale)])
        widths.append(found.upper - found.lower)
    assert widths == sorted(widths, reverse=True)
    assert widths[2] < 0.12


def test_counts_that_cannot_be_are_refused():
    with pytest.raises(PlanRefusedError, match="successes"):
        promotions_effect([Stratum("a", 5, 6, 10, 3)])
    with pytest.raises(PlanRefusedError, match="alpha"):
        promotions_effect([Stratum("a", 5, 3, 10, 3)], alpha=0.0)


def test_without_an_effect_the_limits_leave_zero_out_rarely_at_any_of_many_looks():
    rng, wrong, runs = random.Random(20_261_121), 0, 200
    for _ in range(runs):
        counts = [0, 0, 0, 0]
        for look in range(40):
            for _ in range(100):
                held, success = rng.random() < 0.05, rng.random() < 0.8
                counts[0 if held else 2] += 1
                counts[1 if held else 3] += success
            found = promotions_effect([Stratum("a", *counts)])
            if look >= 4 and found.difference is not None and not found.lower <= 0.0 <= found.upper:
                wrong += 1
                break
    assert wrong <= 0.05 * runs
