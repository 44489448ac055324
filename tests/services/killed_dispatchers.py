"""Run as a script: two dispatchers over one database, killed with SIGKILL at random instants, many times.

Arguments: database URL, number of kills, seed. Each dispatcher publishes events of aggregates of its own and
delivers whatever is due; its handlers fail now and then. The parent imports everything, forks, and opens no
connection itself. Prints a report as JSON; `what_is_wrong` looks afterwards for what does not hold.
"""

import json
import os
import random
import signal
import sys
import time
from collections import defaultdict

from services import event_bus
from services.domain.clock import WallClock
from services.domain.events import Event, EventType
from services.domain.states import DeliveryState
from services.event_bus import Subscriber, routes_of
from services.operations import review_queue
from services.store import sql, tables
from services.store.tx import Store

DISPATCHERS = 2
AT_ONCE = 2
AGGREGATES = 3
FAILING = 0.01
UP_SECONDS = 0.1
"""A dispatcher is killed within this time after it began, and sometimes before."""
DRAINED_SECONDS = 60.0


class FlakyError(Exception):
    """A handler failed by chance."""


def counting(rng: random.Random | None = None) -> dict[str, Subscriber]:
    """Return subscribers of every kind that write one row per event; with `rng` some fail by chance."""

    def handle(tx, event, _prepared):
        context = {"aggregate": event.aggregate}
        review_queue.open_item(tx, kind=tx.actor, subject=str(event.event_id), context=context)
        if rng is not None and rng.random() < FAILING:
            raise FlakyError

    def handle_many(tx, items):
        for event, prepared in items:
            handle(tx, event, prepared)

    def prepare(_store, events, _executor):
        return [None] * len(events)

    kinds = {"singly": (None, None), "many": (None, handle_many), "prepared": (prepare, handle_many)}
    return {name: Subscriber(name, (EventType.TASK_ENDED,), handle, *how) for name, how in kinds.items()}


def publish_and_deliver(url: str, begun: int, seed: int) -> None:
    """Publish and deliver for ever; the parent ends it."""
    rng = random.Random(seed)
    subscribers = counting(rng)
    store = Store(url, WallClock(), routes_of(subscribers))
    names = [f"task:{os.getpid()}-{number}" for number in range(AGGREGATES)]
    while True:
        with store.write(actor="test") as tx:
            for name in rng.choices(names, k=AT_ONCE):
                event_bus.publish(tx, Event(EventType.TASK_ENDED, name, {"seed": seed}))
        os.write(begun, b".")
        event_bus.deliver_due(store, subscribers)


def start(url: str, seed: int) -> tuple[int, int]:
    """Fork a dispatcher; return its process and the pipe on which it says that it has begun."""
    heard, begun = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            publish_and_deliver(url, begun, seed)
        finally:
            os._exit(1)
    os.close(begun)
    return child, heard


def kill(child: int, heard: int) -> None:
    """Kill a dispatcher; it must not have ended by itself."""
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    os.close(heard)
    assert os.WIFSIGNALED(status), f"a dispatcher ended by itself with status {status}"


def main(url: str, kills: str, seed: str) -> None:
    """Kill so many dispatchers, while the other one goes on; say how long that took."""
    rng = random.Random(int(seed))
    began = time.monotonic()
    running = [start(url, rng.getrandbits(32)) for _ in range(DISPATCHERS)]
    for number in range(int(kills)):
        place = number % DISPATCHERS
        child, heard = running[place]
        if rng.random() < 0.9:
            os.read(heard, 1)
        time.sleep(rng.uniform(0, UP_SECONDS))
        kill(child, heard)
        running[place] = start(url, rng.getrandbits(32))
    for child, heard in running:
        kill(child, heard)
    print(json.dumps({"kills": int(kills) + DISPATCHERS, "seconds": round(time.monotonic() - began, 1)}))


def what_is_wrong(url: str) -> tuple[dict[str, int], list[str]]:
    """Deliver what is left; return figures, and what was lost, handled twice or out of order."""
    subscribers = counting()
    store = Store(url, WallClock(), routes_of(subscribers))
    with store.read() as tx:
        left = len(sql.find_all(tx, tables.delivery, state=DeliveryState.PENDING))
    ends = time.monotonic() + DRAINED_SECONDS
    while time.monotonic() < ends:
        event_bus.drain(store, subscribers, limit=10**9)
        with store.read() as tx:
            if event_bus.lag(tx).pending == 0:
                break
        time.sleep(0.1)
    with store.read() as tx:
        events = {row["id"]: row["aggregate"] for row in sql.find_all(tx, tables.event)}
        handled = [(row["kind"], int(row["subject"])) for row in sql.find_all(tx, tables.review_item)]
        retried = [row for row in sql.find_all(tx, tables.delivery) if row["attempts"] > 1]
    store.close()
    figures = {"events": len(events), "handled": len(handled), "left": left, "retried": len(retried)}
    return figures, _breaches(events, handled, [f"system:{name}" for name in subscribers])


def _breaches(events: dict[int, str], handled: list[tuple[str, int]], actors: list[str]) -> list[str]:
    """Return each breach in words; `handled` is in the order in which the handlers took effect."""
    wrong = []
    order = defaultdict(list)
    for actor, number in handled:
        order[actor, events.get(number)].append(number)
    expected = defaultdict(list)
    for number in sorted(events):
        for actor in actors:
            expected[actor, events[number]].append(number)
    for key in expected.keys() | order.keys():
        if order[key] == expected[key]:
            continue
        twice = len(order[key]) - len(set(order[key]))
        lost = len(set(expected[key]) - set(order[key]))
        wrong.append(f"{key}: {lost} lost, {twice} handled twice, else out of order")
    return wrong


if __name__ == "__main__":
    main(*sys.argv[1:])
