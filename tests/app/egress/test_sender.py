"""The sender against real receivers on loopback: polite, broken, slow, silent, huge and hostile ones."""

import asyncio
import itertools
import threading
import time
from contextlib import contextmanager

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from app.bootstrap import Runtime
from app.egress.destinations import Destination, Destinations, EgressPolicy
from app.egress.posting import Limits, new_client, post
from app.egress.sender import Pace, WebhookSender
from app.keys import webhook_key
from services.domain.clock import HOUR_US, SECOND_US
from services.domain.states import DeliveryState
from services.domain.webhooks import secret_text
from services.operations import webhooks
from tests.app.egress import receivers
from tests.app.egress.receivers import receiving, status, wait_until
from tests.services.operations.webhook_bench import Bench

HERE = EgressPolicy(is_loopback_allowed=True)
QUICK = Pace(poll_seconds=0.02, limits=Limits(connect_seconds=0.5, total_seconds=0.5))
PATIENT = Pace(poll_seconds=0.02)
WHY = {"reason": "because a test says so"}


@pytest.fixture
def bench(market):
    market.platform.store.clock.advance(time.time_ns() // 1_000 - market.platform.store.clock.now_us())
    return Bench(market)


@contextmanager
def sending(bench, pace=PATIENT, resolve=None):
    key = webhook_key(bench.market.platform.settings.var_directory)
    sender = WebhookSender(bench.store, key, Destinations(HERE, resolve), pace=pace)
    sender.start()
    try:
        yield sender
    finally:
        sender.stop()


def secret_of(bench, hook, version=1):
    return secret_text(webhook_key(bench.market.platform.settings.var_directory), hook, version)


def settled(bench, hook, state=DeliveryState.DELIVERED, count=1):
    """Wait until so many deliveries are in this state and return them."""
    wait_until(
        lambda: len(bench.deliveries(hook, state=state)) >= count,
        [dict(row) for row in bench.deliveries(hook)],
    )
    return bench.deliveries(hook, state=state)


def failed_once(bench, hook):
    """Wait until the first try has failed and return its delivery."""
    wait_until(lambda: any(row["last_error"] for row in bench.deliveries(hook)), "the try did not fail")
    [row] = bench.deliveries(hook)
    assert (row["state"], row["attempts"]) == (DeliveryState.PENDING, 1)
    return row


def test_an_event_arrives_signed_and_as_a_cloud_event(bench):
    with receiving(receivers.OK) as receiver, sending(bench):
        hook = bench.register(url=receiver.url)
        [event_id] = bench.publish(1)
        [row] = settled(bench, hook)
    [got] = receiver.requests
    assert got.target == "/hook?for=tests"
    assert got.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert got.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    assert got.headers["webhook-id"] == f"nacre_{hook}_{event_id}"
    verified = Webhook(secret_of(bench, hook)).verify(got.body, got.headers)
    assert (verified["id"], verified["type"]) == (str(event_id), "nacre.task.ended")
    with pytest.raises(WebhookVerificationError):
        Webhook(secret_of(bench, hook)).verify(got.body + b" ", got.headers)
    assert (row["attempts"], row["last_status"]) == (1, 200)


def test_after_a_rotation_the_old_and_the_new_secret_verify(bench):
    with receiving(receivers.OK) as receiver, sending(bench):
        hook = bench.register(url=receiver.url)
        bench.act(webhooks.rotate, hook, **WHY)
        bench.publish(1)
        settled(bench, hook)
    [got] = receiver.requests
    for version in (1, 2):
        assert Webhook(secret_of(bench, hook, version)).verify(got.body, got.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret_of(bench, hook, 3)).verify(got.body, got.headers)


def test_a_try_that_failed_is_made_again_under_the_same_id(bench):
    answers = [status(500), status(503, "Retry-After: 90"), receivers.OK]
    with receiving(lambda number: answers[number - 1]) as receiver, sending(bench):
        hook = bench.register(url=receiver.url)
        bench.publish(1)
        failed_once(bench, hook)
        bench.store.clock.advance(5 * SECOND_US)
        receiver.wait_for(2)
        wait_until(lambda: bench.deliveries(hook)[0]["last_status"] == 503, "503 was not recorded")
        row = bench.deliveries(hook)[0]
        assert row["next_attempt_at_us"] == bench.store.clock.now_us() + 90 * SECOND_US
        bench.store.clock.advance(90 * SECOND_US)
        settled(bench, hook)
    assert len(set(receiver.ids())) == 1
    assert len({one.body for one in receiver.requests}) == 1


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (receivers.NEVER, "no whole answer within 0.5 s"),
        (receivers.DRIP, "no whole answer within 0.5 s"),
        (receivers.GARBAGE, "RemoteProtocolError"),
        (b"", "RemoteProtocolError"),
        (status(404), "the receiver answered 404"),
        (status(301, "Location: http://127.0.0.1:1/"), "redirects are not followed"),
    ],
    ids=["never", "drip", "garbage", "closed", "404", "redirect"],
)
def test_what_is_no_answer_in_time_is_a_failure_in_words(bench, answer, why):
    with receiving(answer) as receiver, sending(bench, QUICK):
        hook = bench.register(url=receiver.url)
        bench.publish(1)
        assert why in failed_once(bench, hook)["last_error"]


