"""One measurement over HTTP: drive tasks through their lives, count those the database settled.

The first part of the time warms up; the count is of tasks settled between two instants while the load goes
on, and the processor time is the server's between the same two. Afterwards no more is posted and what is in
flight is worked off, so that nothing is left for the next round and what was paid can be recounted.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

from tests.benchmarks.market.load import Load, Script, run
from tests.benchmarks.market.measure import Sample
from tests.benchmarks.market.servers import HOST, Server

WARM_UP = 0.5
"""Share of the measured time that passes before it."""
FINISH_SECONDS = 6.0
FIRST_SECONDS = 10.0
"""Longest wait for the first life to be through."""
CONNECTIONS = 48


class TaskScript(Script, Protocol):
    """A script that can stop beginning tasks and knows when all of its own are through."""

    is_posting: bool

    @property
    def is_finished(self) -> bool:
        """Tell whether every task that was posted has come to its end."""
        ...


@dataclass
class Lifecycles:
    """A server, how to ask it, and how to recount what it did."""

    server: Server
    script: Callable[[], TaskScript]
    settled: Callable[[], int]
    paid_twice: Callable[[], int]
    connections: int = CONNECTIONS
    warm_up_seconds: float = 0.0

    def measure(self, seconds: float) -> Sample:
        """Run one round: warm up, measure, work off; the server stands still before and after."""
        with self.server.running_alone():
            return run(self._measured(seconds))

    async def _measured(self, seconds: float) -> Sample:
        script = self.script()
        load = Load(script, HOST, self.server.port, self.connections)
        await load.open()
        first, end = self.settled(), time.monotonic() + FIRST_SECONDS
        while self.settled() == first and time.monotonic() < end:  # noqa: ASYNC110 (asked 10 times a second)
            await asyncio.sleep(0.1)
        await asyncio.sleep(max(WARM_UP * seconds, self.warm_up_seconds))
        load.forget()
        before, cpu, wall = self.settled(), self.server.cpu_seconds, time.perf_counter()
        await asyncio.sleep(seconds)
        wall, cpu = time.perf_counter() - wall, self.server.cpu_seconds - cpu
        after, answers = self.settled(), load.answers
        latencies: Sequence[float] = list(chain.from_iterable(load.latencies.values()))
        script.is_posting = False
        end = time.monotonic() + FINISH_SECONDS
        while not script.is_finished and time.monotonic() < end:  # noqa: ASYNC110 (asked 50 times a second)
            await asyncio.sleep(0.02)
        await load.close()
        counts = {
            "requests": answers / max(1, after - before),
            "refused": float(sum(load.refusals.values())),
            "paid_twice": float(self.paid_twice()),
            "settled": float(self.settled()),
        }
        return Sample(after - before, wall, cpu, latencies, counts)
