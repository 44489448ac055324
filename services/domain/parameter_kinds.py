"""Kinds of parameters: what a value may be, and the one spelling it is kept in.

Stands under the registry of parameters. Numbers are plain ASCII decimals: no exponent, no sign but a minus,
no digits of other scripts, so that what a person reads is what is compared. It never holds a value in force.
"""

import re
import unicodedata
from collections.abc import Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Final

from services.domain.errors import InvalidValueError

LENGTH_MAX: Final = 4_000
"""Most characters that any text may have."""
SHOWN: Final = 40
"""So many characters of a refused value are told back."""

TOO_LONG: Final = "in at most 24 digits before and 24 after the point"
_NUMBER: Final = re.compile(r"-?[0-9]{1,24}(?:\.[0-9]{1,24})?", re.ASCII)
_LONG_NUMBER: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?", re.ASCII)
_DURATION: Final = re.compile(
    r"(?=.)(?:([0-9]{1,9})d)?(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m)?(?:([0-9]{1,12}(?:\.[0-9]{1,6})?)s)?",
    re.ASCII,
)
_SECONDS: Final = (86_400, 3_600, 60, 1)
_WORD: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}", re.ASCII)
_UNSEEN_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_UNSEEN: Final = frozenset(
    map(
        chr,
        (
            0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x2800, 0x3164, 0xFFA0,
            *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0),
        ),
    )
)  # fmt: skip
"""Characters that show nothing although their category says that they are letters, marks or symbols."""


class Kind(StrEnum):
    """What the values of a parameter are."""

    NUMBER = "number"
    """A decimal number within bounds."""
    DURATION = "duration"
    """A length of time such as 90, 90s, 1m30s, 2h or 1d; kept as plain seconds."""
    CHOICE = "choice"
    """One of a few words."""
    TEXT = "text"
    """A text of some length, such as a prompt."""


def is_unseen(letter: str) -> bool:
    """Tell whether a character shows nothing by itself: controls, format characters, bidi marks, fillers."""
    return unicodedata.category(letter) in _UNSEEN_CATEGORIES or letter in _UNSEEN


def read_number(text: object) -> Decimal | None:
    """Return the number of a plain ASCII decimal (`-1.50`), None for anything else."""
    return Decimal(text) if isinstance(text, str) and _NUMBER.fullmatch(text) else None


def is_long_number(text: object) -> bool:
    """Tell whether text is a plain decimal of more digits than any value has."""
    return isinstance(text, str) and read_number(text) is None and _LONG_NUMBER.fullmatch(text) is not None


def read_duration(text: object) -> Decimal | None:
    """Return the seconds of `90`, `90s`, `1m30s`, `2h` or `1d`, None for anything else."""
    found = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return read_number(text)
    return sum(
        (Decimal(part) * size for part, size in zip(found.groups(), _SECONDS, strict=True) if part),
        Decimal(0),
    )


def plain(value: Decimal) -> str:
    """Return the one spelling of a number: no exponent, no trailing zeros, no minus before zero."""
    text = format(value.normalize(), "f")
    return "0" if text in {"-0", "0"} else text


def check_choice(name: str, text: object, choices: Sequence[str], *, field: str) -> str:
    """Return the word if it is exactly one of `choices`; raise InvalidValueError otherwise."""
    if not isinstance(text, str) or text not in choices:
        msg = f"{name} takes one of {', '.join(choices)}, not {_shown(text)}"
        raise InvalidValueError(msg, field=field, code="value_not_a_choice")
    return text


def check_text(name: str, text: object, length_max: int, *, field: str) -> str:
    """Return the text in NFC; raise InvalidValueError for a blank, too long or partly unseen one."""
    if not isinstance(text, str):
        msg = f"{name} takes a text, not {_shown(text)}"
        raise InvalidValueError(msg, field=field, code="value_not_a_text")
    normal = unicodedata.normalize("NFC", text)
    if not normal.strip() or len(normal) > length_max:
        msg = f"{name} takes 1 to {length_max} characters that are not all blank, not {len(normal)}"
        raise InvalidValueError(msg, field=field, code="value_length")
    for place, letter in enumerate(normal):
        if letter not in "\n\t" and is_unseen(letter):
            msg = f"{name} takes no control or invisible characters but newline and tab: "
            msg += f"character {place + 1} is U+{ord(letter):04X}"
            raise InvalidValueError(msg, field=field, code="value_unseen_character")
    return normal


def check_choices(name: str, choices: Sequence[object]) -> None:
    """Raise InvalidValueError unless there are at least two different plain words to choose from."""
    are_words = all(isinstance(word, str) and _WORD.fullmatch(word) for word in choices)
    if len(set(choices)) != len(choices) or len(choices) < 2 or not are_words:  # noqa: PLR2004 (one is no choice)
        msg = f"{name} needs two or more different words as choices (lower-case letters, digits, - _ .)"
        raise InvalidValueError(msg, field="choices", code="choices_unsound")


def refuse_number(name: str, text: object, *, field: str, is_duration: bool) -> InvalidValueError:
    """Return the refusal of what is no number, with what would be right."""
    right = "a number of seconds such as 90, 90s, 1m30s, 2h or 1d" if is_duration else "a decimal number"
    msg = f"{name} takes {right}, in plain digits, not {_shown(text)}"
    return InvalidValueError(msg, field=field, code="value_not_a_number")


def _shown(text: object) -> str:
    return ascii(text[:SHOWN] if isinstance(text, str) else text)[: 6 * SHOWN]
