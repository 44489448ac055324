"""The acts of `nacre ledger` that read the database: list, show, export, checkpoint, key.

Stand over the evolution ledger (L7). They never write an entry.
"""

import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from app.cli.acts.listing import list_page, show_one
from app.cli.acts.opening import chosen_settings, existing_platform
from app.cli.acts.printing import instant, key as column, print_json, say
from app.keys import CHECKPOINT_KEY_FILE, CheckpointSigner
from services import evolution_ledger
from services.domain.errors import InvalidValueError, NotFoundError
from services.domain.ledger_schema import EntryType
from services.store import views

ENTRIES = (
    column("index"),
    column("type"),
    column("actor"),
    column("lap"),
    instant("at"),
    column("leaf_hash", "leaf hash"),
)


def list_entries(
    *,
    entry_type: str | None,
    lap: int | None,
    limit: int,
    cursor: str | None,
    oldest: bool,
    database: str | None,
    as_json: bool,
) -> None:
    """Print a page of entries."""
    chosen = None if entry_type is None else entry_type.upper()
    if chosen is not None and chosen not in set(EntryType):
        known = ", ".join(EntryType)
        raise InvalidValueError(f"there is no entry type {entry_type!r}; there are {known}", field="type")
    list_page(
        views.list_entries,
        ENTRIES,
        "entries",
        filters={"type": chosen, "lap": lap},
        limit=limit,
        cursor=cursor,
        oldest=oldest,
        database=database,
        as_json=as_json,
    )


def show_entry(*, index: int, database: str | None, as_json: bool) -> None:
    """Print one entry."""
    show_one(
        lambda _, tx: views.get_entry(tx, index), f"ledger entry {index}", database=database, as_json=as_json
    )


def export(*, out: Path | None, database: str | None) -> None:
    """Write the whole ledger; a file appears whole or not at all."""
    with existing_platform(database) as platform, platform.store.read() as tx:
        size = evolution_ledger.head(tx)["size"]
        lines = evolution_ledger.export_lines(tx, platform.signer)
        if out is None:
            sys.stdout.buffer.writelines(lines)
            sys.stdout.buffer.flush()
            return
        write_whole(out, lines)
    say(f"{size} entries are in {out}. Check them: nacre ledger verify {out}")


def write_whole(path: Path, lines: Iterable[bytes]) -> None:
    """Write the lines beside `path`, then put the file in its place."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(lines)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)


def checkpoint(*, database: str | None, as_json: bool) -> None:
    """Print the signed checkpoint, as the note itself or as JSON."""
    with existing_platform(database) as platform, platform.store.read() as tx:
        found = evolution_ledger.checkpoint(tx, platform.signer)
    if as_json:
        print_json(found)
    else:
        sys.stdout.write(str(found["note"]))


def key(*, as_json: bool) -> None:
    """Print the public key of this deployment's checkpoints."""
    folder = chosen_settings(None).var_directory
    if not (folder / CHECKPOINT_KEY_FILE).exists():
        detail = (
            f"there is no key in {folder} yet; the platform makes one when it first starts (or set NACRE_VAR)"
        )
        raise NotFoundError(detail)
    verifier_key = CheckpointSigner.from_directory(folder).verifier_key
    if as_json:
        print_json({"verifier_key": verifier_key})
    else:
        say(verifier_key)
