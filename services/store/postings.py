"""Queries of posting: who asks for work, and how many of their tasks have not ended.

Stands under layer 4. It never refuses anything.
"""

from collections.abc import Collection

from sqlalchemy import bindparam, case, func, select

from services.store import sql
from services.store.sql import Row
from services.store.tables import agent, task
from services.store.tx import Tx

_OPEN = (
    select(task.c.id)
    .where(task.c.requester_id == agent.c.id, task.c.ended_at_us.is_(None))
    .limit(bindparam("limit"))
    .correlate(agent)
    .subquery()
)
REQUESTERS = select(
    agent.c.id,
    agent.c.is_vouched,
    case(
        (agent.c.is_vouched, 0),
        else_=select(func.count()).select_from(_OPEN).correlate(agent).scalar_subquery(),
    ).label("open_tasks"),
).where(agent.c.id.in_(bindparam("agent_ids", expanding=True)))


def requesters(tx: Tx, agent_ids: Collection[int], limit: int) -> list[Row]:
    """Return (id, is_vouched, open_tasks) of these agents; tasks of the vouched are not counted (0)."""
    return sql.listed(tx, REQUESTERS, agent_ids=list(agent_ids), limit=limit) if agent_ids else []
