"""Queries of what has just happened to whom: awards, closed windows, new work, ballots that may be cast.

Stand under the waiting calls of agents. All read forward from an id by an index. They never mark anything.
"""

from collections.abc import Collection

from sqlalchemy import bindparam, func, select

from services.domain.states import TaskState
from services.store import sql
from services.store.sql import Row
from services.store.tables import bid, elector, event, task
from services.store.tx import Tx

NEWEST_EVENT = select(func.max(event.c.id))
NEWEST_TASK = select(func.max(task.c.id))
EVENTS_AFTER = (
    select(event.c.id, event.c.type, event.c.aggregate, event.c.payload)
    .where(event.c.id > bindparam("after"))
    .order_by(event.c.id)
    .limit(bindparam("limit"))
)
TASKS_AFTER = (
    select(task.c.id, task.c.type, task.c.requester_id)
    .where(task.c.id > bindparam("after"), task.c.state == TaskState.BIDDING)
    .order_by(task.c.id)
    .limit(bindparam("limit"))
)
BIDDERS = select(bid.c.task_id, bid.c.agent_id).where(
    bid.c.task_id.in_(bindparam("tasks", expanding=True)),
    bid.c.agent_id.in_(bindparam("agents", expanding=True)),
)
ELECTORS = select(elector.c.proposal_id, elector.c.agent_id).where(
    elector.c.proposal_id.in_(bindparam("proposals", expanding=True)),
    elector.c.agent_id.in_(bindparam("agents", expanding=True)),
)


def newest_event(tx: Tx) -> int:
    """Return the id of the newest event, 0 before the first."""
    return int(sql.value(tx, NEWEST_EVENT) or 0)


def newest_task(tx: Tx) -> int:
    """Return the id of the newest task, 0 before the first."""
    return int(sql.value(tx, NEWEST_TASK) or 0)


def events_after(tx: Tx, event_id: int, limit: int) -> list[Row]:
    """Return the events behind one (id, type, aggregate, payload), oldest first."""
    return sql.listed(tx, EVENTS_AFTER, after=event_id, limit=limit)


def tasks_opened_after(tx: Tx, task_id: int, limit: int) -> list[Row]:
    """Return the tasks behind one that still take bids (id, type, requester_id), oldest first."""
    return sql.listed(tx, TASKS_AFTER, after=task_id, limit=limit)


def bidders(tx: Tx, task_ids: Collection[int], agent_ids: Collection[int]) -> set[tuple[int, int]]:
    """Return which of these agents have bid on which of these tasks, as (task, agent)."""
    if not task_ids or not agent_ids:
        return set()
    found = sql.listed(tx, BIDDERS, tasks=list(task_ids), agents=list(agent_ids))
    return {(row["task_id"], row["agent_id"]) for row in found}


def electors(tx: Tx, proposal_ids: Collection[int], agent_ids: Collection[int]) -> set[tuple[int, int]]:
    """Return which of these agents may vote on which of these proposals, as (proposal, agent)."""
    if not proposal_ids or not agent_ids:
        return set()
    found = sql.listed(tx, ELECTORS, proposals=list(proposal_ids), agents=list(agent_ids))
    return {(row["proposal_id"], row["agent_id"]) for row in found}
