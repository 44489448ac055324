"""The ledger entries inside a certificate: each is in the checkpoint's log; the level follows.

Stands under `certificate`. An entry is its leaf's bytes; the fields beside them are for reading and must
agree. The level of a stream needs no whole ledger: a confirmation is placed in it by the starts around it. It
never looks at a record.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from services.domain.hash_chain import from_hex, leaf_hash, parse_checkpoint, verify_inclusion
from services.domain.ledger_records import EvidenceRefusedError
from services.domain.ledger_schema import EntryType, read_entry, read_envelope
from services.domain.states import Leg
from services.domain.stream import StreamRule, next_level

_SHOWN: Final = ("index", "at", "type", "actor", "lap", "payload")


@dataclass(frozen=True, slots=True)
class CertifiedEntry:
    """One entry as the certificate has it: the fields for reading, the leaf's bytes, and the proof."""

    shown: Mapping[str, Any]
    leaf: bytes
    proof: tuple[str, ...]

    @classmethod
    def read(cls, item: Any) -> "CertifiedEntry":
        """Return the entry of a JSON object; raise KeyError or ValueError for anything else."""
        shown = {name: item[name] for name in _SHOWN}
        is_formed = (
            type(shown["index"]) is int
            and isinstance(shown["payload"], dict)
            and isinstance(item["leaf"], str)
            and isinstance(item["proof"], list)
        )
        if not is_formed:
            msg = "an entry needs an integer index, an object payload, a string leaf and a list proof"
            raise ValueError(msg)
        return cls(shown, item["leaf"].encode(), tuple(str(node) for node in item["proof"]))

    @property
    def index(self) -> int:
        """Return its place in the ledger."""
        return int(self.shown["index"])

    @property
    def type(self) -> str:
        """Return what happened."""
        return str(self.shown["type"])

    @property
    def actor(self) -> str:
        """Return who did it."""
        return str(self.shown["actor"])

    @property
    def payload(self) -> Mapping[str, Any]:
        """Return what it says."""
        payload: Mapping[str, Any] = self.shown["payload"]
        return payload


def check_checkpoint(note: str, stated: Mapping[str, Any]) -> None:
    """Raise EvidenceRefusedError where origin, size or root beside a note is not what the note says."""
    origin, size, root = _parsed(note)
    for name, said in (("origin", origin), ("size", size), ("root", root.hex())):
        if type(stated[name]) is not type(said) or stated[name] != said:
            raise EvidenceRefusedError(
                f"checkpoint: {name} is {_short(stated[name])}, its note says {_short(said)}"
            )


def _parsed(note: str) -> tuple[str, int, bytes]:
    try:
        return parse_checkpoint(note)
    except ValueError as error:
        raise EvidenceRefusedError(f"the checkpoint is none: {error}") from error


def check_entries(note: str, entries: Iterable[CertifiedEntry]) -> None:
    """Raise EvidenceRefusedError for the first entry that is not what its leaf says, or not in the log."""
    _, size, root = _parsed(note)
    for entry in sorted(entries, key=lambda entry: entry.index):
        try:
            envelope = read_envelope(entry.leaf)
            read_entry(envelope)
        except ValueError as error:
            raise EvidenceRefusedError(f"entry {entry.index}: {error}") from error
        for name in _SHOWN:
            if entry.shown[name] != envelope[name]:
                raise EvidenceRefusedError(f"entry {entry.index}: {_where(entry, envelope, name)}")
        try:
            proof = [from_hex(node) for node in entry.proof]
        except ValueError as error:
            raise EvidenceRefusedError(f"entry {entry.index}: its proof is none: {error}") from error
        if not verify_inclusion(leaf_hash(entry.leaf), entry.index, size, proof, root):
            raise EvidenceRefusedError(
                f"entry {entry.index} is not in the ledger of the checkpoint (size {size})"
            )


def _where(entry: CertifiedEntry, envelope: Mapping[str, Any], name: str) -> str:
    """Return which field differs from the leaf, the payload's own field where it is one."""
    shown, said = entry.shown[name], envelope[name]
    if name == "payload":
        names = sorted({*shown, *said})
        name = next(key for key in names if shown.get(key) != said.get(key))
        shown, said = shown.get(name), said.get(name)
    return f"{name} is {_short(shown)}, its leaf says {_short(said)}"


def _short(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:79]}…"  # noqa: PLR2004 (one line of a terminal)


def one_of(
    entries: Iterable[CertifiedEntry], kind: EntryType, leg: Leg | None = None
) -> CertifiedEntry | None:
    """Return the one entry of a type (and leg), or None; raise EvidenceRefusedError for a second one."""
    found = [
        entry
        for entry in entries
        if entry.type == kind and (leg is None or entry.payload.get("leg", Leg.TRIAL) == leg)
    ]
    if len(found) > 1:
        raise EvidenceRefusedError(f"entries {found[0].index} and {found[1].index} are both {kind}")
    return found[0] if found else None


def check_level(started: CertifiedEntry, stream: Sequence[CertifiedEntry], alpha: float) -> None:
    """Raise EvidenceRefusedError unless the level of confirmation is the one that the stream gives.

    Placebos, and ledgers from before the stream, have none.
    """
    if "confirm_alpha" not in started.payload:
        return
    position = started.payload["stream_position"]
    rule = StreamRule(started.payload["stream_rule"])
    known = _known(started, stream)
    level = min(alpha, next_level(rule, alpha, position, known))
    stated = float(started.payload["confirm_alpha"])
    if not math.isclose(stated, level, rel_tol=1e-9):
        raise EvidenceRefusedError(
            f"the level of confirmation is {stated!r}, {len(known)} confirmations before it give {level!r}"
        )


def _known(started: CertifiedEntry, stream: Sequence[CertifiedEntry]) -> list[int]:
    """Return for each earlier confirmation how many experiments had started: between which starts it lies."""
    position = started.payload["stream_position"]
    indexes = [entry.index for entry in stream]
    twice = next((index for index in indexes if indexes.count(index) > 1), None)
    if twice is not None:
        raise EvidenceRefusedError(f"entry {twice} is twice in the stream")
    starts = {
        entry.payload["stream_position"]: entry.index
        for entry in (*stream, started)
        if entry.type == EntryType.EXPERIMENT_STARTED
    }
    known = []
    for entry in stream:
        if entry.type != EntryType.CONFIRMED:
            continue
        if entry.index > started.index:
            raise EvidenceRefusedError(f"the confirmation in entry {entry.index} came after the start")
        place = next(
            (
                r
                for r in range(1, position)
                if r in starts and r + 1 in starts and starts[r] < entry.index < starts[r + 1]
            ),
            None,
        )
        if place is None:
            raise EvidenceRefusedError(
                f"the starts around the confirmation in entry {entry.index} are missing"
            )
        known.append(place)
    return known
