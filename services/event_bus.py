"""Layer 2, the event bus: durable events, delivered at least once, handled once per subscriber.

`publish` writes the event and one delivery per subscriber in the caller's own transaction. The dispatcher
hands each delivery to its handler in a transaction that also marks it delivered, so that a handled event
cannot be handled again; a failing handler rolls back only itself, is retried with back-off, and ends as a
dead letter that an operator can see and replay. It never decides who hears what: `services.loop` does.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from services.domain.clock import SECOND_US
from services.domain.errors import ConflictError
from services.domain.events import DeliveredEvent, Event, EventType
from services.domain.states import DeliveryState
from services.store import deliveries, sql, tables
from services.store.sql import Row
from services.store.tx import Store, Tx

MAXIMUM_ATTEMPTS = 16
FIRST_RETRY_US = SECOND_US // 2
LONGEST_RETRY_US = 600 * SECOND_US
BATCH = 256
PREPARED_BATCH = 32
"""Deliveries prepared at a time; more of them follow in the same run only while preparing is quick."""
PREPARING_US = SECOND_US // 2
FAILURE_TEXT_LIMIT = 2_000
SAFETY_POLL_SECONDS = 0.5
PREPARING_THREADS = 8

T = TypeVar("T")
Prepare = Callable[[Store, Sequence[DeliveredEvent], Executor | None], Sequence[object]]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Subscriber:
    """Who hears which events and what it does.

    `prepare` runs outside any transaction (slow or remote work) on many events; what it answers for each is
    given to `handle`, which runs in the transaction that marks the delivery as done. `handle_many` does the
    same for many deliveries in one transaction, once for the events of each lap; when it fails, each is
    handled by itself.
    """

    name: str
    hears: tuple[EventType, ...]
    handle: Callable[[Tx, DeliveredEvent, object], None]
    prepare: Prepare | None = None
    handle_many: Callable[[Tx, Sequence[tuple[DeliveredEvent, object]]], None] | None = None


class _AlreadyHandledError(Exception):
    """Another process has handled this delivery."""


def routes_of(subscribers: Mapping[str, Subscriber]) -> dict[str, tuple[str, ...]]:
    """Return `event type → subscriber names`, which `publish` fans out by."""
    return {
        str(kind): tuple(name for name, subscriber in subscribers.items() if kind in subscriber.hears)
        for kind in EventType
    }


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


def failure_text(error: BaseException) -> str:
    """Return what is kept of an error: type and message, cut, without characters a database refuses."""
    text = f"{type(error).__name__}: {error}"[:FAILURE_TEXT_LIMIT]
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def retry_delay_us(attempts: int) -> int:
    """Return the pause after `attempts` failures: doubling from 0.5 s up to 10 min."""
    return min(LONGEST_RETRY_US, FIRST_RETRY_US << min(max(0, attempts - 1), 32))


def deliver_due(store: Store, subscribers: Mapping[str, Subscriber], executor: Executor | None = None) -> int:
    """Deliver one batch of what is due and return how many deliveries were tried.

    Deliveries are taken in the order of their events, those to one subscriber together where it takes many.
    Where preparing them is slow, what has been prepared so far is handled and the others stay due.
    """
    tried = 0
    for name, due in _together(subscribers, _due(store, subscribers)):
        subscriber = subscribers.get(name)
        prepared = _prepared(store, subscriber, due, executor)
        rows = due[: len(prepared)]
        if subscriber is None or len(rows) == 1 or not _deliver_many(store, subscriber, rows, prepared):
            for row, ready in zip(rows, prepared, strict=True):
                _deliver(store, subscriber, row, ready)
        tried += len(rows)
    return tried


def _due(store: Store, subscribers: Mapping[str, Subscriber]) -> list[Row]:
    """Return a batch of what is due; where it is full, also one of what needs no preparing.

    So a backlog of one that prepares slowly does not keep the others from theirs.
    """
    slow = [name for name, subscriber in subscribers.items() if subscriber.prepare is not None]
    with store.read(actor="system:bus") as tx:
        due = deliveries.due(tx, BATCH)
        if len(due) < BATCH or not slow:
            return due
        taken = {row["delivery_id"] for row in due}
        others = deliveries.due_except(tx, slow, BATCH)
        return due + [row for row in others if row["delivery_id"] not in taken]


def _together(subscribers: Mapping[str, Subscriber], due: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """Return runs of deliveries by subscriber; one that takes many gets all of its own at once."""
    runs: list[tuple[str, list[Row]]] = []
    many: dict[str, list[Row]] = {}
    for row in due:
        name = row["subscriber"]
        if name in many:
            many[name].append(row)
            continue
        runs.append((name, [row]))
        if name in subscribers and subscribers[name].handle_many is not None:
            many[name] = runs[-1][1]
    return runs


def drain(store: Store, subscribers: Mapping[str, Subscriber], *, limit: int = 10_000) -> int:
    """Deliver until nothing is due; return how many deliveries were tried."""
    total = 0
    while total < limit and (count := deliver_due(store, subscribers)):
        total += count
    return total


@dataclass
class Dispatcher:
    """Delivers in a thread of its own: at once when this process published, else within half a second."""

    store: Store
    subscribers: Mapping[str, Subscriber]
    _wake: threading.Event = field(default_factory=threading.Event)
    _is_stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self.store.listeners.append(self._wake.set)
        self._thread = threading.Thread(target=self._run, name="event-bus", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End after the delivery under way."""
        if self._wake.set in self.store.listeners:
            self.store.listeners.remove(self._wake.set)
        self._is_stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def _run(self) -> None:
        with ThreadPoolExecutor(PREPARING_THREADS, thread_name_prefix="prepare") as executor:
            while not self._is_stopping.is_set():
                self._wake.wait(SAFETY_POLL_SECONDS)
                self._wake.clear()
                self._deliver_all(executor)

    def _deliver_all(self, executor: Executor) -> None:
        try:
            while not self._is_stopping.is_set():
                if not deliver_due(self.store, self.subscribers, executor):
                    return
        except Exception:  # named edge: bus delivery (the database itself refused)
            log.exception("events could not be delivered")


