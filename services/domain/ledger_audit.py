"""The offline audit: from an exported ledger's bytes alone, is every entry intact and does each have a cause.

This is what `nacre ledger verify` runs, for someone who does not trust the platform: bytes, hashes, roots,
checkpoints, schema, then causality. It names the first entry that is wrong and why, and stops there. The
platform takes its own ledger through the same audit, a part at a time. It never reads a database, a clock or
a key; signatures of checkpoints are checked elsewhere.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, NoReturn

from services.domain.canonical import canonical_bytes
from services.domain.hash_chain import HASH_BYTES, Frontier, leaf_hash, to_hex
from services.domain.ledger_causality import History
from services.domain.ledger_schema import EntryRefusedError, read_entry, read_envelope
from services.domain.ledger_texts import TextHistory, erased_by

CLAIMED: Final = "claimed checkpoint"
TRUSTED: Final = "trusted checkpoint"
BAD_CONTENT: Final = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError)
"""What an entry may raise that no honest writer wrote; never a fault of the audit's own surroundings."""
NOT_DEMANDED: Final = {
    2: "no level of the stream, no salt of its own, no probation: promotions were not confirmed",
    3: "no units of the electorate, no rules of a vote, no extension, no review, no ERASED",
}
"""What entries written before a format were not held to, by the format that brought it."""


