"""The bus keeps the order of one aggregate for one subscriber, whatever fails and whoever else delivers."""

import threading
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

import pytest

from services import event_bus
from services.domain.clock import VirtualClock, seconds
from services.domain.events import Event, EventType
from services.domain.states import DeliveryState
from services.event_bus import MAXIMUM_ATTEMPTS, Subscriber, delivering, routes_of
from services.operations import review_queue
from services.store import deliveries, sql, tables
from services.store.tx import Store

ENDED = EventType.TASK_ENDED


class Recorder:
    """Two subscribers, `singly` and `many`, that write down in the database what they heard, in order."""

    def __init__(self):
        self.broken = set()
        self.subscribers = {
            "singly": Subscriber("singly", (ENDED,), self.handle),
            "many": Subscriber("many", (ENDED,), self.handle, handle_many=self.handle_many),
        }

    def handle(self, tx, event, _prepared):
        name = tx.actor.removeprefix("system:")
        context = {"aggregate": event.aggregate}
        review_queue.open_item(tx, kind=name, subject=str(event.event_id), context=context)
        if (name, event.event_id) in self.broken:
            raise ValueError("broken")

    def handle_many(self, tx, items):
        for event, prepared in items:
            self.handle(tx, event, prepared)


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
def store(migrated_database_url, recorder):
    made = Store(migrated_database_url, VirtualClock(), routes_of(recorder.subscribers))
    yield made
    made.close()


@pytest.fixture
def postgresql(migrated_postgresql_url, recorder):
    """The store on the engine that lets two transactions write at a time."""
    made = Store(migrated_postgresql_url, VirtualClock(), routes_of(recorder.subscribers))
    yield made
    made.close()


def publish(store, *aggregates, lap=None):
    with store.write(actor="test", lap=lap) as tx:
        return [event_bus.publish(tx, Event(ENDED, name, {})) for name in aggregates]


def heard(store):
    """Return what took effect: subscriber → aggregate → event ids in the order they were handled."""
    found = defaultdict(lambda: defaultdict(list))
    with store.read() as tx:
        for row in sql.find_all(tx, tables.review_item):
            found[row["kind"]][row["context"]["aggregate"]].append(int(row["subject"]))
    return found


@pytest.mark.parametrize("name", ["singly", "many"])
def test_a_failed_delivery_holds_back_its_own_aggregate_and_subscriber_alone(store, recorder, name):
    other = "many" if name == "singly" else "singly"
    a1, b1, a2, b2 = publish(store, "a", "b", "a", "b")
    recorder.broken.add((name, a1))
    event_bus.drain(store, recorder.subscribers)
    assert heard(store) == {name: {"b": [b1, b2]}, other: {"a": [a1, a2], "b": [b1, b2]}}
    [a3, b3] = publish(store, "a", "b")
    event_bus.drain(store, recorder.subscribers)
    assert heard(store) == {name: {"b": [b1, b2, b3]}, other: {"a": [a1, a2, a3], "b": [b1, b2, b3]}}
    recorder.broken.clear()
    store.clock.advance(seconds(1))
    event_bus.drain(store, recorder.subscribers)
    assert heard(store)[name] == {"a": [a1, a2, a3], "b": [b1, b2, b3]}


def test_a_dead_delivery_holds_nothing_back_and_comes_late_when_it_is_replayed(store, recorder):
    [first] = publish(store, "a")
    recorder.broken.add(("singly", first))
    for _ in range(MAXIMUM_ATTEMPTS - 1):
        event_bus.drain(store, recorder.subscribers)
        store.clock.advance(seconds(600))
    [second] = publish(store, "a")
    assert heard(store)["singly"] == {}
    event_bus.drain(store, recorder.subscribers)
    assert heard(store)["singly"] == {"a": [second]}, "the last attempt failed, the next one was free"
    recorder.broken.clear()
    with store.write(actor="operator") as tx:
        [dead] = sql.find_all(tx, tables.delivery, state=DeliveryState.DEAD)
        event_bus.replay_dead(tx, [dead["id"]])
    event_bus.drain(store, recorder.subscribers)
    assert heard(store)["singly"] == {"a": [second, first]}


def test_a_discarded_delivery_is_never_handled_and_holds_nothing_back(store, recorder):
    [first] = publish(store, "a")
    with store.write(actor="test") as tx:
        sql.update(tx, tables.delivery, {"subscriber": "singly"}, state=DeliveryState.DEAD)
        [moved] = event_bus.discard_dead(tx, [1, 2, 3])
    [second] = publish(store, "a")
    store.clock.advance(seconds(3_600))
    event_bus.drain(store, recorder.subscribers)
    assert heard(store) == {"singly": {"a": [second]}, "many": {"a": [first, second]}}
    with store.read() as tx:
        assert sql.find(tx, tables.delivery, id=moved["id"])["state"] == DeliveryState.DISCARDED


