"""Patterns by day: parts add up whatever their order, days fade, sets of values are bounded."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.domain.patterns import (
    HALF_LIFE_DAYS,
    KEPT_DAYS,
    KEY_LENGTH,
    OTHERS,
    SETS_KEPT,
    DayFold,
    Ended,
    bounded_sets,
    bucket_of,
    empty_entry,
    faded,
    fingerprint,
    folded,
    key_of,
    merged,
    seconds_of_bucket,
    values_in_force,
    weighed,
    with_part,
)

TEXT = json.dumps({"work.timeout_seconds": {"value": "2", "version": 3, "source": "promoted"}})

ENDED = st.builds(
    Ended,
    task_type=st.sampled_from(["work", "sums"]),
    agent_id=st.sampled_from([None, 1, 2]),
    is_success=st.booleans(),
    reason=st.sampled_from(["verified", "timed_out", "verification_failed"]),
    duration_us=st.one_of(st.none(), st.integers(0, 10**12)),
    values_text=st.sampled_from([None, TEXT, "{}"]),
    at_us=st.integers(0, 10**15),
    is_task=st.booleans(),
)


def fold_of(ended):
    fold = DayFold()
    for one in ended:
        fold.add(one)
    return fold


@given(st.lists(ENDED, max_size=30), st.integers(0, 30))
def test_a_day_in_parts_is_the_day_at_once(ended, cut):
    whole, parts = fold_of(ended), (fold_of(ended[:cut]), fold_of(ended[cut:]))
    for read in (lambda fold: fold.agents()[0], lambda fold: {k: v[0] for k, v in fold.settings().items()}):
        total, (first, second) = read(whole), map(read, parts)
        for key in total:
            both = merged(first.get(key, empty_entry()), second.get(key, empty_entry()))
            assert both == merged(total[key], empty_entry())


@given(st.lists(ENDED, max_size=30))
def test_nothing_is_lost_or_counted_twice(ended):
    fold = fold_of(ended)
    agents, _ = fold.agents()
    assert sum(entry["tasks"] for entry in agents.values()) == sum(one.agent_id is not None for one in ended)
    settings = fold.settings()
    with_values = [one for one in ended if one.is_task and one.values_text == TEXT]
    assert sum(entry["tasks"] for entry, _ in settings.values()) == len(with_values)
    for entry in agents.values():
        assert entry["failures"] == sum(entry["reasons"].values())
        assert entry["ended"] == sum(entry["histogram"].values())
        pairs = entry["values"].values()
        assert [sum(side) for side in zip(*pairs, strict=True)] == [
            entry["tasks"] - entry["failures"],
            entry["failures"],
        ]


def entry_of(tasks, failures=0):
    return {**empty_entry(), "tasks": tasks, "failures": failures, "first_us": 1, "last_us": 1}


def test_days_fall_away_whole_and_weigh_half_a_week_later():
    days = {}
    for day in range(100, 140):
        days = with_part(days, day, entry_of(10))
    assert len(days) == KEPT_DAYS
    assert folded(days)["tasks"] == 10 * KEPT_DAYS
    one = weighed({"100": entry_of(8, 4)}, 100 + int(HALF_LIFE_DAYS))
    assert (one["tasks"], one["failures"]) == (4.0, 2.0)


def test_an_old_part_never_drops_younger_days():
    days = with_part({"200": entry_of(1)}, 100, entry_of(1))
    assert list(days) == ["200"]


def test_the_sets_of_values_of_an_agent_are_bounded_and_no_task_is_lost():
    meaning = {f"{n:02d}": {"p": [str(n), "1", "default"]} for n in range(40)}
    entry = {**entry_of(820), "values": {f"{n:02d}": [n, 1] for n in range(40)}}
    days, sets = bounded_sets({"1": entry}, meaning)
    assert len(sets) == SETS_KEPT
    assert "39" in sets
    assert "00" not in sets
    assert sum(sum(pair) for pair in days["1"]["values"].values()) == sum(range(40)) + 40
    again, _ = bounded_sets(days, sets)
    assert again == days
    assert OTHERS in again["1"]["values"]


def test_a_bucket_s_middle_is_within_five_percent():
    for us in (1, 10, 999, 1_000_000, 90_000_000, 10**12):
        middle_us = seconds_of_bucket(bucket_of(us)) * 1e6
        assert us == 1 or abs(middle_us / us - 1) < 0.05
    assert bucket_of(0) == bucket_of(1) == 0


@pytest.mark.parametrize("text", [None, "{}", "[]", '{"a": 1}', '{"a": {"value": "no number"}}', "null"])
def test_values_that_are_none_are_no_settings(text):
    assert values_in_force(text) == {}


def test_a_set_of_values_is_named_by_what_is_in_it_not_by_its_order():
    one, other = {"a": ["1", "1", "d"], "b": ["2", "1", "d"]}, {"b": ["2", "1", "d"], "a": ["1", "1", "d"]}
    assert fingerprint(one) == fingerprint(other)
    assert fingerprint(one) != fingerprint({**one, "a": ["1", "2", "d"]})


def test_long_keys_are_cut_and_stay_apart():
    first, second = key_of("t" * 200, "a"), key_of("t" * 200, "b")
    assert len(first) <= KEY_LENGTH
    assert first != second


def test_the_silent_and_the_lightest_beyond_the_limit_fade():
    day_us = 86_400_000_000
    rows = [
        {"id": 1, "tasks": 1_000, "last_seen_us": 0},
        {"id": 2, "tasks": 8, "last_seen_us": 30 * day_us},
        {"id": 3, "tasks": 10, "last_seen_us": 23 * day_us},
        {"id": 4, "tasks": 6, "last_seen_us": 30 * day_us},
    ]
    assert faded(rows, 2, 30 * day_us) == [1, 3]
