"""`nacre observatory`: what the platform sees of itself, and its detectors for series of your own.

Stands at the edge. `score` and `explain` need neither a database nor a server: they are for trying the
detectors on one's own history before trusting them. It never opens or closes an episode.
"""

from typing import Annotated

import typer

from app.cli.options import AsJson, examples, group
from app.lazy import load

observatory = group("observatory", "What the platform sees of itself, and its detectors for your own series.")
GROUPS = (observatory,)

File = Annotated[str, typer.Argument(metavar="FILE", help="A CSV file, or - for standard input.")]


@observatory.command(
    "score",
    **examples(
        "nacre observatory score latency.csv --out scored.csv",
        "nacre observatory score cpu.csv --timestamp at --value percent --threshold 6",
        "zcat cpu.csv.gz | nacre observatory score - --silence-hours 0 > scored.csv",
        "nacre observatory score latency.csv --json",
    ),
)
def score(
    file: File,
    *,
    timestamp: Annotated[
        str | None,
        typer.Option(
            "--timestamp", metavar="COL", help="Column of the times (default: timestamp, time, date ...)."
        ),
    ] = None,
    value: Annotated[
        str | None,
        typer.Option(
            "--value", metavar="COL", help="Column of the values (default: value, or what is left)."
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold", metavar="Z", help="Robust z-score that alerts (default: the detector's, 4.85)."
        ),
    ] = None,
    silence_hours: Annotated[
        float | None,
        typer.Option("--silence-hours", metavar="H", help="Silence after an alert (default: 15; 0: none)."),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option("--out", metavar="FILE", help="Write the rows there (default: standard output)."),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Score every point of a series with the detector of gauges. Needs no database.

    Writes timestamp, value, anomaly_score (0 to 1; 0.5 is the alert's line) and alert (0 or 1) as CSV, one
    row per row of FILE, and a summary to standard error. --json prints the summary to standard output
    instead; the rows then need --out. Alerts need 12 hours of history and 12 points within
    7 days, and have low confidence before 3 days.

    Times are ISO 8601 with or without a zone (without: UTC), "2014-02-14 14:30:00", or seconds or
    milliseconds since 1970, all alike in a file. Cells are separated by commas, semicolons, tabs or bars, the
    text is UTF-8. Rows are scored as they are read: memory holds a week of points, whatever FILE's length.

    It goes on, with a note: gaps (over 3 times the usual spacing: where, how long; nothing is filled in),
    times that stand twice (each row is scored), empty cells and NaN (no score, no alert), a single row. It
    refuses, naming the line, with exit code 2: rows that are not in order of time, times with a zone among
    times without, text or infinity for a value, a missing column, rows with too few or too many cells, a
    file that is empty, not UTF-8 or not CSV. What --out names appears only when all went well.
    """
    asked = {"timestamp": timestamp, "value": value, "threshold_z": threshold, "silence_hours": silence_hours}
    return int(load("app.cli.actions.scoring:score_file")(file, asked, out, as_json=as_json))


Failures = Annotated[
    str, typer.Option("--failures", metavar="COL", help="Column of the failures.", show_default=False)
]
Attempts = Annotated[
    str,
    typer.Option(
        "--attempts", metavar="COL", help="Column of the attempts, failures included.", show_default=False
    ),
]
Dimensions = Annotated[
    str,
    typer.Option(
        "--dimensions", metavar="A,B,C", help="Columns to look for the cause in.", show_default=False
    ),
]
BaselineFailures = Annotated[
    str | None,
    typer.Option("--baseline-failures", metavar="COL", help="Column of each row's failures before."),
]
BaselineAttempts = Annotated[
    str | None,
    typer.Option("--baseline-attempts", metavar="COL", help="Column of each row's attempts before."),
]
Baseline = Annotated[
    str | None,
    typer.Option("--baseline", metavar="FILE", help="The same columns, of a time when all was well."),
]
Top = Annotated[int, typer.Option("--top", min=1, max=100, help="Combinations to name.")]


@observatory.command(
    "explain",
    **examples(
        "nacre observatory explain calls.csv --failures failed --attempts calls --dimensions agent,model",
        "nacre observatory explain day.csv --failures f --attempts n --dimensions cdn,isp --baseline old.csv",
        "nacre observatory explain t.csv --failures f --attempts n --dimensions a,b --baseline-failures f0 "
        "--baseline-attempts n0 --json",
    ),
)
def explain(
    file: File,
    *,
    failures: Failures,
    attempts: Attempts,
    dimensions: Dimensions,
    baseline_failures: BaselineFailures = None,
    baseline_attempts: BaselineAttempts = None,
    baseline: Baseline = None,
    top: Top = 3,
    as_json: AsJson = False,
) -> int:
    """Say which combination of one to three dimensions the failures sit in. Needs no database.

    FILE has a row per combination of values, with its attempts and how many of them failed; rows of the same
    values are added up. Expected failures are each combination's own baseline, drawn to the rate of the whole
    by 50 attempts; where they sum to more than half of all failures, all are multiplied by the same number to
    be half of them (expected_scale). What is left is the excess: excess = failures - expected x
    expected_scale. Coverage is a combination's excess as a share of all (column excess: "80.0 of 100.0"),
    purity = e / (e + r) with e its excess per attempt and r the failures (at least 1) per attempt of the
    rest, score = coverage^0.2 x purity^0.8. Of three or more answers the last
    is what explains the rest best once the first is taken out. Without a baseline the table is compared with
    itself. Evidence names lines of FILE: the rows that fail most beyond expectation.

    Rows are added up as they are read: memory grows with the different combinations, at most 200,000 (about
    300 MB); more is refused with the dimension that has most values.

    It goes on: rows with 0 attempts, an empty value of a dimension (shown as "(empty)"), an empty baseline
    (the rate of the whole stands for it), fractions as counts, and a table without failures (it says so). It
    refuses, naming the line, with exit code 2: text, NaN, infinity or nothing for a count, negative counts,
    more failures than attempts, a missing column, rows with too few or too many cells, a file that is empty,
    has no rows or no attempt, is not UTF-8 or not CSV.
    """
    asked = {
        "failures": failures,
        "attempts": attempts,
        "dimensions": dimensions,
        "baseline_failures": baseline_failures,
        "baseline_attempts": baseline_attempts,
        "baseline": baseline,
    }
    return int(load("app.cli.actions.explaining:explain_file")(file, asked, top=top, as_json=as_json))
