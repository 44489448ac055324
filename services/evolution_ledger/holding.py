"""The hold: while a check of correctness fails a won value waits, and goes into production once it is over.

Stands between the recorded verdict and the promotion, beside the freeze; unlike that it lifts by itself, and
refuses nothing. A rollback is never held. It never weighs evidence and never judges a check.
"""

from dataclasses import dataclass

from services.domain.ledger_schema import EntryType
from services.domain.states import ExperimentKind, ExperimentState, Leg
from services.evolution_ledger.promotion import apply_verdict
from services.operations import audit_log, health
from services.store import ledger, sql, tables
from services.store.sql import Row
from services.store.tx import Tx


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


def promote_held(tx: Tx) -> dict[str, int]:
    """Promote what waited, unless promotions are still held; return how many were promoted and wait on.

    Each goes the whole way of a promotion: a value that moved meanwhile, or a freeze, refuses it.
    """
    if health.promotion_hold(tx) is not None:
        return {"promoted": 0, "waiting": len(_waiting(tx))}
    tx = audit_log.take_turn(tx)
    promoted = sum(apply_verdict(tx.in_lap(row["lap_id"]), row["id"]) for row in _waiting(tx))
    return {"promoted": promoted, "waiting": 0}


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
