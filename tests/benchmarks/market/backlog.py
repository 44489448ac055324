"""What a backlog costs: listing, bidding and taking a lease with ten thousand to a million tasks open.

Each size is a database of its own. Its backlog is copied from one task that was really posted, with its
escrow and its transfer, by the database itself; the books are moved by as much, so that every invariant
holds. The calls at the three sizes take turns. A lease is timed twice: the act alone, and with its commit.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

from sqlalchemy import CursorResult, Table

from services import meta_task_market
from services.domain.clock import DAY_US
from services.domain.states import TaskKind
from services.meta_task_market import TaskTerms
from services.store import tables
from services.store.tx import Store
from tests.benchmarks.market.measure import Results, Sample
from tests.benchmarks.market.ours import RESERVE, TASK_TYPE, OurMarket

LISTED = 20
CALLS = 40
"""Calls of each kind and size in a round."""
ACTS = ("list", "bid", "lease", "lease and commit")

Execute = Callable[[str], Sequence[tuple[object, ...]]]


@dataclass
class Backlog:
    """A market with so many tasks waiting for bids."""

    market: OurMarket
    size: int

    def fill(self) -> None:
        """Copy one posted task until there are `size` of them."""
        store = self.market.platform.store
        terms = TaskTerms(TaskKind.USER, TASK_TYPE, {}, {}, None, RESERVE, 30 * DAY_US)
        with store.write(actor="bench") as tx:
            first = meta_task_market.post_task(tx, terms)
            closes_us = tx.now_us + 20 * DAY_US
        with unwatched(store) as execute:
            execute(f"UPDATE task SET bids_close_at_us = {closes_us} WHERE id = {first}")
            more = self.size - 1
            copy_rows(execute, tables.task, f"t.id = {first}", more, {"id": f"{first} + n.i"})
            for table in (tables.escrow, tables.transfer):
                ((start,),) = execute(f"SELECT max(id) FROM {table.name}")
                changed = {"id": f"{start} + n.i", "task_id": f"{first} + n.i"}
                copy_rows(execute, table, f"t.task_id = {first}", more, changed)
            for owner, moved in (("escrow", more * RESERVE), ("treasury", -more * RESERVE)):
                execute(f"UPDATE account SET balance = balance + {moved} WHERE owner = '{owner}'")
            if store.engine.dialect.name == "postgresql":
                for name in ("task", "escrow", "transfer"):
                    execute(f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), max(id)) FROM {name}")

    def open_tasks(self, count: int) -> list[int]:
        """Post tasks on top of the backlog, whose windows close at the usual time."""
        return [self.market.post() for _ in range(count)]

    def timed_list(self, agent_id: int) -> float:
        """Return the seconds that the agent's list of open tasks takes."""
        began = time.perf_counter()
        with self.market.platform.store.read() as tx:
            found = meta_task_market.work_for(tx, agent_id=agent_id, types=[TASK_TYPE], limit=LISTED)
        assert found["open"]
        return time.perf_counter() - began

    def timed_bid(self, task_id: int) -> float:
        """Return the seconds that one bid takes, its commit included."""
        began = time.perf_counter()
        self.market.bid(task_id, 0)
        return time.perf_counter() - began

    def timed_lease(self, task_id: int, agent_id: int) -> tuple[float, float]:
        """Return the seconds that taking one lease takes, without and with its commit."""
        store = self.market.platform.store
        began = time.perf_counter()
        with store.write(actor="bench") as tx:
            meta_task_market.take_lease(tx, agent_id=agent_id, task_id=task_id)
            taken = time.perf_counter() - began
        return taken, time.perf_counter() - began


@contextmanager
def unwatched(store: Store) -> Iterator[Execute]:
    """Yield a function that runs SQL without looking at foreign keys; committed and analysed at the end."""
    if store.engine.dialect.name == "sqlite":
        with closing(sqlite3.connect(str(store.engine.url.database))) as file:
            file.execute("PRAGMA synchronous = OFF")
            file.execute("PRAGMA cache_size = -200000")
            yield lambda statement: file.execute(statement).fetchall()
            file.commit()
            file.execute("ANALYZE")
        return
    with store.engine.connect() as connection:
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        yield lambda statement: _rows(connection.exec_driver_sql(statement))
        connection.commit()
        connection.exec_driver_sql("ANALYZE")
        connection.commit()


def _rows(result: CursorResult[tuple[object, ...]]) -> list[tuple[object, ...]]:
    return [tuple(row) for row in result] if result.returns_rows else []


def copy_rows(execute: Execute, table: Table, where: str, count: int, changed: dict[str, str]) -> None:
    """Insert `count` copies of the one row that `where` names; n.i numbers them in the columns changed."""
    columns = ", ".join(column.name for column in table.c)
    values = ", ".join(changed.get(column.name, f"t.{column.name}") for column in table.c)
    execute(
        f"INSERT INTO {table.name} ({columns})"
        f" WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})"
        f" SELECT {values} FROM {table.name} t CROSS JOIN n WHERE {where}"
    )


def name_of(act: str, engine: str, size: int) -> str:
    """Return the case's name."""
    return f"{act} with {size:,} open tasks, {engine}"


def measure_backlogs(
    results: Results, engine: str, backlogs: list[Backlog], rounds: int, say: Callable[[str], None]
) -> None:
    """Measure every act at every size in turn; one warm-up round is not kept."""
    for number in range(rounds + 1):
        say(f"round {number} of {rounds}: list, bid and lease on {engine}")
        seconds: dict[tuple[str, int], list[float]] = {}
        tasks = {backlog.size: backlog.open_tasks(CALLS) for backlog in backlogs}
        for call in range(CALLS):
            for backlog in backlogs:
                agent_id = backlog.market.workers[call % len(backlog.market.workers)]
                task_id = tasks[backlog.size][call]
                seconds.setdefault(("list", backlog.size), []).append(backlog.timed_list(agent_id))
                seconds.setdefault(("bid", backlog.size), []).append(backlog.timed_bid(task_id))
        for backlog in backlogs:
            backlog.market.close_windows()
            while backlog.market.award():
                pass
        for call in range(CALLS):
            for backlog in backlogs:
                task_id = tasks[backlog.size][call]
                taken, committed = backlog.timed_lease(task_id, backlog.market.winner(task_id))
                seconds.setdefault(("lease", backlog.size), []).append(taken)
                seconds.setdefault(("lease and commit", backlog.size), []).append(committed)
        if number:
            for (act, size), taken in seconds.items():
                results.add(name_of(act, engine, size), Sample(len(taken), sum(taken), 0.0, taken))
