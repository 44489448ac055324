"""`nacre observatory metrics | series | corrections | episodes | accept`: what the platform has counted.

Stands at the edge, over the read models of the observatory (L1). Accepting a shift is its only act.
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
)
from app.lazy import load
from services.domain.measures import Dimension, Grain
from services.domain.states import EpisodeState

ACTIONS = "app.cli.actions.series"
READING = "app.cli.actions.reading"

Metric = Annotated[str, typer.Argument(metavar="METRIC", help="See `nacre observatory metrics`.")]
From = Annotated[
    str | None, typer.Option("--from", metavar="TIME", help="Ended after this: a UTC day, or RFC 3339.")
]
Until = Annotated[str | None, typer.Option("--to", metavar="TIME", help="Ended up to this.")]


def list_metrics(database: Database = None, as_json: AsJson = False) -> int:
    """List what is published, how it is cut, and the newest window."""
    return int(load(f"{ACTIONS}:show_metrics")(database, as_json=as_json))


def show_series(
    metric: Metric,
    *,
    by: Annotated[
        Dimension, typer.Option("--by", help="The dimension: what the series is of.")
    ] = Dimension.PLATFORM,
    key: Annotated[
        str,
        typer.Option("--key", metavar="KEY", help="Which one of that dimension; `all` is the platform's."),
    ] = "all",
    grain: Annotated[Grain, typer.Option("--grain", help="As counted, or old days merged.")] = Grain.WINDOW,
    start: From = None,
    end: Until = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
    oldest: Oldest = False,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """Read the windows of one series: exact sums, mean, spread, percentiles, corrections.

    Tables show times in seconds; --json has them in microseconds, as counted.
    """
    asked = {"metric": metric, "dimension": by, "key": key, "grain": grain, "start": start, "end": end}
    page = {"limit": limit, "cursor": cursor, "oldest_first": oldest}
    return int(load(f"{ACTIONS}:show_series")(database, asked, page, as_json=as_json))


def list_corrections(
    metric: Annotated[
        str | None, typer.Option("--metric", metavar="METRIC", help="Of this one only.")
    ] = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
    oldest: Oldest = False,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """List what was added to windows after they were published."""
    asked = {"metric": metric, "limit": limit, "cursor": cursor, "oldest_first": oldest}
    return int(load(f"{READING}:show_page")("correction", database, asked, as_json=as_json))


def list_episodes(
    state: Annotated[EpisodeState | None, typer.Option("--state", help="In this state only.")] = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
    oldest: Oldest = False,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """List the stretches during which a metric was out of its band."""
    asked = {"state": state, "limit": limit, "cursor": cursor, "oldest_first": oldest}
    return int(load(f"{READING}:show_page")("episode", database, asked, as_json=as_json))


def accept(episode_id: Id, reason: Reason, database: Database = None, as_json: AsJson = False) -> int:
    """Accept a lasting change as normal: the baseline starts anew. It goes into the ledger."""
    return int(load(f"{ACTIONS}:accept_shift")(database, episode_id, reason=reason, as_json=as_json))


def add_to(group: typer.Typer) -> None:
    """Add the commands to `nacre observatory`."""
    group.command("metrics", **examples("nacre observatory metrics"))(list_metrics)
    group.command(
        "series",
        **examples(
            "nacre observatory series task_success --limit 24",
            "nacre observatory series task_duration --by task_type --key research_synthesis --json",
            "nacre observatory series tasks_ended --grain day --from 2026-01-01",
        ),
    )(show_series)
    group.command("corrections", **examples("nacre observatory corrections --metric task_success"))(
        list_corrections
    )
    group.command("episodes", **examples("nacre observatory episodes --state open"))(list_episodes)
    group.command(
        "accept", **examples('nacre observatory accept 3 --reason "half of the fleet was retired on purpose"')
    )(accept)
