"""How the figures are shown: on the terminal, as JSON, and as the block of Markdown in a document."""

import json
import os
import platform
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.benchmarks.market.bars import Row
from tests.benchmarks.market.measure import Results, percentile

BEGIN = "<!-- bench-market: written by the command of that name, do not edit -->"
END = "<!-- bench-market: end -->"
NOTES = """\
One row of a ratio is the median over the rounds of two cases of the same round; cases take turns in an order
shuffled by a fixed seed. A life is post, three bids, award, lease, result, verification by a verifier that
agrees, settlement, and every event delivered; over HTTP each request carries a key, every write an
Idempotency-Key, and the winner's questions for its work come on top of six requests. The load generator
shares the processors with the server; CPU is the server's alone over HTTP, the whole process's otherwise,
and never the database server's. The naive app is given NORMAL, which is faster; a queue's figure is whole
cycles of jobs that do nothing (enqueue, take, finish). PostgreSQL has fsync and synchronous_commit on."""


@dataclass(frozen=True, slots=True)
class Report:
    """Everything one run of the command says."""

    rows: tuple[Row, ...]
    results: Results
    lives: dict[str, dict[str, float]]
    broken: tuple[str, ...]
    rounds: int
    scale: float
    date: str
    seconds: float

    def headline(self) -> str:
        """Return the sentence that sums the bars up."""
        reached = sum(row.is_reached for row in self.rows)
        missed = "; ".join(row.bar.what for row in self.rows if not row.is_reached)
        return f"{reached} of {len(self.rows)} bars reached" + (f"; not reached: {missed}" if missed else "")

    def circumstances(self) -> str:
        """Return date, rounds and machine in one sentence."""
        return (
            f"{self.date}, {self.rounds} rounds, scale {self.scale:g}, {self.seconds:,.0f} s on "
            f"{os.cpu_count()} cores shared by load generator, server and database, "
            f"Python {platform.python_version()}."
        )

    def left_out(self) -> list[str]:
        """Return what failed, and why."""
        return [f"{name}: {why}" for name, why in self.results.failures.items()]

    def invariants(self) -> str:
        """Return what the checks after the cases found."""
        if self.broken:
            return "Broken: " + "; ".join(self.broken)
        return "After every case each invariant of the market was recounted from its rows: all hold."

    def footprints(self) -> str:
        """Return statements and write transactions of one life, by the way it is lived."""
        parts = [
            f"{name.removeprefix('ours: ')}: {counts['transactions']:,.3g} write transactions, "
            f"{counts['statements']:,.1f} statements"
            for name, counts in self.lives.items()
        ]
        return "One life, " + "; ".join(parts) + "." if parts else ""


def figure_text(value: float | None, unit: str) -> str:
    """Return a figure with its unit; a dash where there is none."""
    if value is None:
        return "–"
    shown = f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:,.2f}"
    return f"{shown}{unit}" if unit in ("/s", "") else f"{shown} {unit}"


def line_text(row: Row) -> str:
    """Return the bar itself, "≥ 25 ×"."""
    line = f"{row.bar.line:,.0f}" if row.bar.line == int(row.bar.line) else f"{row.bar.line:,.1f}"
    joint = "" if row.bar.unit in ("/s", "") else " "
    return f"{row.bar.sense} {line}{joint}{row.bar.unit}"


def verdict_text(row: Row) -> str:
    """Return PASS or FAIL."""
    return "PASS" if row.is_reached else "FAIL"


def case_columns(results: Results, name: str) -> tuple[str, str, str]:
    """Return a case's rate, its processor time per operation and its latency as text."""
    samples = results.samples[name]
    cpu = results.cpu_us(name)
    latencies = [value for sample in samples for value in sample.latencies_seconds]
    shown = "–"
    if latencies:
        shown = f"{1e3 * percentile(latencies, 50):,.2f} / {1e3 * percentile(latencies, 99):,.2f} ms"
    return f"{results.rate(name):,.0f}/s", f"{cpu:,.0f} µs" if cpu > 0 else "–", shown


def print_report(report: Report, console: Console) -> None:
    """Print bars, cases, and what they were measured under."""
    bars = Table(title="Bars of the market", title_justify="left")
    for heading in ("bar", "reach", "measured", "", "from"):
        bars.add_column(heading, no_wrap=heading in ("reach", "measured", ""))
    for row in report.rows:
        colour = "green" if row.is_reached else "bold red"
        verdict = f"[{colour}]{verdict_text(row)}[/]"
        bars.add_row(row.bar.what, line_text(row), figure_text(row.figure, row.bar.unit), verdict, row.beside)
    console.print(bars)
    cases = Table(title="Cases", title_justify="left")
    for heading in ("case", "rate", "CPU each", "latency p50 / p99"):
        cases.add_column(heading, justify="left" if heading == "case" else "right")
    for name in sorted(report.results.samples):
        cases.add_row(name, *case_columns(report.results, name))
    console.print(cases)
    sentences = (report.headline(), report.circumstances(), report.footprints(), report.invariants())
    for sentence in (*sentences, *report.left_out()):
        console.print(sentence, markup=False)


def as_json(report: Report) -> str:
    """Return the whole report as JSON."""
    rows = [
        {
            "bar": row.bar.what,
            "sense": row.bar.sense,
            "line": row.bar.line,
            "unit": row.bar.unit,
            "figure": row.figure,
            "is_reached": row.is_reached,
            "from": row.beside,
        }
        for row in report.rows
    ]
    cases = {
        name: [
            {
                "operations": sample.operations,
                "seconds": sample.seconds,
                "cpu_seconds": sample.cpu_seconds,
                "p50_us": 1e6 * percentile(sample.latencies_seconds, 50)
                if sample.latencies_seconds
                else None,
                "p99_us": 1e6 * percentile(sample.latencies_seconds, 99)
                if sample.latencies_seconds
                else None,
                **sample.counts,
            }
            for sample in samples
        ]
        for name, samples in report.results.samples.items()
    }
    rest = {
        "date": report.date,
        "rounds": report.rounds,
        "scale": report.scale,
        "seconds": round(report.seconds, 1),
        "broken": list(report.broken),
        "failures": report.results.failures,
        "lives": report.lives,
    }
    return json.dumps({**rest, "rows": rows, "cases": cases}, indent=2, ensure_ascii=False)


def as_markdown(report: Report) -> str:
    """Return the block for a document: sentence, bars, cases, notes, between its two markers."""
    lines = [BEGIN, "", f"`make bench-market`: {report.headline()}.", "", report.circumstances(), ""]
    lines += ["| bar | reach | measured | | from |", "|---|---|---|---|---|"]
    for row in report.rows:
        verdict = verdict_text(row) if row.is_reached else f"**{verdict_text(row)}**"
        columns = (row.bar.what, line_text(row), figure_text(row.figure, row.bar.unit), verdict, row.beside)
        lines.append("| " + " | ".join(columns) + " |")
    lines += ["", "| case | rate | CPU each | latency p50 / p99 |", "|---|---|---|---|"]
    lines += [
        "| " + " | ".join((name, *case_columns(report.results, name))) + " |"
        for name in sorted(report.results.samples)
    ]
    sentences = (report.footprints(), report.invariants(), *report.left_out())
    for sentence in (*(sentence for sentence in sentences if sentence), NOTES):
        lines += ["", sentence]
    return "\n".join([*lines, "", END])


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
        text = f"{text.rstrip()}\n\n## The bars of the market\n\n{block}\n"
    document.write_text(text, encoding="utf-8")
