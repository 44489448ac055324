"""`nacre backup`, `nacre backup verify`, `nacre restore`: everything a database holds in one file, and back.

Stands at the edge, over `app.backup`. It decides nothing.
"""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from app.cli.options import AsJson, Database, examples
from app.lazy import load

ACTION = "app.cli.actions.backup"
MAKE = "make"
HELP = frozenset({"-h", "--help"})


class _MakesByDefault(TyperGroup):
    """A group whose first word may be left out: `nacre backup FILE` is `nacre backup make FILE`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the word in front, unless one is there or help is asked for."""
        is_named = bool(args) and (args[0] in self.commands or args[0] in HELP)
        return super().parse_args(ctx, args if is_named else [MAKE, *args])


File = Annotated[str, typer.Argument(metavar="FILE", help="A file that `nacre backup` made.")]
Checkpoint = Annotated[
    str | None,
    typer.Option(
        "--checkpoint",
        metavar="NOTE_OR_FOLDER",
        help="A checkpoint you kept, or a folder of them: the ledger in FILE must reach it.",
        show_default=False,
    ),
]

backups = typer.Typer(
    name="backup",
    help="Everything the database holds in one file, made while the platform runs.",
    rich_markup_mode=None,
    cls=_MakesByDefault,
)
GROUPS = (backups,)


def add_to(app: typer.Typer) -> None:
    """Add `restore` to the tree."""
    app.command(
        "restore",
        **examples(
            "nacre restore nacre.backup --database sqlite:///var/restored.db",
            "nacre restore nacre.backup --database postgresql://nacre@db/nacre --checkpoint notes/",
        ),
    )(restore)


@backups.command(
    MAKE,
    **examples(
        "nacre backup /mnt/nacre.backup",
        "NACRE_BACKUP_FOLDER=/mnt/backups nacre backup --keep 14",
    ),
)
def make(
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE",
            help="Where to; default: a dated name in NACRE_BACKUP_FOLDER.",
            show_default=False,
        ),
    ] = None,
    keep: Annotated[
        int | None,
        typer.Option(
            "--keep",
            min=1,
            max=100_000,
            help="With a dated name: delete all but this many newest ones afterwards.",
            show_default=False,
        ),
    ] = None,
    with_keys: Annotated[
        bool, typer.Option("--with-keys", help="Put the deployment's secret keys into the file too.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite FILE.")] = False,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """Write everything the database holds now into one file (`make` may be left out).

    The platform may go on meanwhile. The file appears whole or not at all.
    """
    return int(
        load(f"{ACTION}:make")(database, file, keep=keep, with_keys=with_keys, force=force, as_json=as_json)
    )


@backups.command("verify", **examples("nacre backup verify nacre.backup"))
def verify(file: File, checkpoint: Checkpoint = None, as_json: AsJson = False) -> int:
    """Check every byte of a backup, and that its ledger adds up. Needs no database."""
    return int(load(f"{ACTION}:verify")(file, checkpoint, as_json=as_json))


def restore(
    file: File,
    checkpoint: Checkpoint = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="SQLite: move a database that holds data aside under a dated name. PostgreSQL refuses.",
        ),
    ] = False,
    unproven: Annotated[
        bool, typer.Option("--unproven", help="Keep what was restored although a proof fails.")
    ] = False,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """Restore a backup into an empty database of either engine, all of it or nothing, and prove it.

    Stop the platform first. What was proved is printed: the rows, the ledger, the config, the money.
    """
    return int(
        load(f"{ACTION}:restore")(database, file, checkpoint, force=force, unproven=unproven, as_json=as_json)
    )
