"""Candidates are ranked by what they may gain, what was seen before what is fitted; moves are tested."""

import pytest

from services.domain.candidates import moved, rank
from services.domain.parameters import Parameter, Risk
from services.domain.patterns import bucket_of, empty_entry

DAY = 100


def parameter(name, unit="factor", risk=Risk.OPEN):
    return Parameter(f"work.{name}", "1", "0.001", "1000", "2", unit, "tests", risk, "")


LIMIT = parameter("timeout_seconds", "seconds")
DIAL = parameter("dial")


def entry(tasks, timed_out=0, refused=0, seconds=(), **fields):
    histogram = {}
    for value in seconds:
        bucket = str(bucket_of(int(value * 1e6)))
        histogram[bucket] = histogram.get(bucket, 0) + 1
    reasons = {"timed_out": timed_out, "verification_failed": refused}
    return {
        **empty_entry(), "tasks": tasks, "failures": timed_out + refused,
        "reasons": {name: count for name, count in reasons.items() if count}, "histogram": histogram,
        **fields,
    }  # fmt: skip


def ranked(days, parameters=(LIMIT, DIAL), in_force=None):
    in_force = in_force or {"work.timeout_seconds": "2", "work.dial": "1"}
    return rank("work", parameters, in_force, days, DAY)


def test_a_limit_is_judged_by_what_ends_just_before_it():
    days = {("work.timeout_seconds", "2"): {"100": entry(100, timed_out=30, seconds=[1.5] * 30 + [0.2] * 40)}}
    [found] = ranked(days)
    assert (found.direction, found.basis, found.score) == ("up", "tail", pytest.approx(0.15))


def test_what_was_seen_under_a_longer_limit_outweighs_the_fit():
    days = {
        ("work.timeout_seconds", "2"): {"100": entry(100, timed_out=30, seconds=[1.5] * 70)},
        ("work.timeout_seconds", "4"): {"100": entry(100, timed_out=30, seconds=[1.5] * 70)},
    }
    assert ranked(days) == []
    days["work.timeout_seconds", "4"] = {"100": entry(100, timed_out=3, seconds=[3.0] * 27 + [1.5] * 70)}
    [found] = ranked(days)
    assert (found.basis, found.score) == ("seen", pytest.approx(0.3 * 0.9))


def test_another_value_under_which_work_went_better_is_named_with_its_direction():
    days = {
        ("work.dial", "1"): {"100": entry(200, refused=60)},
        ("work.dial", "2"): {"95": entry(400, refused=20)},
    }
    [found] = ranked(days)
    assert (found.parameter, found.direction, found.to, found.basis) == ("work.dial", "up", "2", "values")
    assert 0.1 < found.score < 0.25


def test_a_value_that_did_well_when_it_was_new_is_left_alone():
    days = {
        ("work.dial", "1"): {"90": entry(200, refused=10), "100": entry(400, refused=200)},
        ("work.dial", "2"): {"80": entry(400, refused=20)},
    }
    assert ranked(days) == []


def test_little_evidence_old_evidence_and_fixed_settings_say_nothing():
    few = {("work.dial", "1"): {"100": entry(20, refused=15)}, ("work.dial", "2"): {"99": entry(20)}}
    assert ranked(few) == []
    old = {("work.dial", "1"): {"100": entry(200, refused=99)}, ("work.dial", "2"): {"60": entry(200)}}
    assert ranked(old) == []
    days = {("work.dial", "1"): {"100": entry(200, refused=99)}, ("work.dial", "2"): {"99": entry(200)}}
    assert ranked(days, [parameter("dial", risk=Risk.FIXED)]) == []
    assert len(ranked(days, [parameter("dial", risk=Risk.GATED)])) == 1


def test_the_larger_gain_comes_first():
    days = {
        ("work.timeout_seconds", "2"): {"100": entry(100, timed_out=10, seconds=[1.5] * 90)},
        ("work.dial", "1"): {"100": entry(500, refused=200)},
        ("work.dial", "2"): {"100": entry(500)},
    }
    assert [one.parameter for one in ranked(days)] == ["work.dial", "work.timeout_seconds"]


def test_a_move_is_told_from_chance():
    same = entry(400, refused=40, seconds=[0.5] * 200 + [1.0] * 160)
    assert moved(same, same) is None
    assert moved(same, entry(400, refused=42, seconds=[0.5] * 195 + [1.0] * 163)) is None
    assert moved(same, entry(400, refused=100, seconds=[0.5] * 300)) == "success"
    assert moved(same, entry(400, refused=40, seconds=[0.5] * 20 + [1.0] * 340)) == "durations"
    assert moved(same, entry(20, refused=20)) is None
