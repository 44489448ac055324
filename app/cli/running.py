"""`nacre up`, `nacre run`, `nacre lap`: start the platform, or watch one lap of the loop.

Stands at the edge, before `app.main` and `app.lap`, which do it. It never knows what a lap should find.
"""

from enum import StrEnum
from typing import Annotated

import typer

from app.cli.options import AsJson, Database, examples
from app.lazy import load

ACTION = "app.cli.actions.running"


class LapSource(StrEnum):
    """How the lap's local source of documents answers."""

    HEAVY = "heavy"
    """A heavy tail: about a third of the readers wait longer than the shipped time limit."""
    FAST = "fast"
    """At once: nothing needs changing."""
    STUCK = "stuck"
    """Some answers never come: no time limit can cure it."""


Source = Annotated[
    LapSource,
    typer.Option("--source", help="How the source of documents answers: with a heavy tail, fast, or stuck."),
]
Seconds = Annotated[
    float | None,
    typer.Option(
        "--seconds", min=1, max=86_400, help="Give up after this long (default 115).", show_default=False
    ),
]
Seed = Annotated[int, typer.Option("--seed", min=0, max=2**31 - 1, help="Seed of the load and the source.")]
Host = Annotated[
    str | None, typer.Option("--host", help="Address to listen on (default 127.0.0.1).", show_default=False)
]
Port = Annotated[
    int | None, typer.Option("--port", min=0, max=65_535, help="Port (default 8000).", show_default=False)
]
Fleet = Annotated[bool, typer.Option("--fleet/--no-fleet", help="Start the embedded agents too.")]


def add_to(app: typer.Typer) -> None:
    """Add the three commands to the tree."""
    app.command("up", **examples("nacre up --fleet", "nacre up --database postgresql://nacre@db/nacre"))(up)
    app.command("run", **examples("nacre run", "nacre run --source stuck"))(run)
    app.command("lap", **examples("nacre lap", "nacre lap --source fast --json"))(lap)


def up(fleet: Fleet = False, host: Host = None, port: Port = None, database: Database = None) -> int:
    """Serve the platform until Ctrl-C: API, pages, scheduler and event delivery.

    Brings the database up to date first, making it if there is none.
    """
    return int(load(f"{ACTION}:up")(database, fleet=fleet, host=host, port=port))


def run(
    source: Source = LapSource.HEAVY,
    seconds: Seconds = None,
    seed: Seed = 7,
    port: Port = None,
    database: Database = None,
) -> int:
    """Run one lap of the loop live, then keep serving until Ctrl-C if this is a terminal.

    Exits with 1, saying at which stage and why, if the lap did not close.
    """
    return _lap(source, seconds, seed, port, database, keep_serving=True, as_json=False)


def lap(
    source: Source = LapSource.HEAVY,
    seconds: Seconds = None,
    seed: Seed = 7,
    port: Port = None,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """Run one lap of the loop live: from an anomaly that agents find to a change that evidence promotes.

    A fresh database is made for it unless one is named. Exits with 1 if the lap did not close.
    """
    return _lap(source, seconds, seed, port, database, keep_serving=False, as_json=as_json)


def _lap(
    source: LapSource,
    seconds: float | None,
    seed: int,
    port: int | None,
    database: str | None,
    *,
    keep_serving: bool,
    as_json: bool,
) -> int:
    code = load(f"{ACTION}:lap")(
        database,
        source=source.value,
        limit_seconds=seconds,
        seed=seed,
        port=port,
        keep_serving=keep_serving,
        as_json=as_json,
    )
    return int(code)
