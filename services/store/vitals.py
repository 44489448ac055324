"""Queries of how every job, agent and task type is: last ticks, who is about, what waits.

Stands under `services.operations.vitals`. Each walks an index or a bounded number of rows. It never judges.
"""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import bindparam, func, literal_column, select

from services.domain.states import EpisodeState, TaskState
from services.store import sql
from services.store.sql import Row
from services.store.tables import agent, agent_record, cron_tick, delivery, episode, task
from services.store.tx import Tx

AGENTS_SHOWN: Final = 100

LAST_TICKS = (
    select(cron_tick)
    .where(cron_tick.c.job == bindparam("of_job"))
    .order_by(cron_tick.c.due_at_us.desc())
    .limit(bindparam("most"))
)
AGENTS = select(agent).order_by(agent.c.last_active_at_us.desc(), agent.c.id).limit(bindparam("most"))
WORKERS = (
    select(agent_record.c.task_type, func.count().label("workers"))
    .join(agent, agent.c.id == agent_record.c.agent_id)
    .where(agent.c.last_active_at_us >= bindparam("since_us"))
    .group_by(agent_record.c.task_type)
)
WAITING = (
    select(task.c.type, func.count().label("tasks"), func.min(task.c.posted_at_us).label("oldest_us"))
    .where(task.c.state == literal_column(f"'{TaskState.BIDDING}'"))
    .group_by(task.c.type)
)
OUT_OF_BAND = (
    select(episode.c.key)
    .where(
        episode.c.state == literal_column(f"'{EpisodeState.OPEN}'"),
        episode.c.dimension == "task_type",
        episode.c.metric == "task_success",
    )
    .distinct()
)
PENDING = (
    select(delivery.c.id)
    .where(delivery.c.state == literal_column("'pending'"))
    .limit(bindparam("most"))
    .subquery()
)
PENDING_COUNT = select(func.count()).select_from(PENDING)


def last_ticks(tx: Tx, job: str, count: int) -> list[Row]:
    """Return the newest ticks of a job, the newest first."""
    return sql.listed(tx, LAST_TICKS, of_job=job, most=count)


def newest_agents(tx: Tx, most: int = AGENTS_SHOWN) -> list[Row]:
    """Return the agents that acted last, at most so many."""
    return sql.listed(tx, AGENTS, most=most)


def workers_since(tx: Tx, since_us: int) -> dict[str, int]:
    """Return how many agents with a record in a task type have acted since an instant, by type."""
    return {row["task_type"]: row["workers"] for row in sql.listed(tx, WORKERS, since_us=since_us)}


def waiting_tasks(tx: Tx) -> dict[str, tuple[int, int]]:
    """Return by type how many tasks take bids, and when the oldest of them was posted."""
    return {row["type"]: (row["tasks"], row["oldest_us"]) for row in sql.listed(tx, WAITING)}


def types_out_of_band(tx: Tx) -> Sequence[str]:
    """Return the task types whose success has an open episode."""
    return [row["key"] for row in sql.listed(tx, OUT_OF_BAND)]


def pending_deliveries(tx: Tx, most: int) -> int:
    """Return how many deliveries are still to be made, counted up to `most`."""
    return int(sql.value(tx, PENDING_COUNT, most=most))
