"""Queries of the outbox: which deliveries are due.

Stands under the event bus (L2). It never marks anything delivered.
"""

from collections.abc import Sequence

from sqlalchemy import bindparam, select

from services.domain.states import DeliveryState
from services.store import sql
from services.store.sql import Row
from services.store.tables import delivery, event
from services.store.tx import Tx

DUE = (
    select(
        delivery.c.id.label("delivery_id"),
        delivery.c.subscriber,
        delivery.c.attempts,
        delivery.c.event_id,
        event.c.type,
        event.c.aggregate,
        event.c.payload,
        event.c.actor,
        event.c.lap_id,
        event.c.published_at_us,
    )
    .join(event, event.c.id == delivery.c.event_id)
    .where(delivery.c.state == DeliveryState.PENDING, delivery.c.next_attempt_at_us <= bindparam("now_us"))
    .order_by(delivery.c.event_id, delivery.c.id)
    .limit(bindparam("limit"))
)

DUE_EXCEPT = DUE.where(delivery.c.subscriber.not_in(bindparam("subscribers", expanding=True)))


def due(tx: Tx, limit: int) -> list[Row]:
    """Return pending deliveries whose time has come, oldest event first, with their events."""
    return sql.listed(tx, DUE, now_us=tx.now_us, limit=limit)


def due_except(tx: Tx, subscribers: Sequence[str], limit: int) -> list[Row]:
    """Return the same of all subscribers but these (one at least)."""
    return sql.listed(tx, DUE_EXCEPT, now_us=tx.now_us, limit=limit, subscribers=list(subscribers))
