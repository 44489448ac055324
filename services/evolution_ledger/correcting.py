"""Corrections: an operator's remark on an earlier entry, which stays as it is.

Stands beside the record: nothing in an append-only ledger is mended, so what was wrong is said in a new entry
that names the old one. It never changes config, votes or verdicts.
"""

from services.domain.errors import InvalidValueError, NotFoundError
from services.domain.ledger_schema import EntryType
from services.operations import audit_log
from services.store.tx import Tx

REASON_LENGTH = 500


def correct(tx: Tx, index: int, reason: str) -> int:
    """Write a CORRECTION of entry `index`; return the new entry's index.

    Raises NotFoundError for an entry that is not there, InvalidValueError without a reason.
    """
    tx = audit_log.take_turn(tx)
    if not reason.strip():
        msg = "a correction needs a reason: what is wrong with the entry, and what would be right"
        raise InvalidValueError(msg, field="body.reason", code="reason_missing")
    if not 0 <= index < audit_log.size(tx):
        msg = f"there is no ledger entry {index}"
        raise NotFoundError(msg, field="index")
    return audit_log.append(tx, EntryType.CORRECTION, {"corrects": index, "reason": reason[:REASON_LENGTH]})
