"""Text from agents cannot command a terminal: escape sequences and invisible characters do not get out."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.terminal_text import json_text, plain


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]52;c;Y2xpcA==", ""),
        ("\x9b2Jgone", "gone"),
        ("\x1bPq#0\x1b\\image", "image"),
        ("\x1bcreset", "reset"),
        ("two\nlines\tand\r\x0bmore", "two lines and  more"),
        ("bell\x07 back\x08 delete\x7f", "bell back delete"),
        ("right\u202eleft\u2066\u200b", "rightleft"),
        ("a\u2028b\u2029c", "a b c"),
        ("[bold]no markup[/bold]", "[bold]no markup[/bold]"),
        ("na\u00efve \u6f22 \U0001f600", "na\u00efve \u6f22 \U0001f600"),
        ("\x1b", ""),
        ("", ""),
    ],
)
def test_what_a_terminal_would_obey_is_taken_out(hostile, shown):
    assert plain(hostile) == shown


@given(st.text())
def test_nothing_invisible_is_ever_left(text):
    kinds = {unicodedata.category(character) for character in plain(text)}
    assert not kinds & {"Cc", "Cf", "Cs", "Zl", "Zp"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_json_says_exactly_the_same_and_commands_nothing(value):
    text = json_text(value)
    assert json.loads(text) == value
    kinds = {unicodedata.category(character) for character in text.replace("\n", "")}
    assert not kinds & {"Cc", "Cf", "Cs", "Zl", "Zp"}


def test_numbers_that_json_does_not_have_are_refused():
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text({"rate": float("nan")})
