"""Two ways to do harm: one agent that floods, and a power cut. What the others feel, and what is lost.

    python -m tests.benchmarks.market.hostile PORT SECONDS

floods a server from a process of its own, with one agent's key on 64 connections.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from services.domain.clock import WallClock
from services.store.tx import Store
from tests.benchmarks.market import names
from tests.benchmarks.market.http_bids import pairs_of, posted_tasks
from tests.benchmarks.market.load import Load, run
from tests.benchmarks.market.measure import Results, Sample
from tests.benchmarks.market.scripts import BidScript, FloodScript, LifeScript
from tests.benchmarks.market.servers import HOST, ROOT, Server

FLOOD_CONNECTIONS = 64
OTHERS = 8
PACE_SECONDS = 0.04
"""Each of the others bids so often, whatever happens."""
SETTLING_SECONDS = 0.5
FINISH_SECONDS = 20.0


def measure_calm_and_flood(
    results: Results, server: Server, folder: Path, rounds: int, seconds: float, say: Callable[[str], None]
) -> None:
    """Measure what the others' bids take, without and with a flood, in turn."""
    pairs = pairs_of(posted_tasks(server))
    for number in range(1, rounds + 1):
        for name, is_flooded in ((names.CALM, False), (names.FLOODED, True)):
            say(f"round {number} of {rounds}: {name}")
            flood = flooding(server, seconds + 3 * SETTLING_SECONDS, folder) if is_flooded else None
            time.sleep(SETTLING_SECONDS)
            script = BidScript(pairs, PACE_SECONDS, OTHERS)
            results.add(name, run(paced(server, script, seconds)))
            if flood is not None:
                flood.wait()


async def paced(server: Server, script: BidScript, seconds: float) -> Sample:
    """Return how long the others' bids took at their pace."""
    load = Load(script, HOST, server.port, OTHERS)
    await load.open()
    await asyncio.sleep(SETTLING_SECONDS)
    load.forget()
    began = time.perf_counter()
    await asyncio.sleep(seconds)
    took = time.perf_counter() - began
    latencies = list(load.latencies["bid"])
    refused = float(sum(load.refusals.values()))
    await load.close()
    return Sample(len(latencies), took, 0.0, latencies, {"refused": refused})


def flooding(server: Server, seconds: float, folder: Path) -> "subprocess.Popen[bytes]":
    """Start a flood that ends by itself."""
    command = [sys.executable, "-m", "tests.benchmarks.market.hostile", str(server.port), str(seconds)]
    with (folder / "flood.log").open("ab") as log:
        return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)


async def flood(port: int, seconds: float) -> None:
    """Ask for everything, all the time."""
    load = Load(FloodScript(), HOST, port, FLOOD_CONNECTIONS)
    await load.open()
    await asyncio.sleep(seconds)
    await load.close()


def measure_kill(server: Server, url: str, seconds: float, times: int) -> int:
    """Kill the server under 48 connections, start it again, work everything off; return what was lost.

    Lost is a task whose post was acknowledged and that is not there, or one whose result was acknowledged and
    that is not settled in the end.
    """
    script = LifeScript()
    run(_killed(server, script, seconds, times))
    store = Store(url, WallClock())
    end = time.monotonic() + FINISH_SECONDS
    while True:
        with store.read() as tx:
            found = tx.connection.exec_driver_sql("SELECT id, state FROM task").all()
        states = {int(number): state for number, state in found}
        unsettled = [task for task in script.ended if states.get(task) != "settled"]
        if not unsettled or time.monotonic() > end:
            store.close()
            return len(unsettled) + sum(task not in states for task in script.acknowledged)
        time.sleep(0.2)


async def _killed(server: Server, script: LifeScript, seconds: float, times: int) -> None:
    load = Load(script, HOST, server.port, 48)
    await load.open()
    for _ in range(times):
        await asyncio.sleep(seconds)
        server.kill()
        await asyncio.to_thread(server.start)
    await asyncio.sleep(seconds)
    script.is_posting = False
    end = time.monotonic() + FINISH_SECONDS
    while not script.is_finished and time.monotonic() < end:  # noqa: ASYNC110 (asked 20 times a second)
        await asyncio.sleep(0.05)
    await load.close()


if __name__ == "__main__":
    run(flood(int(sys.argv[1]), float(sys.argv[2])))
