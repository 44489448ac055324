"""Laps: how a turn of the loop is given up or closed.

Stands under the episodes and the loop's bookkeeping. It never opens a lap.
"""

from services.domain.states import EpisodeState
from services.store import sql, tables
from services.store.tx import Tx


def give_up(tx: Tx, lap_id: int, outcome: str) -> None:
    """End a lap that did not cure its metric: its open episode is given up, a new one may open later."""
    where = {"lap_id": lap_id, "state": EpisodeState.OPEN}
    sql.update(tx, tables.episode, where, state=EpisodeState.GIVEN_UP, closed_at_us=tx.now_us)
    close_lap(tx, lap_id, outcome)


def close_lap(tx: Tx, lap_id: int, outcome: str) -> None:
    """Close a lap once, with how it ended."""
    where = {"id": lap_id, "closed_at_us": None}
    sql.update(tx, tables.lap, where, closed_at_us=tx.now_us, outcome=outcome[:32])
