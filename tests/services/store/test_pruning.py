"""Pruning takes what is old and wanted by nobody, and only so much at a time."""

import pytest

from services.domain.clock import DAY_US, VirtualClock
from services.domain.states import DeliveryState
from services.store import pruning, sql, tables
from services.store.tx import Store


@pytest.fixture
def store(migrated_database_url):
    made = Store(migrated_database_url, VirtualClock())
    yield made
    made.close()


def put(tx, states, *, age_days=15.0):
    """Insert one event with a delivery in each state, moved that long ago; return the event's id."""
    at_us = tx.now_us - round(age_days * DAY_US)
    number = sql.insert(
        tx, tables.event, type="TaskEnded", aggregate="a", payload={}, actor="test", published_at_us=at_us
    )
    for place, state in enumerate(states):
        is_made = state is DeliveryState.DELIVERED
        sql.insert(
            tx, tables.delivery, event_id=number, subscriber=f"s{place}", state=state, attempts=1,
            next_attempt_at_us=at_us, delivered_at_us=at_us if is_made else None,
        )  # fmt: skip
    return number


def prune(store, limit=10_000):
    with store.write(actor="test") as tx:
        before_us = tx.now_us - 14 * DAY_US
        return pruning.prune(
            tx, ticks_before_us=0, keys_before_us=before_us, events_before_us=before_us, limit=limit
        )


def left(store):
    with store.read() as tx:
        return [row["id"] for row in sql.find_all(tx, tables.event)]


def test_an_event_goes_once_every_delivery_of_it_is_done_and_old(store):
    done, given_up, dead, pending = (
        DeliveryState.DELIVERED, DeliveryState.DISCARDED, DeliveryState.DEAD, DeliveryState.PENDING,
    )  # fmt: skip
    with store.write(actor="test") as tx:
        gone = [put(tx, states) for states in ((done, done), (done, given_up), ())]
        kept = [put(tx, states) for states in ((done, dead), (pending,), (done, pending))]
        kept += [put(tx, (done,), age_days=13.0), put(tx, (done,), age_days=0.0)]
    found = prune(store)
    assert (found["events"], found["deliveries"]) == (len(gone), 6)
    assert left(store) == kept
    assert prune(store) == {"ticks": 0, "idempotency_keys": 0, "deliveries": 0, "events": 0}


def test_what_a_webhook_waits_for_stays(store):
    with store.write(actor="test") as tx:
        waited, sent, _newest = [put(tx, ()) for _ in range(3)]
        hook = sql.insert(
            tx, tables.webhook, url="https://example.org/", types=[], description="", secret_version=1,
            is_active=True, failures=0, created_by="operator", created_at_us=1,
        )  # fmt: skip
        for number, state in ((waited, "pending"), (sent, "delivered")):
            sql.insert(
                tx, tables.webhook_delivery, webhook_id=hook, event_id=number, body="{}", state=state,
                attempts=0, next_attempt_at_us=1, created_at_us=1,
            )  # fmt: skip
    assert prune(store)["events"] == 1
    assert waited in left(store)
    assert sent not in left(store)


def test_what_a_reader_has_not_read_stays(store):
    with store.write(actor="test") as tx:
        numbers = [put(tx, (DeliveryState.DELIVERED,)) for _ in range(6)]
        put_webhook(tx)
        for name, marks in (("webhooks", {"newest": numbers[2], "skipped": []}), ("other", {"x": 1})):
            sql.insert(tx, tables.feed_mark, name=name, marks=marks, changed_at_us=1)
    assert prune(store)["events"] == 3
    with store.write(actor="test") as tx:
        sql.update(tx, tables.feed_mark, {"name": "webhooks"}, marks={"newest": numbers[5], "skipped": []})
        put_webhook(tx, behind_id=numbers[3])
    assert prune(store)["events"] == 1
    assert left(store) == numbers[4:]


@pytest.mark.parametrize("stopped", [{"is_active": False}, {"is_active": False, "deleted_at_us": 5}, None])
def test_the_feed_of_webhooks_holds_nothing_back_while_nobody_listens(store, stopped):
    with store.write(actor="test") as tx:
        numbers = [put(tx, (DeliveryState.DELIVERED,)) for _ in range(4)]
        young = put(tx, (DeliveryState.DELIVERED,), age_days=13.0)
        newest = put(tx, (DeliveryState.DELIVERED,), age_days=0.0)
        marks = {"newest": numbers[1], "skipped": []}
        sql.insert(tx, tables.feed_mark, name="webhooks", marks=marks, changed_at_us=1)
        sql.insert(tx, tables.feed_mark, name="reader", marks={"after": numbers[2]}, changed_at_us=1)
        if stopped is not None:
            put_webhook(tx, **{"behind_id": numbers[0], **stopped})
    assert prune(store)["events"] == 3, "another reader's mark still counts"
    with store.write(actor="test") as tx:
        sql.update(tx, tables.feed_mark, {"name": "reader"}, marks={"after": newest})
    assert prune(store)["events"] == 1
    assert left(store) == [young, newest], "a paused webhook finds what is younger than 14 days"


def put_webhook(tx, **values):
    shape = {"is_active": True, "failures": 0, "created_by": "operator", "created_at_us": 1}
    sql.insert(
        tx, tables.webhook, url="https://example.org/", types=[], description="", secret_version=1,
        **{**shape, **values},
    )  # fmt: skip


def test_one_run_deletes_about_so_many_and_the_next_ones_the_rest(store, monkeypatch):
    monkeypatch.setattr(pruning, "WINDOW", 10)
    with store.write(actor="test") as tx:
        dead = [put(tx, (DeliveryState.DEAD,)) for _ in range(25)]
        for _ in range(60):
            put(tx, (DeliveryState.DELIVERED,))
        last = put(tx, (DeliveryState.DELIVERED,))
        for number in range(7):
            sql.insert(
                tx, tables.idempotency, principal="p", key=f"k{number}", request_hash="h", status=200,
                body="{}", created_at_us=1,
            )  # fmt: skip
    runs = []
    while any((found := prune(store, limit=5)).values()):
        runs.append(found)
    assert max(found["events"] for found in runs) <= 10, "a window at most"
    assert [found["idempotency_keys"] for found in runs][:3] == [5, 2, 0]
    assert sum(found["events"] for found in runs) == 60
    assert left(store) == [*dead, last], "the newest stays"


def test_old_events_that_must_stay_end_the_walk(store, monkeypatch):
    monkeypatch.setattr(pruning, "WINDOW", 2)
    monkeypatch.setattr(pruning, "WINDOWS_HIGHEST", 3)
    with store.write(actor="test") as tx:
        dead = [put(tx, (DeliveryState.DEAD,)) for _ in range(6)]
        behind = put(tx, ())
        put(tx, ())
    assert prune(store)["events"] == 0
    with store.write(actor="test") as tx:
        sql.update(tx, tables.delivery, {"event_id": dead[0]}, state=DeliveryState.DISCARDED)
    assert prune(store)["events"] == 1
    assert prune(store)["events"] == 1
    assert behind not in left(store)
