"""Dead letters on their way back or out: the two moves of a delivery that was tried as often as allowed.

Stands in the bus (L2) under `services.operations.dead_letters`, which records who moved it and why. A dead
letter holds nothing back, so what comes after it has long been delivered: a replay is out of order.
"""

from collections.abc import Collection

from services.domain.states import DeliveryState
from services.store import sql, tables
from services.store.sql import Row
from services.store.tx import Tx

REPLAYED = 0
"""Stands among the ids that a transaction published, so that the dispatcher wakes for a replay."""


def replay_dead(tx: Tx, delivery_ids: Collection[int]) -> list[Row]:
    """Put those that are dead back in line, with all their attempts; return them as they were."""
    found = _dead(tx, delivery_ids)
    if found:
        where = {"id": [row["id"] for row in found]}
        back = {"state": DeliveryState.PENDING, "attempts": 0, "next_attempt_at_us": tx.now_us}
        sql.update(tx, tables.delivery, where, **back)
        tx.published.append(REPLAYED)
    return found


def discard_dead(tx: Tx, delivery_ids: Collection[int]) -> list[Row]:
    """Give up those that are dead for good; return them as they were.

    `next_attempt_at_us` says since when.
    """
    found = _dead(tx, delivery_ids)
    if found:
        where = {"id": [row["id"] for row in found]}
        sql.update(tx, tables.delivery, where, state=DeliveryState.DISCARDED, next_attempt_at_us=tx.now_us)
    return found


def _dead(tx: Tx, delivery_ids: Collection[int]) -> list[Row]:
    """Return those of the deliveries that are dead, in the order of their ids, held until the end."""
    if not delivery_ids:
        return []
    return sql.find_all(tx, tables.delivery, lock=True, id=list(delivery_ids), state=DeliveryState.DEAD)
