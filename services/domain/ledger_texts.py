"""Which blobs the entries name, and which of them may be missing: a text that a later entry says was erased.

Stands beside the causality under the audit. An ERASED entry covers what was named before it, so it must name
a text that an entry named since it was last erased; a text that is named anew has a new life, and must be
there until it is erased again. It never reads what a text says.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from services.domain.canonical import parse_canonical
from services.domain.ledger_history import EMPTY_BLOB_SHA256, CausalityError, require_cause
from services.domain.ledger_schema import HASH, Entry, EntryType

RECORDS: Final = "records_sha256"
NEEDS_ERASURE: Final = 3
"""From this format on a text may be missing only where an entry says that it was erased."""
_MARK: Final = b'"type":"ERASED"'


def blobs_named(payload: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (field, hash) of each blob that a payload names; "no text" needs none.

    Raises CausalityError for a field that is called a hash and is none.
    """
    for name, value in payload.items():
        if not name.endswith("_sha256"):
            continue
        require_cause(HASH.holds(value), f"{name!a} is not {HASH.summary}")
        if value != EMPTY_BLOB_SHA256:
            yield name, value


class TextHistory:
    """What the entries so far say of blobs; `accept` takes one entry after the other or refuses it."""

    def __init__(
        self, blobs: Mapping[str, bytes], last_erasure: Callable[[str], int], *, allow_erased: bool
    ) -> None:
        """Take where a hash is last erased (see `erased_by`); with `allow_erased` older formats may lack any.

        `last_erasure` returns the index of an entry, -1 for a hash that none erases.
        """
        self._blobs = blobs
        self._allow_erased = allow_erased
        self._last_erasure = last_erasure
        self._named: dict[str, set[str]] = {}
        self._erased: set[str] = set()
        self._owed: dict[str, int] = {}
        self._sound: set[str] = set()

    @property
    def unexplained(self) -> tuple[int, str] | None:
        """Return the first erasure (index, reason) whose text is there although no later entry names it."""
        if not self._owed:
            return None
        index, sha256 = min((index, sha256) for sha256, index in self._owed.items())
        return index, f"the blob {sha256[:12]}… was erased and is still there"

    def accept(self, entry: Entry, written_format: int) -> None:
        """Note what an entry names; raise CausalityError for a missing text or an erasure without a cause."""
        if entry.type is EntryType.ERASED:
            self._erase(entry)
            return
        for name, sha256 in blobs_named(entry.payload):
            self._named.setdefault(sha256, set()).add(name)
            self._erased.discard(sha256)
            self._owed.pop(sha256, None)
            if sha256 in self._sound:
                continue
            content = self._blobs.get(sha256)
            if content is not None:
                is_sound = hashlib.sha256(content).hexdigest() == sha256
                require_cause(is_sound, f"the blob of {name} ({sha256[:12]}…) does not hash to its name")
                self._sound.add(sha256)
                continue
            if self._last_erasure(sha256) > entry.index:
                continue
            is_older = written_format < NEEDS_ERASURE and self._allow_erased and name != RECORDS
            require_cause(
                is_older, f"the blob of {name} ({sha256[:12]}…) is missing, and no entry says it was erased"
            )

    def _erase(self, entry: Entry) -> None:
        sha256 = entry.payload["sha256"]
        names = self._named.get(sha256)
        if names is None:
            raise CausalityError(f"no earlier entry names the blob {sha256[:12]}… that was erased")
        require_cause(RECORDS not in names, "an experiment's records cannot be erased")
        require_cause(sha256 not in self._erased, f"the blob {sha256[:12]}… was erased already")
        self._erased.add(sha256)
        self._sound.discard(sha256)
        if sha256 in self._blobs:
            self._owed[sha256] = entry.index


def erased_by(leaves: Iterable[bytes]) -> dict[str, int]:
    """Return the hashes that these leaves say were erased, each with the index of the last that says so.

    Leaves of other types, and those that are not what they look like, are passed over.
    """
    return dict(sorted(found for leaf in leaves if _MARK in leaf for found in _erased_by(leaf)))


def _erased_by(leaf: bytes) -> list[tuple[str, int]]:
    try:
        found: Any = parse_canonical(leaf)
        sha256, index = found["payload"]["sha256"], found["index"]
    except (KeyError, TypeError, ValueError):
        return []
    return [(sha256, index)] if HASH.holds(sha256) and type(index) is int else []
