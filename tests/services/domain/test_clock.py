"""Time in integer microseconds: a clock that stands still, one that never runs back, RFC 3339 both ways."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.domain import clock
from services.domain.clock import VirtualClock, WallClock, from_rfc3339, seconds, to_rfc3339


def test_a_virtual_clock_moves_when_it_is_told_to():
    virtual = VirtualClock(1_000)
    assert [virtual.now_us(), virtual.now_us()] == [1_000, 1_000]
    virtual.advance(seconds(1.5))
    assert virtual.now_us() == 1_501_000
    with pytest.raises(ValueError, match="cannot go back by 1 µs"):
        virtual.advance(-1)


def test_a_wall_clock_never_runs_back(monkeypatch):
    answers = iter([5_000_000_000, 3_000_000_000, 6_000_000_000])
    monkeypatch.setattr(clock.time, "time_ns", lambda: next(answers))
    wall = WallClock()
    assert [wall.now_us(), wall.now_us(), wall.now_us()] == [5_000_000, 5_000_000, 6_000_000]


@pytest.mark.parametrize(
    ("text", "instant_us"),
    [
        ("1970-01-01T00:00:00.000000Z", 0),
        ("2026-01-01T00:00:00.000000Z", 1_767_225_600_000_000),
        ("2026-01-31T12:00:00.000001Z", 1_769_860_800_000_001),
    ],
)
def test_the_ledger_s_spelling_of_an_instant(text, instant_us):
    assert to_rfc3339(instant_us) == text
    assert from_rfc3339(text) == instant_us


def test_an_offset_is_needed_and_understood():
    assert from_rfc3339("2026-01-01T02:00:00+02:00") == from_rfc3339("2026-01-01T00:00:00Z")
    with pytest.raises(ValueError, match="no UTC offset"):
        from_rfc3339("2026-01-01T00:00:00")


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.integers(0, 4_000_000_000_000_000))
def test_no_microsecond_is_lost_on_the_way(instant_us):
    assert from_rfc3339(to_rfc3339(instant_us)) == instant_us


def test_text_sorts_like_time():
    instants = [0, 1, 999_999, 1_000_000, 1_767_225_600_000_000]
    texts = [to_rfc3339(instant) for instant in instants]
    assert texts == sorted(texts)
