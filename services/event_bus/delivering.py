"""Delivering: one batch of what is due, each delivery handled once and in order, whoever else delivers.

Stands in the bus (L2) between the outbox and the subscribers. A handler runs in the transaction that marks
its delivery; what another process has in hand, or has changed since it was looked at, is left to it, and so
is all that comes after it in the same aggregate. It never decides who hears what.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto

from services.domain.clock import SECOND_US
from services.domain.events import DeliveredEvent, EventType
from services.domain.states import DeliveryState
from services.event_bus.retries import MAXIMUM_ATTEMPTS, failure_text, retry_delay_us
from services.event_bus.subscribers import Failure, Prepare, Subscriber
from services.store import deliveries, sql, tables
from services.store.sql import Row
from services.store.tx import Store

BATCH = 256
WINDOWS = (BATCH, 2 * BATCH, 4 * BATCH)
"""How far one look reaches; further only where another process has all of it in hand."""
PREPARED_BATCH = 32
"""Deliveries prepared at a time; more of them follow in the same run only while preparing is quick."""
PREPARING_US = SECOND_US // 2
TRIES_TOGETHER = 3
"""How often many are begun together, each time without those that another process was found to have."""

Pair = tuple[Row, object]
"""A delivery with its event, and what was prepared of it."""

log = logging.getLogger(__name__)


class Outcome(Enum):
    """What became of one delivery in this round."""

    DELIVERED = auto()
    FAILED = auto()
    """It waits for its retry and holds back what comes after it."""
    DEAD = auto()
    TAKEN = auto()
    """Another process has it in hand, or has changed it."""


class _TakenError(Exception):
    """Of the deliveries of this transaction, some are not ours; it is rolled back."""


def deliver_due(store: Store, subscribers: Mapping[str, Subscriber], executor: Executor | None = None) -> int:
    """Deliver one batch of what is due and return how many deliveries were tried.

    Deliveries are taken in the order of their events, those to one subscriber together where it takes many.
    Where preparing them is slow, what has been prepared so far is handled and the others stay due. Nothing
    is tried of what other processes have in hand.
    """
    batch = _Round(store, subscribers, executor)
    for window in WINDOWS:
        due = _due(store, subscribers, window)
        for name, rows in _together(subscribers, due):
            batch.deliver(name, rows)
        if batch.tried or not batch.taken or len(due) < window:
            break
    return batch.tried


def drain(store: Store, subscribers: Mapping[str, Subscriber], *, limit: int = 10_000) -> int:
    """Deliver until nothing is due; return how many deliveries were tried."""
    total = 0
    while total < limit and (count := deliver_due(store, subscribers)):
        total += count
    return total


def _due(store: Store, subscribers: Mapping[str, Subscriber], window: int) -> list[Row]:
    """Return a batch of what is due; where it is full, also one of what needs no preparing.

    So a backlog of one that prepares slowly does not keep the others from theirs.
    """
    slow = [name for name, subscriber in subscribers.items() if subscriber.prepare is not None]
    with store.read(actor="system:bus") as tx:
        due = deliveries.due(tx, window)
        if len(due) < window or not slow:
            return due
        known = {row["delivery_id"] for row in due}
        others = deliveries.due_except(tx, slow, window)
        return due + [row for row in others if row["delivery_id"] not in known]


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


@dataclass
class _Round:
    """One look at what is due and what came of it.

    `held` names the (subscriber, aggregate) pairs of which nothing more is tried in this round: one of their
    deliveries failed, or is in other hands.
    """

    store: Store
    subscribers: Mapping[str, Subscriber]
    executor: Executor | None
    tried: int = 0
    taken: set[int] = field(default_factory=set)
    held: set[tuple[str, str]] = field(default_factory=set)

    def deliver(self, name: str, rows: Sequence[Row]) -> None:
        """Deliver one subscriber's deliveries, given in the order of their events."""
        subscriber = self.subscribers.get(name)
        with self._prepared(subscriber, [row for row in rows if self._is_free(row)]) as pairs:
            for row, ready in self._deliver_many(subscriber, pairs):
                if self._is_free(row):
                    self._note(row, _deliver(self.store, subscriber, row, ready))

    def _is_free(self, row: Row) -> bool:
        return row["delivery_id"] not in self.taken and (row["subscriber"], row["aggregate"]) not in self.held

    def _note(self, row: Row, outcome: Outcome) -> None:
        if outcome is Outcome.TAKEN:
            self.taken.add(row["delivery_id"])
        else:
            self.tried += 1
        if outcome in (Outcome.TAKEN, Outcome.FAILED):
            self.held.add((row["subscriber"], row["aggregate"]))

    def _without(self, rows: Sequence[Row], taken: set[int]) -> list[Row]:
        """Note what is in other hands; return what may be tried nevertheless, in order."""
        for row in rows:
            if row["delivery_id"] in taken:
                self._note(row, Outcome.TAKEN)
        return [row for row in rows if self._is_free(row)]

    @contextmanager
    def _prepared(self, subscriber: Subscriber | None, rows: list[Row]) -> Iterator[list[Pair]]:
        """Yield the deliveries with what was prepared of each, claimed until the block ends; the first ones
        only where preparing is slow.
        """
        if subscriber is None or subscriber.prepare is None or not rows:
            yield [(row, None) for row in rows]
            return
        rows = rows[:BATCH]
        ids = {row["delivery_id"] for row in rows}
        with deliveries.claimed(self.store, ids) as mine:
            rows = self._without(rows, ids - mine)
            ready = _prepared(self.store, subscriber.prepare, rows, self.executor)
            yield list(zip(rows, ready, strict=False))

    def _deliver_many(self, subscriber: Subscriber | None, pairs: list[Pair]) -> list[Pair]:
        """Handle deliveries in one transaction; return those that must be handled one by one."""
        if subscriber is None or subscriber.handle_many is None:
            return pairs
        for _ in range(TRIES_TOGETHER):
            if len(pairs) < 2 or any(isinstance(ready, Failure) for _, ready in pairs):  # noqa: PLR2004 (many)
                return pairs
            try:
                _handle_many(self.store, subscriber, pairs)
            except _TakenError:
                pairs = self._ours(pairs)
            except Exception as error:  # noqa: BLE001 (named edge: bus delivery)
                one_by_one = "%d deliveries to %s are handled one by one: %s"
                log.info(one_by_one, len(pairs), subscriber.name, failure_text(error))
                return pairs
            else:
                self.tried += len(pairs)
                return []
        return []

    def _ours(self, pairs: Sequence[Pair]) -> list[Pair]:
        """Note which of these another process has; return the others, as far as the order lets them pass."""
        tried = _tried(pairs)
        with self.store.write(actor="system:bus") as tx:
            taken = tried.keys() - deliveries.free(tx, tried)
        kept = {row["delivery_id"] for row in self._without([row for row, _ in pairs], taken)}
        return [pair for pair in pairs if pair[0]["delivery_id"] in kept]


