"""TOML from outside: read when it is small and flat enough to cost little, else refused by table and key.

Stands under the readers of parameter files. The standard reader takes minutes for some files of 40 KB, so
what makes them dear is looked for first, in one pass over the text. It never judges what a file means.
"""

import re
import tomllib
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

NESTING_HIGHEST: Final = 32
"""So many parts may a dotted key have, and so deep may lists and inline tables stand in each other."""
WORD_LENGTH_MAX: Final = 128
"""So many characters may a number or a bare key have."""
NAMED_LENGTH: Final = 96

_TOKEN: Final = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*+"{3,5}'
    r"|'''(?:[^']|'(?!''))*+'{3,5}"
    r'|(?P<string>"(?:[^"\\\n]|\\.)*+"|\'[^\'\n]*+\')'
    r"|\#[^\n]*+|[ \t\r]++|(?P<word>[\w+-]++)|(?P<sign>.)",
    re.DOTALL,
)
_DEAR_EXPONENT: Final = re.compile(r"[+-]?[0-9_]*[eE][+-]?[0-9_]{4,}")


class TomlRefusedError(Exception):
    """A text that is not TOML, or dear to read; `table` and `key` say where, as far as that is known."""

    def __init__(self, why: str, table: str = "", key: str = "") -> None:
        super().__init__(why)
        self.why, self.table, self.key = why, table[:NAMED_LENGTH], key[:NAMED_LENGTH]


def read_toml(text: str) -> dict[str, Any]:
    """Return a TOML document with its fractions as Decimal; raise TomlRefusedError."""
    for table, statement in _statements(text):
        _check(table, statement)
    try:
        return tomllib.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError, ArithmeticError) as error:
        raise TomlRefusedError(f"is not TOML: {str(error)[:200]}") from error


def _statements(text: str) -> Iterator[tuple[str, list[re.Match[str]]]]:
    """Yield each header and assignment as its tokens, with the table that it stands in."""
    table, depth = "", 0
    statement: list[re.Match[str]] = []
    for token in _TOKEN.finditer(text):
        sign = token["sign"]
        depth = max(0, depth + (sign in ("[", "{") if sign else 0) - (sign in ("]", "}") if sign else 0))
        if sign == "\n" and (depth == 0 or _is_header(statement)):
            yield table, statement
            if _is_header(statement):
                table = _spelled(statement)
            statement, depth = [], 0
        elif token["string"] or token["word"] or sign:
            statement.append(token)
    yield table, statement


def _is_header(statement: list[re.Match[str]]) -> bool:
    return bool(statement) and statement[0]["sign"] == "["


def _spelled(statement: list[re.Match[str]]) -> str:
    """Return the dotted name of a header, or what an assignment has before its sign, as one text."""
    parts = []
    for token in statement[: 2 * NAMED_LENGTH]:
        if token["sign"] == "=":
            break
        if token["sign"] not in ("[", "]"):
            parts.append(token[0].strip("\"'")[:NAMED_LENGTH])
    return "".join(parts)


def _check(table: str, statement: list[re.Match[str]]) -> None:
    """Refuse what is dear: long dotted keys, deep nesting, numbers of many digits or large exponents."""
    depth, parts, why = 0, 0, ""
    is_after_dot = False
    for token in statement:
        sign, word = token["sign"], token["word"]
        if sign == ".":
            is_after_dot = True
            continue
        depth += 1 if sign in ("[", "{") else -1 if sign in ("]", "}") else 0
        parts = parts + 1 if is_after_dot and not sign else 1
        is_after_dot = False
        if parts > NESTING_HIGHEST or depth > NESTING_HIGHEST:
            why = f"nests more than {NESTING_HIGHEST} deep"
        elif word and len(word) > WORD_LENGTH_MAX:
            why = f"has a number or a key of {len(word)} characters; at most {WORD_LENGTH_MAX} are read"
        elif word and _DEAR_EXPONENT.fullmatch(word):
            why = "has a number with an exponent of more than 3 digits; write it in plain digits"
        if why:
            is_header = _is_header(statement)
            spelled = _spelled(statement)
            raise TomlRefusedError(why, spelled if is_header else table, "" if is_header else spelled)
