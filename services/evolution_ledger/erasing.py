"""Erasure: a text leaves the platform, its hash stays in the entries that name it, and an entry says so.

Stands beside the record. Only what people and agents wrote in prose can go: root causes, reasons, and what a
reviewer was shown. The records of an experiment never can, for without them its verdict is not proved.
"""

from dataclasses import dataclass
from typing import Final

from services.domain.errors import ConflictError, InvalidValueError, NotFoundError
from services.domain.ledger_schema import EntryType
from services.operations import audit_log
from services.store import ledger, sql, tables, texts
from services.store.sql import Row
from services.store.tx import Tx

REASON_LENGTH = 500
REVIEW: Final = "review"
"""The kind of blob that holds what a reviewer was shown, other texts among it."""
ERASABLE: Final = ("root_cause", "reason", REVIEW)


@dataclass(frozen=True, slots=True)
class Erasure:
    """One text that was erased, and the entry that says so."""

    sha256: str
    kind: str
    ledger_index: int


def get_blob(tx: Tx, sha256: str) -> Row:
    """Return a blob's row (`sha256`, `kind`, `content`, `erased_at_us`); NotFoundError for no such blob."""
    row = sql.find(tx, tables.blob, sha256=sha256)
    if row is None:
        msg = f"no blob with the hash {sha256[:64]} is kept"
        raise NotFoundError(msg, field="sha256")
    return row


def erase_blob(tx: Tx, sha256: str, reason: str) -> list[Erasure]:
    """Erase a text wherever it is kept, and what reviewers were shown of it; write an ERASED entry for each.

    Raises NotFoundError for no such blob, InvalidValueError without a reason, ConflictError for one that is
    needed (`blob_needed`), erased already (`already_erased`), named by no entry (`blob_unnamed`), or before a
    reviewer now (`review_pending`).
    """
    tx = audit_log.take_turn(tx)
    if not reason.strip():
        msg = "erasing a text needs a reason; it stays in the ledger, so it should not repeat the text"
        raise InvalidValueError(msg, field="body.reason", code="reason_missing")
    row = get_blob(tx, sha256)
    if row["erased_at_us"] is not None:
        msg = "this text was erased already"
        raise ConflictError(msg, field="sha256", code="already_erased")
    if row["kind"] not in ERASABLE or texts.is_evidence(tx, sha256):
        msg = f"a blob of kind {row['kind']} is evidence: without it the ledger cannot be verified"
        raise ConflictError(msg, field="sha256", code="blob_needed", kind=row["kind"])
    named = f'_sha256":"{sha256}"'.encode()
    if not any(named in leaf for leaf in ledger.leaves(tx)):
        msg = "no ledger entry names this blob, so none can say that it was erased"
        raise ConflictError(msg, field="sha256", code="blob_unnamed")
    text = bytes(row["content"]).decode("utf-8", errors="replace")
    shown = texts.shown_with(tx, sha256, text)
    if any(gate["decided_at_us"] is None for gate in shown):
        msg = "a reviewer is being shown this text; decide that review first"
        raise ConflictError(msg, field="sha256", code="review_pending")
    done = [_erase(tx, row, reason)]
    if row["kind"] != REVIEW:
        texts.remove(tx, text)
        for gate in shown:
            copy = get_blob(tx, gate["shown_sha256"])
            if copy["erased_at_us"] is None:
                done.append(_erase(tx, copy, reason))
    return done


def _erase(tx: Tx, row: Row, reason: str) -> Erasure:
    sha256, kind = row["sha256"], row["kind"]
    sql.update(tx, tables.blob, {"sha256": sha256}, content=b"", erased_at_us=tx.now_us)
    facts = {"sha256": sha256, "kind": kind, "reason": reason[:REASON_LENGTH]}
    return Erasure(sha256, kind, audit_log.append(tx, EntryType.ERASED, facts))
