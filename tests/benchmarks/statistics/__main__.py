"""`make bench-statistics`: run every cell, print the table of bars, write it where asked.

    python -m tests.benchmarks.statistics --runs 2000 --jobs 2 --json bars.json --document docs/evidence.md

The draws depend on seed and runs alone, never on how many processes share the work.
"""

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress

from tests.benchmarks.statistics import agreement
from tests.benchmarks.statistics.bars import RUNS_ASKED, cost_row, rows_of, worst
from tests.benchmarks.statistics.cells import CELLS, run_chunk
from tests.benchmarks.statistics.report import Report, as_json, as_markdown, print_table, write_block

SEED = 20_261_121
Results = dict[str, dict[str, np.ndarray]]


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark and return the exit status: 0 when the table was made, whatever it says."""
    options = parsed(arguments)
    if options.document is not None and not options.document.is_file():
        print(f"{options.document}: no such file", file=sys.stderr)
        return 2
    console = Console(stderr=options.json == "-")
    began = time.monotonic()
    row = cost_row()  # first, while no process of ours disturbs it
    names = options.cells or list(CELLS)
    results = measured(options.seed, options.runs, options.jobs, names, console)
    checks = results.get("checks", {})
    report = Report(
        rows=(*rows_of(results), row),
        seed=options.seed,
        runs=options.runs,
        streams=CELLS["stream"].runs(options.runs) if "stream" in names else 0,
        date=datetime.now(UTC).date().isoformat(),
        seconds=time.monotonic() - began,
        jobs=options.jobs,
        versions=agreement.versions(),
        differences={name: worst(checks.get(name)) for name in ("fold", "gbstats", "statsmodels")},
    )
    print_table(report, console)
    if options.json == "-":
        print(as_json(report))
    elif options.json:
        Path(options.json).write_text(as_json(report) + "\n", encoding="utf-8")
    if options.document is not None:
        write_block(options.document, as_markdown(report))
    return 0


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    """Return the options; argparse ends the process with status 2 on nonsense."""
    parser = argparse.ArgumentParser(prog="bench-statistics", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--runs", type=_positive, default=RUNS_ASKED, help="experiments per cell")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--jobs", type=_positive, default=2, help="processes")
    parser.add_argument("--cells", nargs="*", choices=list(CELLS), metavar="CELL", help="only these cells")
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON; - prints them alone")
    parser.add_argument(
        "--document", type=Path, metavar="FILE", help="write the table into this Markdown file"
    )
    return parser.parse_args(arguments)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def measured(seed: int, runs: int, jobs: int, names: list[str], console: Console) -> Results:
    """Return every cell's arrays, chunks joined in their order."""
    chunks = {}
    with Progress(console=console, transient=True) as progress:
        work = list(chunks_of(runs, names))
        bar = progress.add_task("simulating", total=len(work))
        if jobs == 1:
            for name, chunk, size in work:
                chunks[name, chunk] = run_chunk(name, seed, chunk, size)
                progress.advance(bar)
        else:
            with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
                waiting = {
                    pool.submit(run_chunk, name, seed, chunk, size): (name, chunk)
                    for name, chunk, size in work
                }
                for future in as_completed(waiting):
                    chunks[waiting[future]] = future.result()
                    progress.advance(bar)
    return {
        name: joined(
            [arrays for (cell, _), arrays in sorted(chunks.items(), key=lambda item: item[0]) if cell == name]
        )
        for name in names
    }


def chunks_of(runs: int, names: list[str]) -> list[tuple[str, int, int]]:
    """Return the work as (cell, chunk, runs of the chunk), the dearest first: no process idles at the end."""
    work = []
    for name in sorted(names, key=lambda name: name != "stream"):
        left, cell = CELLS[name].runs(runs), CELLS[name]
        for chunk, start in enumerate(range(0, left, cell.chunk)):
            work.append((name, chunk, min(cell.chunk, left - start)))
    return work


def joined(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return the arrays of several chunks end to end."""
    return {rule: np.concatenate([part[rule] for part in parts]) for rule in parts[0]}


if __name__ == "__main__":
    sys.exit(main())
