"""`make bench-market`: measure the market beside limits and peers, print the bars, write them where asked.

    python -m tests.benchmarks.market --runs 3 --scale 1 --json market.json --document docs/evidence.md

Rounds and seconds are bounded: with the defaults a run takes some minutes on two cores. It ends with status 1
when an invariant of the market was broken or something acknowledged was lost, else with 0, whatever the bars
say.
"""

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from tests.benchmarks.market.bars import BARS, row_of
from tests.benchmarks.market.report import Report, as_json, as_markdown, print_report, write_block
from tests.benchmarks.market.sections import SECTIONS, SIZES, Bench
from tests.plugins.postgresql import PostgresqlServer, running_server

DURABLE = ("fsync = on", "synchronous_commit = on")
SECONDS = 1.5
"""Seconds that one run of one case takes at scale 1."""


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark and return the exit status."""
    options = parsed(arguments)
    if options.document is not None and not options.document.is_file():
        print(f"{options.document}: no such file", file=sys.stderr)
        return 2
    console = Console(stderr=options.json == "-")
    began = time.monotonic()
    with ExitStack() as running, tempfile.TemporaryDirectory(prefix="nacre-market-") as folder:
        bench = Bench(
            Path(folder),
            None if options.sqlite else started(running, console),
            options.peers,
            options.runs,
            SECONDS * options.scale,
            tuple(options.sizes),
            lambda words: console.print(
                f"[dim]{time.monotonic() - began:6.1f} s  {words}[/]", highlight=False
            ),
        )
        for name in options.sections or SECTIONS:
            SECTIONS[name](bench)
    report = Report(
        tuple(row_of(bar, bench.results) for bar in BARS),
        bench.results,
        bench.lives,
        tuple(bench.broken),
        options.runs,
        options.scale,
        datetime.now(UTC).date().isoformat(),
        time.monotonic() - began,
    )
    print_report(report, console)
    if options.json == "-":
        print(as_json(report))
    elif options.json:
        Path(options.json).write_text(as_json(report) + "\n", encoding="utf-8")
    if options.document is not None:
        write_block(options.document, as_markdown(report))
    return int(bool(report.broken))


def started(running: ExitStack, console: Console) -> PostgresqlServer | None:
    """Start the throw-away PostgreSQL, or say why there is none."""
    try:
        return running.enter_context(running_server(DURABLE))
    except ImportError as error:
        console.print(f"PostgreSQL does not load here ({error}); going on without it")
        return None


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    """Return the options; argparse ends the process with status 2 on nonsense."""
    parser = argparse.ArgumentParser(prog="bench-market", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--runs", type=_count, default=3, help="rounds")
    parser.add_argument("--scale", type=_factor, default=1.0, help="how long each case runs, as a factor")
    parser.add_argument("--sections", nargs="*", choices=list(SECTIONS), metavar="SECTION", help="only these")
    parser.add_argument("--sizes", nargs="*", type=_count, default=SIZES, help="open tasks of the backlogs")
    parser.add_argument("--peers", type=Path, default=Path(".venv/market-peers"), help="where they stand")
    parser.add_argument("--sqlite", action="store_true", help="without PostgreSQL")
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON; - prints them alone")
    parser.add_argument(
        "--document", type=Path, metavar="FILE", help="write the tables into this Markdown file"
    )
    return parser.parse_args(arguments)


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _factor(text: str) -> float:
    value = float(text)
    if not 0.01 <= value <= 1_000:
        raise argparse.ArgumentTypeError("must be 0.01 to 1000")
    return value


if __name__ == "__main__":
    sys.exit(main())
