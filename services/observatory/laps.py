"""Laps: how a turn of the loop is given up or closed.

Stands under the episodes and the loop's bookkeeping. It never opens a lap.
"""

from services.domain.ledger_schema import EntryType
from services.domain.states import EpisodeState
from services.operations import audit_log
from services.store import governance, sql, tables
from services.store.tx import Tx


def give_up(tx: Tx, lap_id: int, outcome: str) -> None:
    """End a lap that did not cure its metric: its open episode is given up, a new one may open later."""
    where = {"lap_id": lap_id, "state": EpisodeState.OPEN}
    sql.update(tx, tables.episode, where, state=EpisodeState.GIVEN_UP, closed_at_us=tx.now_us)
    close_lap(tx, lap_id, outcome)


def close_lap(tx: Tx, lap_id: int, outcome: str) -> None:
    """Close a lap once, with how it ended and what its investigation was paid; both go into the ledger."""
    where = {"id": lap_id, "closed_at_us": None}
    lap = sql.find(tx, tables.lap, id=lap_id, closed_at_us=None)
    if lap is None or not sql.update(tx, tables.lap, where, closed_at_us=tx.now_us, outcome=outcome[:32]):
        return
    facts = {"outcome": outcome[:32], "opened_at_us": lap["opened_at_us"]}
    spent = governance.spent_in_lap(tx, lap_id)
    audit_log.append(tx.in_lap(lap_id), EntryType.LAP_CLOSED, {**facts, "spent_microcredits": spent})
