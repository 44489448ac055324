"""`nacre cron`, `nacre review`, `nacre db`: what an operator looks after.

Stands at the edge, over the cron runner (L3) and the schema. It repairs nothing by itself.
"""

from typing import Annotated

import typer

from app.cli.options import (
    LIMIT_DEFAULT,
    AsJson,
    Cursor,
    Database,
    Id,
    Limit,
    Oldest,
    Reason,
    examples,
    group,
)
from app.lazy import load

READING = "app.cli.actions.reading"
OPERATING = "app.cli.actions.operating"
SCHEMA = "app.cli.actions.schema"
CRON = "app.cli.actions.cron"
RUN_REASON = "asked for on the command line"

JobName = Annotated[str, typer.Argument(metavar="JOB", show_default=False)]

cron = group("cron", "The jobs that run by the clock.")
reviews = group("review", "What waits for a person.")
database_schema = group("db", "The schema of the database.")
GROUPS = (cron, reviews, database_schema)


@cron.command("list", **examples("nacre cron list"))
def list_jobs(database: Database = None, as_json: AsJson = False) -> int:
    """List the jobs of the table: next due, role, budget, policy, paused or not, the last tick."""
    return int(load(f"{CRON}:show_jobs")(database, as_json=as_json))


@cron.command(
    "run",
    **examples("nacre cron run books_audit", "nacre cron run books_audit --here --reason 'after the repair'"),
)
def run_job(
    job: JobName,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is kept with the act.")] = RUN_REASON,
    here: Annotated[
        bool, typer.Option("--here", help="Run it in this process instead of the running platform.")
    ] = False,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """Have a job run now, paused or not: by the running platform, within a second, or in this process."""
    act = "run_job_here" if here else "ask_run"
    return int(load(f"{CRON}:{act}")(database, job, reason=reason, as_json=as_json))


@cron.command("pause", **examples("nacre cron pause history_pruning --reason 'a copy is being made'"))
def pause_job(job: JobName, reason: Reason, database: Database = None, as_json: AsJson = False) -> int:
    """Let no tick of a job run until it is resumed; each tick says that it was left out."""
    return int(load(f"{CRON}:pause_job")(database, job, reason=reason, as_json=as_json))


@cron.command("resume", **examples("nacre cron resume history_pruning --reason 'the copy is made'"))
def resume_job(job: JobName, reason: Reason, database: Database = None, as_json: AsJson = False) -> int:
    """Let a paused job run by its table again."""
    return int(load(f"{CRON}:resume_job")(database, job, reason=reason, as_json=as_json))


@cron.command("history", **examples("nacre cron history --job auto_accept_bids --limit 5"))
def show_history(
    job: Annotated[str | None, typer.Option("--job", metavar="JOB", help="Of this job only.")] = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
    oldest: Oldest = False,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """List ticks: when each was due, who ran it, how it ended."""
    asked = {"job": job, "limit": limit, "cursor": cursor, "oldest_first": oldest}
    return int(load(f"{CRON}:show_history")(database, asked, as_json=as_json))


@reviews.command("list", **examples("nacre review list --open"))
def list_review_items(
    is_open: Annotated[
        bool | None, typer.Option("--open/--closed", help="Only open ones, or only closed ones.")
    ] = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
    oldest: Oldest = False,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """List what waits, or waited, for a person."""
    asked = {"is_open": is_open, "limit": limit, "cursor": cursor, "oldest_first": oldest}
    return int(load(f"{READING}:show_page")("review item", database, asked, as_json=as_json))


@reviews.command("close", **examples("nacre review close 2"))
def close_review_item(item_id: Id, database: Database = None, as_json: AsJson = False) -> int:
    """Mark an item as seen to."""
    return int(load(f"{OPERATING}:close_review_item")(database, item_id, as_json=as_json))


@database_schema.command("upgrade", **examples("nacre db upgrade --database postgresql://nacre@db/nacre"))
def upgrade(database: Database = None, as_json: AsJson = False) -> int:
    """Bring the database to the newest schema, making an SQLite file if there is none."""
    return int(load(f"{SCHEMA}:upgrade")(database, as_json=as_json))


@database_schema.command("current", **examples("nacre db current"))
def current(database: Database = None, as_json: AsJson = False) -> int:
    """Say at which revision the schema is, and which is the newest."""
    return int(load(f"{SCHEMA}:current")(database, as_json=as_json))
