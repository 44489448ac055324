"""Values of a statement and of a row: bound as given or not at all; JSON decoded once, when first read."""

import json
from collections.abc import Mapping

import pytest

from services.store.values import Reading, binder, row_maker, taker

FOUND = (1, '{"a": [1]}', 0, None, "null")
WHOLE = {"id": 1, "public": {"a": [1]}, "flag": False, "note": None, "empty": None}


class Counted:
    """Decodes JSON and counts how often."""

    def __init__(self):
        self.calls = 0

    def __call__(self, text):
        self.calls += 1
        return None if text is None else json.loads(text)


@pytest.fixture
def decode():
    return Counted()


@pytest.fixture
def make(decode):
    return row_maker(
        [
            Reading("id", None, is_lazy=False),
            Reading("public", decode, is_lazy=True),
            Reading("flag", bool, is_lazy=False),
            Reading("note", None, is_lazy=True),
            Reading("empty", decode, is_lazy=True),
        ]
    )


def test_json_is_decoded_when_it_is_read_and_then_kept(make, decode):
    row = make(FOUND)
    assert (row["id"], row["flag"], row["note"], len(row), "public" in row) == (1, False, None, 5, True)
    assert (list(row), list(reversed(row))) == (list(WHOLE), list(reversed(WHOLE)))
    assert decode.calls == 0
    assert row["public"] == {"a": [1]}
    assert row["public"] is row.get("public")
    assert decode.calls == 1


@pytest.mark.parametrize(
    "whole",
    [
        dict,
        lambda row: {**row},
        lambda row: dict(row.items()),
        lambda row: dict(zip(row.keys(), row.values(), strict=True)),
        lambda row: row | {},
        lambda row: {} | row,
        lambda row: row.copy(),
    ],
    ids=["dict", "spread", "items", "keys and values", "or", "ror", "copy"],
)
@pytest.mark.parametrize("is_read_before", [False, True])
def test_every_way_to_take_all_of_a_row_has_all_in_order(make, whole, is_read_before):
    row = make(FOUND)
    if is_read_before:
        row["empty"]
    taken = whole(row)
    assert taken == WHOLE
    assert list(taken) == list(WHOLE)


def test_rows_are_equal_by_their_values(make):
    row = make(FOUND)
    assert row == make((1, '{"a":[1]}', False, None, "null")) == WHOLE
    plain = dict(WHOLE)
    assert (plain == row, plain != row) == (True, False)
    assert row != make((2, '{"a": [1]}', 0, None, "null"))
    assert row != {"id": 1}
    assert "'public': {'a': [1]}" in repr(row)


def test_a_row_answers_for_what_it_does_not_have_and_cannot_be_changed(make):
    row = make(FOUND)
    assert isinstance(row, Mapping)
    assert (row.get("nothing"), row.get("nothing", 7), "nothing" in row) == (None, 7, False)
    with pytest.raises(KeyError):
        row["nothing"]
    with pytest.raises(TypeError):
        row["public"] = {}
    with pytest.raises(TypeError):
        hash(row)


def test_only_values_that_are_given_are_bound():
    assert binder([None, None], [(0, "a", None), (1, "b", None)])({"b": 2, "a": 1, "c": 3}) == (1, 2)
    assert binder([None, None], [(0, "a", str), (1, "b", None)])({"b": 2, "a": 1}) == ["1", 2]
    assert binder([None, 9], [(0, "a", str)])({"a": 1}) == ["1", 9]
    assert binder({"a": None, "k": 9}, [("a", "where_a", str)])({"where_a": 1}) == {"a": "1", "k": 9}
    assert binder([], [])({"a": 1}) == ()
    with pytest.raises(KeyError):
        binder([None], [(0, "a", None)])({})


def test_a_binder_keeps_nothing_between_two_rows():
    bind = binder([None, 9], [(0, "a", None)])
    first, second = bind({"a": 1}), bind({"a": 2})
    assert (first, second) == ([1, 9], [2, 9])


def test_items_are_taken_as_a_tuple_however_many_there_are():
    assert taker([])("abc") == ()
    assert taker([1])("abc") == ("b",)
    assert taker([2, 0])("abc") == ("c", "a")
