"""The three-field handoff: exactly these fields, typed and capped, everything else refused by its path."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.domain.errors import InvalidValueError
from services.domain.handoff import CHANGED_LIMIT_BYTES, TEXT_LIMIT, Handoff, parse_handoff

GOOD = {"done": "estimated", "changed": {"estimate": 3.14}, "next": ""}


def nested(depth):
    value = 1
    for _ in range(depth):
        value = {"a": value}
    return value


def test_a_good_handoff_comes_through_unchanged():
    handoff = parse_handoff(GOOD)
    assert handoff == Handoff("estimated", {"estimate": 3.14}, "")
    assert handoff.to_payload() == GOOD


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"score": 1}, "handoff.score"),
        ({"done": None}, "handoff.done"),
        ({"done": 3}, "handoff.done"),
        ({"next": ["x"]}, "handoff.next"),
        ({"done": "x" * (TEXT_LIMIT + 1)}, "handoff.done"),
        ({"next": "a\x00b"}, "handoff.next"),
        ({"done": "\ud800"}, "handoff.done"),
        ({"changed": []}, "handoff.changed"),
        ({"changed": None}, "handoff.changed"),
        ({"changed": {"a": float("nan")}}, "handoff.changed.a"),
        ({"changed": {"a": [1, {"b": float("inf")}]}}, "handoff.changed.a[1].b"),
        ({"changed": {"a": {"b": "x\x00"}}}, "handoff.changed.a.b"),
        ({"changed": {"k\x00": 1}}, "handoff.changed"),
        ({"changed": {"a": "x" * CHANGED_LIMIT_BYTES}}, "handoff.changed"),
        ({"changed": {"a": "é" * (CHANGED_LIMIT_BYTES // 2)}}, "handoff.changed"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(change, field):
    with pytest.raises(InvalidValueError) as refusal:
        parse_handoff({**GOOD, **change})
    assert refusal.value.field == field


@pytest.mark.parametrize("missing", ["done", "changed", "next"])
def test_no_field_may_be_left_out(missing):
    with pytest.raises(InvalidValueError) as refusal:
        parse_handoff({name: value for name, value in GOOD.items() if name != missing})
    assert refusal.value.field == f"handoff.{missing}"


def test_depth_is_capped_just_there():
    parse_handoff({**GOOD, "changed": nested(12)})
    with pytest.raises(InvalidValueError, match="nested deeper than 12"):
        parse_handoff({**GOOD, "changed": nested(13)})


def test_the_field_of_a_refusal_stays_short():
    with pytest.raises(InvalidValueError) as refusal:
        parse_handoff({**GOOD, "y" * 500: 1})
    assert len(refusal.value.field) <= 120


def refusal_of(raw):
    try:
        parse_handoff(raw)
    except InvalidValueError as refusal:
        return refusal
    return None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(st.dictionaries(st.sampled_from(["done", "changed", "next", "more"]), json_values))
def test_anything_is_taken_whole_or_refused_by_name(raw):
    refusal = refusal_of(raw)
    if refusal is not None:
        assert refusal.field.startswith("handoff.")
        return
    assert parse_handoff(raw).to_payload() == raw
    json.dumps(raw, allow_nan=False, ensure_ascii=False).encode()
