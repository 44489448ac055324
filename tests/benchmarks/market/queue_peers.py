"""Peers: work queues on PostgreSQL, each run in a process of its own that finds them on its PYTHONPATH.

    python -m tests.benchmarks.market.queue_peers pgqueuer postgresql://… 2000

A job's whole cycle is measured: enqueue one by one (or in batches where the name says so), then a worker
takes, runs (nothing) and finishes all of them. One worker process, 32 jobs at a time, events and retries as
shipped. Prints one JSON object: case → jobs, seconds, processor seconds.
"""

import asyncio
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import psycopg

from tests.benchmarks.market.measure import Case, Sample

ROOT = Path(__file__).parents[3]
CONCURRENCY = 32
CONNECTIONS = 8
POLL_SECONDS = 0.05
PAYLOAD = b'{"a": 1}'
JOBS_PER_SECOND = {"pgqueuer": 700, "pgqueuer in batches": 5_000, "procrastinate": 150, "dbos": 250}
"""How many jobs fill about a second of each, so that the number of jobs may follow the time given."""
ANSWER_SECONDS = 120


def queue_cases(folder: Path, conninfo: str) -> dict[str, Case]:
    """Return a case for every queue installed in `folder`; they share a database that each empties."""
    return {
        f"peer: {name}": _case(name, folder, conninfo)
        for name in JOBS_PER_SECOND
        if (folder / name.split(" ")[0]).is_dir()
    }


def _case(name: str, folder: Path, conninfo: str) -> Case:
    def run(seconds: float) -> Sample:
        jobs = max(20, round(JOBS_PER_SECOND[name] * seconds))
        command = [sys.executable, "-m", __spec__.name, name, conninfo, str(jobs)]
        environment = {**os.environ, "PYTHONPATH": str(folder.resolve())}
        answer = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=ANSWER_SECONDS,
            check=False,
        )
        if answer.returncode:
            raise RuntimeError(answer.stderr.strip().rpartition("\n")[2])
        return Sample(**json.loads(answer.stdout.strip().rpartition("\n")[2]))

    return run


class Measured:
    """What this process says at its end."""

    def __init__(self) -> None:
        self.seconds = self.cpu_seconds = 0.0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Add the block's wall and processor time."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.seconds += time.perf_counter() - wall
        self.cpu_seconds += time.process_time() - cpu

    def answer(self, jobs: int) -> str:
        """Return the sample as JSON."""
        return json.dumps({"operations": jobs, "seconds": self.seconds, "cpu_seconds": self.cpu_seconds})


def emptied(conninfo: str) -> None:
    """Leave the database without any table of whoever used it before."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS dbos CASCADE")
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")


async def pgqueuer_cycles(conninfo: str, jobs: int, enqueued: int, taken: int) -> Measured:
    """Run pgqueuer over asyncpg: `enqueued` jobs a call, `taken` jobs a claim."""
    asyncpg, pgqueuer = import_module("asyncpg"), import_module("pgqueuer")
    drain = import_module("pgqueuer.types").QueueExecutionMode.drain
    measured, ran = Measured(), []
    pool = await asyncpg.create_pool(conninfo, min_size=CONNECTIONS, max_size=CONNECTIONS)
    queries = pgqueuer.Queries(pgqueuer.AsyncpgPoolDriver(pool))
    await queries.install(create_schema=False)
    worker = pgqueuer.PgQueuer(pgqueuer.AsyncpgPoolDriver(pool))

    @worker.entrypoint("work")
    async def work(job: object) -> None:
        ran.append(job)

    with measured.counted():
        for _ in range(0, jobs, enqueued):
            if enqueued == 1:
                await queries.enqueue("work", PAYLOAD, 0)
            else:
                await queries.enqueue(["work"] * enqueued, [PAYLOAD] * enqueued, [0] * enqueued)
        await worker.run(batch_size=taken, mode=drain)
    if len(ran) < jobs:
        raise RuntimeError(f"{len(ran)} of {jobs} jobs ran")
    return measured


async def procrastinate_cycles(conninfo: str, jobs: int) -> Measured:
    """Run procrastinate over its own psycopg pool."""
    procrastinate = import_module("procrastinate")
    connector = procrastinate.PsycopgConnector(conninfo=conninfo, min_size=CONNECTIONS, max_size=CONNECTIONS)
    app = procrastinate.App(connector=connector)
    measured, ran = Measured(), []

    @app.task(queue="work", name="work")
    async def work(number: int) -> None:
        ran.append(number)

    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        with measured.counted():
            for number in range(jobs):
                await work.defer_async(number=number)
            await app.run_worker_async(
                queues=["work"], concurrency=CONCURRENCY, wait=False, install_signal_handlers=False
            )
    if len(ran) < jobs:
        raise RuntimeError(f"{len(ran)} of {jobs} jobs ran")
    return measured


def dbos_cycles(conninfo: str, jobs: int) -> Measured:
    """Run DBOS: a durable workflow per job from a queue polled twenty times as often as by default."""
    dbos = import_module("dbos")
    measured, ran, finished = Measured(), [], threading.Event()
    url = conninfo.replace("postgresql://", "postgresql+psycopg://")
    quiet = {"log_level": "CRITICAL", "console_log_level": "CRITICAL"}
    dbos.DBOS(config={"name": "bench", "system_database_url": url, **quiet})

    @dbos.DBOS.workflow()
    def work(number: int) -> None:
        ran.append(number)
        if len(ran) >= jobs:
            finished.set()

    dbos.DBOS.launch()
    queue = dbos.DBOS.register_queue("work", polling_interval_sec=POLL_SECONDS)
    with measured.counted():
        for number in range(jobs):
            queue.enqueue(work, number)
        if not finished.wait(ANSWER_SECONDS):
            raise RuntimeError(f"{len(ran)} of {jobs} jobs ran")
    return measured


RUNS: dict[str, Callable[[str, int], Measured]] = {
    "pgqueuer": lambda url, jobs: asyncio.run(pgqueuer_cycles(url, jobs, 1, 10)),
    "pgqueuer in batches": lambda url, jobs: asyncio.run(pgqueuer_cycles(url, jobs, 500, 100)),
    "procrastinate": lambda url, jobs: asyncio.run(procrastinate_cycles(url, jobs)),
    "dbos": dbos_cycles,
}

if __name__ == "__main__":
    name, address, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
    logging.disable(logging.WARNING)
    if name == "pgqueuer in batches":
        number = max(500, number // 500 * 500)
    emptied(address)
    sys.stdout.write(RUNS[name](address, number).answer(number) + "\n")
    sys.stdout.flush()
    os._exit(0)  # some of them leave threads that never end
