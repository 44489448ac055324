"""The hold: while a check of correctness fails a won value waits, and goes into production once it is over.

Stands between the recorded verdict and the promotion, beside the freeze; unlike that it lifts by itself, and
refuses nothing. A rollback is never held. It never weighs evidence and never judges a check.
"""

from dataclasses import dataclass
from typing import Final

from services.domain.errors import BudgetExceededError, NacreError
from services.domain.ledger_schema import EntryType
from services.domain.states import ExperimentKind, ExperimentState, Leg
from services.evolution_ledger import auditing
from services.evolution_ledger.promotion import apply_verdict
from services.operations import audit_log, health, review_queue
from services.store import invariants, ledger, sql, tables
from services.store.sql import Row
from services.store.tx import Tx, is_given_up

PROMOTION_FAILED: Final = "promotion_failed"
"""The kind of review item about a win whose promotion raised."""


@dataclass(frozen=True, slots=True)
class HeldPromotion:
    """A won experiment whose value waits to go into production."""

    experiment_id: int
    proposal_id: int
    parameter: str
    value: str


def held_promotions(tx: Tx) -> list[HeldPromotion]:
    """Return the won experiments that wait for the hold to be lifted; none while nothing is held."""
    if health.promotion_hold(tx) is None:
        return []
    return [
        HeldPromotion(row["id"], row["proposal_id"], row["parameter"], row["treatment_value"])
        for row in _waiting(tx)
    ]


def promote_held(tx: Tx) -> dict[str, object]:
    """Promote what waited, unless promotions are still held; return how many were promoted and wait on.

    Each goes the whole way of a promotion: a value that moved meanwhile, or a freeze, refuses it. Nothing is
    kept of one that raises, it waits on; its id is among `failed`, and a review item is opened for it, once.
    """
    tx = audit_log.take_turn(tx)
    if auditing.guard(tx) is not None or health.promotion_hold(tx) is not None:
        return {"promoted": 0, "waiting": len(_waiting(tx)), "failed": []}
    promoted, failed = 0, []
    for row in _waiting(tx):
        try:
            with tx.savepoint():
                promoted += apply_verdict(tx.in_lap(row["lap_id"]), row["id"])
        except BudgetExceededError:
            raise
        except Exception as error:
            if is_given_up(error):
                raise
            failed.append(row["id"])
            _tell(tx, row, error)
    return {"promoted": promoted, "waiting": len(failed), "failed": failed}


def _tell(tx: Tx, experiment: Row, error: Exception) -> None:
    """Open a review item about a promotion that raised, unless there was one for the same reason."""
    subject = f"experiment {experiment['id']}"
    reason = error.detail if isinstance(error, NacreError) else type(error).__name__
    context = {"experiment_id": experiment["id"], "parameter": experiment["parameter"], "error": reason[:500]}
    known = invariants.items_about(tx, PROMOTION_FAILED, [subject])
    if not any(row["closed_at_us"] is None or row["context"] == context for row in known):
        review_queue.open_item(tx, kind=PROMOTION_FAILED, subject=subject, context=context)


def _waiting(tx: Tx) -> list[Row]:
    """Return experiments whose win is recorded and neither promoted nor refused yet, by id."""
    won = sql.find_all(tx, tables.experiment, kind=ExperimentKind.CHANGE, state=ExperimentState.PROVISIONAL)
    return [row for row in won if _is_recorded(tx, row) and not _is_applied(tx, row)]


def _is_recorded(tx: Tx, row: Row) -> bool:
    kind, leg = EntryType.VERDICT, Leg.TRIAL
    return ledger.entry_of_experiment(tx, row["id"], row["lap_id"], kind, leg=leg) is not None


def _is_applied(tx: Tx, row: Row) -> bool:
    ends = (EntryType.PROMOTED, EntryType.REFUSED)
    return ledger.entry_of_experiment(tx, row["id"], row["lap_id"], *ends) is not None
