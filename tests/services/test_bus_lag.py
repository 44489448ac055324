"""How far the bus is behind is told from what is under way alone; an idle dispatcher leaves no trace."""

import sqlite3
import threading
from contextlib import closing

import pytest

from services import event_bus
from services.domain.clock import VirtualClock, WallClock, seconds
from services.domain.events import Event, EventType
from services.domain.states import DeliveryState
from services.event_bus import BusLag, Dispatcher, Subscriber, backlog, dispatcher, routes_of
from services.store import sql, tables
from services.store.tx import Store

ENDED = EventType.TASK_ENDED


def subscribers(handle=lambda *_: None):
    return {name: Subscriber(name, (ENDED,), handle) for name in ("first", "second")}


@pytest.fixture
def store(migrated_database_url):
    made = Store(migrated_database_url, VirtualClock(), routes_of(subscribers()))
    yield made
    made.close()


def publish(store, count):
    with store.write(actor="test") as tx:
        events = [(None, Event(ENDED, f"task:{number}", {})) for number in range(count)]
        return event_bus.publish_all(tx, events)


def told(store):
    with store.read() as tx:
        return event_bus.lag(tx)


def test_the_lag_counts_what_waits_fails_and_is_dead(store):
    assert told(store) == BusLag(0, 0, 0, 0, {})
    publish(store, 3)
    store.clock.advance(seconds(7))
    assert told(store) == BusLag(6, seconds(7), 0, 0, {"first": 3, "second": 3})
    with store.write(actor="test") as tx:
        sql.update(tx, tables.delivery, {"id": 1}, attempts=2)
        sql.update(tx, tables.delivery, {"id": [2, 3]}, state=DeliveryState.DEAD, attempts=16)
        sql.update(tx, tables.delivery, {"id": 5}, state=DeliveryState.DISCARDED)
    assert told(store) == BusLag(3, seconds(7), 1, 2, {"first": 1, "second": 2})
    event_bus.drain(store, subscribers())
    assert told(store).dead == 2
    assert told(store).oldest_age_us == (seconds(7) if told(store).pending else 0)


def test_counting_ends_at_its_limit(store, monkeypatch):
    monkeypatch.setattr(backlog, "COUNTED", 4)
    publish(store, 5)
    assert told(store).pending == 4


def test_an_idle_dispatcher_writes_nothing(migrated_sqlite_url, monkeypatch):
    monkeypatch.setattr(dispatcher, "SAFETY_POLL_SECONDS", 0.005)
    store = Store(migrated_sqlite_url, WallClock(), routes_of(subscribers()))
    looked, enough = [], threading.Event()

    def due(*given):
        looked.append(dispatched(*given))
        if len(looked) >= 20:
            enough.set()
        return looked[-1]

    dispatched = dispatcher.deliver_due
    monkeypatch.setattr(dispatcher, "deliver_due", due)
    with closing(sqlite3.connect(migrated_sqlite_url.removeprefix("sqlite:///"))) as watcher:
        before = watcher.execute("PRAGMA data_version").fetchone()
        running = Dispatcher(store, subscribers())
        running.start()
        assert enough.wait(timeout=30)
        running.stop()
        assert watcher.execute("PRAGMA data_version").fetchone() == before
    store.close()
    assert set(looked) == {0}