def replay_dead(tx: Tx, delivery_id: int) -> None:
    """Put a dead letter back in line; raise ConflictError when it is not dead."""
    changed = sql.update(
        tx,
        tables.delivery,
        {"id": delivery_id, "state": DeliveryState.DEAD},
        state=DeliveryState.PENDING,
        attempts=0,
        next_attempt_at_us=tx.now_us,
    )
    if not changed:
        msg = f"delivery {delivery_id} is not a dead letter"
        raise ConflictError(msg, field="delivery_id")
    tx.published.append(0)


@dataclass(frozen=True, slots=True)
class Failure:
    """What a preparation raised, carried to where failures are recorded."""

    error: Exception


def each(executor: Executor | None, function: Callable[[T], object], items: Iterable[T]) -> list[object]:
    """Return what the function says of every item, or its Failure; slow calls overlap in the executor."""

    def attempt(item: T) -> object:
        try:
            return function(item)
        except Exception as error:  # noqa: BLE001 (named edge: recorded on the delivery)
            return Failure(error)

    return list(map(attempt, items) if executor is None else executor.map(attempt, items))


def _prepared(
    store: Store, subscriber: Subscriber | None, rows: Sequence[Row], executor: Executor | None
) -> Sequence[object]:
    """Return the prepared input of each delivery, in order; of the first ones only where that is slow."""
    if subscriber is None or subscriber.prepare is None:
        return [None] * len(rows)
    prepared: list[object] = []
    ends_us = store.clock.now_us() + PREPARING_US
    while len(prepared) < len(rows) and (not prepared or store.clock.now_us() < ends_us):
        part = rows[len(prepared) : len(prepared) + PREPARED_BATCH]
        prepared += _prepared_part(store, subscriber.prepare, [_event_of(row) for row in part], executor)
    return prepared


def _prepared_part(
    store: Store, prepare: Prepare, events: Sequence[DeliveredEvent], executor: Executor | None
) -> list[object]:
    """Prepare events together; where that raises, each by itself, so that it fails only for its cause."""
    try:
        found = list(prepare(store, events, executor))
        if len(found) != len(events):
            msg = f"{len(events)} events were prepared as {len(found)}"
            raise ValueError(msg)  # noqa: TRY301 (recorded like any other failure)
    except Exception as error:  # noqa: BLE001 (named edge: recorded on the delivery)
        if len(events) == 1:
            return [Failure(error)]
        return [ready for event in events for ready in _prepared_part(store, prepare, [event], executor)]
    return found


