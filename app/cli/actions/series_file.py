"""Reads any CSV row by row: separators, marks and line ends as they come, columns by name, numbers checked.

Stands before `nacre observatory score` and `explain`. Memory stays that of one line, however long the file
is. It never mends a number and skips blank rows only: what cannot be read is named with its line, its column
and what would be right.
"""

import csv
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from math import isfinite
from pathlib import Path
from typing import IO, NoReturn

from app.cli.actions.exposures import named, refuse
from services.domain.errors import InvalidValueError

SEPARATORS = (",", ";", "\t", "|")
LINE_BYTES = 1 << 20
SHOWN_CELL = 60
SHOWN_COLUMNS = 30
MARK = b"\xef\xbb\xbf"
OTHER_MARKS = {
    b"\xff\xfe": "is UTF-16 text; save the file as UTF-8",
    b"\xfe\xff": "is UTF-16 text; save the file as UTF-8",
    b"\x1f\x8b": "is packed by gzip; unpack it: zcat FILE | nacre observatory … -",
    b"PK": "is a zip archive or a workbook; save the table as CSV",
}
ABSENT = frozenset({"", "nan", "na", "n/a", "null", "none", "-", "#n/a"})


@dataclass(frozen=True, slots=True)
class Row:
    """The cells of one row, and the line in which it ends."""

    line: int
    cells: list[str]


@dataclass(slots=True)
class Table:
    """An open CSV: `columns` are the names in its header, `rows` can be read once."""

    name: str
    columns: list[str]
    rows: Iterator[Row]

    def place(self, column: str, option: str) -> int:
        """Return where a column stands; refuse a name that no column or more than one column has."""
        places = [n for n, known in enumerate(self.columns) if known == column]
        places = places or [n for n, k in enumerate(self.columns) if k.casefold() == column.casefold()]
        if len(places) > 1:
            refuse(self.name, 1, column, "stands in the header more than once; name each column once")
        if not places:
            if self._is_headless():
                said = f"{self.name} has no header: the first line must name the columns, got {self._first()}"
                raise InvalidValueError(said, field="file", code="header_missing")
            there = self._first()
            near = get_close_matches(column.casefold(), [known.casefold() for known in self.columns], n=1)
            meant = [known for known in self.columns if known.casefold() in near]
            hint = f"did you mean {shown(meant[0])}? " if meant else ""
            said = f"{option}: {self.name} has no column {shown(column)}; {hint}its columns are {there}"
            raise InvalidValueError(said, field=column, code="column_missing")
        return places[0]

    def _is_headless(self) -> bool:
        """Tell whether values stand where the names of columns should: a number among them."""
        return any(_is_number(known) for known in self.columns)

    def _first(self) -> str:
        return ", ".join(shown(known) for known in self.columns[:SHOWN_COLUMNS])

    def blame(self, row: Row, place: int, rule: str) -> NoReturn:
        """Refuse a cell, with what stands in it."""
        refuse(self.name, row.line, self.columns[place], f"{rule}, got {shown(row.cells[place])}")

    def number(self, row: Row, place: int, rule: str) -> float:
        """Return the finite number in a cell; refuse anything else, saying `rule`."""
        try:
            value = float(row.cells[place])
        except ValueError:
            decimal = row.cells[place].strip().replace(",", ".", 1)
            hint = "; write decimals with a point" if _is_number(decimal) else ""
            self.blame(row, place, rule + hint)
        if not isfinite(value) or "_" in row.cells[place]:
            self.blame(row, place, rule)
        return value

    def count(self, row: Row, place: int) -> float:
        """Return the number from 0 in a cell; refuse anything else."""
        value = self.number(row, place, "must be a number from 0")
        if value < 0.0:
            self.blame(row, place, "must be a number from 0")
        return value


@contextmanager
def open_table(file: str, wanted: Sequence[str]) -> Iterator[Table]:
    """Open a CSV file, or standard input for "-", and read its header.

    wanted: columns that are looked for: of several possible separators the one that yields most of them is
    taken. Raises InvalidValueError for what is no CSV in UTF-8, is empty, or has no row.
    """
    name = named(file)
    with _opened(file) as stream:
        lines = _Lines(name, stream)
        header = next((line for line in lines if line.strip()), None)
        if header is None:
            said = f"{name} is empty; its first line must name the columns"
            raise InvalidValueError(said, field="file", code="file_empty")
        try:
            separator = _separator(header, wanted)
            columns = [cell.strip() for cell in next(csv.reader([header], delimiter=separator))]
        except csv.Error as error:
            refuse(name, lines.number, None, f"is no header: {error}; the first line must name the columns")
        yield Table(name, columns, _rows(name, lines, separator, len(columns)))


