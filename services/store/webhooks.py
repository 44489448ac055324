"""Queries of webhooks: who listens, what is due to whom, which events stand behind a mark.

Stands under the record of webhooks. Each asks an index; how much waits in a queue is counted up to a bound.
It never sends anything and never decides whether an event is wanted.
"""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Select, bindparam, func, select

from services.domain.states import DeliveryState
from services.store import notices, sql
from services.store.sql import Row
from services.store.tables import event, webhook, webhook_delivery
from services.store.tx import Tx

IS_LISTENING = webhook.c.is_active.is_(True) & webhook.c.deleted_at_us.is_(None)
LISTENING = select(webhook).where(IS_LISTENING).order_by(webhook.c.id)
LIVE_COUNT = select(func.count()).select_from(webhook).where(webhook.c.deleted_at_us.is_(None))
EVENTS: Select[Any] = select(
    event.c.id,
    event.c.type,
    event.c.aggregate,
    event.c.payload,
    event.c.actor,
    event.c.lap_id,
    event.c.published_at_us,
).order_by(event.c.id)
EVENTS_BETWEEN = EVENTS.where(event.c.id > bindparam("after"), event.c.id <= bindparam("until")).limit(
    bindparam("limit")
)
EVENTS_AMONG = EVENTS.where(event.c.id.in_(bindparam("ids", expanding=True)))
IS_PENDING = webhook_delivery.c.state == DeliveryState.PENDING
WAITING = select(func.count()).select_from(
    select(webhook_delivery.c.id)
    .where(webhook_delivery.c.webhook_id == bindparam("webhook_id"), IS_PENDING)
    .limit(bindparam("limit"))
    .subquery()
)
FIRST_DUE_US = (
    select(func.min(webhook_delivery.c.next_attempt_at_us))
    .where(webhook_delivery.c.webhook_id == webhook.c.id, IS_PENDING)
    .scalar_subquery()
)
READY = (
    select(webhook, FIRST_DUE_US.label("due_us"))
    .where(IS_LISTENING, func.coalesce(webhook.c.quiet_until_us, 0) <= bindparam("now_us"))
    .order_by(FIRST_DUE_US, webhook.c.id)
)
DUE = (
    select(webhook_delivery)
    .where(
        webhook_delivery.c.webhook_id == bindparam("webhook_id"),
        IS_PENDING,
        webhook_delivery.c.next_attempt_at_us <= bindparam("now_us"),
    )
    .order_by(webhook_delivery.c.next_attempt_at_us, webhook_delivery.c.id)
    .limit(bindparam("limit"))
)
LOWEST_EVENT = select(func.min(webhook_delivery.c.event_id)).where(
    webhook_delivery.c.webhook_id == bindparam("webhook_id")
)
NEWEST_DELIVERY = select(func.max(webhook_delivery.c.id)).scalar_subquery()
OLD = (
    select(webhook_delivery.c.id)
    .where(
        webhook_delivery.c.state.in_([DeliveryState.DELIVERED, DeliveryState.DISCARDED]),
        webhook_delivery.c.created_at_us < bindparam("before_us"),
        webhook_delivery.c.id < NEWEST_DELIVERY,
    )
    .order_by(webhook_delivery.c.id)
    .limit(bindparam("limit"))
)
DELETE = webhook_delivery.delete().where(webhook_delivery.c.id.in_(bindparam("ids", expanding=True)))


def listening(tx: Tx) -> list[Row]:
    """Return the webhooks that are active, oldest first."""
    return sql.listed(tx, LISTENING)


def live_count(tx: Tx) -> int:
    """Return how many webhooks there are, paused ones included."""
    return int(sql.value(tx, LIVE_COUNT) or 0)


def events_between(tx: Tx, after: int, until: int, limit: int) -> list[Row]:
    """Return events with ids in (after, until] as the outbox holds them, oldest first."""
    return sql.listed(tx, EVENTS_BETWEEN, after=after, until=until, limit=limit)


def events_among(tx: Tx, event_ids: Collection[int]) -> list[Row]:
    """Return those of these events that are there (one id at least)."""
    return sql.listed(tx, EVENTS_AMONG, ids=list(event_ids))


def newest_event(tx: Tx) -> int:
    """Return the id of the newest event, 0 before the first."""
    return notices.newest_event(tx)


def waiting_count(tx: Tx, webhook_id: int, limit: int) -> int:
    """Return how many deliveries wait for a webhook, counted up to `limit`."""
    return int(sql.value(tx, WAITING, webhook_id=webhook_id, limit=limit) or 0)


def ready(tx: Tx) -> list[Row]:
    """Return active webhooks that do not rest and have something due (since `due_us`), longest first."""
    found = sql.listed(tx, READY, now_us=tx.now_us)
    return [row for row in found if row["due_us"] is not None and row["due_us"] <= tx.now_us]


def due(tx: Tx, webhook_id: int, limit: int) -> list[Row]:
    """Return deliveries to one webhook whose time has come, longest due first."""
    return sql.listed(tx, DUE, webhook_id=webhook_id, now_us=tx.now_us, limit=limit)


def lowest_event(tx: Tx, webhook_id: int) -> int:
    """Return the lowest event id of a webhook's deliveries, at most 0: pings count downwards."""
    return min(0, int(sql.value(tx, LOWEST_EVENT, webhook_id=webhook_id) or 0))


def prune(tx: Tx, before_us: int, limit: int) -> int:
    """Delete deliveries that ended well or were given up and were made before; return how many.

    The newest row stays, so that no id is ever given twice (see `sql.reserve_ids`).
    """
    ids = [row["id"] for row in sql.listed(tx, OLD, before_us=before_us, limit=limit)]
    return sql.change(tx, DELETE, ids=ids) if ids else 0
