"""The files of an SQLite database: whether somebody has it open, and moving it out of the way.

Stands in the store, under `app.backup`. It never deletes a database and never looks into one.
"""

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from services.domain.errors import ConflictError

BESIDE: Final[Sequence[str]] = ("", "-wal", "-shm", "-journal")
"""What SQLite appends to a database's name for the files that belong to it."""
ASKED_SECONDS: Final = 2.0


def settle(path: Path) -> None:
    """Bring what stands beside a database into its one file, as nobody can while another has it open.

    Raises ConflictError (`database_in_use`) when somebody has; what is no database is left as it is.
    """
    if not path.exists():
        return
    try:
        with closing(sqlite3.connect(path, timeout=ASKED_SECONDS, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode=DELETE").fetchone()
    except sqlite3.DatabaseError as error:
        if "locked" not in str(error):
            return
        msg = f"{path} is open in another process; stop the platform first, nothing was touched"
        raise ConflictError(msg, field="database", code="database_in_use") from error


def put_away(path: Path, suffix: str) -> Path | None:
    """Rename a database and what stands beside it, however broken; return its new name, None for nothing."""
    found = [end for end in BESIDE if path.with_name(path.name + end).exists()]
    aside = path.with_name(f"{path.name}.{suffix}")
    number = 1
    while any(aside.with_name(aside.name + end).exists() for end in BESIDE):
        number += 1
        aside = path.with_name(f"{path.name}.{suffix}-{number}")
    for end in found:
        path.with_name(path.name + end).rename(aside.with_name(aside.name + end))
    return aside if found else None


def remove(path: Path) -> None:
    """Delete a draft of a database and what stands beside it."""
    for end in BESIDE:
        path.with_name(path.name + end).unlink(missing_ok=True)


def bring(draft: Path, path: Path) -> None:
    """Give a whole, settled draft its name, for good: both are on the disk when this returns."""
    _flush(draft, os.O_RDWR)
    draft.rename(path)
    _flush(path.parent, os.O_RDONLY)


def _flush(place: Path, flags: int) -> None:
    handle = os.open(place, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
