"""Text made safe for a terminal: without escape sequences, control characters or tricks of direction.

Stands under everything the command line prints. Names, reasons and results come from agents; they are shown
as data and can move no cursor. It never changes what is stored, nor what JSON says: there they are escaped.
"""

import json
import re
import sys

_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff\ufff9-\ufffb]"
)
_ESCAPED = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")


def safe(text: str) -> str:
    """Return the text without escape sequences and unseen characters; line ends and tabs stay."""
    return _UNSEEN.sub("", _SEQUENCE.sub("", text))


def one_line(text: str) -> str:
    """Return the text on one line: every run of white space is one space."""
    return " ".join(safe(text).split())


def json_text(value: object) -> str:
    """Return JSON that reads the same and moves no cursor: unseen characters stand as escapes."""
    is_unicode = (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")
    text = json.dumps(value, ensure_ascii=not is_unicode, allow_nan=False, indent=2)
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
