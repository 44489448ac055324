"""The offline audit: from an exported ledger's bytes alone, is every entry intact and does each have a cause.

This is what `nacre ledger verify` runs, for someone who does not trust the platform: bytes, hashes, roots,
checkpoints, schema, then causality. It names the first entry that is wrong and why, and stops there. It
never reads a database, a clock or a key; signatures of checkpoints are checked elsewhere.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

from services.domain.canonical import canonical_bytes
from services.domain.hash_chain import HASH_BYTES, Frontier, leaf_hash, to_hex
from services.domain.ledger_causality import History
from services.domain.ledger_schema import EntryRefusedError, read_entry, read_envelope
from services.domain.ledger_texts import TextHistory


class Checkpoint(NamedTuple):
    """A size and the 32-byte root of that many entries."""

    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What the audit found.

    `size`, `root_hex` and `config` are of the entries accepted before checking stopped: of the whole
    ledger when `ok`. `first_error_index` is the first entry that is wrong (or missing), `reason` one
    sentence about it; None and "" when there is none. `format` is what the first entry states: in format 1
    (ledgers begun before probation) a promotion needs no level and no confirmation.
    """

    size: int
    root_hex: str
    config: dict[str, str]
    first_error_index: int | None
    reason: str
    format: int

    @property
    def ok(self) -> bool:
        """Whether every check passed."""
        return self.first_error_index is None


class _Finding(Exception):  # noqa: N818  it carries a result
    def __init__(self, index: int, reason: str) -> None:
        super().__init__(reason)
        self.index = index
        self.reason = reason


def audit_ledger(
    leaves: Sequence[bytes],
    blobs: Mapping[str, bytes],
    *,
    claimed: tuple[int, bytes],
    trusted: Sequence[tuple[int, bytes]] = (),
    allow_erased: bool = False,
) -> AuditReport:
    """Check a ledger from its raw leaf bytes in order; never raises for bad content, reports it.

    `blobs` maps SHA-256 hex to bytes. `claimed` is the (size, root) the export comes with, `trusted` are
    older ones from other sources, so that a rewritten or shortened log shows. A text may be missing where an
    ERASED entry names it; with `allow_erased` in formats 1 and 2 also without. An experiment's records may
    not. Raises ValueError only for a checkpoint that cannot be one (negative size, root not of 32 bytes).
    """
    for size, root in (claimed, *trusted):
        if size < 0 or len(root) != HASH_BYTES:
            raise ValueError(f"a checkpoint has a size from 0 and a root of {HASH_BYTES} bytes")
    audit = _Audit(leaves, blobs, allow_erased=allow_erased)
    checkpoints = [("trusted checkpoint", Checkpoint(*one)) for one in trusted]
    checkpoints.append(("claimed checkpoint", Checkpoint(*claimed)))
    try:
        audit.run(checkpoints)
    except _Finding as finding:
        return audit.report(finding.index, finding.reason)
    return audit.report(None, "")


class _Audit:
    def __init__(self, leaves: Sequence[bytes], blobs: Mapping[str, bytes], *, allow_erased: bool) -> None:
        self.leaves = leaves
        self.history = History(blobs, allow_erased=True)
        self.texts = TextHistory(leaves, blobs, allow_erased=allow_erased)
        self.frontier = Frontier()
        self.root_hex = to_hex(self.frontier.root())
        self.last_at = ""
        self.claimed_root_hex = ""

    def report(self, index: int | None, reason: str) -> AuditReport:
        history, size = self.history, self.frontier.size
        return AuditReport(size, self.root_hex, dict(history.config), index, reason, history.format)

    def run(self, checkpoints: Iterable[tuple[str, Checkpoint]]) -> None:
        """Raise _Finding at the first error."""
        named = list(checkpoints)
        claimed = named[-1][1]
        self.claimed_root_hex = claimed.root.hex() if claimed.size == len(self.leaves) else ""
        by_size: dict[int, list[tuple[str, Checkpoint]]] = {}
        for name, checkpoint in named:
            by_size.setdefault(checkpoint.size, []).append((name, checkpoint))
        self._check_roots(by_size.get(0, ()))
        for raw in self.leaves:
            self._check_entry(raw)
            self._check_roots(by_size.get(self.frontier.size, ()))
        for name, checkpoint in named:
            if checkpoint.size > len(self.leaves):
                raise _Finding(
                    len(self.leaves),
                    f"the ledger ends here, but the {name} covers {checkpoint.size} entries",
                )
        if claimed.size < len(self.leaves):
            raise _Finding(claimed.size, f"the claimed checkpoint covers only {claimed.size} entries")

    def _check_roots(self, named: Iterable[tuple[str, Checkpoint]]) -> None:
        size = self.frontier.size
        for name, checkpoint in named:
            if checkpoint.root.hex() != self.root_hex:
                raise _Finding(
                    max(size - 1, 0),
                    f"the first {size} entries do not have the root of the {name}: "
                    "an entry was replaced, or the checkpoint is not of this ledger",
                )

    def _check_entry(self, raw: bytes) -> None:
        index = self.frontier.size
        try:
            envelope = read_envelope(raw)
            self._check_place(envelope)
            entry = read_entry(envelope)
            self.history.accept(entry)
            self.texts.accept(entry, self.history.format)
        except ValueError as error:  # EntryRefusedError, CausalityError, EvidenceRefusedError and their like
            raise _Finding(index, str(error)) from error
        self.last_at = envelope["at"]
        self.frontier = self.frontier.append(leaf_hash(raw))
        self.root_hex = self.frontier.root().hex()

    def _check_place(self, envelope: Mapping[str, Any]) -> None:
        index = self.frontier.size
        if envelope["index"] != index:
            raise EntryRefusedError(f"entry {envelope['index']} stands in the place of entry {index}")
        if envelope["previous_root"] != self.root_hex:
            self._blame(envelope)
        if envelope["at"] < self.last_at:  # one fixed-width form, so text order is time order
            raise EntryRefusedError(f"the time {envelope['at']} is before that of the entry before")

    def _blame(self, envelope: Mapping[str, Any]) -> NoReturn:
        """Raise the finding for a previous_root that does not fit: is this field wrong, or the entry before.

        If this entry with its field put right gives the root that its follower states, then only the
        field is wrong; otherwise the bytes before this entry are not those it was chained to.
        """
        index = self.frontier.size
        repaired = canonical_bytes({**envelope, "previous_root": self.root_hex})
        repaired_root_hex = self.frontier.append(leaf_hash(repaired)).root().hex()
        if index == 0 or repaired_root_hex == self._root_stated_after(index):
            raise _Finding(index, "previous_root is not the root of the entries before")
        raise _Finding(index - 1, f"the bytes of this entry are not those that entry {index} was chained to")

    def _root_stated_after(self, index: int) -> str:
        if index + 1 == len(self.leaves):
            return self.claimed_root_hex
        try:
            return str(read_envelope(self.leaves[index + 1])["previous_root"])
        except EntryRefusedError:
            return ""