class Checkpoint(NamedTuple):
    """A size and the 32-byte root of that many entries."""

    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What the audit found.

    `size`, `root_hex` and `config` are of the entries accepted before checking stopped: of the whole
    ledger when `ok`. `first_error_index` is the first entry that is wrong (or missing), `reason` one
    sentence about it; None and "" when there is none. `format` is what the first entry states, `raised`
    where later entries raise it, as (index, format): what a format demands, entries behind that must have.
    """

    size: int
    root_hex: str
    config: dict[str, str]
    first_error_index: int | None
    reason: str
    format: int
    raised: tuple[tuple[int, int], ...] = ()

    @property
    def newest_format(self) -> int:
        """The format of the last entry."""
        return self.raised[-1][1] if self.raised else self.format

    @property
    def not_demanded(self) -> list[str]:
        """Return what was not demanded of some entries, in one sentence for each format that came later."""
        found = []
        for brought_by, what in NOT_DEMANDED.items():
            until = next((index for index, written in self.raised if written >= brought_by), None)
            if self.format < brought_by:
                place = "by no entry" if until is None else f"only behind entry {until}"
                found.append(f"format {brought_by} is followed {place}; demanded before: {what}")
        return found

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
    known = [(TRUSTED, *one) for one in trusted]
    erased = erased_by(leaves)
    audit = LedgerAudit(
        blobs,
        lambda sha256: erased.get(sha256, -1),
        known=[*known, (CLAIMED, *claimed)],
        allow_erased=allow_erased,
    )
    audit.feed(leaves)
    return audit.report(claimed)


class LedgerAudit:
    """An audit that takes the leaves a part at a time; the parts do not change what it finds.

    It holds what the entries so far amount to, and the newest leaf, which is judged once its follower (or
    that there is none) is known. After the first error it stands still.
    """

    def __init__(
        self,
        blobs: Mapping[str, bytes],
        last_erasure: Callable[[str], int],
        *,
        known: Iterable[tuple[str, int, bytes]] = (),
        allow_erased: bool = False,
    ) -> None:
        """Take blobs, where a hash is last erased (-1: nowhere), and checkpoints as (name, size, root).

        Raises ValueError for a checkpoint that cannot be one.
        """
        self._known = [(name, _checkpoint(size, root)) for name, size, root in known]
        self._by_size: dict[int, list[tuple[str, Checkpoint]]] = {}
        for name, checkpoint in self._known:
            self._by_size.setdefault(checkpoint.size, []).append((name, checkpoint))
        self._history = History(blobs, allow_erased=True)
        self._texts = TextHistory(blobs, last_erasure, allow_erased=allow_erased)
        self._frontier = Frontier()
        self._root_hex = to_hex(self._frontier.root())
        self._last_at = ""
        self._formats: list[tuple[int, int]] = []
        self._held: bytes | None = None
        self._finding: _Finding | None = None

    @property
    def taken(self) -> int:
        """Return how many leaves it has taken: the index of the leaf to feed next."""
        return self._frontier.size + (self._held is not None)

    def feed(self, leaves: Iterable[bytes]) -> bool:
        """Take the next leaves; return False once an entry is wrong, which `report` then names."""
        if self._finding is not None:
            return False
        try:
            for raw in leaves:
                if self._held is not None:
                    self._check_entry(self._held, raw, "")
                self._held = raw
        except _Finding as finding:
            self._finding = finding
        return self._finding is None

    def report(self, claimed: tuple[int, bytes], name: str = CLAIMED) -> AuditReport:
        """Hold what was taken to the (size, root) that it should have, and say what was found.

        It can be fed again afterwards. Raises ValueError for a checkpoint that cannot be one.
        """
        checkpoint = _checkpoint(*claimed)
        if self._finding is None:
            try:
                self._check_end(name, checkpoint)
            except _Finding as finding:
                self._finding = finding
        index, reason = (None, "") if self._finding is None else (self._finding.index, str(self._finding))
        config = dict(self._history.config)
        first = self._formats[0][1] if self._formats else self._history.format
        raised = tuple(self._formats[1:])
        return AuditReport(self._frontier.size, self._root_hex, config, index, reason, first, raised)

    def _check_end(self, name: str, claimed: Checkpoint) -> None:
        """Judge the leaf that is held as the last, then the size and the root of them all."""
        if self._held is not None:
            held, self._held = self._held, None
            is_last = claimed.size == self._frontier.size + 1
            self._check_entry(held, None, claimed.root.hex() if is_last else "")
        size = self._frontier.size
        self._check_roots(self._by_size.get(size, ()))
        if claimed.size == size:
            self._check_roots([(name, claimed)])
        for which, checkpoint in (*self._known, (name, claimed)):
            if checkpoint.size > size:
                raise _Finding(
                    size, f"the ledger ends here, but the {which} covers {checkpoint.size} entries"
                )
        if claimed.size < size:
            raise _Finding(claimed.size, f"the {name} covers only {claimed.size} entries")
        if self._texts.unexplained is not None:
            raise _Finding(*self._texts.unexplained)

    def _check_roots(self, named: Iterable[tuple[str, Checkpoint]]) -> None:
        size = self._frontier.size
        for name, checkpoint in named:
            if checkpoint.root.hex() != self._root_hex:
                raise _Finding(
                    max(size - 1, 0),
                    f"the first {size} entries do not have the root of the {name}: "
                    "an entry was replaced, or the checkpoint is not of this ledger",
                )

    def _check_entry(self, raw: bytes, following: bytes | None, root_after_hex: str) -> None:
        """Judge one leaf by those before; its follower, or the root after it, only helps to lay blame."""
        index = self._frontier.size
        self._check_roots(self._by_size.get(index, ()))
        try:
            envelope = read_envelope(raw)
            self._check_place(envelope, following, root_after_hex)
            entry = read_entry(envelope)
            self._history.accept(entry)
            self._texts.accept(entry, self._history.format)
        except ValueError as error:  # EntryRefusedError, CausalityError, EvidenceRefusedError and their like
            raise _Finding(index, str(error)) from error
        except BAD_CONTENT as error:
            raise _Finding(index, f"it cannot be judged ({type(error).__name__}: {error})") from error
        if not self._formats or self._formats[-1][1] != self._history.format:
            self._formats.append((index, self._history.format))
        self._last_at = envelope["at"]
        self._frontier = self._frontier.append(leaf_hash(raw))
        self._root_hex = self._frontier.root().hex()

    def _check_place(self, envelope: Mapping[str, Any], following: bytes | None, root_after_hex: str) -> None:
        index = self._frontier.size
        if envelope["index"] != index:
            raise EntryRefusedError(f"entry {envelope['index']} stands in the place of entry {index}")
        if envelope["previous_root"] != self._root_hex:
            self._blame(envelope, root_after_hex if following is None else _root_stated_by(following))
        if envelope["at"] < self._last_at:  # one fixed-width form, so text order is time order
            raise EntryRefusedError(f"the time {envelope['at']} is before that of the entry before")

    def _blame(self, envelope: Mapping[str, Any], stated_hex: str) -> NoReturn:
        """Raise the finding for a previous_root that does not fit: is this field wrong, or the entry before.

        If this entry with its field put right gives the root that its follower states, then only the
        field is wrong; otherwise the bytes before this entry are not those it was chained to.
        """
        index = self._frontier.size
        repaired = canonical_bytes({**envelope, "previous_root": self._root_hex})
        repaired_root_hex = self._frontier.append(leaf_hash(repaired)).root().hex()
        if index == 0 or repaired_root_hex == stated_hex:
            raise _Finding(index, "previous_root is not the root of the entries before")
        raise _Finding(index - 1, f"the bytes of this entry are not those that entry {index} was chained to")


def _checkpoint(size: int, root: bytes) -> Checkpoint:
    if size < 0 or len(root) != HASH_BYTES:
        raise ValueError(f"a checkpoint has a size from 0 and a root of {HASH_BYTES} bytes")
    return Checkpoint(size, root)


def _root_stated_by(leaf: bytes) -> str:
    """Return the root of the entries before a leaf that it states itself; "" where it states none."""
    try:
        return str(read_envelope(leaf)["previous_root"])
    except EntryRefusedError:
        return ""
