"""`nacre health`: how the platform, its jobs, its agents and its task types are.

Stands at the edge, over the same tree that the API shows. Its exit code is for monitoring. It mends nothing.
"""

from typing import Annotated

import typer

from app.cli.options import AsJson, Database, examples
from app.lazy import load
from services.domain.checks import Layer

HEALTH = "app.cli.actions.health"


def add_to(app: typer.Typer) -> None:
    """Add the command to the tree."""
    app.command("health", **examples("nacre health", "nacre health --layer correct --json"))(show_health)


def show_health(
    layer: Annotated[Layer | None, typer.Option("--layer", help="This layer only.")] = None,
    component: Annotated[
        str | None,
        typer.Option(
            "--component",
            metavar="NAME",
            help="This component only, like ledger, job/lease_expiry, agent/7.",
            show_default=False,
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="List what passes too.")] = False,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """Show the health score and every check that does not pass. Exit code: 0 pass, 1 warn, 3 fail.

    2 is wrong input, as everywhere: an option or a component that does not exist.
    """
    return int(
        load(f"{HEALTH}:show_health")(
            database, layer=layer, component=component, is_every=every, as_json=as_json
        )
    )
