"""What a snapshot costs beside the tasks that there are already: it should not notice them.

A database is filled with ended tasks of 90 days and two weeks of windows; then hours pass in which the same
few thousand tasks end, and each is counted. Both engines, in the same run, smallest first.
"""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from sqlalchemy import text

from app.bootstrap import Platform
from services import observatory
from services.domain.clock import DAY_US, HOUR_US
from services.store import migrate
from services.store.views import series as views
from tests.benchmarks.observatory.report import AT_MOST, Row
from tests.plugins.platforms import platform_over
from tests.plugins.postgresql import running_server

TITLE = "Cost of a snapshot against history (processor time of the process; PostgreSQL: wall time)"
SIZES = {"sqlite": (100_000, 1_000_000, 10_000_000), "postgresql": (100_000, 1_000_000)}
QUICK_SIZES = {"sqlite": (2_000, 20_000), "postgresql": (2_000, 20_000)}
NEW = 4_000
QUICK_NEW = 500
HOURS = 9
WEEK = 168
SETTINGS = ("fsync = on", "synchronous_commit = on", "max_wal_size = '8GB'")
GROWTH = 2.0
A_NOTE = 4.0
RATES = 2_000.0
SHARES = 5_000.0
SERIES = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)",
    "postgresql": "WITH n(i) AS (SELECT generate_series(1, CAST(:count AS BIGINT)))",
}
TASKS = """
INSERT INTO task (kind, type, state, public, private, reserve_price_microcredits, attempt_count,
 maximum_attempts, posted_at_us, bids_close_at_us, deadline_at_us, awarded_at_us, ended_at_us, end_reason,
 duration_us, paid_microcredits)
{series} SELECT 'user', 'kind' || (i % 4),
 CASE WHEN i % 10 = 0 THEN 'failed' ELSE 'settled' END, '{{}}', '{{}}', 1000, 1, 2,
 :end - i * :step - 1000000, :end, :end, :end - i * :step - 900000, :end - i * :step,
 'verified', 800000 + i % 1000, 900 FROM n
"""
NOTES = """
INSERT INTO observation (kind, at_us, task_type, agent_id, model, is_success, is_timeout, duration_us,
 wait_us, paid_microcredits)
{series} SELECT 'ended', :now - i, 'kind' || (i % 4), i % 40, 'model' || (i % 3), i % 10 <> 0,
 i % 20 = 0, 800000 + (i * 7919) % 900000, 100000 + i % 1000, 900 FROM n
"""


def run(seed: int, quick: bool) -> list[Row]:
    """Return the cost of a snapshot and a note by engine and size, the growth, the cost of reading a week."""
    del seed  # nothing is drawn
    rows: list[Row] = []
    for engine, sizes in (QUICK_SIZES if quick else SIZES).items():
        costs = []
        for size in sizes:
            with filled(engine, size) as platform:
                cost, reading = measured(platform, QUICK_NEW if quick else NEW)
            costs.append(cost)
            new = QUICK_NEW if quick else NEW
            what = f"{engine}, {size:,} tasks: a snapshot of {new:,}"
            rows.append(Row(what, cost / 1e3, "ms", runs=HOURS))
            line = Row(f"{engine}, {size:,} tasks: a note", cost / new, "µs", AT_MOST, A_NOTE, HOURS)
            rows.append(line)
            if size == sizes[-1]:
                rates, shares = reading
                rows.append(Row(f"{engine}: rate of a week", rates, "µs", AT_MOST, RATES, HOURS))
                rows.append(Row(f"{engine}: p50 and p95 of a week", shares, "µs", AT_MOST, SHARES, HOURS))
        what = f"{engine}: {sizes[-1]:,} against {sizes[0]:,} tasks"
        rows.append(Row(what, costs[-1] / costs[0], "×", AT_MOST, GROWTH, HOURS))
    return rows


@contextmanager
def filled(engine: str, size: int) -> Iterator[Platform]:
    """Yield a platform whose database holds so many ended tasks and two weeks of windows."""
    with tempfile.TemporaryDirectory() as folder, database(engine, Path(folder)) as url:
        migrate.upgrade(url)
        platform = platform_over(url, Path(folder))
        try:
            store = platform.store
            now_us = store.clock.now_us()
            given = {"count": size, "end": now_us, "step": max(1, 90 * DAY_US // size)}
            with store.write(actor="bench") as tx:
                tx.connection.execute(text(TASKS.format(series=SERIES[engine])), given)
            if engine == "postgresql":
                with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                    connection.execute(text("VACUUM ANALYZE"))
            for _ in range(2 * WEEK):
                hour(platform, 200)
            yield platform
        finally:
            platform.close()


@contextmanager
def database(engine: str, folder: Path) -> Iterator[str]:
    """Yield the URL of an empty database."""
    if engine == "sqlite":
        yield f"sqlite:///{folder / 'bench.db'}"
        return
    with running_server(SETTINGS) as server:
        yield server.url(server.create_database())


def hour(platform: Platform, new: int) -> tuple[float, float]:
    """Let an hour pass with so many ends; return (processor, wall) microseconds of its snapshot."""
    store = platform.store
    store.clock.advance(HOUR_US)  # type: ignore[attr-defined]  # a virtual clock
    with store.write(actor="bench") as tx:
        statement = NOTES.format(series=SERIES[store.engine.dialect.name])
        tx.connection.execute(text(statement), {"count": new, "now": tx.now_us})
    cpu, wall = time.process_time(), time.perf_counter()
    with store.write(actor="bench") as tx:
        observatory.take_snapshot(tx)
    return 1e6 * (time.process_time() - cpu), 1e6 * (time.perf_counter() - wall)


def measured(platform: Platform, new: int) -> tuple[float, tuple[float, float]]:
    """Return the median cost of a snapshot, and of reading a week's rate and percentiles."""
    is_inside = platform.store.engine.dialect.name == "sqlite"
    cost = median(hour(platform, new)[0 if is_inside else 1] for _ in range(HOURS))
    return cost, (
        median(rate(platform) for _ in range(HOURS)),
        median(percentiles(platform) for _ in range(HOURS)),
    )


def rate(platform: Platform) -> float:
    """Return how long the success rate of the newest week takes to read."""
    began = time.perf_counter()
    with platform.store.read() as tx:
        found = views.summarise(tx, views.SeriesAsked("task_success", from_us=tx.now_us - 7 * DAY_US))
    assert 0 < found["value"] <= 1
    return 1e6 * (time.perf_counter() - began)


def percentiles(platform: Platform) -> float:
    """Return how long the median and 95th percentile of a week's durations take to read."""
    began = time.perf_counter()
    with platform.store.read() as tx:
        found = views.summarise(tx, views.SeriesAsked("task_duration", from_us=tx.now_us - 7 * DAY_US))
    assert 0 < found["p50"] <= found["p95"]
    return 1e6 * (time.perf_counter() - began)