def _prepared(store: Store, prepare: Prepare, rows: Sequence[Row], executor: Executor | None) -> list[object]:
    """Return the prepared input of each delivery, in order; of the first ones only where that is slow."""
    prepared: list[object] = []
    ends_us = store.clock.now_us() + PREPARING_US
    while len(prepared) < len(rows) and (not prepared or store.clock.now_us() < ends_us):
        part = rows[len(prepared) : len(prepared) + PREPARED_BATCH]
        prepared += _prepared_part(store, prepare, [_event_of(row) for row in part], executor)
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


def _handle_many(store: Store, subscriber: Subscriber, pairs: Sequence[Pair]) -> None:
    """Mark deliveries and handle them in one transaction; raise _TakenError when some are not ours."""
    assert subscriber.handle_many is not None  # noqa: S101 (asked by the only caller)
    with store.write(actor=f"system:{subscriber.name}") as tx:
        if not deliveries.mark(tx, _tried(pairs)):
            raise _TakenError
        for lap, items in _by_lap(pairs):
            subscriber.handle_many(tx.in_lap(lap), items)


def _tried(pairs: Sequence[Pair]) -> dict[int, int]:
    return {row["delivery_id"]: row["attempts"] for row, _ in pairs}


def _by_lap(pairs: Sequence[Pair]) -> list[tuple[int | None, list[tuple[DeliveredEvent, object]]]]:
    """Return the events with what was prepared of them, those of one lap together, in a sequence that keeps
    the order within every aggregate.
    """
    found: list[tuple[int | None, list[tuple[DeliveredEvent, object]]]] = []
    newest_of_lap: dict[int | None, int] = {}
    newest_of_aggregate: dict[str, int] = {}
    for row, ready in pairs:
        lap, aggregate = row["lap_id"], row["aggregate"]
        place = newest_of_lap.get(lap, -1)
        if place < newest_of_aggregate.get(aggregate, 0):
            place = newest_of_lap[lap] = len(found)
            found.append((lap, []))
        newest_of_aggregate[aggregate] = place
        found[place][1].append((_event_of(row), ready))
    return found


def _deliver(store: Store, subscriber: Subscriber | None, row: Row, prepared: object) -> Outcome:
    """Handle one delivery in its own transaction, or record why it could not be."""
    try:
        if subscriber is None:
            msg = f"nobody is called {row['subscriber']!r}"
            raise LookupError(msg)  # noqa: TRY301 (recorded below like any other failure)
        if isinstance(prepared, Failure):
            raise prepared.error  # noqa: TRY301 (recorded below like any other failure)
        with store.write(actor=f"system:{subscriber.name}", lap=row["lap_id"]) as tx:
            if not deliveries.mark(tx, {row["delivery_id"]: row["attempts"]}):
                raise _TakenError  # noqa: TRY301 (it rolls the transaction back)
            subscriber.handle(tx, _event_of(row), prepared)
    except _TakenError:
        return Outcome.TAKEN
    except Exception as error:  # noqa: BLE001 (named edge: bus delivery)
        log.warning(
            "delivery %s to %s failed: %s", row["delivery_id"], row["subscriber"], failure_text(error)
        )
        return _record_failure(store, row, error)
    return Outcome.DELIVERED


def _record_failure(store: Store, row: Row, error: Exception) -> Outcome:
    """Count the failed try, unless another process has tried this delivery meanwhile."""
    attempts = row["attempts"] + 1
    is_dead = attempts >= MAXIMUM_ATTEMPTS
    with store.write(actor="system:bus") as tx:
        is_ours = sql.update(
            tx,
            tables.delivery,
            {"id": row["delivery_id"], "state": DeliveryState.PENDING, "attempts": row["attempts"]},
            state=DeliveryState.DEAD if is_dead else DeliveryState.PENDING,
            attempts=attempts,
            next_attempt_at_us=tx.now_us + retry_delay_us(attempts, row["delivery_id"]),
            last_error=failure_text(error),
        )
    if not is_ours:
        return Outcome.TAKEN
    return Outcome.DEAD if is_dead else Outcome.FAILED


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
