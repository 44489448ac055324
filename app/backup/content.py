"""What stands in the tables of a backup: rows as lines, and the ledger's root as its entries add up to it.

Stands between the archive and those who make, check and restore one. It never judges what an entry says.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from app.backup.archive import LINE_LIMIT, Archive
from app.backup.manifest import LedgerFacts, Part
from services.domain.errors import ConflictError, InvalidValueError
from services.domain.hash_chain import Frontier, leaf_hash, parse_checkpoint
from services.store import copying
from services.store.copying import Shape
from services.store.tx import Tx

LEDGER: Final = "ledger_entry"
NOTE_LIMIT: Final = 100_000
"""Bytes of a file that may be a checkpoint."""


@dataclass(frozen=True, slots=True)
class Note:
    """A checkpoint that was kept: the first `size` entries have this root."""

    name: str
    size: int
    root: bytes


@dataclass(slots=True)
class LedgerFold:
    """The root of entries that come one by one; what is wrong with them is kept, the first alone."""

    notes: Mapping[int, Sequence[Note]] = field(default_factory=dict)
    frontier: Frontier = field(default_factory=Frontier)
    wrong: str | None = None
    forked: Note | None = None

    def take(self, index: int, leaf: bytes) -> None:
        """Take up the next entry."""
        if index != self.frontier.size and self.wrong is None:
            self.wrong = f"entry {index} stands in the place of entry {self.frontier.size}"
        self.frontier = self.frontier.append(leaf_hash(leaf))
        for note in self.notes.get(self.frontier.size, ()):
            if note.root != self.frontier.root() and self.forked is None:
                self.forked = note

    def fault(self, head: LedgerFacts | None) -> str | None:
        """Return what is wrong with the entries beside the head that was kept of them, or None."""
        size, root = (0, Frontier().root().hex()) if head is None else (head.size, head.root)
        if self.wrong is not None or (self.frontier.size, self.frontier.root().hex()) == (size, root):
            return self.wrong
        if self.frontier.size != size:
            return f"there are {self.frontier.size} entries, the head speaks of {size}"
        return "the entries do not have the root that the head states"


def lines(tx: Tx, shape: Shape, fold: LedgerFold | None = None) -> Iterator[bytes]:
    """Yield a table's rows as NDJSON, arrays in the order of the columns; `fold` takes the ledger's."""
    encode = msgspec.json.Encoder().encode_lines
    names = [name for name, _ in shape.columns]
    folded = fold if shape.name == LEDGER else None
    for page in copying.pages(tx, shape):
        encoded = encode(page)
        if len(encoded) > LINE_LIMIT and max(map(len, encoded.split(b"\n"))) > LINE_LIMIT:
            msg = f"a row of table {shape.name} is larger than {LINE_LIMIT:,} bytes"
            raise ConflictError(msg, code="row_too_large")
        if folded is not None:
            _fold(folded, names, page)
        yield encoded


def _fold(fold: LedgerFold, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    index, leaf = names.index("index"), names.index("leaf")
    for row in rows:
        fold.take(row[index], bytes(row[leaf]))


def part_of(tx: Tx, shape: Shape) -> Part:
    """Return what a table's member would be if it was written now."""
    digest, size = hashlib.sha256(), 0
    for encoded in lines(tx, shape):
        digest.update(encoded)
        size += len(encoded)
    return Part(size, digest.hexdigest())


def check(source: Archive, notes: Sequence[Note] = ()) -> str | None:
    """Read all of a backup; return what is wrong with the ledger in it, None where it adds up to its head.

    Raises InvalidValueError (`backup_damaged`) where the file is not what its manifest says; ConflictError
    (`ledger_cut`, `ledger_forked`) for a ledger that does not go on from what a kept checkpoint covers.
    """
    fold = LedgerFold(
        {size: [one for one in notes if one.size == size] for size in {one.size for one in notes}}
    )
    for table in source.manifest.tables:
        rows = source.rows(table)
        if table.name == LEDGER:
            _fold(fold, [name for name, _ in table.columns], rows)
        else:
            for _ in rows:
                pass
    for key in source.manifest.keys:
        source.key(key.name)
    if fold.forked is not None:
        raise _forked(fold.forked)
    beyond = max(notes, key=lambda one: one.size, default=None)
    if beyond is not None and beyond.size > fold.frontier.size:
        raise _cut(beyond, fold.frontier.size)
    return fold.fault(source.manifest.ledger)


def _forked(note: Note) -> ConflictError:
    msg = (
        f"the ledger in the backup is not that of the checkpoint {note.name}: its first {note.size} entries "
        "have another root; nothing was touched"
    )
    return ConflictError(msg, field="checkpoint", code="ledger_forked")


def _cut(note: Note, size: int) -> ConflictError:
    msg = (
        f"the backup is older than the checkpoint {note.name}: that covers {note.size} entries, the ledger "
        f"in the backup has {size}, so entries {size} to {note.size - 1} would be lost; nothing was touched"
    )
    return ConflictError(msg, field="checkpoint", code="ledger_cut")


def kept_notes(place: Path) -> list[Note]:
    """Return the checkpoints in a file, or in those files of a folder that hold one.

    Raises InvalidValueError (`not_a_checkpoint`) where there is none.
    """
    files = sorted(place.iterdir()) if place.is_dir() else [place]
    found = [note for file in files if file.is_file() and (note := _note(file)) is not None]
    if not found:
        msg = f"{place} holds no checkpoint; `nacre ledger checkpoint` prints one to keep"
        raise InvalidValueError(msg, field="checkpoint", code="not_a_checkpoint")
    return found


def _note(file: Path) -> Note | None:
    try:
        with file.open("rb") as source:
            _, size, root = parse_checkpoint(source.read(NOTE_LIMIT))
    except (OSError, ValueError):
        return None
    return Note(file.name, size, root)
