"""Canonical JSON against an independent implementation of RFC 8785, and what it must refuse."""

import json
from enum import StrEnum

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from services.domain.canonical import canonical_bytes, digest_hex, parse_canonical

LIMIT = 2**53 - 1
text = st.text(st.characters(exclude_categories=["Cs"]))
keys = st.text(st.characters(max_codepoint=127))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-LIMIT, LIMIT) | text,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=25,
)


@given(values)
def test_bytes_are_those_of_the_oracle(value):
    assert canonical_bytes(value) == rfc8785.dumps(value)


@given(values)
def test_parsing_gives_the_value_back(value):
    assert parse_canonical(canonical_bytes(value)) == value


@given(st.dictionaries(keys, values, min_size=2))
def test_order_of_insertion_does_not_matter(value):
    assert canonical_bytes(dict(reversed(value.items()))) == canonical_bytes(value)


@given(values)
def test_no_other_spelling_is_accepted(value):
    canonical = canonical_bytes(value)
    for other in (json.dumps(value).encode(), json.dumps(value, indent=1).encode(), b" " + canonical):
        if other != canonical:
            with pytest.raises(ValueError, match=r"\S"):
                parse_canonical(other)


def test_escapes_are_those_of_the_rfc():
    assert (
        canonical_bytes('\u20ac$\u000f\nA\'B"\\\\"/\x7f')
        == b'"\xe2\x82\xac$\\u000f\\nA\'B\\"\\\\\\\\\\"/\x7f"'
    )


def test_enum_members_and_tuples_are_their_plain_values():
    class Colour(StrEnum):
        PEARL = "pearl"

    assert canonical_bytes({"c": (Colour.PEARL, 1)}) == b'{"c":["pearl",1]}'


def test_digest_is_sha256_of_the_bytes():
    assert digest_hex({}) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


CYCLE: list[object] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ({"a": [1, {"b": 0.5}]}, TypeError, r"\$\.a\[1\]\.b: float"),
        ({"a": float("nan")}, TypeError, r"\$\.a: float"),
        ([1, b"x"], TypeError, r"\$\[1\]: bytes"),
        ({"a": {1, 2}}, TypeError, r"\$\.a: set"),
        ({"a": LIMIT + 1}, ValueError, r"\$\.a: integer"),
        ([-LIMIT - 1], ValueError, r"\$\[0\]: integer"),
        ({"a": {"\u00e9": 1}}, ValueError, r"\$\.a: key '\\xe9' is not ASCII"),
        ({"a": {1: 1}}, TypeError, r"\$\.a: key 1 is not a string"),
        ({"a": "\ud800"}, ValueError, r"\$\.a: lone surrogate"),
        (CYCLE, ValueError, r"nested deeper"),
    ],
)
def test_values_without_one_spelling_are_refused_by_path(value, error, message):
    with pytest.raises(error, match=message):
        canonical_bytes(value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"1.0",
        b"1e3",
        b"-0",
        b"01",
        b"NaN",
        b"Infinity",
        b"9007199254740992",
        b"1" * 5000,
        b'{"a":1,"a":1}',
        b'{"b":1,"a":2}',
        b'{"a": 1}',
        b'{"a":1}\n',
        b'"\\u0041"',
        b'"\\/"',
        b'"\\ud800"',
        b'"\xff"',
        b"\xef\xbb\xbf1",
        '"x"'.encode("utf-16"),
        '{"\u00e9":1}'.encode(),
        b"[" * 101 + b"]" * 101,
        b"[" * 100_000 + b"]" * 100_000,
    ],
    ids=lambda data: f"{data[:12]!r} of {len(data)}",
)
def test_bytes_that_are_not_canonical_are_refused(data):
    with pytest.raises(ValueError, match=r"\S"):
        parse_canonical(data)


def test_a_hundred_levels_are_accepted():
    data = b"[" * 100 + b"]" * 100
    assert canonical_bytes(parse_canonical(data)) == data
