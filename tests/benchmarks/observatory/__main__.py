"""`make bench-observatory`: run every section, print the tables of bars, write them where asked.

    python -m tests.benchmarks.observatory --seed 20261121 --json bars.json --document docs/evidence.md

A section is a module with a TITLE and `run(seed, quick) -> rows`; the draws depend on seed and section alone.
"""

import argparse
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

from rich.console import Console

from tests.benchmarks.observatory import (
    attribution,
    costs,
    counts,
    dreaming,
    drops,
    gauges,
    many_metrics,
    office_week,
    shares,
    snapshots,
)
from tests.benchmarks.observatory.report import (
    Report,
    Section,
    as_json,
    as_markdown,
    print_table,
    write_block,
)

SEED = 20_261_121
SECTIONS: dict[str, ModuleType] = {
    "shares": shares,
    "counts": counts,
    "drops": drops,
    "many_metrics": many_metrics,
    "office_week": office_week,
    "gauges": gauges,
    "attribution": attribution,
    "dreaming": dreaming,
    "costs": costs,
    "snapshots": snapshots,
}


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark and return the exit status: 0 when the tables were made, whatever they say."""
    options = parsed(arguments)
    if options.document is not None and not options.document.is_file():
        print(f"{options.document}: no such file", file=sys.stderr)
        return 2
    console = Console(stderr=options.json == "-")
    began = time.monotonic()
    sections = []
    for name in options.sections or list(SECTIONS):
        module = SECTIONS[name]
        with console.status(module.TITLE):
            sections.append(Section(module.TITLE, tuple(module.run(options.seed, options.quick))))
    report = Report(
        sections=tuple(sections),
        seed=options.seed,
        is_quick=options.quick,
        date=datetime.now(UTC).date().isoformat(),
        seconds=time.monotonic() - began,
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
    parser = argparse.ArgumentParser(prog="bench-observatory", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--quick", action="store_true", help="few draws: to see that it runs")
    parser.add_argument("--sections", nargs="*", choices=list(SECTIONS), metavar="SECTION", help="only these")
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON; - prints them alone")
    parser.add_argument(
        "--document", type=Path, metavar="FILE", help="write the tables into this Markdown file"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
