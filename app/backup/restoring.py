"""Restore a backup: into an empty database of either engine, all of it or nothing, once it is proved.

Stands over the archive and the store. On SQLite the whole is built beside the target and gets its name at the
end; on PostgreSQL schema, rows and proofs are one transaction. Whatever ends it before leaves the target
as it was. It never merges into data that is there, and never deletes any.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.backup import archive, content, proving
from app.backup.archive import Archive
from app.backup.content import Note
from app.backup.manifest import Manifest, TableFacts
from app.backup.proving import Proof
from services.domain.clock import WallClock, to_datetime
from services.domain.errors import ConflictError
from services.store import copying, files, migrate
from services.store.tx import Store, Tx

ACTOR = "operator"


@dataclass(frozen=True, slots=True)
class Terms:
    """What the operator asks for beside file and target.

    `is_replacing`: move an SQLite database that holds data aside. `is_unproven_kept`: keep what does not
    prove itself. `notes`: checkpoints that the ledger must reach.
    """

    is_replacing: bool = False
    is_unproven_kept: bool = False
    notes: Sequence[Note] = ()


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did: what it was made from, what was proved, and where what was there before is now."""

    manifest: Manifest
    revision: str
    proofs: Sequence[Proof]
    put_away: Path | None


def restore(path: Path, url: str, target: Path | None, terms: Terms) -> Restored:
    """Restore a backup into the database at `url`; `target` is its file, None for PostgreSQL.

    Raises InvalidValueError (`backup_damaged`, `file_unreadable`), ConflictError (`revision_unknown`,
    `ledger_cut`, `ledger_forked`, `target_not_empty`, `database_in_use`, `row_refused`, `not_proved`); the
    target is then as it was.
    """
    with archive.opened(path) as source:
        content.check(source, terms.notes)
        revision = source.manifest.revision
        if revision not in migrate.known_revisions():
            newest = migrate.newest_revision()
            msg = f"the backup is of revision {revision}, this Nacre knows up to {newest}; use a newer one"
            raise ConflictError(msg, field="file", code="revision_unknown", revision=revision)
        if target is None:
            return _into_postgresql(source, url, terms)
        return _into_sqlite(source, target, terms)


def _into_postgresql(source: Archive, url: str, terms: Terms) -> Restored:
    with migrate.starting_alone(url), _store(url) as store, store.write(actor=ACTOR) as tx:
        _require_empty(
            tx, "make a new one with createdb and restore into that; data are never overwritten there"
        )
        if migrate.revision_of(tx.connection) is not None:
            migrate.move_within(tx.connection, "base")
        migrate.move_within(tx.connection, source.manifest.revision)
        proofs = _load(tx, source)
        migrate.move_within(tx.connection, migrate.newest_revision())
        proofs += proving.prove(tx, source.manifest)
        _require_proved(proofs, terms)
    return Restored(source.manifest, migrate.newest_revision(), proofs, None)


def _into_sqlite(source: Archive, target: Path, terms: Terms) -> Restored:
    if target.exists() and not terms.is_replacing:
        with _store(f"sqlite:///{target}") as store, store.read() as tx:
            _require_empty(tx, "--force moves it aside under a dated name")
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.restoring-{os.getpid()}")
    url = f"sqlite:///{draft}"
    try:
        migrate.upgrade(url, source.manifest.revision)
        with _store(url) as store, store.write(actor=ACTOR) as tx:
            proofs = _load(tx, source)
        migrate.upgrade(url)
        with _store(url) as store, store.write(actor=ACTOR) as tx:
            proofs += proving.prove(tx, source.manifest)
        _require_proved(proofs, terms)
        files.settle(draft)
        files.settle(target)
        now = f"{to_datetime(WallClock().now_us()):%Y%m%dT%H%M%SZ}"
        put_away = files.put_away(target, now)
        files.bring(draft, target)
    finally:
        files.remove(draft)
    return Restored(source.manifest, migrate.newest_revision(), proofs, put_away)


@contextmanager
def _store(url: str) -> Iterator[Store]:
    store = Store(url, WallClock())
    try:
        yield store
    finally:
        store.close()


def _require_empty(tx: Tx, advice: str) -> None:
    found = copying.filled(tx)
    if found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        msg = f"the database holds data already (table {found[0]}{more}); nothing was touched. {advice}"
        raise ConflictError(msg, field="database", code="target_not_empty")


def _require_proved(proofs: Sequence[Proof], terms: Terms) -> None:
    failed = [proof for proof in proofs if not proof.ok]
    if failed and not terms.is_unproven_kept:
        told = "; ".join(f"{proof.name}: {proof.says}" for proof in failed)
        msg = (
            f"what the backup holds does not prove itself ({told}); nothing was restored. --unproven keeps it"
        )
        raise ConflictError(msg, field="file", code="not_proved")


def _load(tx: Tx, source: Archive) -> list[Proof]:
    """Put every row into the tables of the backup's revision and read them back."""
    shapes = {shape.name: shape for shape in copying.shapes(tx)}
    tables = {table.name: table for table in source.manifest.tables}
    for name in sorted(shapes.keys() ^ tables.keys()):
        raise _misfit(source, f"the table {name} is only in one of both")
    for shape in shapes.values():
        table: TableFacts = tables[shape.name]
        if not table.is_of(shape):
            raise _misfit(source, f"the table {shape.name} has other columns")
    copying.clear(tx)
    for table in source.manifest.tables:
        copying.load(tx, shapes[table.name], [name for name, _ in table.columns], source.rows(table))
    copying.set_last_ids(tx, {table.name: table.last_id for table in tables.values() if table.last_id})
    return [proving.prove_rows(tx, source.manifest)]


def _misfit(source: Archive, why: str) -> Exception:
    revision = source.manifest.revision
    return archive.damaged(source.path, f"it does not fit the schema of its revision {revision}: {why}")


def bring_keys(path: Path, var_directory: Path) -> dict[str, str]:
    """Write the keys of a backup where there are none; return what became of each. None is overwritten."""
    told = {}
    with archive.opened(path) as source:
        for key in source.manifest.keys:
            place = var_directory / key.name
            if place.exists():
                is_same = place.read_bytes() == source.key(key.name)
                told[key.name] = (
                    "is there already" if is_same else f"ANOTHER is in {var_directory} and was kept"
                )
                continue
            var_directory.mkdir(parents=True, exist_ok=True)
            handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(source.key(key.name))
            told[key.name] = f"written into {var_directory}"
    return told
