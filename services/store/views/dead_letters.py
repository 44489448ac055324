"""Read model of dead letters: deliveries that failed as often as allowed, with the events they carry.

Stands in the store beside the bus (L2). It never replays or discards anything.
"""

from typing import Any

from sqlalchemy import Select, select

from services.domain.states import DeliveryState
from services.store.sql import Row, rows
from services.store.tables import delivery, event
from services.store.tx import Tx
from services.store.views.paging import LIMIT_DEFAULT, JsonObject, Page, at, fetch_page


def list_dead_letters(
    tx: Tx,
    *,
    subscriber: str | None = None,
    event_type: str | None = None,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
    oldest_first: bool = False,
) -> Page:
    """Return a page of deliveries that were tried as often as allowed, with the events they carry."""
    statement = _letters().where(delivery.c.state == DeliveryState.DEAD)
    if subscriber is not None:
        statement = statement.where(delivery.c.subscriber == subscriber)
    if event_type is not None:
        statement = statement.where(event.c.type == event_type)
    found, following = fetch_page(
        tx, statement, delivery.c.id, limit=limit, cursor=cursor, oldest_first=oldest_first
    )
    return {"items": [_shown(row) for row in found], "next_cursor": following}


def get_dead_letter(tx: Tx, delivery_id: int) -> JsonObject | None:
    """Return one delivery that is dead, or was: its event with the payload, its tries and its last error.

    None for one that has never failed, or does not exist.
    """
    statement = _letters().where(delivery.c.id == delivery_id, delivery.c.last_error.is_not(None))
    found = rows(tx, statement)
    return _shown(found[0]) if found else None


def _letters() -> Select[Any]:
    return select(
        delivery.c.id,
        delivery.c.event_id,
        delivery.c.subscriber,
        delivery.c.state,
        delivery.c.attempts,
        delivery.c.last_error,
        event.c.type.label("event_type"),
        event.c.aggregate,
        event.c.payload,
        event.c.lap_id,
        event.c.published_at_us,
    ).join(event, event.c.id == delivery.c.event_id)


def _shown(row: Row) -> JsonObject:
    return {
        "delivery_id": row["id"],
        "state": row["state"],
        "event_id": row["event_id"],
        "event_type": row["event_type"],
        "aggregate": row["aggregate"],
        "payload": row["payload"],
        "lap_id": row["lap_id"],
        "subscriber": row["subscriber"],
        "attempts": row["attempts"],
        "last_error": row["last_error"],
        "published_at": at(row["published_at_us"]),
    }
