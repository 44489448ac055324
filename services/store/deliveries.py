"""Queries of the outbox: which deliveries are due, whose they are for a moment, and how many wait.

Stands under the event bus (L2). Everything that is asked of what is under way reads a partial index, so that
it costs the same whatever has been delivered. It never runs a handler and never decides about a failure.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    and_,
    bindparam,
    cast,
    func,
    literal_column,
    or_,
    select,
)

from services.domain.states import DeliveryState
from services.store import sql
from services.store.sql import Row
from services.store.tables import delivery, event
from services.store.tx import Store, Tx

CLAIMS = 0x6E616372
"""First key of the advisory locks under which deliveries are prepared; the second is the delivery's."""
CLAIM_KEYS = 2**31


def _is(table: FromClause, state: DeliveryState) -> ColumnElement[bool]:
    """Return the condition of the partial indexes, spelt out as they are."""
    return table.c.state == literal_column(f"'{state}'")


def _is_failing(table: FromClause) -> ColumnElement[bool]:
    return and_(_is(table, DeliveryState.PENDING), table.c.attempts > literal_column("0"))


_failing = delivery.alias("failing")
_failing_event = event.alias("failing_event")
_held = (
    select(
        _failing.c.subscriber,
        _failing_event.c.aggregate,
        func.min(_failing.c.event_id).label("first_event_id"),
    )
    .join(_failing_event, _failing_event.c.id == _failing.c.event_id)
    .where(_is_failing(_failing))
    .group_by(_failing.c.subscriber, _failing_event.c.aggregate)
    .subquery("held")
)
_is_held = and_(
    _held.c.subscriber == delivery.c.subscriber,
    _held.c.aggregate == event.c.aggregate,
    _held.c.first_event_id < delivery.c.event_id,
)
_COLUMNS = (
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
    select(_failing.c.event_id)
    .where(_is_failing(_failing))
    .order_by(_failing.c.event_id)
    .limit(literal_column("1"))
    .scalar_subquery()
    .label("first_failing_id"),
)
_is_due = and_(
    _is(delivery, DeliveryState.PENDING),
    or_(delivery.c.attempts == literal_column("0"), delivery.c.next_attempt_at_us <= bindparam("now_us")),
)
_is_of_others = delivery.c.subscriber.not_in(bindparam("subscribers", expanding=True))


def _due(*conditions: ColumnElement[bool], is_orderly: bool) -> Select[*tuple[object, ...]]:
    """Return the query of what is due, oldest event first; orderly is without what a failing one holds."""
    source = delivery.join(event, event.c.id == delivery.c.event_id)
    if is_orderly:
        source = source.outerjoin(_held, _is_held)
        conditions = (*conditions, _held.c.first_event_id.is_(None))
    return (
        select(*_COLUMNS)
        .select_from(source)
        .where(_is_due, *conditions)
        .order_by(delivery.c.event_id, delivery.c.id)
        .limit(bindparam("limit"))
    )


DUE = _due(is_orderly=False)
DUE_ORDERLY = _due(is_orderly=True)
DUE_EXCEPT = _due(_is_of_others, is_orderly=False)
DUE_EXCEPT_ORDERLY = _due(_is_of_others, is_orderly=True)


def due(tx: Tx, limit: int) -> list[Row]:
    """Return deliveries whose time has come, oldest event first, with their events.

    What comes after a failing delivery of the same subscriber and aggregate is left out; only where anything
    fails at all is that looked up. A delivery that has not been tried is due whatever the clock of the
    process that published it said.
    """
    found = sql.listed(tx, DUE, now_us=tx.now_us, limit=limit)
    if not _may_be_held(found):
        return found
    return sql.listed(tx, DUE_ORDERLY, now_us=tx.now_us, limit=limit)


def due_except(tx: Tx, subscribers: Sequence[str], limit: int) -> list[Row]:
    """Return the same of all subscribers but these (one at least)."""
    given = {"now_us": tx.now_us, "limit": limit, "subscribers": list(subscribers)}
    found = sql.listed(tx, DUE_EXCEPT, **given)
    if not _may_be_held(found):
        return found
    return sql.listed(tx, DUE_EXCEPT_ORDERLY, **given)


def _may_be_held(found: Sequence[Row]) -> bool:
    """Tell whether any of these comes after a delivery that fails; most of the time nothing fails."""
    first_failing_id = found[-1]["first_failing_id"] if found else None
    return first_failing_id is not None and first_failing_id < found[-1]["event_id"]


# --- whose a delivery is


_asked = and_(
    delivery.c.id.in_(bindparam("ids", expanding=True)),
    _is(delivery, DeliveryState.PENDING),
    delivery.c.attempts == bindparam("attempts_seen", type_=Integer()),
)
FREE = select(delivery.c.id).where(_asked).with_for_update(skip_locked=True, key_share=True)
_marked = delivery.update().values(
    state=DeliveryState.DELIVERED,
    attempts=delivery.c.attempts + 1,
    delivered_at_us=bindparam("now_us", type_=BigInteger()),
)
MARK = {False: _marked.where(_asked), True: _marked.where(delivery.c.id.in_(FREE))}
"""By whether the engine is PostgreSQL: there it passes over rows that another transaction holds."""
CLAIM = select(
    delivery.c.id,
    func.pg_try_advisory_xact_lock(
        cast(literal_column(str(CLAIMS)), Integer), cast(delivery.c.id % CLAIM_KEYS, Integer)
    ).label("is_mine"),
).where(delivery.c.id.in_(bindparam("ids", expanding=True)), _is(delivery, DeliveryState.PENDING))