def _rows(name: str, lines: "_Lines", separator: str, width: int) -> Iterator[Row]:
    """Yield the rows; refuse one that has another number of cells than the header, and a table without."""
    skipped, is_empty = lines.number, True
    reader = csv.reader(lines, delimiter=separator, strict=True)
    try:
        for cells in reader:
            line = skipped + reader.line_num
            if not cells or (width > 1 and not any(map(str.strip, cells))):
                continue
            is_empty = False
            if len(cells) != width:
                hint = f"put text that holds a {called(separator)} in quotes"
                refuse(name, line, None, f"has {len(cells)} cells where the header has {width}; {hint}")
            yield Row(line, cells)
    except csv.Error as error:
        hint = "; is a quotation mark opened and never closed?"
        refuse(name, skipped + reader.line_num, None, f"is not CSV: {error}{hint}")
    if is_empty:
        said = f"{name} has a header and no rows: there is nothing to judge"
        raise InvalidValueError(said, field="file", code="file_empty")


class _Lines:
    """The lines of a stream as text; `number` is how many were read."""

    def __init__(self, name: str, stream: IO[bytes]) -> None:
        self.name, self.number, self._stream = name, 0, stream

    def __iter__(self) -> Iterator[str]:
        """Yield the lines with their ends."""
        return self

    def __next__(self) -> str:
        """Return the next line."""
        raw = self._stream.readline(LINE_BYTES + 1)
        if not raw:
            raise StopIteration
        self.number += 1
        if self.number == 1:
            raw = self._without_mark(raw)
        if len(raw) > LINE_BYTES:
            refuse(self.name, self.number, None, f"is longer than {LINE_BYTES:,} bytes; is it a table?")
        if b"\0" in raw:
            refuse(self.name, self.number, None, "has a zero byte; save the file as CSV in UTF-8")
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            byte = raw[error.start]
            said = f"is not UTF-8 text (byte {byte:#04x}); save the file as UTF-8"
            refuse(self.name, self.number, None, said)

    def _without_mark(self, raw: bytes) -> bytes:
        for mark, said in OTHER_MARKS.items():
            if raw.startswith(mark):
                refuse(self.name, 1, None, said)
        if b"\r" in raw.rstrip(b"\r\n"):
            refuse(self.name, 1, None, "ends in CR alone; save the file with LF or CRLF line ends")
        return raw.removeprefix(MARK)


def shown(cell: str) -> str:
    """Return a cell as messages quote it."""
    text = cell.strip()
    return repr(text if len(text) <= SHOWN_CELL else text[: SHOWN_CELL - 1] + "…")


def is_absent(cell: str) -> bool:
    """Return whether a cell says that there is no value."""
    return cell.strip().casefold() in ABSENT


def called(separator: str) -> str:
    """Return the name of a separator."""
    names: Mapping[str, str] = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
    return names[separator]


def _separator(header: str, wanted: Sequence[str]) -> str:
    """Return the separator that yields most of the wanted columns, then most columns, then the comma."""
    known = {column.casefold() for column in wanted}

    def worth(separator: str) -> tuple[int, int]:
        cells = {cell.strip().casefold() for cell in next(csv.reader([header], delimiter=separator), [])}
        return len(cells & known), len(cells)

    return max(SEPARATORS, key=worth)


def _is_number(text: str) -> bool:
    try:
        return isfinite(float(text))
    except ValueError:
        return False


@contextmanager
def _opened(file: str) -> Iterator[IO[bytes]]:
    if file == "-":
        yield sys.stdin.buffer
        return
    with ExitStack() as stack:
        try:
            stream = stack.enter_context(Path(file).open("rb"))
        except (OSError, ValueError) as error:
            msg = f"{file} cannot be read: {getattr(error, 'strerror', None) or error}"
            raise InvalidValueError(msg, field="file", code="file_unreadable") from error
        yield stream
