"""Read models of events as they go out: the feed, the webhooks, and the deliveries to one of them.

Stands in the store beside the bus (L2). A secret is never in them: it is derived where it is shown. It never
writes.
"""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import func, select

from services.domain import cloud_events
from services.domain.events import EventType
from services.domain.states import DeliveryState
from services.store import deployment
from services.store.sql import Row, rows
from services.store.tables import event, webhook, webhook_delivery
from services.store.tx import Tx
from services.store.views.paging import LIMIT_DEFAULT, JsonObject, Page, at, fetch_page

AGENTS_TYPES = sorted(str(kind) for kind in cloud_events.FOR_AGENTS)


@dataclass(frozen=True, slots=True)
class EventsAsked:
    """Which events: of one type, about one aggregate, in one lap, behind one event id; None means any."""

    kind: EventType | None = None
    subject: str | None = None
    lap_id: int | None = None
    after: int | None = None


def list_events(
    tx: Tx,
    asked: EventsAsked,
    *,
    is_for_operator: bool,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
    oldest_first: bool = False,
) -> Page:
    """Return a page of events as CloudEvents; others than the operator see what is theirs to see."""
    statement = select(event)
    if not is_for_operator:
        statement = statement.where(event.c.type.in_(AGENTS_TYPES))
    wanted = ((event.c.type, asked.kind), (event.c.aggregate, asked.subject), (event.c.lap_id, asked.lap_id))
    for column, value in wanted:
        if value is not None:
            statement = statement.where(column == value)
    if asked.after is not None:
        statement = statement.where(event.c.id > asked.after)
    found, following = fetch_page(
        tx, statement, event.c.id, limit=limit, cursor=cursor, oldest_first=oldest_first
    )
    source = deployment.origin(tx, "")
    items = [cloud_events.cloud_event(row, source, is_for_operator=is_for_operator) for row in found]
    return {"items": items, "next_cursor": following}


def list_webhooks(
    tx: Tx, *, limit: int = LIMIT_DEFAULT, cursor: str | None = None, oldest_first: bool = False
) -> Page:
    """Return a page of the webhooks that are not deleted, each with its deliveries counted by state."""
    statement = select(webhook).where(webhook.c.deleted_at_us.is_(None))
    found, following = fetch_page(
        tx, statement, webhook.c.id, limit=limit, cursor=cursor, oldest_first=oldest_first
    )
    counts = _counts(tx, [row["id"] for row in found])
    return {"items": [_webhook(row, counts) for row in found], "next_cursor": following}


def get_webhook(tx: Tx, webhook_id: int) -> JsonObject | None:
    """Return one webhook, or None when there is none or it was deleted."""
    statement = select(webhook).where(webhook.c.id == webhook_id, webhook.c.deleted_at_us.is_(None))
    found = rows(tx, statement)
    return _webhook(found[0], _counts(tx, [webhook_id])) if found else None


def list_webhook_deliveries(
    tx: Tx,
    webhook_id: int,
    *,
    state: DeliveryState | None = None,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
    oldest_first: bool = False,
) -> Page:
    """Return a page of deliveries to one webhook, with what came of the last try of each."""
    statement = select(webhook_delivery, event.c.type.label("event_type")).join(
        event, event.c.id == webhook_delivery.c.event_id, isouter=True
    )
    statement = statement.where(webhook_delivery.c.webhook_id == webhook_id)
    if state is not None:
        statement = statement.where(webhook_delivery.c.state == state)
    found, following = fetch_page(
        tx, statement, webhook_delivery.c.id, limit=limit, cursor=cursor, oldest_first=oldest_first
    )
    return {"items": [_delivery(row) for row in found], "next_cursor": following}


def _counts(tx: Tx, webhook_ids: Collection[int]) -> dict[int, dict[str, int]]:
    statement = (
        select(webhook_delivery.c.webhook_id, webhook_delivery.c.state, func.count().label("count"))
        .where(webhook_delivery.c.webhook_id.in_(webhook_ids))
        .group_by(webhook_delivery.c.webhook_id, webhook_delivery.c.state)
    )
    counts: dict[int, dict[str, int]] = {}
    for row in rows(tx, statement):
        counts.setdefault(row["webhook_id"], {})[row["state"]] = row["count"]
    return counts


def _webhook(row: Row, counts: dict[int, dict[str, int]]) -> JsonObject:
    of_this = counts.get(row["id"], {})
    return {
        "webhook_id": row["id"],
        "url": row["url"],
        "types": row["types"],
        "description": row["description"],
        "is_active": row["is_active"],
        "pause_reason": row["pause_reason"],
        "failures_in_a_row": row["failures"],
        "quiet_until": at(row["quiet_until_us"]),
        "is_behind": row["behind_id"] is not None,
        "secret_version": row["secret_version"],
        "rotated_at": at(row["rotated_at_us"]),
        "created_by": row["created_by"],
        "created_at": at(row["created_at_us"]),
        "deliveries": {str(state): of_this.get(state, 0) for state in DeliveryState},
    }


def _delivery(row: Row) -> JsonObject:
    is_ping = row["event_id"] < 0
    kind = row["event_type"]
    return {
        "delivery_id": row["id"],
        "event_id": None if is_ping else row["event_id"],
        "type": cloud_events.PING if is_ping else kind and cloud_events.type_name(kind),
        "state": row["state"],
        "attempts": row["attempts"],
        "last_status": row["last_status"],
        "last_error": row["last_error"],
        "created_at": at(row["created_at_us"]),
        "next_attempt_at": at(row["next_attempt_at_us"]) if row["state"] == DeliveryState.PENDING else None,
        "delivered_at": at(row["delivered_at_us"]),
    }
