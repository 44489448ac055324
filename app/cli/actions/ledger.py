"""`nacre ledger`: exports, checkpoints, past configs, and the operator's corrections and erasures.

Stands over the evolution ledger (L7). It never goes around a service and never shows a secret key.
"""

import os
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from app.cli.actions.auditing import lines_of
from app.cli.actions.opening import existing, opened_store, reading, settings_of
from app.cli.actions.operating import OPERATOR, opened_platform
from app.cli.actions.screen import say_item, say_json, say_line, say_note, say_page
from app.fresh_files import open_beside
from app.keys import CheckpointSigner
from app.periods import instant_of
from services import evolution_ledger
from services.domain.errors import InvalidValueError
from services.store.views import ledger as views


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
    partial: Path | None = None
    try:
        opened_file, partial = open_beside(path)
        with os.fdopen(opened_file, "wb") as file:
            file.writelines(lines)
        partial.replace(path)
    except OSError as error:
        msg = f"the export cannot be written to {path}: {error.strerror}"
        raise InvalidValueError(msg, field="out", code="file_unwritable") from error
    finally:
        if partial is not None:
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


def list_checkpoints(database: str | None, asked: dict[str, Any], *, as_json: bool) -> int:
    """Print a page of the checkpoints that were signed."""
    with reading(database) as tx:
        page = views.list_checkpoints(tx, **asked)
    return say_page(page, ("size", "root", "signed_at"), as_json=as_json)


def config(database: str | None, size: int | None, at: str | None, *, as_json: bool) -> int:
    """Print the config after so many entries, or at an instant, folded from the entries."""
    at_us = instant_of(at, "at")
    with reading(database) as tx:
        found = evolution_ledger.config_at(tx, size, at_us)
    return _say_config(found, as_json=as_json)


def config_of_file(file: str, size: int | None, at: str | None, *, as_json: bool) -> int:
    """Print the same from an export alone, once all of it is verified."""
    found = evolution_ledger.config_of_export(lines_of(file), size, instant_of(at, "at"))
    return _say_config(found, as_json=as_json)


def _say_config(found: dict[str, Any], *, as_json: bool) -> int:
    if as_json:
        return say_json(found)
    facts = {name: found[name] for name in ("size", "at", "config_sha256")}
    values = [{"parameter": name, "value": value} for name, value in found["config"].items()]
    say_item(facts, {}, as_json=False)
    return say_page({"items": values, "next_cursor": None}, ("parameter", "value"), as_json=False)


def correct(database: str | None, index: int, *, reason: str, as_json: bool) -> int:
    """Write a correction of an entry and print where it stands."""
    with opened_platform(database) as platform, platform.store.write(actor=OPERATOR) as tx:
        written = evolution_ledger.correct(tx, index, reason)
    return say_item({"ledger_index": written}, {}, as_json=as_json)


def erase(database: str | None, sha256: str, *, reason: str, as_json: bool) -> int:
    """Erase a text and print what went, each with its entry."""
    with opened_platform(database) as platform, platform.store.write(actor=OPERATOR) as tx:
        done = evolution_ledger.erase_blob(tx, sha256, reason)
    return say_item({"erased": [asdict(one) for one in done]}, {}, as_json=as_json)
