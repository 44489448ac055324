"""`nacre ledger export`, `checkpoint` and `key`: what somebody else needs to check the ledger.

Stands over the evolution ledger (L7). It never writes an entry and never shows a secret key.
"""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from app.cli.actions.opening import existing, opened_store, reading, settings_of
from app.cli.actions.screen import say_json, say_line, say_note
from app.keys import CheckpointSigner
from services import evolution_ledger
from services.domain.errors import InvalidValueError


def export(database: str | None, given: tuple[str | None, str | None]) -> int:
    """Write the ledger as NDJSON to a file (whole or not at all) or to standard output."""
    files = [file for file in given if file is not None]
    if len(files) > 1:
        raise InvalidValueError("name the file once, as an argument or with --out", field="out")
    settings = existing(database)
    signer = CheckpointSigner.from_directory(settings.var_directory)
    with opened_store(settings) as store, store.read() as tx:
        head = evolution_ledger.head(tx)
        lines = evolution_ledger.export_lines(tx, signer)
        if not files or files[0] == "-":
            sys.stdout.buffer.writelines(lines)
            sys.stdout.buffer.flush()
            return 0
        _write(Path(files[0]), lines)
    say_note(f"{head['size']} entries with root {head['root']} are in {files[0]}")
    return 0


def _write(path: Path, lines: Iterable[bytes]) -> None:
    partial = path.with_name(f"{path.name}.partial-{os.getpid()}")
    try:
        with partial.open("wb") as file:
            file.writelines(lines)
        partial.replace(path)
    except OSError as error:
        msg = f"the export cannot be written to {path}: {error.strerror}"
        raise InvalidValueError(msg, field="out", code="file_unwritable") from error
    finally:
        partial.unlink(missing_ok=True)


def checkpoint(database: str | None, *, as_json: bool) -> int:
    """Print the signed note, or origin, size, root and note as JSON."""
    signer = CheckpointSigner.from_directory(settings_of(database).var_directory)
    with reading(database) as tx:
        signed = evolution_ledger.checkpoint(tx, signer)
    if as_json:
        return say_json(signed)
    sys.stdout.write(str(signed["note"]))
    return 0


def verifier_key() -> int:
    """Print the public key of this deployment's checkpoints."""
    return say_line(CheckpointSigner.from_directory(settings_of(None).var_directory).verifier_key)
