"""Run as a script: dispatchers over one database, each killed with SIGKILL in the middle of a delivery.

Arguments: database URL, number of kills, seed. A child says when its handler has begun; its parent kills it a
few milliseconds later. No connection is opened before the fork.
"""

import os
import random
import signal
import sys
import time

from services import event_bus
from services.domain.clock import WallClock
from services.domain.events import EventType
from services.event_bus import Subscriber
from services.operations import review_queue
from services.store.tx import Store

HANDLER_SECONDS = 0.01


def counting(begun: int | None = None) -> dict[str, Subscriber]:
    """Return two subscribers that write one row per event; with `begun`, slowly, saying so on that pipe."""

    def handle(tx, event, _prepared):
        if begun is not None:
            os.write(begun, b".")
            time.sleep(HANDLER_SECONDS)
        review_queue.open_item(tx, kind=tx.actor, subject=str(event.event_id), context={})

    return {name: Subscriber(name, (EventType.TASK_ENDED,), handle) for name in ("first", "second")}


def deliver_until_killed(url: str, begun: int) -> None:
    """Deliver for ever; the parent ends it."""
    store = Store(url, WallClock())
    while True:
        event_bus.deliver_due(store, counting(begun))


def kill_one(url: str, rng: random.Random) -> None:
    """Start a dispatcher and kill it while a handler runs."""
    heard, begun = os.pipe()
    child = os.fork()
    if child == 0:
        deliver_until_killed(url, begun)
        os._exit(1)
    os.close(begun)
    os.read(heard, 1)
    time.sleep(rng.uniform(0, 4 * HANDLER_SECONDS))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    os.close(heard)
    assert os.WTERMSIG(status) == signal.SIGKILL


def main(url: str, kills: str, seed: str) -> None:
    """Kill so many dispatchers, one after the other."""
    rng = random.Random(int(seed))
    for _ in range(int(kills)):
        kill_one(url, rng)


if __name__ == "__main__":
    main(*sys.argv[1:])
