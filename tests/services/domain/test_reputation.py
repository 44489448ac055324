"""Standing and records are folds: decay with a half-life, an e-process that spares the good."""

import math
import random
import statistics

import pytest

from services.domain.reputation import HALF_LIFE_JOBS, Record, fold_log_e, next_standing
from services.domain.states import Standing

SUSPENDED, SHADOW, PROBATION, FULL = (
    Standing.SUSPENDED,
    Standing.SHADOW,
    Standing.PROBATION,
    Standing.FULL,
)


def live(rate, jobs, seed):
    """Return the standing after so many jobs and the job at which the agent was suspended, if it was."""
    rng = random.Random(seed)
    standing, log_e, verified = SHADOW, 0.0, 0
    for job in range(1, jobs + 1):
        is_verified = rng.random() < rate
        verified += is_verified
        log_e = fold_log_e(log_e, is_verified=is_verified)
        standing = next_standing(standing, verified_jobs=verified, log_e=log_e)
        if standing is SUSPENDED:
            return standing, job
    return standing, None


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


@pytest.mark.parametrize(
    ("before", "verified", "expected"),
    [
        (SHADOW, 2, SHADOW),
        (SHADOW, 3, PROBATION),
        (SHADOW, 20, FULL),
        (PROBATION, 0, PROBATION),
        (PROBATION, 19, PROBATION),
        (PROBATION, 20, FULL),
        (FULL, 21, FULL),
        (SUSPENDED, 500, SUSPENDED),
    ],
)
def test_verified_work_leads_up_the_ladder(before, verified, expected):
    assert next_standing(before, verified_jobs=verified, log_e=0.0) is expected


@pytest.mark.parametrize("before", [SHADOW, PROBATION, FULL])
def test_the_evidence_against_suspends_at_one_in_a_hundred(before):
    line = math.log(100)
    assert next_standing(before, verified_jobs=50, log_e=line) is SUSPENDED
    assert next_standing(before, verified_jobs=50, log_e=line - 1e-9) is not SUSPENDED


def test_the_bet_is_fair_where_the_agent_succeeds_six_times_in_ten():
    up, down = (math.exp(fold_log_e(0.0, is_verified=verified)) for verified in (False, True))
    assert 0.4 * up + 0.6 * down == pytest.approx(1.0)
    assert fold_log_e(1.0, is_verified=False) > 1.0 > fold_log_e(1.0, is_verified=True)


def test_good_agents_stay_and_poor_ones_go_soon():
    ends = [live(0.3, 400, seed)[1] for seed in range(60)]
    assert None not in ends
    assert 10 <= statistics.median(ends) <= 40
    assert sum(live(0.7, 400, seed)[0] is SUSPENDED for seed in range(60)) <= 1
    assert all(live(0.95, 60, seed)[0] is FULL for seed in range(20))


def test_three_failures_running_suspend_nobody():
    log_e = 0.0
    for is_verified in [True] * 8 + [False] * 3:
        log_e = fold_log_e(log_e, is_verified=is_verified)
    assert next_standing(PROBATION, verified_jobs=8, log_e=log_e) is PROBATION
