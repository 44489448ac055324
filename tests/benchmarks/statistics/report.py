"""How the table of bars is shown: on the terminal, as JSON, and as the block of Markdown in a document."""

import json
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.benchmarks.statistics.bars import RUNS_ASKED, Row
from tests.benchmarks.statistics.figures import Figure

BEGIN = "<!-- bench-statistics: written by the command of that name, do not edit -->"
END = "<!-- bench-statistics: end -->"


@dataclass(frozen=True, slots=True)
class Report:
    """Everything one run of the command says; `differences` by check, None for a peer not installed."""

    rows: tuple[Row, ...]
    seed: int
    runs: int
    streams: int
    date: str
    seconds: float
    jobs: int
    versions: dict[str, str]
    differences: dict[str, float | None]

    @property
    def failed(self) -> list[Row]:
        """The rows whose bar was not reached."""
        return [row for row in self.rows if not row.is_reached]

    def headline(self) -> str:
        """Return the sentence that sums the table up."""
        reached = len(self.rows) - len(self.failed)
        words = f"{reached} of {len(self.rows)} bars reached"
        if self.failed:
            words += "; failed: " + "; ".join(row.bar.what for row in self.failed)
        return words

    def circumstances(self) -> str:
        """Return seed, date, runs and versions in one sentence."""
        fewer = "" if self.runs >= RUNS_ASKED else f" (fewer than the {RUNS_ASKED:,} the bars ask for)"
        streams = f"{self.streams} streams of 1,000 experiments, " if self.streams else ""
        packages = ", ".join(f"{name} {found}" for name, found in self.versions.items())
        return (
            f"Seed {self.seed}, {self.date}, at least {self.runs:,} runs per cell{fewer}, "
            f"{streams}{self.seconds:,.0f} s in {self.jobs} processes "
            f"on {os.cpu_count()} cores, Python {platform.python_version()}; {packages}."
        )

    def agreement(self) -> str:
        """Return how far the closed forms and the columns are from the originals."""
        words = {
            "fold": "wealth by columns against the record-by-record fold (log)",
            "gbstats": "GrowthBook's interval in closed form against gbstats (ends)",
            "statsmodels": "naive z against statsmodels",
        }
        parts = []
        for name, sentence in words.items():
            difference = self.differences.get(name)
            parts.append(f"{sentence}: {'not checked' if difference is None else f'{difference:.1e}'}")
        return "Largest differences: " + "; ".join(parts) + "."


NOTES = """\
Every rule is looked at after every task, on the same simulated tasks; arms are tossed per task, as the
platform does. A task count covers both arms, and a run that does not get there counts as the cell's cap
(2,000 tasks for 0.67 → 0.94, 10,000 for the other two). Our figure is the superiority bet alone, from 20
tasks on: harm, sample ratio and futility, which can only stop an experiment earlier, are off except in
their own rows and in the stream. *Effect stated*: half the wealth on the true gap, the recent platform rate
known with weight 50. A two-sided peer that first declares treatment worse has stopped. GrowthBook: the
sequential engine as shipped (two-sided, relative, tuning 5,000). `ville` judged a fifth of the runs, 600
tasks each. Timings are CPU time, the best of several rounds; a peer's is one look at totals. The stream is
judged experiment by experiment: naive, P(win) and LORD++ alone see the trial's 1,000 tasks; ours adds
probation at 85/15 for up to 3,000 more while later trials run."""


def number(value: float, unit: str) -> str:
    """Return a value as the table prints it: per cent and µs with a decimal, tasks without unless small."""
    if unit == "tasks" and value >= 100.0:
        return f"{value:,.0f}"
    return f"{value:,.1f}"


def with_unit(value: float, unit: str) -> str:
    """Return a value with its unit where the row's words do not say it."""
    return number(value, unit) if unit == "tasks" else f"{number(value, unit)} {unit}"


