"""What a report is made of: sections of statements, figures, agents' words, tables and charts.

Stands between the ledger, from which alone a report is computed, and the renderers (HTML, PDF, Markdown,
CSV, JSON), which add nothing. Every figure names the entries it was computed from and the formula, so that
anybody can compute it again. It never formats a number and never reads a clock.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from services.domain.ledger_schema import Entry

Value: TypeAlias = int | float | str | None
"""What a figure is worth; None is "not recorded", which is never 0."""


class Unit(StrEnum):
    """What a figure counts in."""

    COUNT = "count"
    TASKS = "tasks"
    VOTES = "votes"
    PERCENT = "per cent"
    """A whole number of per cent, as it was written down."""
    SHARE = "share"
    """0 to 1."""
    POINTS = "difference of shares"
    """−1 to 1; shown in percentage points."""
    EVIDENCE = "evidence"
    """E: how many times a stake on "better" has multiplied."""
    SCORE = "score"
    """A Brier score: 0 is a perfect forecast, 0.25 says nothing, 1 is perfectly wrong."""
    MICROSECONDS = "microseconds"
    INSTANT = "instant"
    """Microseconds since the epoch, UTC."""
    MICROCREDITS = "microcredits"
    TEXT = "text"
    HASH = "hash"


@dataclass(frozen=True, slots=True)
class Figure:
    """One value with its unit, the indexes of the entries it was computed from, and how."""

    name: str
    label: str
    value: Value
    unit: Unit
    entries: tuple[int, ...]
    formula: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """An agent's (or a person's) own words; `text` is None when it was erased, "" when none were given."""

    author: str
    text: str | None
    entries: tuple[int, ...]
    about: str = ""
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class Joined:
    """Figures that are read as one: `form` places them, like "{} ({} to {})"."""

    label: str
    form: str
    figures: tuple[Figure, ...]


Cell: TypeAlias = Figure | Joined | Said | str


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells under columns; `none` is what to say when there are no rows."""

    key: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    none: str = "None."
    explains: str = ""


@dataclass(frozen=True, slots=True)
class ArmDrawn:
    """One arm: successes of tasks, and the limits drawn around its share."""

    label: str
    successes: float
    tasks: int
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class LegDrawn:
    """One leg: per task (ordinal, ln E, arm, outcome), the deciding line (ln E), tasks of its ramp."""

    name: str
    path: tuple[tuple[int, float, int, float], ...]
    threshold_log_e: float
    ramp_tasks: int
    is_shaded: bool
    is_share: bool


@dataclass(frozen=True, slots=True)
class MarkDrawn:
    """One instant of a timeline: when, in which lane, what, and its entry."""

    at_us: int
    lane: str
    label: str
    entry: int


Drawn: TypeAlias = tuple[ArmDrawn, ...] | tuple[LegDrawn, ...] | tuple[MarkDrawn, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture, and the same as a table for those who cannot see it."""

    key: str
    title: str
    explains: str
    drawn: Drawn
    table: Table
    entries: tuple[int, ...]


Block: TypeAlias = str | tuple[Figure | Joined, ...] | Said | Table | Chart


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands under it, in order; `level` 2 stands inside the last of level 1."""

    key: str
    title: str
    blocks: tuple[Block, ...]
    level: int = 1


@dataclass(frozen=True, slots=True)
class Listed:
    """One entry of the appendix."""

    index: int
    type: str
    at_us: int
    leaf_hash: str


@dataclass(frozen=True, slots=True)
class Report:
    """A whole report of a lap or a period, from the first `size` entries of the ledger `origin`.

    `verification` says how the ledger was checked before; it is all that differs between a report from the
    database and one from an export.
    """

    kind: str
    subject: str
    title: str
    lead: str
    from_us: int
    to_us: int
    headline: tuple[Figure | Joined, ...]
    sections: tuple[Section, ...]
    appendix: tuple[Listed, ...]
    origin: str
    size: int
    root: str
    verification: str = ""

    def figures(self) -> Iterator[tuple[str, Figure]]:
        """Yield every figure with the key of its section, in the order of reading."""
        for figure in figures_of((self.headline,)):
            yield "headline", figure
        for section in self.sections:
            for figure in figures_of(section.blocks):
                yield section.key, figure


@dataclass(frozen=True, slots=True)
class LedgerRecord:
    """What reports are computed from: the entries in order, their leaf hashes, root, blobs by SHA-256 hex."""

    origin: str
    entries: Sequence[Entry]
    leaf_hashes: Sequence[str]
    root: str
    blobs: Mapping[str, bytes] = field(default_factory=dict)

    def first(self, size: int) -> "LedgerRecord":
        """Return the record of the first `size` entries; its root is what the next entry was chained to."""
        if size >= len(self.entries):
            return self
        root = self.entries[size].previous_root
        return LedgerRecord(self.origin, self.entries[:size], self.leaf_hashes[:size], root, self.blobs)


def figures_of(blocks: Sequence[Block]) -> Iterator[Figure]:
    """Yield the figures of blocks: those that stand alone, those in tables and in the tables of charts."""
    for cell in _cells(blocks):
        if isinstance(cell, Figure):
            yield cell
        elif isinstance(cell, Joined):
            yield from cell.figures


def entries_of(blocks: Sequence[Block]) -> Iterator[int]:
    """Yield the index of every entry that the blocks rest on, with repeats."""
    for figure in figures_of(blocks):
        yield from figure.entries
    for cell in _cells(blocks):
        if isinstance(cell, Said):
            yield from cell.entries
    for block in blocks:
        if isinstance(block, Chart):
            yield from block.entries


def _cells(blocks: Sequence[Block]) -> Iterator[Cell]:
    for block in blocks:
        if isinstance(block, tuple):
            yield from block
        elif isinstance(block, Said):
            yield block
        elif isinstance(block, Chart):
            yield from _cells((block.table,))
        elif isinstance(block, Table):
            for row in block.rows:
                yield from row
