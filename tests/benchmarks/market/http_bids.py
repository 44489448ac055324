"""Bids over HTTP: sixteen clients place nothing but bids, as many agents, on tasks that stay open."""

import asyncio
import json
import time
from collections.abc import Iterator
from itertools import product

from tests.benchmarks.market.load import OK, Load, Request, run
from tests.benchmarks.market.measure import Case, Sample
from tests.benchmarks.market.scripts import REQUESTERS, WORKERS, BidScript, Writer, new_task
from tests.benchmarks.market.servers import HOST, Server

CLIENTS = 16
TASKS = 6_000
TASKS_PER_CALL = 500
WARM_UP_SECONDS = 0.5


class PostScript:
    """Posts tasks in batches until there are enough; `tasks` are their ids."""

    def __init__(self, wanted: int) -> None:
        self.calls = -(-wanted // TASKS_PER_CALL)
        self.left = self.calls
        self.writer = Writer()
        self.tasks: list[int] = []
        self.refusals: list[object] = []

    def next(self) -> Request | None:
        """Return the next batch of posts."""
        if not self.left:
            return None
        self.left -= 1
        items = [new_task()] * TASKS_PER_CALL
        requester = REQUESTERS[self.left % len(REQUESTERS)]
        return self.writer.write("post", requester, "/batch/tasks", {"items": items})

    def answered(self, _request: Request, status: int, body: bytes) -> None:
        """Keep the ids."""
        self.calls -= 1
        told = json.loads(body)["results"] if status in OK else [body]
        self.tasks += [item["task_id"] for item in told if isinstance(item, dict) and item["status"] in OK]
        self.refusals += [item for item in told if not isinstance(item, dict) or item["status"] not in OK]


def posted_tasks(server: Server, wanted: int = TASKS) -> list[int]:
    """Post so many tasks and return their ids; RuntimeError when any is refused."""
    script = PostScript(wanted)

    async def post() -> None:
        load = Load(script, HOST, server.port, 2)
        await load.open()
        while script.calls:  # noqa: ASYNC110 (asked 50 times a second)
            await asyncio.sleep(0.02)
        await load.close()

    run(post())
    if script.refusals:
        raise RuntimeError(f"a task was not taken: {script.refusals[0]}")
    return script.tasks


def pairs_of(tasks: list[int]) -> Iterator[tuple[int, int]]:
    """Return every pair of a task and a worker once, no task and no worker twice in a row."""
    for shift, number in product(range(len(WORKERS)), range(len(tasks))):
        yield tasks[number], WORKERS[(number + shift) % len(WORKERS)]


def bid_case(server: Server, tasks: list[int]) -> Case:
    """Return the case: bids placed per second, the server's processor time, how long each took."""
    pairs = pairs_of(tasks)

    async def measured(seconds: float) -> Sample:
        script = BidScript(pairs)
        load = Load(script, HOST, server.port, CLIENTS)
        await load.open()
        await asyncio.sleep(WARM_UP_SECONDS)
        load.forget()
        placed, cpu, wall = script.placed, server.cpu_seconds, time.perf_counter()
        await asyncio.sleep(seconds)
        wall, cpu, placed = time.perf_counter() - wall, server.cpu_seconds - cpu, script.placed - placed
        latencies, refused = load.latencies["bid"], float(sum(load.refusals.values()))
        await load.close()
        return Sample(placed, wall, cpu, latencies, {"refused": refused})

    def measure(seconds: float) -> Sample:
        with server.running_alone():
            return run(measured(seconds))

    return measure
