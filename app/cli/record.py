"""`nacre ledger`: what was decided, and the proof of it.

Stands at the edge, over layer 7. `ledger verify` needs neither a database nor our word.
"""

from typing import Annotated

import typer

from app.cli.options import (
    LARGEST_ID,
    LIMIT_DEFAULT,
    AsJson,
    Cursor,
    Database,
    Limit,
    Oldest,
    Reason,
    examples,
    group,
)
from app.lazy import load
from services.domain.ledger_schema import EntryType

READING = "app.cli.actions.reading"
LEDGER = "app.cli.actions.ledger"

ledger = group("ledger", "The evolution ledger: read it, export it, check it without trusting us.")
GROUPS = (ledger,)


@ledger.command(
    "list",
    **examples(
        "nacre ledger list --oldest",
        "nacre ledger list --type PROMOTED",
        "nacre ledger list --subject proposal:3",
    ),
)
def list_entries(
    entry_type: Annotated[EntryType | None, typer.Option("--type", help="Of this type only.")] = None,
    lap: Annotated[int | None, typer.Option("--lap", min=1, max=LARGEST_ID, help="Of this lap only.")] = None,
    subject: Annotated[
        str | None,
        typer.Option(
            "--subject",
            metavar="KIND:NAME",
            help="About this only: proposal:3, experiment:7, parameter:NAME, agent:2, entry:5.",
        ),
    ] = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
    oldest: Oldest = False,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """List ledger entries."""
    asked: dict[str, object] = {"type": entry_type, "lap": lap, "subject": subject}
    asked |= {"limit": limit, "cursor": cursor, "oldest_first": oldest}
    return int(load(f"{READING}:show_page")("ledger entry", database, asked, as_json=as_json))


@ledger.command("show", **examples("nacre ledger show 0"))
def show_entry(
    index: Annotated[int, typer.Argument(metavar="INDEX", min=0, max=LARGEST_ID)],
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """Show one entry with the payload that its leaf spells."""
    return int(load(f"{READING}:show_item")("ledger entry", database, index, as_json=as_json))


@ledger.command("export", **examples("nacre ledger export --out ledger.ndjson", "nacre ledger export | gzip"))
def export(
    file: Annotated[
        str | None, typer.Argument(metavar="FILE", help="Where to; default: standard output.")
    ] = None,
    out: Annotated[str | None, typer.Option("--out", metavar="FILE", help="The same as an option.")] = None,
    database: Database = None,
) -> int:
    """Export the whole ledger as NDJSON for `nacre ledger verify`: checkpoint, leaves, blobs."""
    return int(load(f"{LEDGER}:export")(database, (file, out)))


@ledger.command(
    "verify",
    **examples(
        "nacre ledger verify ledger.ndjson",
        "nacre ledger verify ledger.ndjson --checkpoint last-week.note --key nacre+1f2e3d4c+AQ…",
    ),
)
def verify(
    file: Annotated[str, typer.Argument(metavar="FILE", help="An export, or - for standard input.")],
    checkpoint: Annotated[
        str | None,
        typer.Option(
            "--checkpoint",
            metavar="NOTE_FILE",
            help="A checkpoint you kept, or a folder of NAME.note files: the ledger must still begin with "
            "what each of them covers.",
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            "--key", metavar="VERIFIER_KEY", help="Check signatures with this key (`nacre ledger key`)."
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Check an export offline: bytes, hashes, roots, causes, votes, evidence and config. Needs no database.

    Prints OK with size and root, or the first entry that is wrong and why, and then exits with 1.
    """
    return int(load("app.cli.actions.auditing:verify")(file, checkpoint, key, as_json=as_json))


@ledger.command("checkpoint", **examples("nacre ledger checkpoint > today.note"))
def checkpoint(database: Database = None, as_json: AsJson = False) -> int:
    """Print the signed checkpoint (C2SP note). Keep it: it shows later whether anything was rewritten."""
    return int(load(f"{LEDGER}:checkpoint")(database, as_json=as_json))


@ledger.command("checkpoints", **examples("nacre ledger checkpoints --limit 5"))
def checkpoints(
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
    oldest: Oldest = False,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """List the checkpoints that were signed as the ledger grew."""
    asked = {"limit": limit, "cursor": cursor, "oldest_first": oldest}
    return int(load(f"{LEDGER}:list_checkpoints")(database, asked, as_json=as_json))


@ledger.command(
    "config",
    **examples(
        "nacre ledger config --size 120",
        "nacre ledger config --at 2026-01-31T12:00:00Z",
        "nacre ledger config --file ledger.ndjson --size 120",
    ),
)
def config(
    size: Annotated[
        int | None, typer.Option("--size", min=1, max=LARGEST_ID, help="After so many entries.")
    ] = None,
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="At a UTC day or an RFC 3339 instant.")
    ] = None,
    file: Annotated[
        str | None,
        typer.Option("--file", metavar="EXPORT", help="From an export alone, verified first; no database."),
    ] = None,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """Rebuild a past config from the entries alone; of the whole ledger by default."""
    if file is not None:
        return int(load(f"{LEDGER}:config_of_file")(file, size, at, as_json=as_json))
    return int(load(f"{LEDGER}:config")(database, size, at, as_json=as_json))


@ledger.command("correct", **examples('nacre ledger correct 14 --reason "the cause was the new source"'))
def correct(
    index: Annotated[int, typer.Argument(metavar="INDEX", min=0, max=LARGEST_ID)],
    reason: Reason,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """Write a remark on an earlier entry, which stays as it is."""
    return int(load(f"{LEDGER}:correct")(database, index, reason=reason, as_json=as_json))


@ledger.command("erase", **examples('nacre ledger erase 3b1f… --reason "it named a person"'))
def erase(
    sha256: Annotated[str, typer.Argument(metavar="SHA256", help="The hash that an entry names.")],
    reason: Reason,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """Erase a root cause or a reason wherever it is kept; its hash stays, and an entry says so."""
    return int(load(f"{LEDGER}:erase")(database, sha256, reason=reason, as_json=as_json))


@ledger.command("key", **examples("nacre ledger key"))
def verifier_key() -> int:
    """Print the public key that checks the checkpoints' signatures."""
    return int(load(f"{LEDGER}:verifier_key")())
