"""Which blobs the entries name, and which of them may be missing: a text that an entry says was erased.

Stands beside the causality under the audit. What is missing is accepted only for an ERASED entry, and such an
entry must name a text that an earlier entry names, once. It never reads what a text says.
"""

from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any, Final

from services.domain.canonical import parse_canonical
from services.domain.ledger_history import EMPTY_BLOB_SHA256, CausalityError, require_cause
from services.domain.ledger_schema import Entry, EntryType

RECORDS: Final = "records_sha256"
NEEDS_ERASURE: Final = 3
"""From this format on a text may be missing only where an entry says that it was erased."""
_MARK: Final = b'"type":"ERASED"'


def blobs_named(payload: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (field, hash) of each blob that a payload names; "no text" needs none."""
    for name, value in payload.items():
        if name.endswith("_sha256") and value != EMPTY_BLOB_SHA256:
            yield name, value


class TextHistory:
    """What the entries so far say of blobs; `accept` takes one entry after the other or refuses it."""

    def __init__(
        self, blobs: Mapping[str, bytes], erased_later: Container[str], *, allow_erased: bool
    ) -> None:
        """Take what later entries erase (see `erased_by`); with `allow_erased` older formats may lack any."""
        self._blobs = blobs
        self._allow_erased = allow_erased
        self._erased_later = erased_later
        self._named: dict[str, set[str]] = {}
        self._erased: set[str] = set()

    def accept(self, entry: Entry, written_format: int) -> None:
        """Note what an entry names; raise CausalityError for a missing text or an erasure without a cause."""
        if entry.type is EntryType.ERASED:
            self._erase(entry)
            return
        for name, sha256 in blobs_named(entry.payload):
            self._named.setdefault(sha256, set()).add(name)
            if sha256 in self._blobs or sha256 in self._erased_later:
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
        require_cause(sha256 not in self._blobs, f"the blob {sha256[:12]}… was erased and is still there")
        self._erased.add(sha256)


def erased_by(leaves: Iterable[bytes]) -> frozenset[str]:
    """Return the hashes that these leaves say were erased; leaves of other types are passed over."""
    return frozenset(sha256 for leaf in leaves if _MARK in leaf for sha256 in _erased_by(leaf))


def _erased_by(leaf: bytes) -> list[str]:
    """Return the hash that a leaf says was erased, if it is what it looks like."""
    try:
        found: Any = parse_canonical(leaf)
        return [str(found["payload"]["sha256"])]
    except (KeyError, TypeError, ValueError):
        return []
