"""Queries of what has just happened to whom: awards, closed windows, new work, ballots that may be cast.

Stand under the waiting calls of agents. All read forward from an id, or some ids, by an index. They never
mark anything.
"""

from collections.abc import Collection

from sqlalchemy import Select, Table, bindparam, func, select

from services.store import sql
from services.store.sql import Row
from services.store.tables import bid, elector, event, task
from services.store.tx import Tx

NEWEST_EVENT = select(func.max(event.c.id))
NEWEST_TASK = select(func.max(task.c.id))
EVENTS = select(event.c.id, event.c.type, event.c.aggregate, event.c.payload).order_by(event.c.id)
EVENTS_AFTER = EVENTS.where(event.c.id > bindparam("after")).limit(bindparam("limit"))
EVENTS_AMONG = EVENTS.where(event.c.id.in_(bindparam("ids", expanding=True)))
TASKS = select(task.c.id, task.c.type, task.c.state, task.c.requester_id).order_by(task.c.id)
TASKS_AFTER = TASKS.where(task.c.id > bindparam("after")).limit(bindparam("limit"))
TASKS_AMONG = TASKS.where(task.c.id.in_(bindparam("ids", expanding=True)))


def _gaps(table: Table) -> Select[int, int]:
    before = func.coalesce(func.lag(table.c.id).over(order_by=table.c.id), bindparam("after"))
    pairs = select(table.c.id, before.label("before_id")).where(table.c.id > bindparam("after")).subquery()
    return select(pairs.c.before_id, pairs.c.id).where(pairs.c.id > pairs.c.before_id + 1)


EVENT_GAPS, TASK_GAPS = _gaps(event), _gaps(task)
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


def events_among(tx: Tx, event_ids: Collection[int]) -> list[Row]:
    """Return the same of those of these events that are there (one id at least)."""
    return sql.listed(tx, EVENTS_AMONG, ids=list(event_ids))


def event_gaps_after(tx: Tx, event_id: int) -> list[tuple[int, int]]:
    """Return (first, last) of the ids behind one that have no event although a later id has."""
    return [(row["before_id"] + 1, row["id"] - 1) for row in sql.listed(tx, EVENT_GAPS, after=event_id)]


def tasks_after(tx: Tx, task_id: int, limit: int) -> list[Row]:
    """Return the tasks behind one (id, type, state, requester_id), oldest first."""
    return sql.listed(tx, TASKS_AFTER, after=task_id, limit=limit)


def tasks_among(tx: Tx, task_ids: Collection[int]) -> list[Row]:
    """Return the same of those of these tasks that are there (one id at least)."""
    return sql.listed(tx, TASKS_AMONG, ids=list(task_ids))


def task_gaps_after(tx: Tx, task_id: int) -> list[tuple[int, int]]:
    """Return (first, last) of the ids behind one that have no task although a later id has."""
    return [(row["before_id"] + 1, row["id"] - 1) for row in sql.listed(tx, TASK_GAPS, after=task_id)]


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
