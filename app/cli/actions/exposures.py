"""Reads the records of an experiment from a CSV file: one row per task, in order of assignment.

Stands before the analysis. It never mends a value, skips a row or counts one twice: what cannot be counted is
named with its line, its column and what would be right.
"""

import csv
import io
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from operator import lt
from pathlib import Path
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from app.cli.measures import Measure
from services.domain.errors import InvalidValueError

REQUIRED = ("pi", "arm", "outcome")
KNOWN = (*REQUIRED, "stratum", "unit", "metric", "ordinal")
ARMS = {"0": 0.0, "0.0": 0.0, "control": 0.0, "1": 1.0, "1.0": 1.0, "treatment": 1.0}
MEASURES = {
    **{measure.value: measure for measure in Measure},
    "task_success": Measure.SUCCESS,
    "task_duration": Measure.DURATION,
    "task_cost": Measure.COST,
}
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
CHUNK_ROWS = 20_000
SHOWN_CELL = 60

Row = tuple[int, list[str]]


@dataclass(frozen=True, slots=True)
class Exposures:
    """The columns of a file; `lines` is the line of each row, `unused` the columns that mean nothing here."""

    shares: npt.NDArray[np.float64]
    arms: npt.NDArray[np.float64]
    outcomes: npt.NDArray[np.float64]
    strata: list[str] | None
    units: list[str] | None
    measure: Measure
    lines: list[int]
    unused: tuple[str, ...]


def read_exposures(file: str, measure: Measure | None) -> Exposures:
    """Return the columns of a CSV file, or of standard input for "-".

    measure: what outcomes are; None takes it from the metric column, else success. Raises InvalidValueError
    naming the line and column of the first thing that cannot be read.
    """
    name = named(file)
    rows = csv.reader(io.StringIO(_text(name, _bytes(file)), newline=""), strict=True)
    table: _Table | None = None
    chunk: list[Row] = []
    try:
        for row in rows:
            if not row:
                continue
            if table is None:
                table = _Table(name, *_header(name, rows.line_num, row), asked=measure)
                continue
            chunk.append((rows.line_num, row))
            if len(chunk) == CHUNK_ROWS:
                table.add(chunk)
                chunk = []
    except csv.Error as error:
        refuse(name, rows.line_num, None, f"is not CSV: {error}")
    if table is None:
        raise _no_rows(f"{name} is empty; its first line must name the columns pi, arm and outcome")
    if chunk:
        table.add(chunk)
    return table.exposures()


def named(file: str) -> str:
    """Return how a file is called in messages."""
    return "standard input" if file == "-" else file


def refuse(name: str, line: int, column: str | None, rule: str) -> NoReturn:
    """Raise InvalidValueError for a place in the file."""
    where = f"{name}, line {line}" + ("" if column is None else f", column {column}")
    raise InvalidValueError(f"{where}: {rule}", field=column or "file", code="row_refused")


