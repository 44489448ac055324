"""Make a backup: one consistent snapshot of a database that may be at work, as one sealed file.

Stands over the store's reading of whole tables. Writers go on meanwhile; what they commit after the first
look is not in it. It never writes to the database, and no key goes into the file unless that is asked for.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.backup import archive, content
from app.backup.archive import Draft
from app.backup.content import LedgerFold
from app.backup.manifest import FORMAT, KEY_FILES, KeyFacts, LedgerFacts, Manifest, TableFacts
from app.keys import CHECKPOINT_KEY_FILE, CheckpointSigner
from services import evolution_ledger
from services.domain.clock import to_rfc3339
from services.domain.errors import ConflictError, InvalidValueError, NotFoundError
from services.store import copying, migrate, tables
from services.store.copying import Shape
from services.store.tx import Store, Tx


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that was made: what it says of itself, its size, and what is wrong with the ledger in it."""

    path: Path
    manifest: Manifest
    bytes: int
    ledger_fault: str | None


class UnsignedNote:
    """Stands in for a signer where there is no key: the note has no signature."""

    def sign_note(self, body: bytes) -> str:
        """Return the body alone."""
        return body.decode()


def make(
    store: Store, path: Path, var_directory: Path, *, is_with_keys: bool = False, is_replacing: bool = False
) -> Made:
    """Write everything that the store's database holds now into `path`.

    Raises ConflictError for a name that is taken, or a database without our schema; InvalidValueError where
    the file cannot be written or a key is asked for and there is none.
    """
    with store.read(actor="backup") as tx, archive.written(path, is_replacing=is_replacing) as draft:
        revision = migrate.revision_of(tx.connection)
        if revision not in migrate.known_revisions():
            msg = (
                f"the database is at revision {revision or 'none'}, which this version of Nacre does not know"
            )
            raise ConflictError(msg, field="database", code="revision_unknown")
        assert revision is not None  # noqa: S101 (it is one of those known)
        fold = LedgerFold()
        ledger = _ledger(tx, var_directory)
        manifest = Manifest(
            FORMAT,
            revision,
            to_rfc3339(tx.now_us),
            tx.now_us,
            tx.connection.dialect.name,
            _tables(tx, draft, revision, fold),
            ledger,
            _keys(draft, var_directory) if is_with_keys else [],
        )
        draft.finish(manifest)
    return Made(path, manifest, path.stat().st_size, fold.fault(ledger))


def _ledger(tx: Tx, var_directory: Path) -> LedgerFacts | None:
    has_key = (var_directory / CHECKPOINT_KEY_FILE).is_file()
    signer = CheckpointSigner.from_directory(var_directory) if has_key else UnsignedNote()
    try:
        signed = evolution_ledger.checkpoint(tx, signer)
    except NotFoundError:
        return None
    return LedgerFacts(
        int(str(signed["size"])), str(signed["root"]), str(signed["note"]) if has_key else None
    )


def _tables(tx: Tx, draft: Draft, revision: str, fold: LedgerFold) -> list[TableFacts]:
    found = _ours(copying.shapes(tx), revision)
    last = copying.last_ids(tx, found)
    facts = []
    for shape in found:
        counted = _Counted()
        part = draft.add(archive.table_member(shape.name), counted.of(content.lines(tx, shape, fold)))
        facts.append(TableFacts(shape.name, list(shape.columns), counted.lines, last.get(shape.name), part))
    return facts


def _ours(found: Sequence[Shape], revision: str) -> list[Shape]:
    """Leave out tables of others that lie in the same database; those of an older schema are all taken."""
    if revision != migrate.newest_revision():
        return list(found)
    return [shape for shape in found if shape.name in tables.metadata.tables]


class _Counted:
    """Counts the lines that pass."""

    def __init__(self) -> None:
        self.lines = 0

    def of(self, parts: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the parts as they are."""
        for part in parts:
            self.lines += part.count(b"\n")
            yield part


def _keys(draft: Draft, var_directory: Path) -> list[KeyFacts]:
    facts = []
    for name in KEY_FILES:
        file = var_directory / name
        if file.is_file():
            facts.append(KeyFacts(name, draft.add(archive.key_member(name), [file.read_bytes()])))
    if not facts:
        msg = f"there is no key in {var_directory}; NACRE_VAR names the folder that holds them"
        raise InvalidValueError(msg, field="with_keys", code="keys_missing")
    return facts
