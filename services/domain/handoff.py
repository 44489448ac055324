"""The three-field handoff: what was done, what changed, what the next needs to know.

Stands between agents and the market (L4): results come in exactly this shape, typed and capped, and anything
else is refused with the field's path. It never interprets the text: text from agents is data.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

from services.domain.errors import InvalidValueError

TEXT_LIMIT = 4_000
CHANGED_LIMIT_BYTES = 65_536
DEPTH_LIMIT = 12


@dataclass(frozen=True, slots=True)
class Handoff:
    """A validated handoff: `done` and `next` are text, `changed` is a JSON object."""

    done: str
    changed: dict[str, object]
    next: str

    def to_payload(self) -> dict[str, object]:
        """Return the handoff as the JSON object that is stored."""
        return {"done": self.done, "changed": self.changed, "next": self.next}


def parse_handoff(raw: Mapping[str, object]) -> Handoff:
    """Return the handoff in `raw`; raise InvalidValueError naming the first field that is wrong."""
    extra = sorted(set(raw) - {"done", "changed", "next"})
    if extra:
        msg = f"a handoff has exactly the fields done, changed and next; {extra[0]!r} is not one of them"
        raise InvalidValueError(msg, field=f"handoff.{extra[0]}"[:120])
    done = _text(raw.get("done"), "handoff.done")
    following = _text(raw.get("next"), "handoff.next")
    changed = raw.get("changed")
    if not isinstance(changed, dict):
        msg = "changed must be a JSON object with the result"
        raise InvalidValueError(msg, field="handoff.changed")
    _check_json(changed, "handoff.changed", 0)
    size = len(json.dumps(changed, ensure_ascii=False).encode())
    if size > CHANGED_LIMIT_BYTES:
        msg = f"changed is {size} bytes; at most {CHANGED_LIMIT_BYTES} are taken"
        raise InvalidValueError(msg, field="handoff.changed")
    return Handoff(done, changed, following)


def _text(value: object, field: str) -> str:
    if not isinstance(value, str):
        msg = f"{field} must be text"
        raise InvalidValueError(msg, field=field)
    if len(value) > TEXT_LIMIT:
        msg = f"{field} has {len(value)} characters; at most {TEXT_LIMIT} are taken"
        raise InvalidValueError(msg, field=field)
    _check_text(value, field)
    return value


def _check_text(value: str, field: str) -> None:
    if "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
        msg = f"{field} holds a character that is not text (NUL or a lone surrogate)"
        raise InvalidValueError(msg, field=field[:120])


def _check_json(value: object, field: str, depth: int) -> None:
    if depth > DEPTH_LIMIT:
        msg = f"{field} is nested deeper than {DEPTH_LIMIT} levels"
        raise InvalidValueError(msg, field=field[:120])
    if isinstance(value, float) and not math.isfinite(value):
        msg = f"{field} must be a finite number"
        raise InvalidValueError(msg, field=field[:120])
    if isinstance(value, str):
        _check_text(value, field)
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_text(str(key), field)
            _check_json(item, f"{field}.{key}", depth + 1)
    elif isinstance(value, list):
        for position, item in enumerate(value):
            _check_json(item, f"{field}[{position}]", depth + 1)