@dataclass(slots=True)
class _Table:
    """What was read so far: `places` says where each known column stands among `width` cells."""

    name: str
    places: dict[str, int]
    width: int
    unused: tuple[str, ...]
    asked: Measure | None
    numbers: dict[str, list[npt.NDArray[np.float64]]] = field(
        default_factory=lambda: {column: [] for column in REQUIRED}
    )
    texts: dict[str, list[str]] = field(default_factory=lambda: {"stratum": [], "unit": []})
    ordinals: list[int] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    measure: Measure | None = None

    def add(self, chunk: list[Row]) -> None:
        """Take rows in: column by column, and one by one only to say which row is wrong."""
        for line, row in chunk:
            if len(row) != self.width:
                said = f"has {len(row)} cells where the header has {self.width}; only commas separate cells"
                refuse(self.name, line, None, said)
        self.lines.extend([line for line, _ in chunk])
        columns = list(zip(*[row for _, row in chunk], strict=True))
        for column, place in self.places.items():
            cells = columns[place]
            if column in REQUIRED:
                self._add_numbers(chunk, column, cells)
            elif column == "stratum":
                self.texts[column].extend(map(str.strip, cells))
            elif column == "unit":
                self._add_units(chunk, cells)
            elif column == "metric":
                self._take_measure(chunk, cells)
            else:
                self._add_ordinals(chunk, cells)

    def exposures(self) -> Exposures:
        """Return the columns; refuse a file without rows."""
        if not self.lines:
            raise _no_rows(f"{self.name} has a header and no rows: there is nothing to analyse")
        shares, arms, outcomes = (np.concatenate(self.numbers[column]) for column in REQUIRED)
        return Exposures(
            shares,
            arms,
            outcomes,
            self.texts["stratum"] if "stratum" in self.places else None,
            self.texts["unit"] if "unit" in self.places else None,
            self.asked or self.measure or Measure.SUCCESS,
            self.lines,
            self.unused,
        )

    def _add_numbers(self, chunk: list[Row], column: str, cells: Sequence[str]) -> None:
        try:
            if column == "arm":
                known = {cell: _arm(cell) for cell in set(cells)}
                values = [known[cell] for cell in cells]
            else:
                values = list(map(float, cells))
        except ValueError:
            if column == "arm":
                self._blame(chunk, column, _arm, "must be 0 or control, 1 or treatment")
            self._blame(chunk, column, float, "must be a number such as 0.5")
        self.numbers[column].append(np.array(values, dtype=np.float64))

    def _add_units(self, chunk: list[Row], cells: Sequence[str]) -> None:
        units = list(map(str.strip, cells))
        if not all(units):
            rule = "must not be empty; leave the column out if each row is its own unit"
            self._blame(chunk, "unit", _filled, rule)
        self.texts["unit"].extend(units)

    def _take_measure(self, chunk: list[Row], cells: Sequence[str]) -> None:
        """Settle what outcomes are: one kind throughout, and the one asked for."""
        try:
            known = {cell: _measure(cell) for cell in set(cells)}
        except ValueError:
            self._blame(chunk, "metric", _measure, "must be success, score, duration or cost")
        self.measure = self.measure or known[cells[0]]
        expected = self.asked or self.measure
        if set(known.values()) == {expected}:
            return
        for (line, _), cell in zip(chunk, cells, strict=True):
            if known[cell] is not expected:
                source = "--metric says" if self.asked else "the rows before are"
                said = f"is {_shown(cell)} where {source} {expected}; analyse one kind at a time"
                refuse(self.name, line, "metric", said)

    def _add_ordinals(self, chunk: list[Row], cells: Sequence[str]) -> None:
        """Take the ordinals in if each is larger than the one before."""
        try:
            values = list(map(int, cells))
        except ValueError:
            self._blame(chunk, "ordinal", int, "must be a whole number")
        joined = [*self.ordinals[-1:], *values]
        if not all(lt(earlier, later) for earlier, later in pairwise(joined)):
            self._blame_ordinal(chunk, values)
        self.ordinals.extend(values)

    def _blame_ordinal(self, chunk: list[Row], values: Sequence[int]) -> None:
        """Refuse the first ordinal that does not rise."""
        seen = dict(zip(self.ordinals, self.lines, strict=False))
        last = self.ordinals[-1] if self.ordinals else None
        for (line, _), value in zip(chunk, values, strict=True):
            if value in seen:
                said = f"{value} was counted already in line {seen[value]}; each exposure counts once"
                refuse(self.name, line, "ordinal", said)
            if last is not None and value < last:
                said = f"{value} comes after {last}; rows must be in order of assignment"
                refuse(self.name, line, "ordinal", said)
            seen[value] = line
            last = value

    def _blame(self, chunk: list[Row], column: str, parse: Callable[[str], object], rule: str) -> NoReturn:
        """Refuse the first row whose cell cannot be parsed."""
        for line, row in chunk:
            cell = row[self.places[column]]
            try:
                parse(cell)
            except ValueError:
                refuse(self.name, line, column, f"{rule}, got {_shown(cell)}")
        msg = f"no cell of column {column} is wrong"
        raise AssertionError(msg)


def _header(name: str, line: int, row: list[str]) -> tuple[dict[str, int], int, tuple[str, ...]]:
    """Return where each known column stands, the number of columns, and the names of the others."""
    names = [cell.strip().casefold() for cell in row]
    for separator, called in OTHER_SEPARATORS.items():
        if len(names) == 1 and separator in names[0]:
            said = f"is separated by {called}; separate cells with commas and write decimals with a point"
            refuse(name, line, None, said)
    for column in KNOWN:
        if names.count(column) > 1:
            refuse(name, line, column, "stands in the header more than once")
    for column in REQUIRED:
        if column not in names:
            found = ", ".join(_shown(cell) for cell in row)
            said = f"the header must name pi, arm and outcome; {column} is missing among {found}"
            refuse(name, line, column, said)
    places = {column: names.index(column) for column in KNOWN if column in names}
    unused = tuple(cell.strip() for cell, known in zip(row, names, strict=True) if known not in places)
    return places, len(row), unused


def _text(name: str, raw: bytes) -> str:
    """Return what the bytes spell, without a byte order mark; refuse what is not UTF-8."""
    if raw.startswith(UTF16_MARKS):
        refuse(name, 1, None, "is UTF-16 text; save the file as UTF-8")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        refuse(name, line, None, f"is not UTF-8 text (byte {raw[error.start]:#04x}); save the file as UTF-8")


def _bytes(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except (OSError, ValueError) as error:
        msg = f"{file} cannot be read: {getattr(error, 'strerror', None) or error}"
        raise InvalidValueError(msg, field="file", code="file_unreadable") from error


def _no_rows(said: str) -> InvalidValueError:
    return InvalidValueError(said, field="file", code="file_empty")


def _arm(cell: str) -> float:
    value = ARMS.get(cell.strip().casefold())
    if value is None:
        raise ValueError(cell)
    return value


def _measure(cell: str) -> Measure:
    value = MEASURES.get(cell.strip().casefold())
    if value is None:
        raise ValueError(cell)
    return value


def _filled(cell: str) -> str:
    if not cell.strip():
        raise ValueError(cell)
    return cell


def _shown(cell: str) -> str:
    text = cell.strip()
    return repr(text if len(text) <= SHOWN_CELL else text[: SHOWN_CELL - 1] + "…")
