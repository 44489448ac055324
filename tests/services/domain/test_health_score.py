"""The health score: what each part takes, that parts are bounded, and that low does not flap."""

import dataclasses

import pytest

from services.domain.checks import Status, aged, worst
from services.domain.health_score import (
    LAG_FREE_US,
    LAG_FULL_US,
    LOW_BELOW,
    MOST,
    WELL_FROM,
    HealthFacts,
    score,
    steadied,
)
from services.domain.priority import HEALTHY_FROM

EVERYTHING = HealthFacts(*[10**12] * len(dataclasses.fields(HealthFacts)))


def test_a_platform_without_trouble_has_a_hundred_points():
    found = score(HealthFacts())
    assert (found.points, set(found.parts)) == (100, set(MOST))
    assert not any(found.parts.values())


def test_all_parts_together_take_a_hundred_points_and_no_more():
    assert sum(MOST.values()) == 100
    found = score(EVERYTHING)
    assert (found.points, dict(found.parts)) == (0, dict(MOST))


@pytest.mark.parametrize(
    ("fact", "amount", "part", "lost"),
    [
        ("platform_episodes", 1, "metrics", 15),
        ("series_episodes", 2, "metrics", 12),
        ("failing_checks", 1, "checks", 15),
        ("warning_checks", 1, "checks", 3),
        ("dead_letters", 3, "bus", 3),
        ("dead_letters", 500, "bus", 5),
        ("overdue_us", LAG_FREE_US, "bus", 0),
        ("overdue_us", (LAG_FREE_US + LAG_FULL_US) // 2, "bus", 5),
        ("overdue_us", 10 * LAG_FULL_US, "bus", 10),
        ("jobs_at_fault", 0.5, "cron", 2.5),
        ("jobs_at_fault", 7, "cron", 15),
        ("broken_invariants", 1, "invariants", 5),
        ("exhausted_budgets", 3, "budgets", 5),
        ("overdue_reviews", 2, "reviews", 2),
    ],
)
def test_each_fact_takes_points_of_its_own_part_only(fact, amount, part, lost):
    found = score(HealthFacts(**{fact: amount}))
    assert found.parts[part] == lost
    assert sum(found.parts.values()) == lost
    assert found.points == round(100 - lost)


@pytest.mark.parametrize("fact", [field.name for field in dataclasses.fields(HealthFacts)])
def test_more_trouble_never_raises_the_score(fact):
    points = [score(HealthFacts(**{fact: amount})).points for amount in (0, 1, 2, 5, 10**9)]
    assert points == sorted(points, reverse=True)
    assert points[-1] < 100


def driven(*readings):
    """Return what each reading counts as, one after the other."""
    found, before = [], None
    for points in readings:
        before = steadied(points, before)
        found.append(before)
    return found


def test_a_score_that_swings_around_the_line_counts_as_low_once():
    assert driven(90, 81, 79, 80, 79, 81, 84, 80) == [90, 81, 79, 79, 79, 79, 79, 79]
    assert driven(79, 84, 85, 84, 80, 79) == [79, 79, 85, 84, 80, 79]
    assert driven(82) == [82]


def test_low_is_what_the_cron_runner_takes_for_low():
    assert LOW_BELOW == HEALTHY_FROM < WELL_FROM


@pytest.mark.parametrize(
    ("status", "age", "expected"),
    [
        (Status.PASS, 10, Status.PASS),
        (Status.PASS, 11, Status.WARN),
        (Status.WARN, 11, Status.WARN),
        (Status.PASS, 20, Status.WARN),
        (Status.PASS, 21, Status.FAIL),
        (Status.FAIL, 0, Status.FAIL),
    ],
)
def test_an_old_answer_is_worth_less_and_never_more(status, age, expected):
    assert aged(status, age, warn_after_us=10, fail_after_us=20) is expected


def test_the_worst_answer_counts():
    assert worst([]) is Status.PASS
    assert worst([Status.PASS, Status.WARN]) is Status.WARN
    assert worst([Status.FAIL, Status.WARN, Status.PASS]) is Status.FAIL
