"""The robust scale against its definition, and the moving window against plain arithmetic."""

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.domain.robust import MAD_TO_SD, MOST_Z, RANGE_TO_SD, Moving, Trailing, scale_of, z_of

NUMBERS = st.floats(-1e9, 1e9, allow_nan=False)


@given(st.lists(NUMBERS, min_size=1, max_size=60))
def test_the_scale_is_the_median_deviation_or_the_range(values):
    ordered = sorted(values)
    n = len(ordered)
    middle = ordered[n // 2]
    mad = sorted(abs(value - middle) for value in ordered)[n // 2]
    tail = int(0.05 * (n - 1) + 0.5)
    span = (ordered[n - 1 - tail] - ordered[tail]) * RANGE_TO_SD
    assert scale_of(ordered, 0.0) == pytest.approx(max(MAD_TO_SD * mad, span), rel=1e-9, abs=1e-12)


def test_a_series_of_few_values_has_a_scale_all_the_same():
    few = sorted([0.0] * 80 + [1.0] * 20)
    assert scale_of(few, 0.0) == pytest.approx(RANGE_TO_SD), "its median deviation alone is 0"
    assert scale_of([5.0] * 50, 0.05) == 0.05
    assert scale_of([], 0.3) == 0.3


def test_where_nothing_ever_changed_any_change_is_the_most():
    assert z_of(5.0, 5.0, 0.0) == 0.0
    assert (z_of(5.1, 5.0, 0.0), z_of(4.9, 5.0, 0.0)) == (MOST_Z, -MOST_Z)
    assert z_of(1e300, 0.0, 1e-9) == MOST_Z
    assert z_of(7.0, 5.0, 0.5) == 4.0


@given(st.lists(st.tuples(st.integers(0, 50), NUMBERS), min_size=1, max_size=80))
def test_the_trailing_values_are_those_of_the_width(steps):
    trailing, at_us, held = Trailing(100), 0, []
    for step_us, value in steps:
        at_us += step_us
        held.append((at_us, value))
        trailing.add(at_us, value)
        inside = sorted(v for t, v in held if t > at_us - 100)
        assert len(trailing) == len(inside)
        assert trailing.median() == inside[len(inside) // 2]
        assert trailing.scale(0.0) == scale_of(inside, 0.0)
        assert trailing.since_us == min(t for t, _ in held if t > at_us - 100)


@given(st.lists(st.tuples(st.integers(1, 40), st.floats(-1e6, 1e6)), min_size=1, max_size=80))
def test_the_moving_window_is_plain_mean_and_deviation(steps):
    moving, at_us, held = Moving(100, 2, 150), 0, []
    for step_us, value in steps:
        at_us += step_us
        held.append((at_us, value))
        moving.add(at_us, value)
        held = [(t, v) for t, v in held if t > at_us - 150]
        while len(held) > 2 and held[0][0] <= at_us - 100:
            held.pop(0)
        values = [v for _, v in held]
        assert moving.mean() == pytest.approx(statistics.fmean(values), rel=1e-9, abs=1e-3)
        if len(values) < 2:
            assert moving.deviation() is None
        else:
            assert moving.deviation() == pytest.approx(statistics.pstdev(values), rel=1e-3, abs=1.0)


def test_a_large_offset_costs_no_precision():
    moving = Moving(100, 2, 150)
    for at in range(500):
        moving.add(at * 10, (0.0 if at < 100 else 1e12) + (at % 2))
    assert moving.deviation() == pytest.approx(0.5, rel=1e-3)


def test_a_constant_series_has_no_deviation():
    moving = Moving(100, 2, 150)
    for at in range(300):
        moving.add(at * 10, 0.1)
    assert moving.deviation() == pytest.approx(0.0, abs=1e-12)
    assert math.isfinite(moving.mean())
