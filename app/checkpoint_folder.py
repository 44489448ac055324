"""The folder of signed checkpoints: a second place, best on another machine, that keeps what the ledger was.

Stands outside the database and hands its notes back to the platform, which holds the ledger to them. It never
deletes a note and never writes one in part.
"""

import os
import re
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.fresh_files import open_beside
from services.evolution_ledger import KeptNote

LATEST = "latest.note"
SUFFIX = ".note"
SIZED: Final = re.compile(r"(0|[1-9][0-9]{0,18})\.note")
NOTE_LIMIT: Final = 64_000
"""Bytes of a note; one has about two hundred."""
READING: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK


@dataclass(frozen=True, slots=True)
class CheckpointFolder:
    """Notes as `<size>.note`, and the newest of them also as `latest.note`. OSError where it cannot."""

    path: Path

    def newest(self) -> list[KeptNote]:
        """Return the note of the largest size and the latest one; an unreadable text comes as it is.

        Only regular files under names that `keep` gives count: no folder, link or `007.note` stands for one.
        """
        files = [file for file in self.path.iterdir() if stat.S_ISREG(file.lstat().st_mode)]
        sizes = [int(named[1]) for file in files if (named := SIZED.fullmatch(file.name))]
        found = [self._read(f"{size}{SUFFIX}", size) for size in sorted(sizes)[-1:]]
        found += [self._read(file.name, None) for file in files if file.name == LATEST]
        return found

    def _read(self, name: str, size: int | None) -> KeptNote:
        """Return a note; one that may not be read comes as an empty text, which is none."""
        try:
            with os.fdopen(os.open(self.path / name, READING), "rb") as file:
                return KeptNote(name, size, file.read(NOTE_LIMIT).decode(errors="replace"))
        except PermissionError:
            return KeptNote(name, size, "")

    def keep(self, size: int, note: str) -> None:
        """Write the note under its size, unless it is there, and as the latest; each appears whole."""
        for name in (f"{size}{SUFFIX}", LATEST):
            try:
                is_there = self._read(name, None).note == note
            except OSError:
                is_there = False
            if not is_there:
                self._write(self.path / name, note)

    def _write(self, file: Path, note: str) -> None:
        opened, draft = open_beside(file)
        try:
            with os.fdopen(opened, "w", encoding="utf-8") as stream:
                stream.write(note)
                stream.flush()
                os.fsync(stream.fileno())
            draft.replace(file)
        finally:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
