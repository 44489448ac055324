"""The file of a backup: a zip with a manifest, one NDJSON per table, and a seal over every byte of it.

The seal is the SHA-256 of all bytes before it, in the zip's own comment: any tool that reads zips reads the
file, and a changed, cut or added byte shows wherever it stands. What is read from a file is checked as if a
stranger had made it. It never writes under a name before the whole is there.
"""

import hashlib
import os
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from app.backup.manifest import Manifest, Part, TableFacts
from app.fresh_files import open_beside
from services.domain.errors import ConflictError, InvalidValueError

MANIFEST: Final = "manifest.json"
SEAL: Final = b"nacre-backup sha256:"
DIGEST_LENGTH: Final = 64
MANIFEST_LIMIT: Final = 4_000_000
"""Bytes of a manifest; one of fifty tables has ten thousand."""
LINE_LIMIT: Final = 256_000_000
"""Bytes of one row's line."""
CHUNK: Final = 1 << 20
LEVEL: Final = 1
"""Of deflate: higher ones cost several times the time for a tenth of the size."""
READABLE: Final = frozenset({zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED})
ENCRYPTED: Final = 1


def table_member(name: str) -> str:
    """Return the name of a table's member."""
    return f"tables/{name}.ndjson"


def key_member(name: str) -> str:
    """Return the name of a key's member."""
    return f"keys/{name}"


