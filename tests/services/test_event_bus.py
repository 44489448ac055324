"""The bus: at least once, handled once per subscriber, failures back off alone, kills lose nothing."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from services import event_bus
from services.domain.clock import SECOND_US, VirtualClock, WallClock, seconds
from services.domain.events import Event, EventType
from services.domain.states import DeliveryState
from services.event_bus import Dispatcher, Subscriber, delivering, routes_of
from services.operations import review_queue
from services.store import deliveries, sql, tables
from services.store.tx import Store
from tests.services import killed_dispatchers
from tests.services.killing import killed_dispatchers_of

ENDED = EventType.TASK_ENDED
KILLS = 20


class Handlers:
    """Two subscribers that write a row per event; what is in `failing` raises after it has written."""

    def __init__(self):
        self.failing, self.seen = {}, []
        self.subscribers = {
            name: Subscriber(name, (ENDED,), self.handler(name)) for name in ("first", "second")
        }

    def handler(self, name):
        def handle(tx, event, _prepared):
            self.seen.append((name, event.event_id))
            review_queue.open_item(tx, kind=name, subject=str(event.event_id), context={})
            if name in self.failing:
                raise self.failing[name]

        return handle


@pytest.fixture
def handlers():
    return Handlers()


@pytest.fixture
def store(migrated_database_url, handlers):
    made = Store(migrated_database_url, VirtualClock(), routes_of(handlers.subscribers))
    yield made
    made.close()


def publish(store, count=1, lap=None, first=0):
    with store.write(actor="agent:7", lap=lap) as tx:
        return [
            event_bus.publish(tx, Event(ENDED, f"task:{n}", {"task_id": n}))
            for n in range(first, first + count)
        ]


def written(store):
    """Return how often each (subscriber, event) took effect."""
    with store.read() as tx:
        return Counter((row["kind"], int(row["subject"])) for row in sql.find_all(tx, tables.review_item))


def delivery(store, subscriber):
    with store.read() as tx:
        return sql.find(tx, tables.delivery, subscriber=subscriber)


def once(events):
    return Counter({(name, number): 1 for name in ("first", "second") for number in events})


def test_every_subscriber_gets_every_event_once(store, handlers):
    events = publish(store, 5)
    assert event_bus.drain(store, handlers.subscribers) == 10
    assert written(store) == once(events)
    assert event_bus.drain(store, handlers.subscribers) == 0
    row = delivery(store, "first")
    assert (row["state"], row["attempts"]) == (DeliveryState.DELIVERED, 1)


def test_events_come_in_the_order_they_were_published(store, handlers):
    events = publish(store, 100)
    event_bus.drain(store, handlers.subscribers)
    assert [number for name, number in handlers.seen if name == "first"] == events


def test_an_event_and_its_cause_exist_together_or_not_at_all(store, handlers):
    def publish_and_fail():
        with store.write(actor="test") as tx:
            event_bus.publish(tx, Event(ENDED, "task:1", {}))
            raise RuntimeError("the cause failed")

    with pytest.raises(RuntimeError):
        publish_and_fail()
    assert event_bus.drain(store, handlers.subscribers) == 0


def test_a_handler_hears_what_was_said_by_whom_in_which_lap(store):
    heard = []

    def handle(tx, event, prepared):
        heard.append((event.type, event.aggregate, event.payload, event.actor, event.lap_id, prepared))
        heard.append((tx.actor, tx.lap))

    def prepare(_store, events, _executor):
        return [event.payload for event in events]

    subscribers = {"first": Subscriber("first", (ENDED,), handle, prepare)}
    publish(store, lap=3)
    event_bus.drain(store, {**Handlers().subscribers, **subscribers})
    assert heard == [(ENDED, "task:0", {"task_id": 0}, "agent:7", 3, {"task_id": 0}), ("system:first", 3)]


def test_an_event_nobody_hears_is_kept_and_delivered_to_nobody(store, handlers):
    with store.write(actor="test") as tx:
        number = event_bus.publish(tx, Event(EventType.BALLOT_CAST, "proposal:1", {}))
    assert event_bus.drain(store, handlers.subscribers) == 0
    with store.read() as tx:
        assert sql.find(tx, tables.event, id=number)["type"] == "BallotCast"


def test_a_failing_handler_takes_back_only_itself(store, handlers):
    [number] = publish(store)
    handlers.failing["first"] = ValueError("broken")
    event_bus.drain(store, handlers.subscribers)
    assert written(store) == Counter({("second", number): 1})
    row = delivery(store, "first")
    assert (row["state"], row["attempts"], row["last_error"]) == (
        DeliveryState.PENDING,
        1,
        "ValueError: broken",
    )


def test_failures_are_retried_with_back_off_and_end_as_a_dead_letter(store, handlers):
    [number] = publish(store)
    handlers.failing["first"] = ValueError("broken")
    pauses = []
    while delivery(store, "first")["state"] == DeliveryState.PENDING:
        event_bus.drain(store, handlers.subscribers)
        row = delivery(store, "first")
        pauses.append(row["next_attempt_at_us"] - store.clock.now_us())
        store.clock.advance(pauses[-1] - 1)
        assert event_bus.drain(store, handlers.subscribers) == 0
        store.clock.advance(1)
    tries = event_bus.MAXIMUM_ATTEMPTS
    longest = [min(600, 0.5 * 2**n) for n in range(tries)]
    assert all(0.75 * most <= us / SECOND_US <= most for most, us in zip(longest, pauses, strict=True))
    assert (row["state"], row["attempts"]) == (DeliveryState.DEAD, tries)
    assert handlers.seen.count(("first", number)) == tries >= 8
    with store.read() as tx:
        assert len(sql.find_all(tx, tables.delivery, state=DeliveryState.DEAD)) == 1
    assert written(store) == Counter({("second", number): 1})


def test_pauses_are_spread_the_same_every_time_and_have_an_upper_end():
    for attempts, most_us in ((1, seconds(0.5)), (4, seconds(4)), (50, seconds(600)), (10_000, seconds(600))):
        drawn = [event_bus.retry_delay_us(attempts, number) for number in range(1_000)]
        assert drawn == [event_bus.retry_delay_us(attempts, number) for number in range(1_000)]
        assert 0.75 * most_us <= min(drawn) < 0.76 * most_us
        assert 0.99 * most_us < max(drawn) <= most_us
        assert len(set(drawn)) > 900


def test_a_dead_letter_is_replayed_by_an_operator(store, handlers):
    [number] = publish(store)
    handlers.failing["first"] = ValueError("broken")
    for _ in range(event_bus.MAXIMUM_ATTEMPTS):
        event_bus.drain(store, handlers.subscribers)
        store.clock.advance(seconds(600))
    handlers.failing.clear()
    assert event_bus.drain(store, handlers.subscribers) == 0
    dead = delivery(store, "first")["id"]
    with store.write(actor="operator") as tx:
        assert [row["id"] for row in event_bus.replay_dead(tx, [dead, dead + 1])] == [dead]
    event_bus.drain(store, handlers.subscribers)
    assert written(store) == once([number])
    with store.write(actor="operator") as tx:
        assert event_bus.replay_dead(tx, [dead]) == []


def test_a_subscriber_that_is_gone_is_a_failure_somebody_sees(store, handlers):
    publish(store)
    event_bus.drain(store, {"second": handlers.subscribers["second"]})
    assert delivery(store, "first")["last_error"] == "LookupError: nobody is called 'first'"
    assert delivery(store, "second")["state"] == DeliveryState.DELIVERED


def test_what_fails_in_preparing_is_retried_like_a_failing_handler(store, handlers):
    def fetch(_event):
        raise OSError("no route")

    def prepare(_store, events, executor):
        return event_bus.each(executor, fetch, events)

    broken = Subscriber("first", (ENDED,), handlers.subscribers["first"].handle, prepare)
    [number] = publish(store)
    with ThreadPoolExecutor(2) as pool:
        event_bus.deliver_due(store, {**handlers.subscribers, "first": broken}, pool)
    assert delivery(store, "first")["last_error"] == "OSError: no route"
    store.clock.advance(seconds(1))
    event_bus.drain(store, handlers.subscribers)
    assert written(store) == once([number])


def taking_many(handlers, name="first", fails_on=()):
    """Return the subscriber taking many at once, and the sizes of the batches that it was given."""
    sizes = []

    def handle_many(tx, items):
        sizes.append(len(items))
        for event, prepared in items:
            if event.event_id in fails_on:
                raise ValueError("broken")
            handlers.subscribers[name].handle(tx, event, prepared)

    handle = handlers.subscribers[name].handle
    return Subscriber(name, (ENDED,), handle, handle_many=handle_many), sizes


def test_a_subscriber_that_takes_many_gets_them_in_one_transaction(store, handlers):
    numbers = publish(store, count=5)
    many, sizes = taking_many(handlers)
    event_bus.drain(store, {**handlers.subscribers, "first": many})
    assert sizes == [5]
    assert written(store) == once(numbers)


def test_when_one_of_many_fails_each_is_handled_by_itself(store, handlers):
    numbers = publish(store, count=4)
    many, sizes = taking_many(handlers, fails_on=numbers[2:3])
    event_bus.drain(store, {**handlers.subscribers, "first": many})
    assert sizes == [4]
    assert written(store) == once(numbers), "rolled back together, then handled one by one"


def test_of_many_those_that_another_process_has_handled_are_not_handled_again(store, handlers):
    numbers = publish(store, count=3)
    many, _sizes = taking_many(handlers)
    plain = many.handle

    def deliver_elsewhere(_store, events, _executor):
        event_bus.drain(store, {"first": Subscriber("first", (ENDED,), plain)})
        return [None] * len(events)

    raced = Subscriber("first", (ENDED,), plain, deliver_elsewhere, many.handle_many)
    event_bus.deliver_due(store, {**handlers.subscribers, "first": raced})
    store.clock.advance(seconds(1))
    event_bus.drain(store, handlers.subscribers)
    assert written(store) == once(numbers)


def test_of_many_each_is_handled_in_its_own_lap(store, handlers):
    first, second = publish(store, lap=3) + publish(store, count=2, first=1), publish(store, lap=3)
    heard = []

    def handle_many(tx, items):
        heard.append((tx.lap, [event.event_id for event, _ in items]))
        event_bus.publish(tx, Event(EventType.BALLOT_CAST, "proposal:1", {}))

    many = Subscriber("first", (ENDED,), handlers.subscribers["first"].handle, handle_many=handle_many)
    event_bus.drain(store, {**handlers.subscribers, "first": many})
    assert heard == [(3, [first[0], *second]), (None, first[1:])]
    with store.read() as tx:
        said = sql.find_all(tx, tables.event, type=EventType.BALLOT_CAST)
    assert [row["lap_id"] for row in said] == [3, None]


def test_a_preparation_that_raises_is_a_failure_of_that_event_alone(store, handlers):
    good, bad, last = publish(store, count=3)
    many, sizes = taking_many(handlers)

    def prepare(_store, events, _executor):
        if bad in {event.event_id for event in events}:
            raise OSError("no route")
        return [None] * len(events)

    broken = Subscriber("first", (ENDED,), many.handle, prepare, many.handle_many)
    event_bus.drain(store, {**handlers.subscribers, "first": broken})
    assert sizes == [], "one by one"
    assert written(store) == once([good, bad, last]) - Counter([("first", bad)])
    with store.read() as tx:
        row = sql.find(tx, tables.delivery, subscriber="first", event_id=bad)
    assert (row["state"], row["attempts"]) == (DeliveryState.PENDING, 1)
    assert row["last_error"] == "OSError: no route"
    store.clock.advance(seconds(1))
    event_bus.drain(store, handlers.subscribers)
    assert written(store) == once([good, bad, last])


def test_slow_preparation_holds_up_neither_what_is_ready_nor_the_others(store, handlers):
    many, sizes = taking_many(handlers)

    def prepare(_store, events, _executor):
        store.clock.advance(seconds(10 * len(events)))
        return [None] * len(events)

    slow = Subscriber("first", (ENDED,), many.handle, prepare, many.handle_many)
    numbers = publish(store, count=event_bus.BATCH)
    subscribers = {**handlers.subscribers, "first": slow}
    event_bus.deliver_due(store, subscribers)
    assert sizes == [event_bus.PREPARED_BATCH], "the rest waits for its turn"
    assert {number for name, number in written(store) if name == "second"} == set(numbers)
    event_bus.drain(store, subscribers)
    assert sizes == [event_bus.PREPARED_BATCH] * (event_bus.BATCH // event_bus.PREPARED_BATCH)
    assert written(store) == once(numbers)


def test_quick_preparation_is_handled_together(store, handlers):
    many, sizes = taking_many(handlers)
    quick = Subscriber(
        "first", (ENDED,), many.handle, lambda *given: [None] * len(given[1]), many.handle_many
    )
    publish(store, count=100)
    event_bus.drain(store, {**handlers.subscribers, "first": quick})
    assert sizes == [100]


@pytest.mark.parametrize("text", ["\x00", "\ud800 lone", "x" * 9_000], ids=["NUL", "surrogate", "long"])
def test_an_error_no_database_would_take_is_still_recorded(store, handlers, text):
    publish(store)
    handlers.failing["first"] = ValueError(text)
    event_bus.drain(store, handlers.subscribers)
    row = delivery(store, "first")
    assert row["attempts"] == 1
    assert row["last_error"].startswith("ValueError: ")
    assert len(row["last_error"]) <= 2_000


def test_one_failure_seen_by_two_dispatchers_counts_once(store, handlers):
    publish(store)
    with store.read() as tx:
        stale = deliveries.due(tx, 10)[0]
    handlers.failing["first"] = ValueError("broken")
    for _ in range(3):
        event_bus.drain(store, handlers.subscribers)
        store.clock.advance(seconds(600))
    assert delivering._record_failure(store, stale, ValueError("late news")) is delivering.Outcome.TAKEN
    row = delivery(store, "first")
    assert (row["attempts"], row["last_error"]) == (3, "ValueError: broken")


def test_a_delivery_seen_by_two_dispatchers_takes_effect_once(store, handlers):
    [number] = publish(store)
    with store.read() as tx:
        stale = deliveries.due(tx, 10)
    event_bus.drain(store, handlers.subscribers)
    for row in stale:
        taken = delivering._deliver(store, handlers.subscribers[row["subscriber"]], row, None)
        assert taken is delivering.Outcome.TAKEN
    assert written(store) == once([number])


def test_dispatchers_at_the_same_time_deliver_each_exactly_once(store, handlers):
    events = publish(store, 40)
    others = [Store(store.url, store.clock, store.routes) for _ in range(3)]
    start = threading.Barrier(len(others))

    def run(other):
        start.wait(timeout=60)
        while event_bus.deliver_due(other, handlers.subscribers):
            pass

    with ThreadPoolExecutor(len(others)) as pool:
        list(pool.map(run, others))
    assert written(store) == once(events)
    with store.read() as tx:
        states = {row["state"] for row in sql.find_all(tx, tables.delivery)}
        assert states == {DeliveryState.DELIVERED}
        assert {row["attempts"] for row in sql.find_all(tx, tables.delivery)} == {1}
    for other in others:
        other.close()


def test_a_dispatcher_in_its_thread_hears_of_what_is_published(migrated_database_url, handlers):
    store = Store(migrated_database_url, WallClock(), routes_of(handlers.subscribers))
    is_done = threading.Event()

    def handle(tx, event, _prepared):
        review_queue.open_item(tx, kind="first", subject=str(event.event_id), context={})
        is_done.set()

    dispatcher = Dispatcher(store, {**handlers.subscribers, "first": Subscriber("first", (ENDED,), handle)})
    dispatcher.start()
    events = publish(store, 3)
    assert is_done.wait(timeout=60)
    dispatcher.stop()
    event_bus.drain(store, handlers.subscribers)
    assert written(store) == once(events)
    store.close()


@pytest.mark.slow
def test_dispatchers_killed_at_random_instants_lose_nothing_and_handle_nothing_twice(migrated_database_url):
    report = killed_dispatchers_of(migrated_database_url, kills=KILLS, seed=5)
    assert report["kills"] > KILLS
    figures, wrong = killed_dispatchers.what_is_wrong(migrated_database_url)
    assert wrong == []
    assert figures["handled"] == 3 * figures["events"] > 0


def test_what_was_lost_handled_twice_or_out_of_order_is_seen():
    events = {1: "a", 2: "a", 3: "b"}
    right = [("x", 1), ("x", 3), ("x", 2)]
    assert killed_dispatchers._breaches(events, right, ["x"]) == []
    for handled in (right[:2], [*right, ("x", 2)], [("x", 2), ("x", 1), ("x", 3)], [*right, ("x", 4)]):
        assert killed_dispatchers._breaches(events, handled, ["x"])
