"""Canonical JSON: one value, one spelling in bytes (RFC 8785, restricted to values without floats).

Stands under the ledger and every content hash: what is hashed is exactly these bytes. Numbers with a
fraction travel as strings. It never guesses: a value with two possible spellings is refused by its path.
"""

import hashlib
import json
from collections.abc import Iterator
from typing import NoReturn, TypeAlias

JsonValue: TypeAlias = "dict[str, JsonValue] | list[JsonValue] | str | int | bool | None"

LARGEST_INTEGER = 2**53 - 1  # RFC 7493 section 2.2: beyond it a reader with doubles sees another number
DEEPEST_NESTING = 100

_ENCODE = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode


def canonical_bytes(value: object) -> bytes:
    """Return the RFC 8785 bytes of `value` (dict with ASCII str keys, list, tuple, str, int, bool, None).

    ASCII keys make code-point order equal to the UTF-16 order the RFC asks for (section 3.2.3).
    Raises TypeError for a value of another type (floats among them) and ValueError for an integer beyond
    +-(2**53 - 1), a non-ASCII key, a lone surrogate or nesting deeper than 100; each names the path.
    """
    for path, item in _walk(value, "$", 0):
        _check(path, item)
    return _ENCODE(value).encode("utf-8")


def digest_hex(value: object) -> str:
    """Return the SHA-256 of `canonical_bytes(value)` as 64 lower-case hex digits; raises what that raises."""
    return hashlib.sha256(canonical_bytes(value)).hexdigest()


def parse_canonical(data: bytes) -> JsonValue:
    """Return the value that `data` spells, if `data` is its canonical spelling.

    Raises ValueError for anything else: not UTF-8, not JSON, another spelling of the same value (spaces,
    key order, duplicate keys, escapes), and every value that `canonical_bytes` refuses.
    """
    try:
        value: JsonValue = _DECODER.decode(data.decode("utf-8"))
        if _ENCODE(value).encode("utf-8") != data:
            raise ValueError("not the canonical spelling of its value")
        if not data.isascii() or data.count(b"{") + data.count(b"[") > DEEPEST_NESTING:
            canonical_bytes(value)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value


def _walk(value: object, path: str, depth: int) -> Iterator[tuple[str, object]]:
    """Yield (path, item) for every scalar, key and unknown object in `value`; keys come as path + '(key)'."""
    if depth >= DEEPEST_NESTING and isinstance(value, dict | list | tuple):
        raise ValueError(f"{path}: nested deeper than {DEEPEST_NESTING}")
    if isinstance(value, dict):
        for key, item in value.items():
            _check_key(path, key)
            yield from _walk(item, f"{path}.{key}", depth + 1)
    elif isinstance(value, list | tuple):
        for position, item in enumerate(value):
            yield from _walk(item, f"{path}[{position}]", depth + 1)
    else:
        yield path, value


def _check_key(path: str, key: object) -> None:
    if not isinstance(key, str):
        raise TypeError(f"{path}: key {key!r} is not a string")
    if not key.isascii():
        raise ValueError(f"{path}: key {key!a} is not ASCII")


def _check(path: str, item: object) -> None:
    if item is None or isinstance(item, bool):
        return
    if isinstance(item, int):
        if abs(item) > LARGEST_INTEGER:
            raise ValueError(f"{path}: integer beyond +-(2**53 - 1)")
        return
    if not isinstance(item, str):
        raise TypeError(f"{path}: {type(item).__name__} has no canonical form; floats travel as strings")
    try:
        item.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"{path}: lone surrogate in a string") from None


def _refuse_float(text: str) -> NoReturn:
    raise ValueError(f"{text[:40]} is not an integer; fractions travel as strings")


def _bounded_integer(text: str) -> int:
    value = int(text)
    if abs(value) > LARGEST_INTEGER:
        raise ValueError(f"integer {text[:40]} beyond +-(2**53 - 1)")
    return value


_DECODER = json.JSONDecoder(
    parse_float=_refuse_float, parse_int=_bounded_integer, parse_constant=_refuse_float
)