class Draft:
    """A backup that is being written; `finish` seals it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL)

    def add(self, member: str, parts: Iterable[bytes]) -> Part:
        """Write a member from its parts; return what it must be."""
        digest, size = hashlib.sha256(), 0
        entry = zipfile.ZipInfo(member)
        entry.compress_type = zipfile.ZIP_DEFLATED
        entry.external_attr = 0o600 << 16
        with self._zip.open(entry, "w", force_zip64=True) as target:
            for part in parts:
                digest.update(part)
                size += len(part)
                target.write(part)
        return Part(size, digest.hexdigest())

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest and the directory of the zip, with room for the seal."""
        self.add(MANIFEST, [msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"])
        self._zip.comment = SEAL + b"0" * DIGEST_LENGTH
        self._zip.close()


@contextmanager
def written(path: Path, *, is_replacing: bool) -> Iterator[Draft]:
    """Yield a draft; when the block ends it is sealed, on disk, and there under its name, whole.

    Raises ConflictError (`file_exists`) unless `is_replacing`, InvalidValueError (`file_unwritable`) where it
    cannot be written. Whatever fails leaves neither the name nor a part of the file.
    """
    if path.exists() and not is_replacing:
        raise _taken(path)
    partial: Path | None = None
    try:
        opened_file, partial = open_beside(path, 0o600)
        with os.fdopen(opened_file, "w+b") as file:
            yield Draft(file)
            _seal(file)
        if is_replacing:
            partial.replace(path)
        else:
            os.link(partial, path)
        _settle(path.parent)
    except FileExistsError as error:
        raise _taken(path) from error
    except OSError as error:
        msg = f"the backup cannot be written to {path}: {error.strerror or error}; nothing was left behind"
        raise InvalidValueError(msg, field="file", code="file_unwritable") from error
    finally:
        if partial is not None:
            with suppress(OSError):
                partial.unlink(missing_ok=True)


def _taken(path: Path) -> ConflictError:
    msg = f"{path} is there already; nothing was written. --force overwrites it"
    return ConflictError(msg, field="file", code="file_exists")


def _seal(file: IO[bytes]) -> None:
    """Write the hash of everything before it into the last bytes, and all of it to the disk."""
    file.flush()
    size = file.seek(0, os.SEEK_END)
    digest = _digest(file, size - DIGEST_LENGTH)
    file.seek(size - DIGEST_LENGTH)
    file.write(digest.encode())
    file.flush()
    os.fsync(file.fileno())


def _digest(file: IO[bytes], size: int) -> str:
    """Return the SHA-256 of the first `size` bytes."""
    digest, left = hashlib.sha256(), size
    file.seek(0)
    while left and (part := file.read(min(left, CHUNK))):
        digest.update(part)
        left -= len(part)
    return digest.hexdigest()


def _settle(folder: Path) -> None:
    """Write a folder's names to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def damaged(path: Path, why: str) -> InvalidValueError:
    """Return the refusal of a file that is not what it was when it was sealed, or never was a backup."""
    msg = f"{path} is no sound backup: {why}; nothing was touched"
    return InvalidValueError(msg, field="file", code="backup_damaged")


class Archive:
    """A sealed file, open for reading, whose seal, manifest and list of members are right.

    The content of the members is checked while it is read.
    """

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path = path
        self.size = _check_seal(path, file)
        try:
            self._zip = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, RuntimeError, ValueError, OSError) as error:
            raise damaged(path, f"its directory cannot be read ({error})") from error
        self._members = self._listed()
        self.manifest = self._read_manifest()
        expected = {MANIFEST}
        expected |= {table_member(table.name) for table in self.manifest.tables}
        expected |= {key_member(key.name) for key in self.manifest.keys}
        if len(expected) != 1 + len(self.manifest.tables) + len(self.manifest.keys):
            raise damaged(path, "its manifest names a table or a key twice")
        for name in sorted(self._members.keys() ^ expected):
            told = "is missing" if name in expected else "does not belong there"
            raise damaged(path, f"the member {name!a} {told}")

    def _listed(self) -> dict[str, zipfile.ZipInfo]:
        found: dict[str, zipfile.ZipInfo] = {}
        for entry in self._zip.infolist():
            if entry.filename in found:
                raise damaged(self.path, f"the member {entry.filename!a} is there twice")
            if entry.compress_type not in READABLE or entry.flag_bits & ENCRYPTED:
                raise damaged(
                    self.path, f"the member {entry.filename!a} is packed in a way that no backup is"
                )
            found[entry.filename] = entry
        return found

    def _read_manifest(self) -> Manifest:
        if MANIFEST not in self._members:
            raise damaged(self.path, f"the member {MANIFEST!a} is missing")
        content = b"".join(self._chunks(MANIFEST, MANIFEST_LIMIT))
        try:
            return msgspec.json.decode(content, type=Manifest)
        except (msgspec.DecodeError, RecursionError) as error:
            raise damaged(self.path, f"its manifest is not one of this format: {error}") from error

    def _chunks(self, member: str, limit: int) -> Iterator[bytes]:
        """Yield a member's content; refuse it as soon as it goes beyond `limit` bytes."""
        left = limit
        try:
            with self._zip.open(self._members[member]) as source:
                while part := source.read(min(CHUNK, left + 1)):
                    left -= len(part)
                    if left < 0:
                        raise damaged(self.path, f"{member} goes beyond the {limit:,} bytes it may have")
                    yield part
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
            raise damaged(self.path, f"{member} cannot be unpacked ({error})") from error

    def _checked(self, member: str, part: Part) -> Iterator[bytes]:
        """Yield a member's content; refuse it at the end unless it is what the manifest says."""
        digest, size = hashlib.sha256(), 0
        for chunk in self._chunks(member, part.bytes):
            digest.update(chunk)
            size += len(chunk)
            yield chunk
        if (size, digest.hexdigest()) != (part.bytes, part.sha256):
            raise damaged(self.path, f"{member} is not what the manifest says")

    def key(self, name: str) -> bytes:
        """Return the content of a key that the manifest names."""
        part = next(key.part for key in self.manifest.keys if key.name == name)
        return b"".join(self._checked(key_member(name), part))

    def rows(self, table: TableFacts) -> Iterator[Sequence[Any]]:
        """Yield the rows of a table, each value of its column's type; a bounded number is held at a time."""
        decode = msgspec.json.Decoder(table.row_type()).decode_lines
        member, count = table_member(table.name), 0
        for lines in self._whole_lines(member, self._checked(member, table.part)):
            for row in self._decoded(member, decode, lines):
                count += 1
                yield row
        if count != table.rows:
            raise damaged(self.path, f"{member} has {count:,} rows, the manifest says {table.rows:,}")

    def _decoded(self, member: str, decode: Callable[[bytes], Any], lines: bytes) -> Iterable[Sequence[Any]]:
        try:
            found: Iterable[Sequence[Any]] = decode(lines)
        except (msgspec.DecodeError, RecursionError, ValueError) as error:
            raise damaged(self.path, f"a row of {member} is not of its table's columns: {error}") from error
        return found

    def _whole_lines(self, member: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
        kept: list[bytes] = []
        size = 0
        for chunk in chunks:
            end = chunk.rfind(b"\n") + 1
            if end:
                yield b"".join((*kept, chunk[:end]))
                kept, size = [], 0
            kept.append(chunk[end:])
            size += len(chunk) - end
            if size > LINE_LIMIT:
                raise damaged(self.path, f"a line of {member} is longer than {LINE_LIMIT:,} bytes")
        if size:
            yield b"".join(kept)


def _check_seal(path: Path, file: IO[bytes]) -> int:
    """Return the file's size; refuse it unless its last bytes are the hash of all others."""
    size = file.seek(0, os.SEEK_END)
    length = len(SEAL) + DIGEST_LENGTH
    if size <= length:
        raise damaged(path, "it is too short to be one")
    file.seek(size - length)
    seal = file.read(length)
    if not seal.startswith(SEAL):
        raise damaged(path, "it does not end with the seal of a backup: it was cut, or is something else")
    if _digest(file, size - DIGEST_LENGTH).encode() != seal[len(SEAL) :]:
        raise damaged(path, "its bytes are not those that were sealed")
    return size


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """Yield a sealed backup; InvalidValueError (`file_unreadable`, `backup_damaged`) for anything else."""
    try:
        file = path.open("rb")
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise InvalidValueError(msg, field="file", code="file_unreadable") from error
    with file:
        yield Archive(path, file)
