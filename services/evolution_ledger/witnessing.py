"""The witness: signed checkpoints kept in a second place, and the ledger held to the newest of them.

Stands beside the proofs. As the ledger grows its head is signed, kept in the database and handed to a keeper
outside it. On every run the newest notes found there must bear the deployment's own signature and be a prefix
of the ledger, else a check of correctness fails, which holds promotions. It never overwrites such a note.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from services.domain.checks import Layer, Status
from services.domain.events import Event, EventType
from services.domain.hash_chain import parse_checkpoint, verify_consistency
from services.event_bus import publish
from services.evolution_ledger.proofs import Signer, checkpoint, consistency
from services.operations import health
from services.store import sql, tables
from services.store.sql import Row
from services.store.tx import Tx

COMPONENT: Final = "ledger"
MEASUREMENT: Final = "witness"


class Notary(Signer, Protocol):
    """Something that signs checkpoints and knows its own signature again."""

    def has_signed(self, note: str) -> bool:
        """Tell whether a note bears a valid signature of this key."""
        ...


class KeptNote(NamedTuple):
    """A note as it is kept: its name there, and how many entries the name says it covers, if it says so."""

    name: str
    size: int | None
    note: str


class NoteKeeper(Protocol):
    """A second place for signed notes; what fails there raises OSError."""

    def newest(self) -> Sequence[KeptNote]:
        """Return the newest notes that are kept, none for an empty place."""
        ...

    def keep(self, size: int, note: str) -> None:
        """Keep a note, and mark it as the newest."""
        ...


def export_checkpoint(tx: Tx, notary: Notary | None, keeper: NoteKeeper | None) -> dict[str, object]:
    """Hold the ledger to the notes in the second place, then sign its head and keep it in both places.

    Returns `size`, `status` of the check (pass, warn, fail) and how many were signed now. A second place that
    is gone or full is a warning, and the database keeps the checkpoint. Without a notary nothing is done.
    """
    if notary is None:
        return {"size": 0, "status": str(Status.PASS), "signed": 0}
    now = checkpoint(tx, notary)
    status, said = _compare(tx, notary, keeper, now)
    is_signed = status is not Status.FAIL and _keep(tx, now)
    if keeper is not None and status is not Status.FAIL:
        try:
            keeper.keep(_size(now), str(now["note"]))
        except OSError as error:
            status, said = Status.WARN, f"the newest checkpoint cannot be kept: {error.strerror or error}"
    health.report(
        tx, Layer.CORRECT, COMPONENT, MEASUREMENT, status,
        observed=float(_size(now)), unit="entries", output=said,
    )  # fmt: skip
    return {"size": now["size"], "status": str(status), "signed": int(is_signed)}


def _size(point: dict[str, object]) -> int:
    return int(str(point["size"]))


def _compare(
    tx: Tx, notary: Notary, keeper: NoteKeeper | None, now: dict[str, object]
) -> tuple[Status, str | None]:
    """Return what the check says of the notes that the keeper has."""
    if keeper is None:
        return Status.PASS, None
    try:
        notes = keeper.newest()
    except OSError as error:
        return Status.WARN, f"the second place for checkpoints cannot be read: {error.strerror or error}"
    for kept in notes:
        wrong = _wrong_with(tx, notary, kept, now)
        if wrong is not None:
            return Status.FAIL, f"{kept.name}: {wrong}"
    if not notes and sql.find_all(tx, tables.checkpoint, order_by="size", limit=1):
        return Status.WARN, "the second place for checkpoints had none left; the newest was put there again"
    return Status.PASS, None


def _wrong_with(tx: Tx, notary: Notary, kept: KeptNote, now: dict[str, object]) -> str | None:
    """Return why a kept note does not fit the ledger, or None."""
    try:
        origin, size, root = parse_checkpoint(kept.note)
    except ValueError as error:
        return f"a kept checkpoint is not one: {error}"
    if not notary.has_signed(kept.note):
        return f"the kept checkpoint of {size} entries is not signed with this deployment's key"
    if kept.size is not None and kept.size != size:
        return f"a kept checkpoint of {size} entries bears the name of another"
    if origin != now["origin"]:
        return f"the kept checkpoint is of the ledger {origin!a}"
    newest = _size(now)
    if size > newest:
        return f"a kept checkpoint covers {size} entries, the ledger has {newest} now"
    if size == 0:
        return None
    proof = consistency(tx, size, newest)
    nodes = [bytes.fromhex(node) for node in _texts(proof["proof"])]
    if verify_consistency(size, newest, root, bytes.fromhex(str(now["root"])), nodes):
        return None
    return f"the first {size} entries are not those of the kept checkpoint: the ledger was rewritten"


def _texts(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def _keep(tx: Tx, now: dict[str, object]) -> bool:
    """Keep a signed head in the database and say so, unless it was kept before; tell whether it is new."""
    known: Row | None = sql.find(tx, tables.checkpoint, size=_size(now))
    if known is not None:
        return False
    facts = {"size": _size(now), "root": now["root"], "note": now["note"]}
    sql.insert(tx, tables.checkpoint, **facts, signed_at_us=tx.now_us)
    publish(tx, Event(EventType.CHECKPOINT_SIGNED, "ledger", {**facts, "origin": now["origin"]}))
    return True
