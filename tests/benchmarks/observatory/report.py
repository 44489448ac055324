"""How the figures of the observatory are shown: on the terminal, as JSON, and as a block of Markdown."""

import json
import math
import os
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

BEGIN = "<!-- bench-observatory: written by the command of that name, do not edit -->"
END = "<!-- bench-observatory: end -->"
PACKAGES = ("numpy", "scipy")
AT_MOST = "≤"
AT_LEAST = "≥"
WHOLE_FROM = 100.0


@dataclass(frozen=True, slots=True)
class Row:
    """One line: what was measured, our figure, the line it is held to, everybody else on the same data.

    sense: "≤", "≥", or "" for a figure that is only told. runs: how many draws stand behind the figure.
    """

    what: str
    value: float
    unit: str
    sense: str = ""
    line: float = math.nan
    runs: int = 0
    rivals: tuple[tuple[str, float], ...] = ()

    @property
    def is_reached(self) -> bool:
        """Whether the figure lies on the right side of its line (no number never does)."""
        if self.sense == AT_MOST:
            return bool(self.value <= self.line)
        return self.sense != AT_LEAST or bool(self.value >= self.line)


@dataclass(frozen=True, slots=True)
class Section:
    """The rows of one section, under its title."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """Everything one run of the command says."""

    sections: tuple[Section, ...]
    seed: int
    is_quick: bool
    date: str
    seconds: float

    @property
    def bars(self) -> list[Row]:
        """The rows that are held to a line."""
        return [row for section in self.sections for row in section.rows if row.sense]

    def headline(self) -> str:
        """Return the sentence that sums the bars up."""
        missed = [row.what for row in self.bars if not row.is_reached]
        words = f"{len(self.bars) - len(missed)} of {len(self.bars)} bars reached"
        return words + (f"; failed: {'; '.join(missed)}" if missed else "")

    def circumstances(self) -> str:
        """Return seed, date, size and versions in one sentence."""
        size = "quick (too few draws for a verdict), " if self.is_quick else ""
        packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
        return (
            f"Seed {self.seed}, {self.date}, {size}{self.seconds:,.0f} s in one process on {os.cpu_count()} "
            f"cores, Python {platform.python_version()}; {packages}."
        )


NOTES = """\
False alarms: windows of series in which nothing happens (a daily volume cycle unless said), each judged on
the 168 windows before, at a nominal 1e-3 per metric and hour over all four pools together. Drops: hours
until the first alarm at a level of one false alarm in five per metric and 30 days; a drop that is not found
within a day counts as never. Peers judge the same draws: the fixed line (share under 70 %), the robust
z-score of the ratio (|z| > 3 on median and MAD), the plain binomial and the flat Poisson at p < 1e-3 on the
trailing week. Gauges: simulated series at 5 minutes; an alert counts as right within 12 h of a planted
anomaly."""


def number(value: float) -> str:
    """Return a value as the table prints it."""
    if not math.isfinite(value):
        return "never"
    return f"{value:,.0f}" if abs(value) >= WHOLE_FROM or value == round(value) else f"{value:,.2f}"


def finite(value: float) -> float | None:
    """Return the value, None where it is no finite number: JSON has none."""
    return float(value) if math.isfinite(value) else None


def columns(row: Row) -> tuple[str, str, str, str, str, str]:
    """Return the cells of a row: bar, line, ours, runs, verdict, peers."""
    reach = f"{row.sense} {row.line:g}" if row.sense else "–"
    verdict = ("PASS" if row.is_reached else "FAIL") if row.sense else ""
    rivals = "; ".join(f"{name} {number(value)}" for name, value in row.rivals) or "–"
    runs = f"{row.runs:,}" if row.runs else "–"
    return row.what, reach, f"{number(row.value)} {row.unit}".rstrip(), runs, verdict, rivals


def print_table(report: Report, console: Console) -> None:
    """Print the tables and what they were measured under."""
    for section in report.sections:
        table = Table(title=section.title, title_justify="left")
        for name, share in (("bar", 5), ("reach", 0), ("ours", 0), ("runs", 0), ("", 0), ("peers", 5)):
            table.add_column(name, ratio=share or None, no_wrap=not share)
        for row in section.rows:
            cells = list(columns(row))
            if cells[4]:
                cells[4] = f"[{'green' if row.is_reached else 'bold red'}]{cells[4]}[/]"
            table.add_row(*cells)
        console.print(table)
    for sentence in (report.headline(), report.circumstances()):
        console.print(sentence, markup=False)


def as_json(report: Report) -> str:
    """Return the whole report as JSON; null for what never happened."""
    rows = [
        {
            "section": section.title,
            "bar": row.what,
            "sense": {AT_MOST: "at_most", AT_LEAST: "at_least"}.get(row.sense),
            "line": row.line if row.sense else None,
            "unit": row.unit,
            "ours": finite(row.value),
            "runs": row.runs,
            "is_reached": row.is_reached if row.sense else None,
            "peers": [{"name": name, "value": finite(value)} for name, value in row.rivals],
        }
        for section in report.sections
        for row in section.rows
    ]
    rest = {"seed": report.seed, "is_quick": report.is_quick, "date": report.date}
    return json.dumps({**rest, "seconds": round(report.seconds, 1), "rows": rows}, indent=2)


def as_markdown(report: Report) -> str:
    """Return the block for a document, between its two markers."""
    lines = [BEGIN, "", f"`make bench-observatory`: {report.headline()}.", "", report.circumstances()]
    for section in report.sections:
        lines += ["", f"**{section.title}**", "", "| bar | reach | ours | runs | | peers |"]
        lines.append("|---|---|---|---|---|---|")
        for row in section.rows:
            cells = list(columns(row))
            cells[4] = "**FAIL**" if cells[4] == "FAIL" else cells[4]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", NOTES, "", END])


def write_block(document: Path, block: str) -> None:
    """Put the block between its markers in a document, or at its end where there are none yet."""
    text = document.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    if begin:
        _, end, after = rest.partition(END)
        if not end:
            raise ValueError(f"{document}: the closing marker {END!r} is missing")
        text = before + block + after
    else:
        text = f"{text.rstrip()}\n\n## The bars of the observatory\n\n{block}\n"
    document.write_text(text, encoding="utf-8")
