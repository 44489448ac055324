"""Commands for whoever looks after the platform: `cron`, `dead-letter`, `review`, `db`.

Stands beside the other declarations; the acts are in `app.cli.acts.operations`.
"""

from typing import Annotated

import typer

from app.cli.dispatch import perform
from app.cli.options import LIMIT_DEFAULT, AsJson, Cursor, Database, Identity, Limit, Oldest, examples

cron = typer.Typer(help="What runs by the clock.", no_args_is_help=True)
dead_letters = typer.Typer(help="Events that could not be delivered.", no_args_is_help=True)
review = typer.Typer(help="What waits for a person.", no_args_is_help=True)
database_group = typer.Typer(help="The database's schema.", no_args_is_help=True)
GROUPS = {"cron": cron, "dead-letter": dead_letters, "review": review, "db": database_group}


@cron.command("list", epilog=examples("nacre cron list", "nacre cron list --json"))
def list_jobs(database: Database = None, as_json: AsJson = False) -> None:
    """List every job with its interval, budget, priority and last tick."""
    perform("operations:list_jobs", database=database, as_json=as_json)


@cron.command("history", epilog=examples("nacre cron history", "nacre cron history --job vote_tally --json"))
def history(
    job: Annotated[str | None, typer.Option("--job", metavar="JOB", help="Only of this job.")] = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
    oldest: Oldest = False,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """List ticks: when each was due, who ran it, how it ended."""
    perform(
        "operations:list_ticks",
        filters={"job": job},
        limit=limit,
        cursor=cursor,
        oldest=oldest,
        database=database,
        as_json=as_json,
    )


@dead_letters.command("list", epilog=examples("nacre dead-letter list", "nacre dead-letter list --json"))
def list_dead_letters(
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
    oldest: Oldest = False,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """List deliveries that failed as often as allowed, with their last error."""
    perform(
        "operations:list_dead_letters",
        limit=limit,
        cursor=cursor,
        oldest=oldest,
        database=database,
        as_json=as_json,
    )


@dead_letters.command("replay", epilog=examples("nacre dead-letter replay 8"))
def replay(delivery_id: Identity, database: Database = None, as_json: AsJson = False) -> None:
    """Put a dead letter back in line; the running platform delivers it."""
    perform("operations:replay", delivery_id=delivery_id, database=database, as_json=as_json)


@review.command("list", epilog=examples("nacre review list", "nacre review list --all --json"))
def list_review_items(
    is_all: Annotated[bool, typer.Option("--all", help="Closed ones too.")] = False,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
    oldest: Oldest = False,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """List what waits for a person."""
    perform(
        "operations:list_review_items",
        filters={"is_open": None if is_all else True},
        limit=limit,
        cursor=cursor,
        oldest=oldest,
        database=database,
        as_json=as_json,
    )


@review.command("close", epilog=examples("nacre review close 1"))
def close(item_id: Identity, database: Database = None, as_json: AsJson = False) -> None:
    """Mark an item as seen to."""
    perform("operations:close_review_item", item_id=item_id, database=database, as_json=as_json)


@database_group.command("upgrade", epilog=examples("nacre db upgrade --database postgresql://…/nacre"))
def upgrade(database: Database = None, as_json: AsJson = False) -> None:
    """Bring the database to the newest schema; an SQLite file is made when it is missing."""
    perform("operations:upgrade", database=database, as_json=as_json)


@database_group.command("current", epilog=examples("nacre db current", "nacre db current --json"))
def current(database: Database = None, as_json: AsJson = False) -> None:
    """Show which schema the database has; exits with 1 when it is not the newest."""
    perform("operations:current", database=database, as_json=as_json)
