"""Epochs of the holdout: a share of tasks keeps the config of an epoch's start for good.

Stands beside the promotion; it is how the sum of all promotions is measured, and the winner's curse seen.
The salt is committed to at the start and revealed when the next epoch begins. It never moves a task.
"""

from collections.abc import Callable

from services.domain import assignment
from services.domain.errors import InvalidValueError
from services.domain.ledger_schema import EntryType
from services.operations import audit_log, production_config
from services.store import config, sql, tables
from services.store.tx import Tx

SALT_BYTES = 32
PERCENT = 100.0


def begin_epoch(tx: Tx, entropy: Callable[[int], bytes]) -> int | None:
    """Begin the first epoch where a holdout is wanted and none has begun; return its id, or None."""
    if config.epoch_now(tx) is not None or not production_config.number(tx, "sandbox.holdout_percent"):
        return None
    return _begin(audit_log.take_turn(tx), entropy, previous_salt="")


def renew_epoch(tx: Tx, entropy: Callable[[int], bytes], *, reason: str) -> int:
    """End the epoch and begin the next from the config in force, as a person's recorded act.

    Raises InvalidValueError without a reason.
    """
    tx = audit_log.take_turn(tx)
    if not reason.strip():
        msg = "a new epoch needs a reason"
        raise InvalidValueError(msg, field="body.reason", code="reason_missing")
    before = config.epoch_now(tx)
    if before is not None:
        sql.update(tx, tables.epoch, {"id": before["id"], "ended_at_us": None}, ended_at_us=tx.now_us)
    audit_log.append(tx, EntryType.OVERRIDE, {"act": "renew_holdout", "reason": reason[:500]})
    return _begin(tx, entropy, previous_salt="" if before is None else before["salt"])


def _begin(tx: Tx, entropy: Callable[[int], bytes], *, previous_salt: str) -> int:
    salt = entropy(SALT_BYTES).hex()
    values = production_config.snapshot(tx)
    share = production_config.number(tx, "sandbox.holdout_percent") / PERCENT
    commitment = assignment.commitment(salt)
    epoch_id = sql.insert(
        tx,
        tables.epoch,
        config=values,
        share=share,
        salt=salt,
        salt_commitment=commitment,
        ledger_index=audit_log.size(tx),
        started_at_us=tx.now_us,
    )
    audit_log.append(
        tx,
        EntryType.EPOCH,
        {
            "epoch_id": epoch_id,
            "salt_commitment": commitment,
            "share": repr(share),
            "config": production_config.config_hash(values),
            "previous_salt": previous_salt,
        },
    )
    return epoch_id