def _deliver_many(
    store: Store, subscriber: Subscriber, rows: Sequence[Row], prepared: Sequence[object]
) -> bool:
    """Handle deliveries in one transaction; False when that failed and each must be handled by itself."""
    if subscriber.handle_many is None or any(isinstance(ready, Failure) for ready in prepared):
        return False
    marks = [{"id": row["delivery_id"], "attempts": row["attempts"] + 1} for row in rows]
    try:
        with store.write(actor=f"system:{subscriber.name}") as tx:
            delivered = [
                {**mark, "state": DeliveryState.DELIVERED, "delivered_at_us": tx.now_us} for mark in marks
            ]
            pending = {"state": DeliveryState.PENDING}
            if sql.update_many(tx, tables.delivery, ("id",), delivered, pending) != len(rows):
                raise _AlreadyHandledError  # noqa: TRY301 (each is looked at by itself below)
            for lap, items in _by_lap(rows, prepared).items():
                subscriber.handle_many(tx.in_lap(lap), items)
    except Exception as error:  # noqa: BLE001 (named edge: bus delivery)
        log.info(
            "%d deliveries to %s are handled one by one: %s", len(rows), subscriber.name, failure_text(error)
        )
        return False
    return True


def _by_lap(
    rows: Sequence[Row], prepared: Sequence[object]
) -> dict[int | None, list[tuple[DeliveredEvent, object]]]:
    """Return the events with what was prepared of them, by lap, in the order of each lap's first event."""
    found: dict[int | None, list[tuple[DeliveredEvent, object]]] = {}
    for row, ready in zip(rows, prepared, strict=True):
        found.setdefault(row["lap_id"], []).append((_event_of(row), ready))
    return found


def _deliver(store: Store, subscriber: Subscriber | None, row: Row, prepared: object) -> None:
    """Handle one delivery in its own transaction, or record why it could not be."""
    try:
        if subscriber is None:
            msg = f"nobody is called {row['subscriber']!r}"
            raise LookupError(msg)  # noqa: TRY301 (recorded below like any other failure)
        if isinstance(prepared, Failure):
            raise prepared.error  # noqa: TRY301 (recorded below like any other failure)
        with (
            suppress(_AlreadyHandledError),
            store.write(actor=f"system:{subscriber.name}", lap=row["lap_id"]) as tx,
        ):
            _mark_delivered(tx, row)
            subscriber.handle(tx, _event_of(row), prepared)
    except Exception as error:  # noqa: BLE001 (named edge: bus delivery)
        log.warning(
            "delivery %s to %s failed: %s", row["delivery_id"], row["subscriber"], failure_text(error)
        )
        _record_failure(store, row, error)


def _mark_delivered(tx: Tx, row: Row) -> None:
    changed = sql.update(
        tx,
        tables.delivery,
        {"id": row["delivery_id"], "state": DeliveryState.PENDING},
        state=DeliveryState.DELIVERED,
        attempts=row["attempts"] + 1,
        delivered_at_us=tx.now_us,
    )
    if not changed:
        raise _AlreadyHandledError


def _record_failure(store: Store, row: Row, error: Exception) -> None:
    """Count the failed try, unless another process has tried this delivery meanwhile."""
    attempts = row["attempts"] + 1
    is_dead = attempts >= MAXIMUM_ATTEMPTS
    with store.write(actor="system:bus") as tx:
        sql.update(
            tx,
            tables.delivery,
            {"id": row["delivery_id"], "state": DeliveryState.PENDING, "attempts": row["attempts"]},
            state=DeliveryState.DEAD if is_dead else DeliveryState.PENDING,
            attempts=attempts,
            next_attempt_at_us=tx.now_us + retry_delay_us(attempts),
            last_error=failure_text(error),
        )


def _event_of(row: Row) -> DeliveredEvent:
    return DeliveredEvent(
        row["event_id"],
        EventType(row["type"]),
        row["aggregate"],
        row["payload"],
        row["actor"],
        row["lap_id"],
        row["published_at_us"],
    )