def test_a_redirect_is_not_followed(bench):
    with receiving(receivers.OK) as inside:
        leading = status(307, f"Location: {inside.url}")
        with receiving(leading) as receiver, sending(bench):
            hook = bench.register(url=receiver.url)
            bench.publish(1)
            failed_once(bench, hook)
        assert inside.requests == []


def test_of_a_huge_answer_only_the_beginning_is_read(bench):
    with receiving(receivers.HUGE) as receiver, sending(bench):
        hook = bench.register(url=receiver.url)
        bench.publish(1)
        [row] = settled(bench, hook)
    assert row["last_status"] == 200


def test_nobody_listening_is_a_failure_and_gone_is_a_pause(bench):
    with receiving(receivers.OK) as receiver:
        closed = receiver.url
    with receiving(status(410)) as receiver, sending(bench):
        lost, gone = bench.register(url=closed), bench.register(url=receiver.url)
        bench.publish(1)
        assert "ConnectError" in failed_once(bench, lost)["last_error"]
        wait_until(lambda: not bench.hook(gone)["is_active"], "410 did not pause")
    assert "410" in bench.hook(gone)["pause_reason"]


def test_slow_and_silent_receivers_delay_no_other(bench):
    with (
        receiving(receivers.NEVER) as silent,
        receiving(receivers.DRIP) as slow,
        receiving(receivers.OK) as quick,
        sending(bench),
    ):
        for url in (silent.url, slow.url) * 5:
            bench.register(url=url)
        hook = bench.register(url=quick.url)
        bench.publish(40)
        settled(bench, hook, count=40)
        assert len(silent.requests) == 5 * PATIENT.each, "every webhook has its own places and no more"
        [row, *_] = bench.market.rows(_deliveries(), state=DeliveryState.PENDING)
        assert row["last_error"] is None, "the silent ones must still have been under way"
        silent.stopping.set()
        slow.stopping.set()


def _deliveries():
    return webhooks.tables.webhook_delivery


def test_a_name_that_rebinds_between_checks_is_never_connected_to(bench):
    """The first look finds a permitted address, every later one a private one; both looks are judged."""
    found = itertools.chain(["127.0.0.1"], itertools.repeat("10.0.0.7"))
    asked = []

    def rebinding(host, _port):
        asked.append(host)
        return [next(found)]

    with receiving(receivers.OK) as receiver, sending(bench, resolve=rebinding):
        url = f"http://localhost:{receiver.port}/"
        hook = bench.register(url=url)
        bench.publish(1)
        settled(bench, hook)
        assert asked == ["localhost"], "resolved once, and connected to what was judged"
        bench.publish(1)
        wait_until(lambda: any(row["last_error"] for row in bench.deliveries(hook)), "it was not refused")
        [row] = bench.deliveries(hook, state=DeliveryState.PENDING)
        assert "10.0.0.7" in row["last_error"]
        assert row["last_error"].startswith("nothing was sent")
    assert len(receiver.requests) == 1


