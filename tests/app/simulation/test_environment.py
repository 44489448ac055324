"""The truth of a scenario: what a task's success depends on, and on nothing else."""

import random

import pytest

from app.simulation.environment import Change, Environment, Trend, expit, logit

DRAWS = 4_000
VALUES = {"work_00.dial_00": {"value": "2"}, "work_00.timeout_seconds": {"value": "90"}}


def world(**changes):
    return Environment(random.Random(5), {"work_00": 0.7}, **changes)


def rate(environment, values=VALUES, agent_id=1, now_seconds=0.0):
    drawn = (environment.attempt("work_00", values, agent_id, now_seconds).is_good for _ in range(DRAWS))
    return sum(drawn) / DRAWS


def test_log_odds_and_back():
    assert expit(logit(0.7)) == pytest.approx(0.7)
    assert logit(0.5) == 0


def test_level_is_what_succeeds_where_nothing_else_is_true():
    assert rate(world()) == pytest.approx(0.7, abs=0.03)


def test_change_works_only_where_its_value_is_in_force():
    environment = world()
    environment.propose("work_00", Change("work_00.dial_00", "2", logit(0.9) - logit(0.7)), 0.0)
    assert rate(environment) == pytest.approx(0.9, abs=0.03)
    others = {**VALUES, "work_00.dial_00": {"value": "1"}}
    assert rate(environment, others) == pytest.approx(0.7, abs=0.03)
    environment.settle("work_00.dial_00")
    assert rate(environment) == pytest.approx(0.7, abs=0.03)


def test_agents_differ_by_their_ability():
    environment = world(abilities={1: 1.5, 2: -1.5})
    assert rate(environment, agent_id=1) == pytest.approx(expit(logit(0.7) + 1.5), abs=0.03)
    assert rate(environment, agent_id=2) == pytest.approx(expit(logit(0.7) - 1.5), abs=0.03)


def test_trend_moves_the_level_from_the_instant_of_the_proposal():
    environment = world(trend=Trend(0.6, 0.9, 100.0))
    assert environment.level("work_00", 50.0) == 0.6
    environment.propose("work_00", Change("work_00.dial_00", "2", 0.0), 1000.0)
    levels = [environment.level("work_00", now) for now in (1000.0, 1050.0, 1100.0, 5000.0)]
    assert levels == pytest.approx([0.6, 0.75, 0.9, 0.9])


def test_slow_failures_hang_until_the_time_limit_of_their_arm():
    environment = world(is_failing_slowly=True)
    works = [environment.attempt("work_00", VALUES, 1, 0.0) for _ in range(200)]
    assert {work.seconds for work in works if not work.is_good} == {90.0}
    assert all(5.0 <= work.seconds <= 60.0 for work in works if work.is_good)
    assert all(work.is_in_time == work.is_good for work in works)
