"""What the foundations cost on this machine: transactions on both engines, assignment, the bet.

`make bench` prints the figures; they are not asserted, since machines differ. That the answers are right, is.
"""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import text

from services.domain.assignment import arm_of
from services.domain.clock import WallClock
from services.domain.sequential import BetPlan, Record, decide, start, update
from services.store.tx import Store

THREADS = 8
WRITES_PER_THREAD = 100
CALLS = 50_000


def report(what, figure, unit):
    print(f"\n  {what:<64} {figure:>10,.2f} {unit}", end="")


def test_read_then_write_transactions_of_competing_threads(database_url):
    store = Store(database_url, WallClock())
    with store.write(actor="bench") as tx:
        tx.connection.execute(text("CREATE TABLE counter (n INTEGER NOT NULL)"))
        tx.connection.execute(text("INSERT INTO counter VALUES (0)"))
    ready = threading.Barrier(THREADS + 1)

    def count(_thread):
        ready.wait()
        for _ in range(WRITES_PER_THREAD):
            with store.write(actor="bench") as tx:
                lock = " FOR UPDATE" if tx.is_postgresql else ""
                n = tx.connection.scalar(text(f"SELECT n FROM counter{lock}"))
                tx.connection.execute(text("UPDATE counter SET n = :n"), {"n": n + 1})

    with ThreadPoolExecutor(THREADS) as pool:
        running = [pool.submit(count, thread) for thread in range(THREADS)]
        ready.wait()
        began = time.perf_counter()
        for future in running:
            future.result()
        took_seconds = time.perf_counter() - began
    with store.read() as tx:
        assert tx.connection.scalar(text("SELECT n FROM counter")) == THREADS * WRITES_PER_THREAD
    engine = {"sqlite": "SQLite, FULL", "postgresql": "PostgreSQL, no fsync"}[store.engine.dialect.name]
    store.close()
    report(
        f"{engine}: read-then-write, {THREADS} threads", THREADS * WRITES_PER_THREAD / took_seconds, "tx/s"
    )


def test_assignment():
    units = [f"task-{number}" for number in range(CALLS)]
    began = time.perf_counter()
    treated = sum(arm_of("00" * 16, unit, 0.5) for unit in units)
    took_seconds = time.perf_counter() - began
    assert abs(treated / CALLS - 0.5) < 0.02
    report("assignment to an arm", took_seconds / CALLS * 1e6, "µs")


def test_bet_update_and_decision():
    plan = BetPlan(effect=0.1, cap_tasks=CALLS, base_rate=0.6)
    records = [Record(n, "", n % 2, 0.5, float(n % 5 < 3)) for n in range(5_000)]
    state = start(plan)
    began = time.perf_counter()
    for record in records:
        state = update(plan, state, record)
        decide(plan, state)
    took_seconds = time.perf_counter() - began
    assert state.next_ordinal == len(records)
    report("bet: one task counted and judged", took_seconds / len(records) * 1e6, "µs")
