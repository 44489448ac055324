"""Senders killed in the middle of a delivery lose nothing: what they did not live to record is sent again."""

import itertools
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.egress.destinations import Destinations, EgressPolicy
from app.egress.sender import WebhookSender
from app.keys import webhook_key
from services.domain.clock import WallClock
from services.domain.states import DeliveryState
from services.domain.webhooks import message_id
from services.store import sql, tables
from services.store.tx import Store
from tests.app.egress import killed_senders
from tests.app.egress.receivers import OK, receiving, wait_until
from tests.services.operations.webhook_bench import Bench

ROOT = Path(__file__).resolve().parents[3]
KILLS, EVENTS = 8, 40


@pytest.fixture
def bench(market):
    clock = market.platform.store.clock
    clock.advance(time.time_ns() // 1_000 - clock.now_us())
    return Bench(market)


def test_senders_killed_in_the_middle_of_a_delivery_lose_no_event(bench, tmp_path):
    answers = itertools.cycle([[0.0, OK], [0.02, OK], [3.0, OK]])  # some too late for the sender to live
    with receiving(lambda _: next(answers)) as receiver:
        hook = bench.register(url=receiver.url)
        events = bench.publish(EVENTS)
        script = [sys.executable, killed_senders.__file__, bench.store.url, str(tmp_path), str(KILLS), "5"]
        subprocess.run(script, check=True, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, timeout=600)
        answers = itertools.repeat([OK])
        delivered = len(bench.deliveries(hook, state=DeliveryState.DELIVERED))
        assert delivered < EVENTS, "the kills came too late to prove anything"
        store = Store(bench.store.url, WallClock())
        here = Destinations(EgressPolicy(is_loopback_allowed=True))
        sender = WebhookSender(store, webhook_key(tmp_path), here, pace=killed_senders.PACE)
        sender.start()

        def is_done():
            with store.read() as tx:
                found = sql.find_all(tx, tables.webhook_delivery, state=DeliveryState.DELIVERED)
            return len(found) == EVENTS

        wait_until(is_done, "an event was lost", 60)
        sender.stop()
        store.close()
    assert set(receiver.ids()) == {message_id(hook, number) for number in events}
    assert len(bench.deliveries(hook)) == EVENTS
    assert max(row["attempts"] for row in bench.deliveries(hook)) > 1, "no try was cut off"
