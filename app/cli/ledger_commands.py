"""Commands about what was decided and what is in force: `ledger`, `parameter`.

Stands beside the other declarations; the acts are in `app.cli.acts.ledger`, `.audit` and `.parameters`.
"""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.dispatch import perform
from app.cli.options import (
    LARGEST_ID,
    LIMIT_DEFAULT,
    LIMIT_HIGHEST,
    AsJson,
    Cursor,
    Database,
    Limit,
    Oldest,
    Reason,
    examples,
)

ledger = typer.Typer(help="What was decided, provably.", no_args_is_help=True)
parameters = typer.Typer(help="The values in force, and the way back.", no_args_is_help=True)
GROUPS = {"ledger": ledger, "parameter": parameters}

Name = Annotated[str, typer.Argument(metavar="NAME", help="See `nacre parameter list`.")]


@ledger.command("list", epilog=examples("nacre ledger list", "nacre ledger list --lap 1 --oldest --json"))
def list_entries(
    type: Annotated[  # noqa: A002
        str | None, typer.Option("--type", metavar="TYPE", help="Only this type, like PROMOTED.")
    ] = None,
    lap: Annotated[
        int | None, typer.Option("--lap", metavar="ID", min=1, max=LARGEST_ID, help="Only of this lap.")
    ] = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
    oldest: Oldest = False,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """List ledger entries, newest first."""
    perform(
        "ledger:list_entries",
        entry_type=type,
        lap=lap,
        limit=limit,
        cursor=cursor,
        oldest=oldest,
        database=database,
        as_json=as_json,
    )


@ledger.command("show", epilog=examples("nacre ledger show 0", "nacre ledger show 14 --json"))
def show_entry(
    index: Annotated[int, typer.Argument(metavar="INDEX", min=0, max=LARGEST_ID)],
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Show a ledger entry with the payload that its leaf spells."""
    perform("ledger:show_entry", index=index, database=database, as_json=as_json)


@ledger.command("export", epilog=examples("nacre ledger export --out ledger.ndjson", "nacre ledger export"))
def export(
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Where to write (else standard output).")
    ] = None,
    database: Database = None,
) -> None:
    """Export the whole ledger for an offline audit: checkpoint, every leaf in its exact bytes, every blob."""
    perform("ledger:export", out=out, database=database)


@ledger.command(
    "verify",
    epilog=examples(
        "nacre ledger verify ledger.ndjson",
        "nacre ledger verify ledger.ndjson --checkpoint kept.note --key nacre+ab12cd34+AQ…",
    ),
)
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An export; - is standard input.")],
    checkpoint: Annotated[
        Path | None,
        typer.Option("--checkpoint", metavar="FILE", help="An older checkpoint note that must be a prefix."),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option("--key", metavar="VERIFIER_KEY", help="Who must have signed it (`nacre ledger key`)."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Audit an export from its bytes alone: hashes, votes, arms, evidence, config. Needs no database."""
    perform("audit:verify", file=file, checkpoint=checkpoint, key=key, as_json=as_json)


@ledger.command(
    "checkpoint", epilog=examples("nacre ledger checkpoint > kept.note", "nacre ledger checkpoint --json")
)
def checkpoint(database: Database = None, as_json: AsJson = False) -> None:
    """Print the signed checkpoint: keep it, and a rewritten or shortened ledger will show."""
    perform("ledger:checkpoint", database=database, as_json=as_json)


@ledger.command("key", epilog=examples("nacre ledger key", "nacre ledger key --json"))
def key(as_json: AsJson = False) -> None:
    """Print the public key that signs the checkpoints, in C2SP's form."""
    perform("ledger:key", as_json=as_json)


@parameters.command("list", epilog=examples("nacre parameter list", "nacre parameter list --json"))
def list_parameters(
    limit: Limit = LIMIT_HIGHEST, cursor: Cursor = None, database: Database = None, as_json: AsJson = False
) -> None:
    """List every parameter by name, with the value in force and its source."""
    perform("parameters:list_all", limit=limit, cursor=cursor, database=database, as_json=as_json)


@parameters.command("show", epilog=examples("nacre parameter show research_synthesis.timeout_seconds"))
def show_parameter(name: Name, database: Database = None, as_json: AsJson = False) -> None:
    """Show one parameter with its bounds and its history."""
    perform("parameters:show", name=name, database=database, as_json=as_json)


@parameters.command(
    "rollback",
    epilog=examples("nacre parameter rollback research_synthesis.timeout_seconds --reason 'costs too much'"),
)
def rollback(name: Name, reason: Reason, database: Database = None, as_json: AsJson = False) -> None:
    """Take the newest promotion back: restore the value before it, record that, and read it back."""
    perform("parameters:rollback", name=name, reason=reason, database=database, as_json=as_json)
