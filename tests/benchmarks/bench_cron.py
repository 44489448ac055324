"""How late ticks begin and what they cost: one job, and twenty that are due together, on each engine."""

import statistics
import time

import pytest

from services.cron_runner import CronJob, CronRunner
from services.domain.clock import WallClock
from services.domain.states import TickState
from services.store import sql, tables
from services.store.tx import Store

JOBS = 20
EVERY_SECONDS = 1.0
SECONDS = 10.0


@pytest.fixture
def store(migrated_database_url):
    made = Store(migrated_database_url, WallClock())
    yield made
    made.close()


def measured(store, count, seconds):
    """Return how late ticks began in milliseconds, sorted, and the processor's seconds meanwhile."""
    jobs = [
        CronJob(
            f"job_{number}", lambda _tx, _context: {}, budget_seconds=0.5, priority=5, summary="Nothing.",
            every_seconds=EVERY_SECONDS,
        )
        for number in range(count)
    ]  # fmt: skip
    runner = CronRunner(store, None, jobs, "bench")
    runner.start()
    time.sleep(1.0)
    began, spent = time.monotonic(), time.process_time()
    time.sleep(seconds)
    spent, lasted = time.process_time() - spent, time.monotonic() - began
    runner.stop()
    with store.read() as tx:
        rows = sql.find_all(tx, tables.cron_tick)
    assert {row["state"] for row in rows} <= {TickState.DONE}
    late = sorted((row["started_at_us"] - row["due_at_us"]) / 1e3 for row in rows)
    return late, spent / lasted


def test_lateness(store):
    for count in (1, JOBS):
        late, share = measured(store, count, SECONDS)
        cuts = statistics.quantiles(late, n=100) if len(late) > 1 else [late[0]] * 99
        engine = store.engine.dialect.name
        print(f"{engine}: {count} jobs due together every {EVERY_SECONDS:g} s, {len(late)} ticks: late p50")
        print(f"  {cuts[49]:.1f} ms, p99 {cuts[98]:.1f} ms; processor {share:.1%} of one core")
        with store.write(actor="bench") as tx:
            for row in sql.find_all(tx, tables.cron_tick):
                tx.connection.execute(tables.cron_tick.delete().where(tables.cron_tick.c.id == row["id"]))
