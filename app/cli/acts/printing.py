"""Printing: JSON as it is, tables on a terminal, plain aligned lines elsewhere.

Stands between the acts and the terminal. What comes from agents goes through `app.cli.plain` and is never
read as markup. It never shortens what goes into a pipe.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.cli.plain import json_text, one_line, safe

JsonObject = Mapping[str, Any]
Column = tuple[str, Callable[[JsonObject], object]]

SHOWN_ROWS = 25
INSTANT_LENGTH = len("2026-01-01T00:00:00")


def print_json(value: object) -> None:
    """Print a value as JSON."""
    sys.stdout.write(json_text(value) + "\n")


def say(line: str) -> None:
    """Print one line."""
    sys.stdout.write(one_line(line) + "\n")


def key(name: str, header: str | None = None) -> Column:
    """Return the column of one field."""
    return (header or name, lambda item: item[name])


def instant(name: str) -> Column:
    """Return the column of a time, to the second."""
    header = name.removesuffix("_at")
    return (header, lambda item: (item[name] or "")[:INSTANT_LENGTH].replace("T", " "))


def cell(value: object) -> str:
    """Return a value as one line of safe text."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list) and all(isinstance(item, (str, int)) for item in value):
        return one_line(", ".join(map(str, value))) or "–"
    if isinstance(value, (dict, list)):
        return one_line(json_text(value))
    return one_line(str(value))


def print_page(page: Mapping[str, Any], columns: Sequence[Column], *, what: str, as_json: bool) -> None:
    """Print a page of a list, and on standard error how to get the next one."""
    if as_json:
        print_json(page)
        return
    if not page["items"]:
        say(f"There are no {what}.")
        return
    print_table(columns, page["items"])
    if page["next_cursor"]:
        sys.stderr.write(f"There are more: --cursor {page['next_cursor']}\n")


def print_table(columns: Sequence[Column], items: Sequence[JsonObject], title: str | None = None) -> None:
    """Print items as a table; off a terminal as aligned lines, whole."""
    rows = [[cell(read(item)) for _, read in columns] for item in items]
    headers = [header for header, _ in columns]
    if not sys.stdout.isatty():
        _print_plain(headers, rows, title)
        return
    table = Table(
        box=None, pad_edge=False, header_style="bold", title=title and Text(title), title_justify="left"
    )
    for header in headers:
        table.add_column(Text(header), overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    Console(highlight=False).print(table)


def _print_plain(headers: list[str], rows: list[list[str]], title: str | None) -> None:
    lines = [headers, *rows]
    widths = [max(cell_len(line[place]) for line in lines) for place in range(len(headers))]
    if title:
        sys.stdout.write(title + "\n")
    for line in lines:
        padded = (text + " " * (width - cell_len(text)) for text, width in zip(line, widths, strict=True))
        sys.stdout.write("  ".join(padded).rstrip() + "\n")


def print_item(item: JsonObject, *, as_json: bool) -> None:
    """Print one thing: its fields, then each list of things in it as a table."""
    if as_json:
        print_json(item)
        return
    lists = {name: value for name, value in item.items() if _is_list_of_things(value)}
    fields = [(name, value) for name, value in item.items() if name not in lists]
    width = max(len(name) for name, _ in fields)
    for name, value in fields:
        for number, line in enumerate(_lines(value)):
            label = Text((name if number == 0 else "").ljust(width + 2), style="bold")
            _print_line(label + Text(line))
    for name, things in lists.items():
        sys.stdout.write("\n")
        _print_things(name, things)


def _lines(value: object) -> list[str]:
    if isinstance(value, str):
        return safe(value).expandtabs(4).split("\n")
    return [cell(value)]


def _print_line(line: Text) -> None:
    if sys.stdout.isatty():
        Console(highlight=False).print(line, soft_wrap=True)
    else:
        sys.stdout.write(line.plain.rstrip() + "\n")


def _is_list_of_things(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _print_things(name: str, things: Sequence[JsonObject]) -> None:
    shown = things[-SHOWN_ROWS:]
    left_out = len(things) - len(shown)
    title = f"{name} (the last {SHOWN_ROWS} of {len(things)}; --json shows all)" if left_out else name
    print_table([key(field) for field in shown[0]], shown, title)
