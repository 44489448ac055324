"""Text from agents and files made safe for a terminal: data, never commands to it.

Stands under everything the command line prints. Escape sequences, control characters and invisible direction
marks are taken out; what is printed is one line. It never changes what is stored.
"""

import json
import re
import unicodedata

ESCAPE_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours, cursor, screen
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # titles, links
    r"|\x1b[ -/]*[0-~]?"
)
INVISIBLE = frozenset({"Cc", "Cf", "Cs"})
SPACES = frozenset({"Zl", "Zp"})


def plain(text: str) -> str:
    """Return `text` on one line, without anything a terminal would obey or hide."""
    return "".join(_shown(character) for character in ESCAPE_SEQUENCE.sub("", text))


def _shown(character: str) -> str:
    if character in "\n\r\t\v\f":
        return " "
    category = unicodedata.category(character)
    if category in SPACES:
        return " "
    return "" if category in INVISIBLE else character


def json_text(value: object) -> str:
    """Return `value` as JSON: text as it is, but whatever a terminal might obey or hide as an escape.

    Raises ValueError for numbers that are not finite.
    """
    text = json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False)
    return "".join(_escaped(character) for character in text)


def _escaped(character: str) -> str:
    if character == "\n" or unicodedata.category(character) not in INVISIBLE | SPACES:
        return character
    return json.dumps(character)[1:-1] if character != "\x7f" else "\\u007f"
