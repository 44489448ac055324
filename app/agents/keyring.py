"""Where the supervisor keeps the keys of the agents it registered, so that they survive a restart of the
platform with their names and records. A file that only its owner may read; without a path keys live in
memory only.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

OWNER_ONLY = 0o600


@dataclass(frozen=True, slots=True)
class Credentials:
    """A registered agent: the name it got and its key. The key is left out of its representation."""

    agent_id: int
    name: str
    api_key: str

    def __repr__(self) -> str:
        return f"Credentials(agent_id={self.agent_id}, name={self.name!r})"


class Keyring:
    """Credentials by the name in the fleet's table."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._kept: dict[str, Credentials] = _read(path) if path is not None and path.exists() else {}

    def get(self, name: str) -> Credentials | None:
        """The credentials kept under this name, or None."""
        return self._kept.get(name)

    def keep(self, name: str, credentials: Credentials) -> None:
        """Keep credentials, replacing what was kept under this name."""
        self._kept[name] = credentials
        if self._path is not None:
            self._write(self._path)

    def _write(self, path: Path) -> None:
        content = {
            name: {"agent_id": one.agent_id, "name": one.name, "api_key": one.api_key}
            for name, one in self._kept.items()
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY), "w") as file:
            json.dump(content, file, indent=1)
        new.replace(path)


def _read(path: Path) -> dict[str, Credentials]:
    """What a keyring file holds; one that is damaged counts as empty, for keys can be had anew."""
    try:
        content = json.loads(path.read_text())
        return {name: Credentials(**entry) for name, entry in content.items()}
    except (ValueError, TypeError, AttributeError):
        return {}