def test_the_name_is_said_but_the_judged_address_is_connected_to(bench):
    with (
        receiving(receivers.OK) as receiver,
        sending(bench, resolve=lambda *_: ["127.0.0.1"]),
    ):
        hook = bench.register(url=f"http://localhost:{receiver.port}/x")
        bench.publish(1)
        settled(bench, hook)
    assert receiver.requests[0].headers["host"] == f"localhost:{receiver.port}"


def test_a_name_is_not_resolved_again_when_it_is_connected_to():
    async def post_once(port):
        async with new_client(Limits()) as client:
            named = Destination("http", "hooks.example.invalid", port, "/x")
            return await post(client, named, "127.0.0.1", b"{}", {}, total_seconds=10, now_us=0)

    with receiving(receivers.OK) as receiver:
        assert asyncio.run(post_once(receiver.port)).is_delivered
    assert receiver.requests[0].headers["host"] == f"hooks.example.invalid:{receiver.port}"


def test_several_senders_make_every_try_once(bench):
    with receiving(receivers.OK) as receiver, sending(bench), sending(bench), sending(bench):
        hook = bench.register(url=receiver.url)
        bench.publish(60)
        settled(bench, hook, count=60)
    assert len(receiver.ids()) == len(set(receiver.ids())) == 60


def test_what_cannot_be_recorded_is_tried_again_when_its_lease_has_passed(bench, monkeypatch):
    with receiving(receivers.OK) as receiver, sending(bench) as sender:
        hook = bench.register(url=receiver.url)
        store, sender._store = sender._store, BrokenOnce(sender._store)
        bench.publish(1)
        receiver.wait_for(1)
        wait_until(lambda: sender._store.refused, "the outcome was recorded")
        sender._store = store
        bench.store.clock.advance(60 * SECOND_US)
        settled(bench, hook)
    assert len(receiver.ids()) == 2
    assert len(set(receiver.ids())) == 1


class BrokenOnce:
    """A store that fails to record the outcome of a try."""

    def __init__(self, store):
        self.store, self.clock, self.writes, self.refused = store, store.clock, 0, False

    def read(self, **given):
        return self.store.read(**given)

    def write(self, **given):
        if threading.current_thread().name.startswith("webhook-records") and self._is_conclusion():
            self.refused = True
            raise RuntimeError("the database is gone")
        return self.store.write(**given)

    def _is_conclusion(self):
        with self.store.read() as tx:
            rows = webhooks.sql.find_all(tx, _deliveries(), state=DeliveryState.PENDING)
        return any(row["attempts"] for row in rows)


def test_the_runtime_sends(bench):
    platform = bench.market.platform
    platform.settings = type(platform.settings)(
        platform.settings.database_url,
        var_directory=platform.settings.var_directory,
        operator_key="operator",
        is_webhook_loopback_allowed=True,
    )
    runtime = Runtime(platform)
    runtime.start()
    try:
        with receiving(receivers.OK) as receiver:
            hook = bench.register(url=receiver.url)
            bench.act(webhooks.send_ping, hook)
            settled(bench, hook)
            assert b'"nacre.ping"' in receiver.requests[0].body
    finally:
        runtime.stop()


def test_after_an_hour_of_refusals_every_event_still_arrives(bench):
    is_broken = True
    with receiving(lambda _: status(503) if is_broken else receivers.OK) as receiver, sending(bench):
        hook = bench.register(url=receiver.url)
        events = bench.publish(3)
        receiver.wait_for(3)
        wait_until(lambda: bench.hook(hook)["failures"] == 1, "no round was counted")
        is_broken = False
        bench.store.clock.advance(HOUR_US)
        settled(bench, hook, count=3)
    assert sorted(set(receiver.ids())) == sorted(f"nacre_{hook}_{number}" for number in events)
