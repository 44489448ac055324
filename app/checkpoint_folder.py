"""The folder of signed checkpoints: a second place, best on another machine, that keeps what the ledger was.

Stands outside the database and hands its notes back to the platform, which holds the ledger to them. It never
deletes a note and never writes one in part.
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

LATEST = "latest.note"
SUFFIX = ".note"


@dataclass(frozen=True, slots=True)
class CheckpointFolder:
    """Notes as `<size>.note`, and the newest of them also as `latest.note`. OSError where it cannot."""

    path: Path

    def newest(self) -> list[str]:
        """Return the note of the largest size and the latest one; an unreadable text comes as it is."""
        names = {file.name for file in self.path.iterdir() if file.suffix == SUFFIX}
        stems = [name.removesuffix(SUFFIX) for name in names]
        sizes = [int(stem) for stem in stems if stem.isascii() and stem.isdigit()]
        chosen = [f"{max(sizes)}{SUFFIX}"] if sizes else []
        chosen += [LATEST] if LATEST in names else []
        found = [(self.path / name).read_bytes().decode(errors="replace") for name in chosen]
        return list(dict.fromkeys(found))

    def keep(self, size: int, note: str) -> None:
        """Write the note under its size, unless it is there, and as the latest; each appears whole."""
        for name in (f"{size}{SUFFIX}", LATEST):
            file = self.path / name
            if not file.exists() or file.read_text(errors="replace") != note:
                self._write(file, note)

    def _write(self, file: Path, note: str) -> None:
        draft = file.with_name(f".{file.name}.{os.getpid()}")
        try:
            with draft.open("w", encoding="utf-8") as stream:
                stream.write(note)
                stream.flush()
                os.fsync(stream.fileno())
            draft.replace(file)
        finally:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
