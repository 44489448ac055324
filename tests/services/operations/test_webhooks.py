"""Webhooks in the record: fed once and whole, claimed by one, tried again, paused, caught up, discarded."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy

from services.domain.clock import DAY_US, SECOND_US
from services.domain.errors import ConflictError, InvalidValueError, NotFoundError
from services.domain.events import Event, EventType
from services.domain.states import DeliveryState
from services.domain.webhooks import ATTEMPTS_HIGHEST, FAILURES_HIGHEST, RETRY_SECONDS, Outcome
from services.event_bus import publish
from services.operations import webhook_feed, webhook_sending, webhooks
from services.store import sql, tables, views
from tests.plugins.platforms import Market, platform_over
from tests.services.operations.webhook_bench import BROKEN, LEASE_US, URL, Bench

WHY = {"reason": "because a test says so"}


@pytest.fixture
def bench(market):
    return Bench(market)


@pytest.fixture
def postgresql_bench(migrated_postgresql_url, tmp_path):
    """A bench on the engine that gives ids out before it commits."""
    platform = platform_over(migrated_postgresql_url, tmp_path)
    yield Bench(Market(platform))
    platform.close()


def states(bench, hook):
    return [row["state"] for row in bench.deliveries(hook)]


def acts(market):
    return [json.loads(row["leaf"])["payload"] for row in market.rows(tables.ledger_entry, type="OVERRIDE")]


def open_kinds(market):
    return [row["kind"] for row in market.rows(tables.review_item, closed_at_us=None)]


# --- the feed


def test_what_is_published_after_the_registration_is_queued_once(bench):
    bench.publish(3)
    hook = bench.register()
    wanted = bench.publish(5)
    assert bench.feed() == 5
    assert bench.feed() == 0
    assert bench.events_of(hook) == wanted
    body = json.loads(bench.deliveries(hook)[0]["body"])
    assert (body["id"], body["type"], body["data"]) == (str(wanted[0]), "nacre.task.ended", {"task_id": 0})


def test_a_webhook_gets_only_the_types_it_asked_for(bench):
    some = bench.register("nacre.anomaly.detected", "nacre.change.confirmed")
    every = bench.register("*")
    ended = bench.publish(2)
    confirmed = bench.publish(1, EventType.CHANGE_CONFIRMED)
    bench.feed()
    assert bench.events_of(some) == confirmed
    assert bench.events_of(every) == ended + confirmed


def test_with_no_active_webhook_events_are_not_read(bench):
    hook = bench.register()
    bench.act(webhooks.pause, hook, **WHY)
    bench.publish(1)
    seen = []
    engine = bench.store.engine
    sqlalchemy.event.listen(engine, "before_cursor_execute", lambda *given: seen.append(given[2]))
    assert webhook_feed.feed(bench.store) == webhook_feed.NOTHING
    assert bench.claim() == []
    assert seen
    assert [text for text in seen if "FROM event" in text or "INTO" in text or "UPDATE" in text] == []


def test_a_batch_larger_than_one_round_is_fed_whole(bench, monkeypatch):
    monkeypatch.setattr(webhook_feed, "BATCH", 7)
    hook = bench.register()
    wanted = bench.publish(30)
    assert bench.feed() == 30
    assert bench.events_of(hook) == wanted


def test_an_event_that_commits_behind_newer_ones_is_not_lost(postgresql_bench):
    bench = postgresql_bench
    hook = bench.register()
    has_id, may_commit = threading.Event(), threading.Event()
    late = []

    def slowly():
        with bench.store.write(actor="test") as tx:
            late.append(publish(tx, Event(EventType.TASK_ENDED, "task:9", {"task_id": 9})))
            has_id.set()
            assert may_commit.wait(30)

    thread = threading.Thread(target=slowly)
    thread.start()
    assert has_id.wait(30)
    newer = bench.publish(2)
    bench.feed()
    assert bench.events_of(hook) == newer
    assert bench.mark()["skipped"] == [[late[0], late[0], bench.store.clock.now_us()]]
    may_commit.set()
    thread.join()
    bench.feed()
    assert bench.events_of(hook) == newer + late
    assert bench.mark()["skipped"] == []


def test_a_skipped_id_is_given_up_when_no_transaction_can_hold_it(postgresql_bench):
    bench = postgresql_bench
    bench.register()
    with bench.store.write(actor="test") as tx:
        sql.reserve_ids(tx, tables.event, 3)
    bench.publish(1)
    bench.feed()
    [[low, high, _]] = bench.mark()["skipped"]
    assert high - low == 2
    bench.store.clock.advance(webhook_feed.LATE_US + SECOND_US)
    bench.feed()
    assert bench.mark()["skipped"] == []


def test_feeding_that_is_rolled_back_moves_no_mark(bench):
    hook = bench.register()
    wanted = bench.publish(3)
    before = bench.mark()

    def feed_and_fail(tx):
        assert webhook_feed.feed_within(tx).queued == 3
        raise RuntimeError

    with pytest.raises(RuntimeError):
        bench.act(feed_and_fail)
    assert bench.mark() == before
    assert bench.feed() == 3
    assert bench.events_of(hook) == wanted


def test_processes_that_feed_together_queue_each_event_once(bench, monkeypatch):
    monkeypatch.setattr(webhook_feed, "BATCH", 5)
    hook = bench.register()
    wanted = bench.publish(60)
    with ThreadPoolExecutor(6) as threads:
        assert sum(threads.map(lambda _: bench.feed(), range(6))) == 60
    assert sorted(bench.events_of(hook)) == wanted


def test_a_full_queue_lets_the_webhook_lag_and_catch_up(bench, monkeypatch):
    monkeypatch.setattr(webhook_feed, "QUEUE_HIGHEST", 4)
    monkeypatch.setattr(webhook_feed, "BATCH", 5)
    slow, other = bench.register(), bench.register("nacre.change.confirmed")
    wanted = bench.publish(23)
    confirmed = bench.publish(1, EventType.CHANGE_CONFIRMED)
    for _ in range(40):
        webhook_feed.feed(bench.store)
    assert len(bench.deliveries(slow)) < 23
    assert bench.hook(slow)["behind_id"] is not None
    assert bench.events_of(other) == confirmed
    for _ in range(40):
        bench.send()
        webhook_feed.feed(bench.store)
    assert bench.hook(slow)["behind_id"] is None
    assert bench.events_of(slow) == wanted + confirmed


def test_an_event_that_is_too_large_is_shown_as_discarded(bench):
    hook = bench.register()
    with bench.store.write(actor="test") as tx:
        publish(tx, Event(EventType.TASK_ENDED, "task:1", {"text": "x" * 262_144}))
    bench.feed()
    [row] = bench.deliveries(hook)
    assert (row["state"], row["body"]) == (DeliveryState.DISCARDED, "")
    assert "262144" in row["last_error"]


# --- claims


def test_a_claim_is_one_process_s_until_its_lease_passes(bench):
    hook = bench.register()
    bench.publish(3)
    bench.feed()
    first = bench.claim()
    assert [one.attempt for one in first] == [1, 1, 1]
    assert bench.claim() == []
    bench.store.clock.advance(LEASE_US)
    again = bench.claim()
    assert [one.delivery_id for one in again] == [one.delivery_id for one in first]
    assert [one.message_id for one in again] == [one.message_id for one in first]
    assert webhook_sending.conclude(bench.store, first[0], Outcome(200)) is None
    assert webhook_sending.conclude(bench.store, again[0], Outcome(200)) is DeliveryState.DELIVERED
    assert webhook_sending.conclude(bench.store, again[0], Outcome(200)) is None
    assert states(bench, hook) == ["delivered", "pending", "pending"]


def test_two_processes_never_claim_the_same_try(bench):
    bench.register()
    bench.publish(120)
    bench.feed()
    with ThreadPoolExecutor(6) as threads:
        claims = [one for found in threads.map(lambda _: bench.claim(limit=25), range(8)) for one in found]
    claims += bench.claim(limit=120)
    assert len(claims) == len({one.delivery_id for one in claims}) == 120


def test_every_webhook_has_its_own_places(bench):
    busy, quiet = bench.register(), bench.register("nacre.change.confirmed")
    bench.publish(50)
    bench.publish(1, EventType.CHANGE_CONFIRMED)
    bench.feed()
    claims = bench.claim(limit=10, each=4)
    assert [one.webhook_id for one in claims] == [busy] * 4 + [quiet]
    assert bench.claim(limit=10, each=4, under_way={busy: 4}) == []


# --- what becomes of a try


def test_a_delivery_is_tried_over_a_day_and_then_dead(bench, market):
    hook = bench.register()
    bench.publish(1)
    bench.feed()
    begun_us = bench.store.clock.now_us()
    for pause in (*RETRY_SECONDS, None):
        assert bench.send(BROKEN) == 1
        if pause is not None:
            bench.store.clock.advance((pause - 1) * SECOND_US)
            assert bench.claim() == []
            bench.store.clock.advance(SECOND_US)
    assert 0.9 * DAY_US < bench.store.clock.now_us() - begun_us < 1.1 * DAY_US
    [row] = bench.deliveries(hook)
    assert (row["state"], row["attempts"]) == (DeliveryState.DEAD, ATTEMPTS_HIGHEST)
    assert (row["last_status"], row["last_error"]) == (500, "the receiver answered 500")
    assert open_kinds(market) == [webhook_sending.DEAD]


def test_a_receiver_that_fails_rests_as_a_whole_and_others_do_not(bench):
    broken, other = bench.register("nacre.task.ended"), bench.register("nacre.task.ended")
    bench.publish(1)
    bench.feed()
    first, second = bench.claim()
    webhook_sending.conclude(bench.store, first, BROKEN)
    webhook_sending.conclude(bench.store, second, Outcome(204))
    bench.publish(1)
    bench.feed()
    assert [one.webhook_id for one in bench.claim()] == [other]
    bench.store.clock.advance(5 * SECOND_US)
    assert {one.webhook_id for one in bench.claim()} == {broken}


def test_retry_after_is_honoured_and_bounded(bench):
    hook = bench.register()
    bench.publish(1)
    bench.feed()
    bench.send(Outcome(429, None, 700 * SECOND_US))
    assert bench.deliveries(hook)[0]["next_attempt_at_us"] == bench.store.clock.now_us() + 700 * SECOND_US
    bench.store.clock.advance(700 * SECOND_US)
    bench.send(Outcome(503, None, 400 * DAY_US))
    assert bench.deliveries(hook)[0]["next_attempt_at_us"] == bench.store.clock.now_us() + DAY_US // 4


def test_a_webhook_that_fails_round_after_round_is_paused_and_loses_nothing(bench, market):
    hook = bench.register()
    bench.register("nacre.change.confirmed")  # keeps the mark moving while the other is paused
    wanted = []
    for _ in range(FAILURES_HIGHEST):
        wanted += bench.publish(1)
        bench.feed()
        assert bench.hook(hook)["is_active"]
        assert bench.send(BROKEN)
        bench.store.clock.advance(600 * SECOND_US)
    assert bench.hook(hook)["failures"] == FAILURES_HIGHEST
    assert "500" in bench.hook(hook)["pause_reason"]
    assert webhook_sending.PAUSED in open_kinds(market)
    wanted += bench.publish(4)
    assert bench.feed() == 0
    assert bench.send() == 0
    bench.act(webhooks.resume, hook, **WHY)
    bench.feed()
    bench.store.clock.advance(DAY_US)
    assert bench.send() == len(wanted)
    assert bench.events_of(hook) == wanted
    assert set(states(bench, hook)) == {DeliveryState.DELIVERED}
    assert bench.hook(hook)["failures"] == 0


def test_tries_that_were_under_way_together_count_as_one_round(bench):
    hook = bench.register()
    bench.publish(40)
    bench.feed()
    assert bench.send(BROKEN) == 40
    assert bench.hook(hook)["failures"] == 1
    assert bench.hook(hook)["is_active"]


def test_gone_pauses_at_once_and_keeps_the_delivery(bench, market):
    hook = bench.register()
    bench.publish(1)
    bench.feed()
    bench.send(Outcome(410))
    assert not bench.hook(hook)["is_active"]
    assert bench.hook(hook)["pause_reason"] == "the receiver answered 410 Gone"
    assert states(bench, hook) == [DeliveryState.PENDING]
    assert open_kinds(market) == [webhook_sending.PAUSED]


def test_words_of_a_receiver_are_kept_plain(bench):
    hook = bench.register()
    bench.publish(1)
    bench.feed()
    bench.send(Outcome(None, "bad\x00\x1b[31m\ud800" + "x" * 900))
    kept = bench.deliveries(hook)[0]["last_error"]
    assert kept.startswith("bad??[31m?x")
    assert len(kept) == webhook_sending.ERROR_LETTERS


# --- the operator's acts


def test_every_act_stands_in_the_ledger_without_the_path_of_the_address(bench, market):
    hook = bench.register(url="https://hooks.example.org/T0/secret-path?token=hidden")
    bench.act(webhooks.change, hook, types=["nacre.task.ended"])
    bench.act(webhooks.rotate, hook, **WHY)
    bench.act(webhooks.send_ping, hook)
    bench.act(webhooks.pause, hook, **WHY)
    bench.act(webhooks.resume, hook, **WHY)
    bench.act(webhooks.remove, hook, **WHY)
    found = acts(market)
    names = ("create", "change", "rotate", "test", "pause", "resume", "delete")
    assert [one["act"] for one in found] == [f"{name}_webhook" for name in names]
    assert {one["webhook_id"] for one in found} == {hook}
    assert found[0]["host"] == "hooks.example.org"
    assert "hidden" not in json.dumps(found)
    assert "secret-path" not in json.dumps(found)


def test_dead_deliveries_are_replayed_under_their_id_or_discarded(bench, market):
    hook = bench.register()
    bench.publish(2)
    bench.feed()
    ids = {one.delivery_id: one.message_id for one in bench.claim()}
    first, second = ids
    with bench.store.write(actor="test") as tx:
        sql.update(tx, tables.webhook_delivery, {"id": [first, second]}, state=DeliveryState.DEAD)
    bench.act(webhooks.replay, hook, first, **WHY)
    bench.act(webhooks.discard, hook, second, **WHY)
    [again] = bench.claim()
    assert (again.delivery_id, again.message_id, again.attempt) == (first, ids[first], 1)
    for act in (webhooks.replay, webhooks.discard):
        with pytest.raises(ConflictError, match="not dead"):
            bench.act(act, hook, second, **WHY)
        with pytest.raises(NotFoundError):
            bench.act(act, hook, 999, **WHY)
    assert [one["act"] for one in acts(market)][1:] == [
        "replay_webhook_delivery",
        "discard_webhook_delivery",
    ]


def test_pings_are_told_apart_and_go_to_who_asked_for_other_types(bench):
    hook = bench.register("nacre.change.confirmed")
    bench.act(webhooks.send_ping, hook)
    bench.act(webhooks.send_ping, hook)
    claims = bench.claim()
    assert [json.loads(one.body)["type"] for one in claims] == ["nacre.ping"] * 2
    assert len({one.message_id for one in claims}) == 2
    with bench.store.read() as tx:
        page = views.list_webhook_deliveries(tx, hook)
    assert {(one["type"], one["event_id"]) for one in page["items"]} == {("nacre.ping", None)}


def test_a_deleted_webhook_is_gone_with_what_waited(bench):
    hook = bench.register()
    bench.publish(2)
    bench.feed()
    [under_way, _] = bench.claim()
    assert bench.act(webhooks.remove, hook, **WHY) == 2
    assert webhook_sending.conclude(bench.store, under_way, Outcome(200)) is None
    assert set(states(bench, hook)) == {DeliveryState.DISCARDED}
    bench.publish(1)
    assert bench.feed() == 0
    with bench.store.read() as tx:
        assert views.get_webhook(tx, hook) is None
        assert views.list_webhooks(tx)["items"] == []
    for act in (webhooks.pause, webhooks.resume, webhooks.rotate, webhooks.remove):
        with pytest.raises(NotFoundError):
            bench.act(act, hook, **WHY)


def test_for_a_day_after_a_rotation_both_secrets_sign(bench):
    hook = bench.register()
    bench.publish(3)
    bench.feed()
    assert bench.claim(limit=1)[0].secret_versions == (1,)
    assert bench.act(webhooks.rotate, hook, **WHY) == 2
    assert bench.claim(limit=1)[0].secret_versions == (2, 1)
    bench.store.clock.advance(DAY_US)
    assert bench.claim(limit=1)[0].secret_versions == (2,)


@pytest.mark.parametrize(
    ("types", "code", "nearest"),
    [
        (["nacre.task.endet"], "event_type_unknown", "nacre.task.ended"),
        (["TaskEnded"], "event_type_unknown", "nacre.task.ended"),
        (["qqqqqq"], "event_type_unknown", None),
        ([], "types_missing", None),
    ],
)
def test_unknown_types_are_refused_with_the_nearest(bench, types, code, nearest):
    with pytest.raises(InvalidValueError) as refused:
        bench.act(webhooks.create, webhooks.NewWebhook(URL, types))
    assert (refused.value.code, refused.value.field) == (code, "body.types")
    assert refused.value.arguments.get("nearest") == nearest


def test_acts_that_make_no_sense_are_refused(bench, monkeypatch):
    hook = bench.register()
    with pytest.raises(ConflictError, match="active already"):
        bench.act(webhooks.resume, hook, **WHY)
    bench.act(webhooks.pause, hook, **WHY)
    with pytest.raises(ConflictError, match="paused already"):
        bench.act(webhooks.pause, hook, **WHY)
    with pytest.raises(ConflictError, match="resume it first"):
        bench.act(webhooks.send_ping, hook)
    for act in (webhooks.pause, webhooks.resume, webhooks.rotate, webhooks.remove):
        with pytest.raises(InvalidValueError, match="reason"):
            bench.act(act, hook, reason=" ")
    with pytest.raises(InvalidValueError, match="name what changes"):
        bench.act(webhooks.change, hook)
    with pytest.raises(InvalidValueError, match="printable"):
        bench.act(webhooks.change, hook, description="two\nlines")
    monkeypatch.setattr(webhooks, "WEBHOOKS_HIGHEST", 1)
    with pytest.raises(ConflictError, match="the most there may be"):
        bench.register()


def test_old_deliveries_are_deleted_but_the_newest_and_the_dead(bench):
    hook = bench.register()
    bench.publish(4)
    bench.feed()
    with bench.store.write(actor="test") as tx:
        [one, two, three, four] = [row["id"] for row in sql.find_all(tx, tables.webhook_delivery)]
        sql.update(tx, tables.webhook_delivery, {"id": [one, two, four]}, state=DeliveryState.DELIVERED)
        sql.update(tx, tables.webhook_delivery, {"id": three}, state=DeliveryState.DEAD)
    assert webhook_feed.prune(bench.store) == 0
    bench.store.clock.advance(webhook_feed.KEPT_US + SECOND_US)
    assert webhook_feed.prune(bench.store) == 2
    assert [row["id"] for row in bench.deliveries(hook)] == [three, four]
