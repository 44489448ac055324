"""Records decay with a half-life, one counterparty's word is capped, the demotion test spares the good."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.domain.track_record import (
    BETS,
    DECAY,
    HALF_LIFE_JOBS,
    SUSPENSION_LOG_E,
    Record,
    counted,
    log_e,
)

check = settings(max_examples=150, deadline=None, derandomize=True, database=None)


def removal_jobs(rate, *, runs, jobs=300, seed=1):
    """Return for each run the job at which the demotion test ended it, None where it never did."""
    outcomes = np.random.default_rng(seed).random((runs, jobs)) < rate
    ends = []
    for row in outcomes:
        wins = np.cumsum(row)
        ends.append(
            next(
                (
                    n
                    for n in range(1, jobs + 1)
                    if log_e(int(wins[n - 1]), n - int(wins[n - 1])) >= SUSPENSION_LOG_E
                ),
                None,
            )
        )
    return ends


def test_a_record_counts_and_decays_by_half_in_sixty_jobs():
    record = Record().with_outcome(is_verified=True)
    assert (record.success_weight, record.failure_weight, record.jobs, record.verified) == (1, 0, 1, 1)
    for _ in range(HALF_LIFE_JOBS):
        record = record.with_outcome(is_verified=False)
    assert record.success_weight == pytest.approx(0.5)
    assert (record.jobs, record.verified) == (61, 1)


def test_the_weight_of_a_record_is_bounded():
    record = Record()
    for _ in range(3_000):
        record = record.with_outcome(is_verified=True)
    assert record.success_weight == pytest.approx(1 / (1 - 0.5 ** (1 / 60)), rel=1e-6)


def test_an_outcome_may_weigh_less_than_one_job():
    record = Record(4.0, 2.0, 9, 6).with_outcome(is_verified=False, increment=0.25)
    forgot = DECAY**0.25
    assert record == Record(4.0 * forgot, 2.0 * forgot + 0.25, 10, 6)
    unmoved = record.with_outcome(is_verified=True, increment=0.0, is_counted=False)
    assert unmoved == record


def test_one_counterparty_counts_for_two_jobs_and_then_for_what_has_been_forgotten():
    first = counted(0.0, 1, 2)
    second = counted(first[1], 1, 2)
    third = counted(second[1], 1, 2)
    assert first == (1.0, 1.0)
    assert second == (pytest.approx(2 - (1 + DECAY) + DECAY), pytest.approx(1 + DECAY))
    assert third == (pytest.approx(2 - (1 + DECAY) * DECAY), pytest.approx(2.0))
    later = counted(2.0, HALF_LIFE_JOBS, 2)
    assert later == (pytest.approx(1.0), pytest.approx(2.0))


@check
@given(st.floats(0, 2), st.integers(1, 500), st.floats(0.5, 50))
def test_the_counted_weight_never_passes_the_cap_and_never_takes_away(weight, jobs_since, cap):
    increment, after = counted(min(weight, cap), jobs_since, cap)
    assert 0 <= increment <= 1
    assert after <= cap * (1 + 1e-12)
    assert after == pytest.approx(min(weight, cap) * DECAY**jobs_since + increment)


def test_bought_evidence_never_adds_up_to_more_than_the_cap():
    record, weight = Record(), 0.0
    for _ in range(200):
        increment, weight = counted(weight, 0, 2)
        record = record.with_outcome(is_verified=True, increment=increment, is_counted=False)
        assert record.success_weight <= 2 + 1e-9
    assert record.jobs == record.verified == 0


def test_the_bets_are_fair_where_the_agent_succeeds_six_times_in_ten():
    for successes, failures in ((0, 0), (5, 2), (40, 30)):
        now, up, down = (math.exp(log_e(successes + s, failures + f)) for s, f in ((0, 0), (0, 1), (1, 0)))
        assert 0.4 * up + 0.6 * down == pytest.approx(now)


def test_the_process_is_the_mean_of_the_three_bets():
    products = [(1 - 0.4 * bet) ** 7 * (1 + 0.6 * bet) ** 9 for bet in BETS]
    assert log_e(0, 0) == pytest.approx(0.0, abs=1e-12)
    assert log_e(7, 9) == pytest.approx(math.log(sum(products) / 3))
    assert log_e(5, 5_000) > 700  # beyond what a float could hold as a product
    assert math.isfinite(log_e(100_000, 100_000))


@pytest.mark.parametrize("rate", [0.7, 0.8, 0.9])
def test_agents_that_deserve_to_stay_stay(rate):
    assert not [end for end in removal_jobs(rate, runs=400) if end is not None]


def test_an_agent_that_succeeds_three_times_in_ten_goes_after_about_29_jobs():
    ends = removal_jobs(0.3, runs=400)
    assert None not in ends
    assert 25 <= statistics.median(ends) <= 33


def test_an_agent_at_the_line_itself_is_rarely_removed():
    ends = removal_jobs(0.6, runs=400)
    assert sum(end is not None for end in ends) <= 8  # at most 1 % in the long run are promised


def test_three_failures_running_remove_nobody():
    assert log_e(8, 3) < SUSPENSION_LOG_E
    assert log_e(0, 3) < SUSPENSION_LOG_E


def test_ending_agents_after_three_failures_running_would_end_most_of_the_good():
    outcomes = np.random.default_rng(1).random((4_000, 300)) < 0.8
    three = ~(outcomes[:, :-2] | outcomes[:, 1:-1] | outcomes[:, 2:])
    assert three.any(axis=1).mean() == pytest.approx(0.86, abs=0.02)
