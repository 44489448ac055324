"""What `nacre backup` and `nacre restore` do and say: what is in the file, what is not, what was proved.

Stands over `app.backup`. It never shows a key.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from app.backup import archive, content, making, restoring
from app.backup.making import Made
from app.backup.restoring import Restored, Terms
from app.cli.actions.opening import existing, opened_store, settings_of, sqlite_file
from app.cli.actions.screen import say_item, say_json, say_line, say_note
from app.settings import Settings
from services.domain.clock import WallClock, to_datetime
from services.domain.errors import InvalidValueError

PREFIX: Final = "nacre-"
SUFFIX: Final = ".backup"
DATED: Final = f"{PREFIX}????????T??????Z{SUFFIX}"
KEEPS_KEYS: Final = "ATTENTION: the secret keys are in the file. Whoever has it can act and sign for you."
NO_KEYS: Final = (
    "not in it: operator.key, checkpoint.key, webhook.key. Keep them too: without checkpoint.key a restored "
    "ledger is signed with another key"
)


def make(
    database: str | None, file: str | None, *, keep: int | None, with_keys: bool, force: bool, as_json: bool
) -> int:
    """Make a backup; say what is in it."""
    settings = existing(database)
    path = _place(settings, file, keep)
    with opened_store(settings) as store:
        made = making.make(store, path, settings.var_directory, is_with_keys=with_keys, is_replacing=force)
    removed = [] if keep is None else _thin(path.parent, keep)
    return _say_made(made, removed, as_json=as_json)


def _place(settings: Settings, file: str | None, keep: int | None) -> Path:
    if file is not None:
        if keep is not None:
            msg = "--keep is for dated names in NACRE_BACKUP_FOLDER; leave FILE or --keep out"
            raise InvalidValueError(msg, field="keep")
        return Path(file)
    if settings.backup_folder is None:
        msg = "name FILE, or set NACRE_BACKUP_FOLDER for a dated name in that folder"
        raise InvalidValueError(msg, field="file")
    if not settings.backup_folder.is_dir():
        msg = f"NACRE_BACKUP_FOLDER {settings.backup_folder} is no folder"
        raise InvalidValueError(msg, field="NACRE_BACKUP_FOLDER")
    return settings.backup_folder / f"{PREFIX}{to_datetime(WallClock().now_us()):%Y%m%dT%H%M%SZ}{SUFFIX}"


def _thin(folder: Path, keep: int) -> list[str]:
    """Delete the oldest dated backups, and parts of those whose process has died; return their names."""
    old = sorted(folder.glob(DATED))[:-keep]
    parts = [part for part in folder.glob(f".{DATED}.partial-*") if not _runs(part.name.rpartition("-")[2])]
    for path in (*old, *parts):
        path.unlink(missing_ok=True)
    return [path.name for path in (*old, *parts)]


def _runs(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


def _say_made(made: Made, removed: list[str], *, as_json: bool) -> int:
    manifest = made.manifest
    ledger = manifest.ledger
    facts: dict[str, Any] = {
        "file": str(made.path),
        "bytes": made.bytes,
        "taken_at": manifest.taken_at,
        "revision": manifest.revision,
        "rows": manifest.rows,
        "tables": len(manifest.tables),
        "ledger_size": None if ledger is None else ledger.size,
        "ledger_root": None if ledger is None else ledger.root,
        "is_signed": ledger is not None and ledger.note is not None,
        "keys": [key.name for key in manifest.keys],
        "ledger_fault": made.ledger_fault,
        "removed": removed,
    }
    say_item(facts, {}, as_json=as_json)
    say_note(
        "in it: every row of every table, private parts of tasks and salts of running experiments included"
    )
    say_note(KEEPS_KEYS if manifest.keys else NO_KEYS)
    if made.ledger_fault is not None:
        say_note(f"WARNING: the ledger that was backed up does not verify: {made.ledger_fault}")
    return 0


def verify(file: str, checkpoint: str | None, *, as_json: bool) -> int:
    """Check a backup; return 0, or 1 when the ledger in it does not add up."""
    notes = () if checkpoint is None else content.kept_notes(Path(checkpoint))
    with archive.opened(Path(file)) as source:
        fault = content.check(source, notes)
        manifest, size = source.manifest, source.size
    if as_json:
        facts: Mapping[str, Any] = {
            "ok": fault is None,
            "reason": fault,
            "bytes": size,
            "revision": manifest.revision,
            "taken_at": manifest.taken_at,
            "rows": manifest.rows,
            "ledger_size": manifest.ledger and manifest.ledger.size,
            "ledger_root": manifest.ledger and manifest.ledger.root,
            "checkpoints": len(notes),
            "keys": [key.name for key in manifest.keys],
        }
        say_json(facts)
    elif fault is not None:
        say_note(f"NOT OK: the file is sound, but the ledger that was backed up does not verify: {fault}")
    else:
        entries = "no ledger" if manifest.ledger is None else f"{manifest.ledger.size} entries"
        kept = f", {len(notes)} kept checkpoints reached" if notes else ""
        said = (
            f"{manifest.rows:,} rows of {len(manifest.tables)} tables, {entries}, taken {manifest.taken_at}"
        )
        say_line(f"OK: {said}, revision {manifest.revision}{kept}")
    return int(fault is not None)


def restore(
    database: str | None, file: str, checkpoint: str | None, *, force: bool, unproven: bool, as_json: bool
) -> int:
    """Restore a backup; say what was proved. Return 1 when something that failed its proof was kept."""
    settings = settings_of(database)
    target = sqlite_file(settings.database_url)
    notes = () if checkpoint is None else content.kept_notes(Path(checkpoint))
    if target is None:
        with opened_store(settings):
            pass
    terms = Terms(is_replacing=force, is_unproven_kept=unproven, notes=notes)
    done = restoring.restore(Path(file), settings.database_url, target, terms)
    keys = restoring.bring_keys(Path(file), settings.var_directory)
    return _say_restored(done, settings, keys, as_json=as_json)


def _say_restored(done: Restored, settings: Settings, keys: Mapping[str, str], *, as_json: bool) -> int:
    is_ok = all(proof.ok for proof in done.proofs)
    if as_json:
        say_json(
            {
                "ok": is_ok,
                "database": settings.shown_database_url,
                "taken_at": done.manifest.taken_at,
                "revision": done.revision,
                "proofs": [{"name": one.name, "ok": one.ok, "says": one.says} for one in done.proofs],
                "put_away": None if done.put_away is None else str(done.put_away),
                "keys": keys,
            }
        )
        return int(not is_ok)
    for proof in done.proofs:
        say_line(f"{'holds' if proof.ok else 'FAILS'}\t{proof.name}\t{proof.says}")
    if done.put_away is not None:
        say_note(f"what was there before is at {done.put_away}")
    for name, said in keys.items():
        say_note(f"{name}: {said}")
    if "checkpoint.key" not in keys:
        say_note(f"keys are not in the backup: put yours into {settings.var_directory}, or others are made")
    say_line(f"restored into {settings.shown_database_url} as it was at {done.manifest.taken_at}")
    return int(not is_ok)
