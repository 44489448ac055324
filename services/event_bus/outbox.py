"""Publishing: an event and one delivery for each of its subscribers, in the transaction of its cause.

Stands in the bus (L2). It never delivers, and writes nothing for an event beyond these rows.
"""

from collections.abc import Sequence

from services.domain.events import Event
from services.domain.states import DeliveryState
from services.store import sql, tables
from services.store.tx import Tx


def publish(tx: Tx, event: Event) -> int:
    """Write the event and its deliveries in the caller's transaction; return the event's id."""
    return publish_all(tx, [(tx.lap, event)])[0]


def publish_all(tx: Tx, events: Sequence[tuple[int | None, Event]]) -> list[int]:
    """Write events, each in its lap, and their deliveries in the caller's transaction; return their ids."""
    if not events:
        return []
    numbers = sql.reserve_ids(tx, tables.event, len(events))
    rows = [
        {
            "id": number,
            "type": str(event.type),
            "aggregate": event.aggregate,
            "payload": dict(event.payload),
            "actor": event.actor or tx.actor,
            "lap_id": lap,
            "published_at_us": tx.now_us,
        }
        for number, (lap, event) in zip(numbers, events, strict=True)
    ]
    fan_out = [
        {
            "event_id": number,
            "subscriber": name,
            "state": DeliveryState.PENDING,
            "attempts": 0,
            "next_attempt_at_us": tx.now_us,
        }
        for number, (_, event) in zip(numbers, events, strict=True)
        for name in tx.routes.get(event.type, ())
    ]
    sql.insert_many(tx, tables.event, rows)
    sql.insert_many(tx, tables.delivery, fan_out)
    tx.published.extend(numbers)
    return numbers
