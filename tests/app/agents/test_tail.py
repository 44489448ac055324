"""The fitted tail: recovers a planted one from cut-off data, and sees when there is none."""

import math
import random

import pytest

from app.agents.tail import best_limit, candidate_limits, fit_tail


def cut(exponent: float, limit: float, count: int = 4000, seed: int = 3) -> tuple[list[float], list[float]]:
    draw = random.Random(seed)
    raw = [draw.random() ** (-1 / exponent) for _ in range(count)]
    return [one for one in raw if one <= limit], [limit for one in raw if one > limit]


@pytest.mark.parametrize("exponent", [1.0, 2.5, 4.0])
def test_a_planted_exponent_is_recovered_under_censoring(exponent):
    limit = 3.0 ** (1 / exponent)  # a third is cut off
    tail = fit_tail(*cut(exponent, limit), limit)
    assert tail.exponent == pytest.approx(exponent, rel=0.1)
    assert tail.cut_off_share == pytest.approx(1 / 3, abs=0.03)
    assert tail.unfinished_share(2 * limit) == pytest.approx(2.0**-exponent / 3, rel=0.15)


def test_without_censoring_it_would_be_wrong():
    exponent, limit = 2.5, 3.0**0.4
    finished, cut_off = cut(exponent, limit)
    tail = fit_tail(finished, cut_off, limit)
    above = [x for x in finished if x > tail.threshold_seconds]
    naive = len(above) / sum(math.log(x / tail.threshold_seconds) for x in above)
    assert naive > 2 * exponent  # what Hill's estimator says when the cut-off ones are left out


def test_limits_that_differ_between_tasks_are_each_their_own():
    finished_a, cut_a = cut(2.0, 1.5, seed=1)
    finished_b, cut_b = cut(2.0, 2.5, seed=2)
    tail = fit_tail(finished_a + finished_b, cut_a + cut_b, 1.5)
    assert tail.exponent == pytest.approx(2.0, rel=0.12)


def test_what_hangs_gives_no_tail():
    tail = fit_tail([0.05] * 100, [2.0] * 50, 2.0)
    assert tail.exponent == 0.0
    assert tail.unfinished_share(4.0) == pytest.approx(1 / 3)


def test_more_time_never_means_more_unfinished():
    tail = fit_tail(*cut(2.5, 1.5), 1.5)
    shares = [tail.unfinished_share(1.5 + 0.1 * step) for step in range(20)]
    assert shares == sorted(shares, reverse=True)


def test_few_data_are_used_as_they_are():
    assert fit_tail([1.5], [2.0], 2.0).cut_off_share == 0.5
    with pytest.raises(ValueError, match="durations"):
        fit_tail([], [], 2.0)


def test_candidates_end_exactly_at_the_highest_and_start_above_the_limit():
    candidates = candidate_limits(0.7, 1.4)
    assert candidates[-1] == 1.4
    assert candidates[0] > 0.7
    assert candidates == sorted(set(candidates))
    assert candidate_limits(2.0, 2.0) == []


def test_the_smallest_value_with_nine_tenths_of_the_gain_is_preferred():
    steep = fit_tail(*cut(8.0, 1.15), 1.15)
    gentle = fit_tail(*cut(0.8, 3.0), 3.0)
    to_steep, gain = best_limit(steep, candidate_limits(1.15, 2.3))
    to_gentle, _ = best_limit(gentle, candidate_limits(3.0, 6.0))
    assert to_steep / 1.15 < 1.5 < to_gentle / 3.0
    assert gain >= 0.9 * (steep.cut_off_share - steep.unfinished_share(2.3))
    assert gain < 1.0 * (steep.cut_off_share - steep.unfinished_share(2.3))