def test_order_is_kept_where_many_fail_half_way_and_laps_are_mixed(store, recorder):
    numbers = [publish(store, name, lap=lap)[0] for name, lap in (
        ("a", 1), ("a", None), ("b", 1), ("a", 1), ("b", None), ("a", None), ("b", 1)
    )]  # fmt: skip
    event_bus.drain(store, recorder.subscribers)
    expected = {"a": [numbers[n] for n in (0, 1, 3, 5)], "b": [numbers[n] for n in (2, 4, 6)]}
    assert heard(store) == {"singly": expected, "many": expected}
    later = publish(store, *"abababab")
    recorder.broken.add(("many", later[4]))
    event_bus.drain(store, recorder.subscribers)
    assert heard(store)["many"]["a"][4:] == [later[0], later[2]]
    assert heard(store)["many"]["b"][3:] == [later[n] for n in (1, 3, 5, 7)]
    recorder.broken.clear()
    store.clock.advance(seconds(1))
    event_bus.drain(store, recorder.subscribers)
    assert heard(store)["many"]["a"][4:] == [later[n] for n in (0, 2, 4, 6)]


def test_a_new_delivery_is_due_whatever_the_publishers_clock_said(store, recorder):
    [number] = publish(store, "a")
    with store.write(actor="test") as tx:
        sql.update(tx, tables.delivery, {"event_id": number}, next_attempt_at_us=tx.now_us + seconds(60))
    assert event_bus.drain(store, recorder.subscribers) == 2


def test_what_another_process_has_in_hand_is_left_to_it_with_all_that_follows(postgresql, recorder):
    """The other transaction is held open in the middle; only PostgreSQL lets two write at a time."""
    a1, b1, a2 = publish(postgresql, "a", "b", "a")
    with postgresql.read() as tx:
        [taken] = [
            row for row in deliveries.due(tx, 10) if row["event_id"] == a1 and row["subscriber"] == "many"
        ]
    with postgresql.write(actor="test") as tx:
        assert deliveries.mark(tx, {taken["delivery_id"]: 0})
        event_bus.drain(postgresql, recorder.subscribers)
        assert heard(postgresql) == {"singly": {"a": [a1, a2], "b": [b1]}, "many": {"b": [b1]}}
    event_bus.drain(postgresql, recorder.subscribers)
    assert heard(postgresql)["many"] == {"a": [a2], "b": [b1]}


def test_two_dispatchers_do_not_prepare_the_same_delivery(postgresql, recorder):
    """The first is stopped in the middle of preparing; the second goes on with what the first has not."""
    publish(postgresql, *[f"task:{number}" for number in range(event_bus.BATCH + 40)])
    prepared, is_begun, may_end = [], threading.Event(), threading.Event()

    def prepare(_store, events, _executor):
        prepared.extend(event.event_id for event in events)
        if not is_begun.is_set():
            is_begun.set()
            assert may_end.wait(timeout=60)
        return [None] * len(events)

    slow = Subscriber("many", (ENDED,), recorder.handle, prepare, recorder.handle_many)
    subscribers = {**recorder.subscribers, "many": slow}
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(event_bus.deliver_due, postgresql, subscribers)
        assert is_begun.wait(timeout=60)
        other = Store(postgresql.url, postgresql.clock, postgresql.routes)
        while event_bus.deliver_due(other, subscribers):
            pass
        may_end.set()
        first.result(timeout=60)
    event_bus.drain(other, subscribers)
    other.close()
    assert len(prepared) == len(set(prepared)) == event_bus.BATCH + 40
    assert sum(len(ids) for ids in heard(postgresql)["many"].values()) == event_bus.BATCH + 40


def test_two_dispatchers_keep_the_order_of_every_aggregate(store, recorder):
    numbers = publish(store, *[f"task:{number % 7}" for number in range(600)])
    recorder.broken |= {("many", numbers[n]) for n in (50, 301)} | {("singly", numbers[100])}
    others = [Store(store.url, store.clock, store.routes) for _ in range(2)]
    start = threading.Barrier(2)

    def run(other):
        start.wait(timeout=30)
        for _ in range(3):
            while event_bus.deliver_due(other, recorder.subscribers):
                pass
            recorder.broken.clear()
            store.clock.advance(seconds(2))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run, others))
    event_bus.drain(store, recorder.subscribers)
    for other in others:
        other.close()
    for name in ("singly", "many"):
        for aggregate in range(7):
            assert sorted(heard(store)[name][f"task:{aggregate}"]) == numbers[aggregate::7]
    with store.read() as tx:
        assert {row["state"] for row in sql.find_all(tx, tables.delivery)} == {DeliveryState.DELIVERED}


def test_looking_further_ends_where_everything_is_taken(postgresql, recorder):
    """With every delivery in other hands nothing is tried, and nobody waits for the other."""
    publish(postgresql, *[f"task:{number}" for number in range(20)])
    with postgresql.write(actor="test") as tx:
        ids = {row["id"]: 0 for row in sql.find_all(tx, tables.delivery)}
        assert deliveries.mark(tx, ids)
        assert event_bus.deliver_due(postgresql, recorder.subscribers) == 0
    assert delivering.WINDOWS[0] == event_bus.BATCH
