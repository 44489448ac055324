"""Run as a script: senders over one database, each killed with SIGKILL while it delivers.

Arguments: database URL, var directory, number of kills, seed. A child says when a request of its has begun;
its parent kills it a few milliseconds later. No connection is opened before the fork.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

from app.egress.destinations import Destinations, EgressPolicy
from app.egress.sender import Pace, WebhookSender
from app.keys import webhook_key
from services.domain.clock import WallClock
from services.operations import webhook_sending
from services.store.tx import Store

LEASE_SECONDS = 0.6
PACE = Pace(poll_seconds=0.01, lease_seconds=LEASE_SECONDS)


def send_until_killed(url, folder, begun):
    """Send what the first claim brings, saying on the pipe when it has come; the parent ends it.

    However late it is killed, it has not sent more.
    """
    claim = webhook_sending.claim
    first = []

    def telling(*given, **named):
        claims = [] if first else claim(*given, **named)
        if claims:
            first.extend(claims)
            os.write(begun, b".")
        return claims

    webhook_sending.claim = telling
    here = Destinations(EgressPolicy(is_loopback_allowed=True))
    WebhookSender(Store(url, WallClock()), webhook_key(Path(folder)), here, pace=PACE).start()
    time.sleep(600)


def kill_one(url, folder, rng):
    """Start a sender and kill it while a request is under way."""
    heard, begun = os.pipe()
    child = os.fork()
    if child == 0:
        send_until_killed(url, folder, begun)
        os._exit(1)
    os.close(begun)
    os.read(heard, 1)
    time.sleep(rng.uniform(0, 0.03))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    os.close(heard)
    assert os.WTERMSIG(status) == signal.SIGKILL


def main(url, folder, kills, seed):
    """Kill so many senders, one after the other."""
    rng = random.Random(int(seed))
    for _ in range(int(kills)):
        kill_one(url, folder, rng)


if __name__ == "__main__":
    main(*sys.argv[1:])
