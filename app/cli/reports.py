"""`nacre report`: what a lap or a period came to, on paper or as data, and the schedules that make it.

Stands at the edge, over the reports. With an export (`--ledger`) it needs neither a database nor our word.
"""

from typing import Annotated

import typer

from app.cli.options import AsJson, Database, Id, examples, group
from app.lazy import load

ACTION = "app.cli.actions.reports"

reports = group("report", "What a lap or a period came to, on paper or as data; and schedules of it.")
schedules = group("schedule", "Reports that are made by themselves and put into a folder.")
reports.add_typer(schedules)
GROUPS = (reports,)

Ledger = Annotated[
    str | None,
    typer.Option(
        "--ledger",
        metavar="EXPORT",
        help="Build it from this export (`nacre ledger export`), verified first; no database is read.",
        show_default=False,
    ),
]
Format = Annotated[str, typer.Option("--format", metavar="FORMAT", help="html, pdf, md, csv or json.")]
Output = Annotated[
    str, typer.Option("--output", metavar="FILE", help="Where to; - is standard output.", show_default=False)
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="1 to 80 of a-z, 0-9 and -.")]


@reports.command(
    "lap",
    **examples(
        "nacre report lap 3 --output lap-3.html", "nacre report lap 3 --format pdf --ledger ledger.ndjson"
    ),
)
def lap(
    lap_id: Id,
    form: Format = "html",
    output: Output = "-",
    ledger: Ledger = None,
    database: Database = None,
) -> int:
    """Report one turn of the loop: what was seen, proposed, voted, tested, and what became of it."""
    return int(load(f"{ACTION}:write_lap")(database, ledger, lap_id, form, output))


@reports.command(
    "period",
    **examples(
        "nacre report period --from 2026-11-01 --to 2026-11-30 --format pdf --output november.pdf",
        "nacre report period --from 2026-11-01 --to 2026-11-30 --ledger ledger.ndjson --format json",
    ),
)
def period(
    start: Annotated[str, typer.Option("--from", metavar="DAY", help="First day (UTC), or an instant.")],
    end: Annotated[str, typer.Option("--to", metavar="DAY", help="Last day, included; or an instant, not.")],
    form: Format = "html",
    output: Output = "-",
    ledger: Ledger = None,
    database: Database = None,
) -> int:
    """Report a period of at most 366 days: what changed, what was refused and why, who agreed."""
    return int(load(f"{ACTION}:write_period")(database, ledger, (start, end), form, output))


@schedules.command(
    "add", **examples("nacre report schedule add weekly --every week --format html --format pdf --announce")
)
def add(
    name: Name,
    every: Annotated[str, typer.Option("--every", metavar="PERIOD", help="day, week or month (UTC).")],
    form: Annotated[
        list[str] | None,
        typer.Option("--format", metavar="FORMAT", help="html, pdf, md, csv or json; may be given again."),
    ] = None,
    announce: Annotated[
        bool, typer.Option("--announce", help="Say nacre.report.made to webhooks when it is made.")
    ] = False,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """Make a report of every day, week or month from now on, once the period is over."""
    action = load(f"{ACTION}:add_schedule")
    return int(action(database, name, every, form or ["html"], is_announced=announce, as_json=as_json))


@schedules.command("list", **examples("nacre report schedule list"))
def list_schedules(database: Database = None, as_json: AsJson = False) -> int:
    """List the schedules with their last delivery, or why it failed."""
    return int(load(f"{ACTION}:show_schedules")(database, as_json=as_json))


@schedules.command("remove", **examples("nacre report schedule remove weekly"))
def remove(name: Name, database: Database = None, as_json: AsJson = False) -> int:
    """Remove a schedule; the files it made stay."""
    return int(load(f"{ACTION}:remove_schedule")(database, name, as_json=as_json))


@schedules.command("run", **examples("nacre report schedule run weekly"))
def run(name: Name, database: Database = None, as_json: AsJson = False) -> int:
    """Make what is due now, or the last period that is over if none was made yet."""
    return int(load(f"{ACTION}:run_schedule")(database, name, as_json=as_json))
