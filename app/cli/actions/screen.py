"""What a command prints: JSON in the API's shape, a table on a terminal, plain lines elsewhere.

Stands behind every listing and show. Text from agents is shown as text: no markup, no escape sequences. Off a
terminal columns are separated by tabs and nothing is cut, so that lines can be read by programs.
"""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.terminal_text import json_text, plain

NOTHING = "-"
CELL_LIMIT = 200
SECTION_ROWS = 20
COLUMN_GAP = 2
FLEXIBLE = frozenset({"summary", "last_error", "error", "detail", "reason", "verification", "inputs"})
FLEXIBLE_WIDTH = 24
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*Z")

Item = Mapping[str, Any]


def say_json(value: object) -> int:
    """Print a value as JSON."""
    is_unicode = "utf" in (sys.stdout.encoding or "utf-8").lower()
    text = json_text(value) if is_unicode else json.dumps(value, indent=2, allow_nan=False)
    sys.stdout.write(text + "\n")
    return 0


def say_line(line: str) -> int:
    """Print one line."""
    sys.stdout.write(plain(line) + "\n")
    return 0


def say_note(line: str) -> None:
    """Say something beside the answer, on standard error."""
    sys.stderr.write(plain(line) + "\n")


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: "1 task", "3,000 tasks"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def say_page(page: Item, columns: Sequence[str], *, as_json: bool) -> int:
    """Print a page of items; what follows it is named on standard error."""
    if as_json:
        return say_json(page)
    _say_table(page["items"], columns)
    if page["next_cursor"]:
        say_note(f"there are more: --cursor {page['next_cursor']}")
    return 0


def say_item(item: Item, sections: Mapping[str, Sequence[str]], *, as_json: bool) -> int:
    """Print one item: its facts, then each of its lists of objects as a table.

    `sections` names the columns of lists; others show what their first row has.
    """
    if as_json:
        return say_json(item)
    tables = {name: value for name, value in item.items() if _is_table(value)}
    facts = {name: value for name, value in item.items() if name not in tables}
    width = max(len(name) for name in facts) if facts else 0
    for name, value in facts.items():
        _say_fact(name, value, width)
    for name, rows in tables.items():
        columns = sections.get(name, tuple(rows[0]))
        hidden = f" (the last {SECTION_ROWS} of {len(rows)}; --json has all)"
        sys.stdout.write(f"\n{name}{hidden if len(rows) > SECTION_ROWS else ''}\n")
        _say_table(rows[-SECTION_ROWS:], columns)
    return 0


def _is_table(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _say_fact(name: str, value: object, width: int) -> None:
    if sys.stdout.isatty():
        _console().print(Text(f"{name:<{width}}  ", "dim").append(cell(value), ""), soft_wrap=True)
    else:
        sys.stdout.write(f"{name}\t{cell(value)}\n")


def _say_table(rows: Sequence[Item], columns: Sequence[str]) -> None:
    if not sys.stdout.isatty():
        lines = [columns, *([cell(value_at(row, name)) for name in columns] for row in rows)]
        sys.stdout.writelines("\t".join(line) + "\n" for line in lines)
        return
    if not rows:
        _console().print(Text("none", "dim"))
        return
    cells = {name: [_short(cell(value_at(row, name))) for row in rows] for name in columns}
    console = _console()
    shown = fitting(cells, console.width)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in shown:
        table.add_column(Text(_heading(name)), overflow="fold", no_wrap=name not in FLEXIBLE)
    for line in zip(*(cells[name] for name in shown), strict=True):
        table.add_row(*map(Text, line))
    console.print(table)
    hidden = [name for name in columns if name not in shown]
    if hidden:
        console.print(Text(f"not shown for lack of room: {', '.join(hidden)}", "dim"), soft_wrap=True)


def fitting(cells: Mapping[str, Sequence[str]], width: int) -> list[str]:
    """Return the columns, from the left, that fit into `width` without being broken."""
    shown: list[str] = []
    for name, texts in cells.items():
        words = max(len(word) for word in _heading(name).split())
        longest = max(map(len, texts), default=0)
        needed = max(words, min(longest, FLEXIBLE_WIDTH) if name in FLEXIBLE else longest)
        if shown and needed > width:
            continue
        shown.append(name)
        width -= needed + COLUMN_GAP
    return shown


def _heading(name: str) -> str:
    return re.sub(r"[._]", " ", name)


def _console() -> Console:
    return Console(file=sys.stdout, highlight=False, markup=False, emoji=False)


def _short(text: str) -> str:
    if INSTANT.fullmatch(text):
        return f"{text[5:10]} {text[11:19]}"
    return text if len(text) <= CELL_LIMIT else text[: CELL_LIMIT - 1] + "…"


def value_at(row: Item, path: str) -> object:
    """Return the value at a dotted path, None where the way ends early."""
    value: Any = row
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def cell(value: object) -> str:
    """Return a value as one line of text."""
    if value is None or value in ("", [], {}):
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list) and all(isinstance(one, str | int) for one in value):
        return plain(", ".join(str(one) for one in value))
    if isinstance(value, dict | list):
        return plain(json.dumps(value, ensure_ascii=False))
    return plain(str(value))
