"""Priorities follow health: diagnostic jobs first and more often, housekeeping held back, not for good."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.domain.clock import HOUR_US, MINUTE_US, SECOND_US
from services.domain.priority import (
    HEALTHY_FROM,
    HELD_AT_MOST_US,
    SHORTEST_INTERVAL_US,
    Placement,
    Role,
    divisor,
    effective,
)

PURE = settings(max_examples=200, deadline=None, derandomize=True, database=None)
POINTS = st.one_of(st.none(), st.integers(0, 100))


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("points", [None, HEALTHY_FROM, 100])
def test_a_healthy_platform_runs_by_its_table(role, points):
    assert effective(40, role, points, waited_us=0) == Placement(40)


def test_below_the_line_roles_part():
    low = HEALTHY_FROM - 1
    assert effective(5, Role.ESSENTIAL, low) == Placement(5)
    diagnostic = effective(40, Role.DIAGNOSTIC, low)
    assert (diagnostic.priority, diagnostic.is_held_back) == (-60, False)
    assert diagnostic.reason == "health is 79 of 100, below 80: diagnostic jobs run first and more often"
    held = effective(60, Role.HOUSEKEEPING, low, waited_us=HOUR_US)
    assert (held.priority, held.is_held_back) == (160, True)
    assert held.reason == "health is 79 of 100, below 80: housekeeping waits"


@pytest.mark.parametrize(
    ("waited_us", "is_held"),
    [(None, False), (0, True), (HELD_AT_MOST_US - 1, True), (HELD_AT_MOST_US, False), (10**15, False)],
)
def test_housekeeping_is_never_starved(waited_us, is_held):
    placed = effective(60, Role.HOUSEKEEPING, 0, waited_us=waited_us)
    assert placed.is_held_back is is_held
    assert placed.reason is not None


@PURE
@given(st.integers(0, 90), st.integers(0, 90), POINTS)
def test_diagnostics_come_before_everything_and_housekeeping_after_it_when_health_is_low(one, other, points):
    diagnostic = effective(one, Role.DIAGNOSTIC, points).priority
    essential = effective(other, Role.ESSENTIAL, points).priority
    tidy = effective(one, Role.HOUSEKEEPING, points, waited_us=None).priority
    assert essential == other
    if points is not None and points < HEALTHY_FROM:
        assert diagnostic < essential < tidy


@PURE
@given(st.sampled_from(Role), st.integers(1, 48 * 60 * 4), st.integers(0, 600))
def test_a_divided_interval_is_bounded_and_keeps_the_table_s_instants(role, quarters, budget_seconds):
    every_us, budget_us = quarters * 15 * SECOND_US, budget_seconds * SECOND_US
    by = divisor(role, every_us, budget_us)
    assert every_us % by == 0
    if role is not Role.DIAGNOSTIC:
        assert by == 1
    if by > 1:
        assert every_us // by >= max(SHORTEST_INTERVAL_US, 2 * budget_us)


@pytest.mark.parametrize(
    ("every_us", "budget_us", "by"),
    [
        (HOUR_US, 30 * SECOND_US, 4),
        (MINUTE_US, 15 * SECOND_US, 2),
        (MINUTE_US, SECOND_US, 4),
        (45 * SECOND_US, SECOND_US, 3),
        (15 * SECOND_US, SECOND_US, 1),
    ],
)
def test_how_much_more_often(every_us, budget_us, by):
    assert divisor(Role.DIAGNOSTIC, every_us, budget_us) == by