def ours_text(figure: Figure, unit: str) -> str:
    """Return our figure with its interval."""
    if figure.low == figure.high == figure.value:
        return with_unit(figure.value, unit)
    return f"{with_unit(figure.value, unit)} [{number(figure.low, unit)}, {number(figure.high, unit)}]"


def line_text(row: Row) -> str:
    """Return the bar itself, "≤ 75"."""
    line = f"{row.bar.line:,.0f}"
    return f"{row.bar.sense} {line}" if row.bar.unit == "tasks" else f"{row.bar.sense} {line} {row.bar.unit}"


def rivals_text(row: Row) -> str:
    """Return the figures of everybody else, separated by semicolons; a dash where nobody does it."""
    if row.bar.rule == "stated":
        return "as above"
    return "; ".join(f"{label} {number(figure.value, row.bar.unit)}" for label, figure in row.rivals) or "–"


def runs_text(row: Row) -> str:
    """Return how many runs stand behind our figure; a dash for a timing."""
    return f"{row.ours.runs:,}" if row.ours.runs else "–"


def verdict_text(row: Row) -> str:
    """Return PASS or FAIL."""
    return "PASS" if row.is_reached else "FAIL"


def print_table(report: Report, console: Console) -> None:
    """Print the table and what it was measured under."""
    table = Table(title="Bars of the sandbox", title_justify="left", show_lines=True)
    table.add_column("bar", ratio=4)
    table.add_column("reach", no_wrap=True)
    table.add_column("ours [95 %]", no_wrap=True)
    table.add_column("runs", no_wrap=True, justify="right")
    table.add_column("", no_wrap=True)
    table.add_column("peers on the same tasks", ratio=6)
    for row in report.rows:
        colour = "green" if row.is_reached else "bold red"
        verdict = f"[{colour}]{verdict_text(row)}[/]"
        ours = ours_text(row.ours, row.bar.unit).replace("[", r"\[")
        table.add_row(row.bar.what, line_text(row), ours, runs_text(row), verdict, rivals_text(row))
    console.print(table)
    for sentence in (report.headline(), report.circumstances(), report.agreement()):
        console.print(sentence, markup=False)


def as_json(report: Report) -> str:
    """Return the whole report as JSON, intervals of the peers included."""
    rows = [
        {
            "bar": row.bar.what,
            "sense": "at_most" if row.bar.sense == "≤" else "at_least",
            "line": row.bar.line,
            "unit": row.bar.unit,
            "ours": asdict(row.ours),
            "is_reached": row.is_reached,
            "peers": [{"name": label, **asdict(figure)} for label, figure in row.rivals],
        }
        for row in report.rows
    ]
    rest = {
        "seed": report.seed,
        "runs": report.runs,
        "streams": report.streams,
        "date": report.date,
        "seconds": round(report.seconds, 1),
        "versions": report.versions,
        "differences": report.differences,
        "failed": [row.bar.what for row in report.failed],
    }
    return json.dumps({**rest, "rows": rows}, indent=2, ensure_ascii=False)


def as_markdown(report: Report) -> str:
    """Return the block for a document: sentence, table, notes, between its two markers."""
    lines = [
        BEGIN,
        "",
        f"`make bench-statistics`: {report.headline()}.",
        "",
        report.circumstances(),
        "",
        "| bar | reach | ours [95 % of the simulation] | runs | | peers on the same tasks |",
        "|---|---|---|---|---|---|",
    ]
    for row in report.rows:
        verdict = verdict_text(row) if row.is_reached else f"**{verdict_text(row)}**"
        ours = ours_text(row.ours, row.bar.unit)
        columns = (row.bar.what, line_text(row), ours, runs_text(row), verdict, rivals_text(row))
        lines.append("| " + " | ".join(columns) + " |")
    return "\n".join([*lines, "", report.agreement(), "", NOTES, "", END])


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
        text = f"{text.rstrip()}\n\n## The bars of the bet\n\n{block}\n"
    document.write_text(text, encoding="utf-8")