def mark(tx: Tx, tried: Mapping[int, int]) -> bool:
    """Mark deliveries as delivered; tell whether all were as expected and nobody else had one in hand.

    `tried` maps each delivery to the number of attempts it was seen with. Where the answer is no, the
    transaction must be rolled back.
    """
    statement = MARK[tx.is_postgresql]
    marked = sum(
        sql.change(tx, statement, ids=ids, attempts_seen=attempts, now_us=tx.now_us)
        for attempts, ids in _by_attempts(tried)
    )
    return marked == len(tried)


def free(tx: Tx, tried: Mapping[int, int]) -> set[int]:
    """Return those that are as expected and that nobody else has in hand at this instant."""
    return {
        row["id"]
        for attempts, ids in _by_attempts(tried)
        for row in sql.listed(tx, FREE, ids=ids, attempts_seen=attempts)
    }


def _by_attempts(tried: Mapping[int, int]) -> list[tuple[int, list[int]]]:
    found: dict[int, list[int]] = {}
    for number, attempts in tried.items():
        found.setdefault(attempts, []).append(number)
    return list(found.items())


@contextmanager
def claimed(store: Store, ids: Collection[int]) -> Iterator[set[int]]:
    """Yield those of the deliveries that no other process prepares, and keep them until the block ends.

    On PostgreSQL by locks of a transaction that holds neither a row nor a snapshot and goes with its
    connection. On SQLite, where one process writes at a time, all of them. A claim only saves work: what
    makes a delivery be handled once is `mark`.
    """
    if store.engine.dialect.name != "postgresql":
        yield set(ids)
        return
    with store.engine.connect() as connection, connection.begin() as transaction:
        tx = Tx(connection, store.clock.now_us(), "system:bus", None, {})
        yield {row["id"] for row in sql.listed(tx, CLAIM, ids=list(ids)) if row["is_mine"]}
        transaction.rollback()


# --- how many wait


def _first(condition: ColumnElement[bool], key: ColumnElement[int]) -> Select[*tuple[object, ...]]:
    return select(delivery.c.subscriber).where(condition).order_by(key).limit(bindparam("limit"))


_oldest_pending = _first(_is(delivery, DeliveryState.PENDING), delivery.c.event_id).subquery("oldest")
PENDING_BY_SUBSCRIBER = (
    select(_oldest_pending.c.subscriber, func.count().label("count"))
    .group_by(_oldest_pending.c.subscriber)
    .order_by(_oldest_pending.c.subscriber)
)
FAILING = select(func.count()).select_from(_first(_is_failing(delivery), delivery.c.event_id).subquery())
DEAD = select(func.count()).select_from(_first(_is(delivery, DeliveryState.DEAD), delivery.c.id).subquery())
OLDEST = (
    select(event.c.published_at_us)
    .join(delivery, delivery.c.event_id == event.c.id)
    .where(_is(delivery, DeliveryState.PENDING))
    .order_by(delivery.c.event_id)
    .limit(literal_column("1"))
)


def pending_by_subscriber(tx: Tx, limit: int) -> dict[str, int]:
    """Return how many of the oldest `limit` deliveries under way each subscriber has."""
    return {row["subscriber"]: row["count"] for row in sql.listed(tx, PENDING_BY_SUBSCRIBER, limit=limit)}


def failing_count(tx: Tx, limit: int) -> int:
    """Return how many deliveries under way have failed before, counted up to `limit`."""
    return int(sql.value(tx, FAILING, limit=limit))


def dead_count(tx: Tx, limit: int) -> int:
    """Return how many deliveries were tried as often as allowed, counted up to `limit`."""
    return int(sql.value(tx, DEAD, limit=limit))


def oldest_published_us(tx: Tx) -> int | None:
    """Return when the oldest event still under way was published; None when nothing is."""
    found: int | None = sql.value(tx, OLDEST)
    return found


# --- dead letters

DEAD_IDS = {
    (is_of_subscriber, is_of_type): select(delivery.c.id)
    .join(event, event.c.id == delivery.c.event_id)
    .where(
        _is(delivery, DeliveryState.DEAD),
        *([delivery.c.subscriber == bindparam("subscriber_name")] if is_of_subscriber else []),
        *([event.c.type == bindparam("event_type")] if is_of_type else []),
    )
    .order_by(delivery.c.id)
    .limit(bindparam("limit"))
    for is_of_subscriber in (False, True)
    for is_of_type in (False, True)
}


def dead_ids(tx: Tx, subscriber: str | None, event_type: str | None, limit: int) -> list[int]:
    """Return the oldest dead deliveries, of one subscriber and of one event type where they are given."""
    given: dict[str, object] = {"limit": limit}
    if subscriber is not None:
        given["subscriber_name"] = subscriber
    if event_type is not None:
        given["event_type"] = event_type
    statement = DEAD_IDS[subscriber is not None, event_type is not None]
    return [row["id"] for row in sql.listed(tx, statement, **given)]
