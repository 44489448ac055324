"""`nacre parameter`: what the platform is set by, at any time, for any task, and a person's own acts on it.

Stands at the edge, over production config. Setting, importing and rolling back go into the ledger with their
reason. `parameter check` needs no database.
"""

from enum import StrEnum
from typing import Annotated

import typer

from app.cli.options import (
    LARGEST_ID,
    LIMIT_HIGHEST,
    AsJson,
    Cursor,
    Database,
    Id,
    Limit,
    Reason,
    examples,
    group,
)
from app.lazy import load

ACTIONS = "app.cli.actions.parameters"
FILES = "app.cli.actions.parameter_files"

parameters = group("parameter", "The settings the loop may tune, and what is in force.")
GROUPS = (parameters,)


class Layout(StrEnum):
    """How an export is written."""

    TOML = "toml"
    JSON = "json"


Name = Annotated[str, typer.Argument(metavar="NAME", help="For example research_synthesis.timeout_seconds.")]
Moment = Annotated[
    str | None,
    typer.Option(
        "--at", metavar="TIME", help="An instant (RFC 3339), or a size of the ledger.", show_default=False
    ),
]


@parameters.command("list", **examples("nacre parameter list"))
def list_parameters(
    limit: Limit = LIMIT_HIGHEST, cursor: Cursor = None, database: Database = None, as_json: AsJson = False
) -> int:
    """List every parameter with the value in force and where it comes from."""
    return int(load(f"{ACTIONS}:show_all")(database, limit, cursor, as_json=as_json))


@parameters.command("show", **examples("nacre parameter show research_synthesis.timeout_seconds"))
def show_parameter(name: Name, database: Database = None, as_json: AsJson = False) -> int:
    """Show one parameter with its history."""
    return int(load(f"{ACTIONS}:show_one")(database, name, as_json=as_json))


@parameters.command(
    "history",
    **examples(
        "nacre parameter history market.cooling",
        "nacre parameter history market.cooling --at 2026-11-21T11:42:00Z",
        "nacre parameter history market.cooling --at 120",
    ),
)
def history(name: Name, at: Moment = None, database: Database = None, as_json: AsJson = False) -> int:
    """List every change of a parameter, newest first; with --at only what was in force then."""
    return int(load(f"{ACTIONS}:show_history")(database, name, at, as_json=as_json))


@parameters.command("of-task", **examples("nacre parameter of-task 12"))
def of_task(task_id: Id, database: Database = None, as_json: AsJson = False) -> int:
    """Show the values that a task got at its award, each with its source."""
    return int(load(f"{ACTIONS}:show_task")(database, task_id, as_json=as_json))


@parameters.command(
    "diff",
    **examples(
        "nacre parameter diff --from 1 --to 120", "nacre parameter diff --from 2026-11-20T00:00:00Z --to 120"
    ),
)
def diff(
    before: Annotated[
        str, typer.Option("--from", metavar="TIME", help="An instant, or a size of the ledger.")
    ],
    after: Annotated[str, typer.Option("--to", metavar="TIME", help="The same, later or earlier.")],
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """Compare the whole config of two times: what differs, who changed it and why."""
    return int(load(f"{ACTIONS}:show_diff")(database, before, after, as_json=as_json))


@parameters.command(
    "set", **examples('nacre parameter set market.cooling 8 --reason "too many new agents win"')
)
def set_parameter(
    name: Name,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="Within the parameter's bounds.")],
    reason: Reason,
    expected_version: Annotated[
        int | None,
        typer.Option(
            "--expected-version", min=1, max=LARGEST_ID, help="Only if this version is still in force.",
            show_default=False,
        ),
    ] = None,
    database: Database = None,
    as_json: AsJson = False,
) -> int:  # fmt: skip
    """Put a value into force by hand and read it back. It goes into the ledger."""
    action = load("app.cli.actions.operating:set_parameter")
    return int(
        action(database, name=name, value=value, version=expected_version, reason=reason, as_json=as_json)
    )


@parameters.command(
    "rollback", **examples('nacre parameter rollback monte_carlo.timeout_seconds --reason "costs doubled"')
)
def rollback(name: Name, reason: Reason, database: Database = None, as_json: AsJson = False) -> int:
    """Restore the value before the newest promotion and read it back. It goes into the ledger."""
    action = load("app.cli.actions.operating:rollback_parameter")
    return int(action(database, name=name, reason=reason, as_json=as_json))


@parameters.command(
    "export", **examples("nacre parameter export > config.toml", "nacre parameter export --format json")
)
def export(
    layout: Annotated[Layout, typer.Option("--format", help="TOML or JSON.")] = Layout.TOML,
    no_versions: Annotated[
        bool, typer.Option("--no-versions", help="Leave the versions out: for another deployment.")
    ] = False,
    database: Database = None,
) -> int:
    """Print the values in force with their versions, the config's hash and the ledger's size."""
    return int(load(f"{FILES}:export")(database, str(layout), has_versions=not no_versions))


@parameters.command(
    "import",
    **examples(
        "nacre parameter import config.toml --dry-run --reason trial",
        'nacre parameter import config.toml --reason "as on the test platform"',
    ),
)
def import_file(
    file: Annotated[str, typer.Argument(metavar="FILE", help="An export, TOML or JSON, or part of one.")],
    reason: Reason,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """Set every value of a file that is not in force, or none: each with its own ledger entry."""
    return int(load(f"{FILES}:import_file")(database, file, reason, is_dry=dry_run, as_json=as_json))


@parameters.command("check", **examples("nacre parameter check own.toml"))
def check(
    file: Annotated[str, typer.Argument(metavar="FILE", help="What NACRE_PARAMETERS is to name.")],
    as_json: AsJson = False,
) -> int:
    """Check a file of own parameters without a database: prints them, or what is wrong and where."""
    return int(load(f"{FILES}:check")(file, as_json=as_json))
