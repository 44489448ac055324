"""Pruning: old ticks, idempotency keys and delivered events are deleted, so many in one transaction at most.

Stands under the platform's own jobs. An event goes when nothing wants it any more: every delivery of it was
made or given up and is old, no webhook waits for it and every reader that follows the outbox is past it. The
feed of webhooks stands still where nobody listens and then holds nothing back: what a paused webhook missed
is kept for as long as any event, and no longer. The newest row of a table stays, so that no id is ever given
twice (see `sql.reserve_ids`). It never touches tasks, money or the ledger.
"""

from itertools import takewhile

from sqlalchemy import (
    ColumnElement,
    ScalarSelect,
    Table,
    and_,
    delete,
    exists,
    func,
    or_,
    select,
    tuple_,
)

from services.domain.states import DeliveryState, TickState
from services.store import sql
from services.store.sql import rows
from services.store.tables import (
    cron_tick,
    delivery,
    event,
    feed_mark,
    idempotency,
    webhook,
    webhook_delivery,
)
from services.store.tx import Tx
from services.store.webhooks import IS_LISTENING

WINDOW = 1_000
"""Events looked at together, oldest first."""
WINDOWS_HIGHEST = 50
"""Windows of one transaction: so many old events that must stay may lie before those that may go."""
WEBHOOKS = "webhooks"
"""The mark of the feed of webhooks."""
READ_TO = ("newest", "after")
"""What a reader's mark calls the id up to which it has read the outbox."""


def prune(
    tx: Tx, *, ticks_before_us: int, keys_before_us: int, events_before_us: int, limit: int
) -> dict[str, int]:
    """Delete what is old, up to about `limit` rows of each kind; return how many.

    Nothing in the answer means that nothing is left to delete.
    """
    deliveries, events = _prune_events(tx, events_before_us, limit)
    return {
        "ticks": _prune_ticks(tx, ticks_before_us, limit),
        "idempotency_keys": _prune_keys(tx, keys_before_us, limit),
        "deliveries": deliveries,
        "events": events,
    }


def _prune_ticks(tx: Tx, before_us: int, limit: int) -> int:
    is_old = and_(
        cron_tick.c.due_at_us < before_us,
        cron_tick.c.state != TickState.RUNNING,
        cron_tick.c.id < _newest(cron_tick),
    )
    oldest = select(cron_tick.c.id).where(is_old).order_by(cron_tick.c.id).limit(limit)
    return tx.connection.execute(delete(cron_tick).where(cron_tick.c.id.in_(oldest))).rowcount


def _prune_keys(tx: Tx, before_us: int, limit: int) -> int:
    key = (idempotency.c.principal, idempotency.c.key)
    some = select(*key).where(idempotency.c.created_at_us < before_us).limit(limit)
    return tx.connection.execute(delete(idempotency).where(tuple_(*key).in_(some))).rowcount


def _prune_events(tx: Tx, before_us: int, limit: int) -> tuple[int, int]:
    """Walk over the oldest events, window by window; return how many deliveries and events were deleted."""
    last_read_id = _read_by_all(tx)
    after_id = deliveries = events = 0
    for _ in range(WINDOWS_HIGHEST):
        statement = select(event.c.id, event.c.published_at_us).where(event.c.id > after_id)
        if last_read_id is not None:
            statement = statement.where(event.c.id <= last_read_id)
        window = rows(tx, statement.order_by(event.c.id).limit(WINDOW))
        old = list(takewhile(lambda row: row["published_at_us"] < before_us, window))
        if not old:
            break
        last_id = old[-1]["id"]
        deliveries += tx.connection.execute(
            delete(delivery).where(
                delivery.c.event_id > after_id, delivery.c.event_id <= last_id, _is_done(before_us)
            )
        ).rowcount
        events += tx.connection.execute(
            delete(event).where(event.c.id > after_id, event.c.id <= last_id, _is_unwanted())
        ).rowcount
        after_id = last_id
        if len(old) < WINDOW or deliveries + events >= limit:
            break
    return deliveries, events


def _is_done(before_us: int) -> ColumnElement[bool]:
    """Return the condition of deliveries that were made or given up before an instant."""
    is_made = and_(delivery.c.state == DeliveryState.DELIVERED, delivery.c.delivered_at_us < before_us)
    is_given_up = and_(delivery.c.state == DeliveryState.DISCARDED, delivery.c.next_attempt_at_us < before_us)
    return and_(or_(is_made, is_given_up), delivery.c.id < _newest(delivery))


def _is_unwanted() -> ColumnElement[bool]:
    """Return the condition of events without a delivery, for which no webhook waits."""
    waited_for = select(webhook_delivery.c.event_id).where(webhook_delivery.c.state == DeliveryState.PENDING)
    return and_(
        event.c.id < _newest(event),
        ~exists().where(delivery.c.event_id == event.c.id),
        event.c.id.not_in(waited_for),
    )


def _read_by_all(tx: Tx) -> int | None:
    """Return the id up to which every reader has read the outbox; None without a reader."""
    listening = select(func.count(), func.min(webhook.c.behind_id)).where(IS_LISTENING)
    listeners, furthest_behind = tx.connection.execute(listening).one()
    marks = {row["name"]: row["marks"] for row in sql.find_all(tx, feed_mark, order_by="name")}
    if not listeners:
        marks.pop(WEBHOOKS, None)
    reached = [int(mark[name]) for mark in marks.values() for name in READ_TO if name in mark]
    if furthest_behind is not None:
        reached.append(int(furthest_behind))
    return min(reached, default=None)


def _newest(table: Table) -> ScalarSelect[int]:
    return select(func.max(table.c.id)).scalar_subquery()
