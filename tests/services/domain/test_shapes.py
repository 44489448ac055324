"""Spike or shift, and when a second departure is worse than the first."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.domain.measures import Bad
from services.domain.shapes import Departure, is_in, is_worse, shape_of
from services.domain.states import EpisodeShape


def shape(values, low=0.8, high=1.0):
    return shape_of(values, lambda pool: is_in(sum(pool) / len(pool), (low, high), Bad.FALL))


def test_back_after_three_windows_is_a_spike():
    assert shape([0.5, 0.5]) is None
    assert shape([0.9, 0.9, 0.9]) is EpisodeShape.SPIKE
    assert shape([0.5, 0.9, 0.9]) is None, "pooled, these three are still out"
    assert shape([0.5, 0.5, 0.5, 0.9, 0.9, 0.9]) is None, "it was not back three windows after the alarm"
    assert shape([0.9] * 3 + [0.5] * 3) is EpisodeShape.SPIKE


def test_a_whole_day_out_is_a_shift():
    assert shape([0.5] * 23) is None
    assert shape([0.5] * 24) is EpisodeShape.SHIFT
    assert shape([0.5] * 200) is EpisodeShape.SHIFT
    assert shape([0.9] * 3 + [0.5] * 21) is EpisodeShape.SHIFT, "what looked like a spike has lasted"
    assert shape([0.7] * 3 + [0.95] * 18 + [0.7] * 6) is None, "a day that is in on the whole is no shift"
    assert shape([0.5] * 18 + [0.95] * 3 + [0.7] * 3) is None, "the newest six are in again"


@given(st.lists(st.floats(0, 1), max_size=60))
def test_a_shape_follows_its_definition(values):
    found = shape(values)
    is_shift = len(values) >= 24 and all(sum(values[-n:]) / n < 0.8 for n in (6, 24))
    is_spike = len(values) >= 3 and sum(values[:3]) / 3 >= 0.8
    assert (found is EpisodeShape.SHIFT) is is_shift
    assert (found is EpisodeShape.SPIKE) is (is_spike and not is_shift)


def test_only_the_bad_side_has_a_limit():
    band = (10.0, 20.0)
    assert [is_in(value, band) for value in (9, 10, 15, 20, 21)] == [False, True, True, True, False]
    assert is_in(21, band, Bad.FALL)
    assert not is_in(9, band, Bad.FALL)
    assert is_in(9, band, Bad.RISE)
    assert not is_in(21, band, Bad.RISE)
    with pytest.raises(ValueError, match="numbers"):
        is_in(math.nan, band)
    with pytest.raises(ValueError, match="numbers"):
        is_in(1.0, (math.nan, 2.0))


def test_worse_is_a_quarter_further_out_on_the_same_side():
    before = Departure(0.80, 0.90)
    assert not is_worse(Departure(0.78, 0.90), before, Bad.FALL)
    assert is_worse(Departure(0.76, 0.90), before, Bad.FALL)
    assert not is_worse(Departure(0.99, 0.90), before, Bad.FALL), "a rise is no worse fall"
    assert is_worse(Departure(0.99, 0.90), before, Bad.EITHER), "the other side was not out before"
    assert not is_worse(Departure(0.90, 0.90), before, Bad.EITHER)
    assert is_worse(Departure(130, 100), Departure(120, 100), Bad.RISE)
    assert not is_worse(Departure(124, 100), Departure(120, 100), Bad.RISE)
    assert is_worse(Departure(121, 100), Departure(120, 100), Bad.RISE, by=0.0)


@given(
    st.floats(-1e6, 1e6),
    st.floats(-1e6, 1e6),
    st.floats(-1e6, 1e6),
    st.sampled_from(list(Bad)),
    st.floats(0, 2),
)
def test_nothing_is_worse_than_itself_and_both_ways_never(observed, other, expected, bad, by):
    one, two = Departure(observed, expected), Departure(other, expected)
    assert not is_worse(one, one, bad, by=by)
    if bad is not Bad.EITHER:
        assert not (is_worse(one, two, bad, by=by) and is_worse(two, one, bad, by=by))


def test_no_number_is_refused():
    for value in (math.nan, math.inf):
        with pytest.raises(ValueError, match="finite"):
            is_worse(Departure(value, 1.0), Departure(1.0, 1.0))
    with pytest.raises(ValueError, match="at least 0"):
        is_worse(Departure(1.0, 1.0), Departure(1.0, 1.0), by=-0.1)
