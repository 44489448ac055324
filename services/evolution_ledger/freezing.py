"""The freeze: when placebos win more often than they may, nothing is promoted until a person has looked.

Stands beside the promotion. It never lifts itself.
"""

from services.domain.errors import ConflictError, InvalidValueError
from services.domain.events import Event, EventType
from services.domain.ledger_schema import EntryType
from services.domain.placebo import FREEZE_EVIDENCE, excess_evidence
from services.event_bus import publish
from services.operations import audit_log, production_config, review_queue
from services.store import governance, sql, tables
from services.store.sql import Row
from services.store.tx import Tx


def frozen(tx: Tx) -> Row | None:
    """Return the freeze in force, or None."""
    return sql.find(tx, tables.freeze, lifted_at_us=None)


def judge_placebos(tx: Tx) -> bool:
    """Freeze promotion when the placebos begun since the last freeze was lifted have won too often."""
    if frozen(tx) is not None:
        return False
    wins, ended = governance.placebo_counts(tx, governance.last_lifted_us(tx))
    evidence = excess_evidence(wins, ended, production_config.number(tx, "sandbox.alpha"))
    if evidence < FREEZE_EVIDENCE:
        return False
    reason = f"{wins} of {ended} placebos won; with both arms alike they should not"
    facts = {"reason": reason, "placebos": ended, "wins": wins, "e": repr(evidence)}
    index = audit_log.append(tx, EntryType.FROZEN, facts)
    sql.insert(tx, tables.freeze, reason=reason, ledger_index=index, frozen_at_us=tx.now_us)
    review_queue.open_item(tx, kind="promotion_frozen", subject=reason, context={"ledger_index": index})
    publish(tx, Event(EventType.PROMOTION_FROZEN, "freeze", {**facts, "ledger_index": index}))
    return True


def unfreeze(tx: Tx, *, reason: str) -> int:
    """Let promotions go on, as a person's recorded act; return the ledger entry's index.

    Raises ConflictError when nothing is frozen, InvalidValueError without a reason.
    """
    tx = audit_log.take_turn(tx)
    if not reason.strip():
        msg = "lifting the freeze needs a reason"
        raise InvalidValueError(msg, field="body.reason", code="reason_missing")
    row = frozen(tx)
    if row is None:
        msg = "promotion is not frozen"
        raise ConflictError(msg, code="not_frozen")
    index = audit_log.append(tx, EntryType.UNFROZEN, {"reason": reason[:500]})
    sql.update(
        tx,
        tables.freeze,
        {"id": row["id"], "lifted_at_us": None},
        lifted_at_us=tx.now_us,
        lifted_by=tx.actor,
        lift_reason=reason[:500],
    )
    return index
