"""Queries of the market: open tasks, due windows, expired leases, bids with records.

Stands under layer 4. It never decides an award.
"""

from collections.abc import Sequence

from sqlalchemy import BindParameter, and_, bindparam, exists, func, select

from services.domain.states import LIVE_PROPOSALS, AttemptState, ProposalState, TaskState
from services.store import sql
from services.store.sql import Row
from services.store.tables import agent, agent_record, attempt, ballot, bid, elector, proposal, task
from services.store.tx import Tx

AGENT: BindParameter[int] = bindparam("agent_id")
TASK: BindParameter[int] = bindparam("task_id")
NOW: BindParameter[int] = bindparam("now_us")
LIMIT: BindParameter[int] = bindparam("limit")
WAITING = (TaskState.BIDDING, TaskState.AWARDED, TaskState.SUBMITTED)
UNDECIDED = (*LIVE_PROPOSALS, ProposalState.PROMOTED)

OPEN_FOR = (
    select(task)
    .where(
        task.c.state == TaskState.BIDDING,
        task.c.bids_close_at_us > NOW,
        task.c.requester_id.is_distinct_from(AGENT),
        ~exists().where(bid.c.task_id == task.c.id, bid.c.agent_id == AGENT),
    )
    .order_by(task.c.id)
    .limit(LIMIT)
)
OPEN_FOR_BY_TYPE = OPEN_FOR.where(task.c.type.in_(bindparam("types", expanding=True)))
AWARDED_TO = (
    select(task)
    .where(task.c.awarded_agent_id == AGENT, task.c.state == TaskState.AWARDED)
    .order_by(task.c.id)
    .limit(LIMIT)
)
BALLOTS_OPEN_TO = (
    select(proposal.c.id)
    .join(elector, and_(elector.c.proposal_id == proposal.c.id, elector.c.agent_id == AGENT))
    .where(
        proposal.c.state == ProposalState.OPEN,
        proposal.c.closes_at_us > NOW,
        ~exists().where(ballot.c.proposal_id == proposal.c.id, ballot.c.agent_id == AGENT),
    )
    .order_by(proposal.c.id)
)
DUE_WINDOWS = (
    select(task)
    .where(task.c.state == TaskState.BIDDING, task.c.bids_close_at_us <= NOW, task.c.deadline_at_us > NOW)
    .order_by(task.c.bids_close_at_us, task.c.id)
    .limit(LIMIT)
    .with_for_update(of=task, skip_locked=True, key_share=True)
)
OVERALL = (
    select(
        agent_record.c.agent_id,
        func.sum(agent_record.c.success_weight).label("all_successes"),
        func.sum(agent_record.c.failure_weight).label("all_failures"),
    )
    .group_by(agent_record.c.agent_id)
    .subquery()
)
BIDS_WITH_RECORDS = (
    select(
        bid.c.agent_id,
        bid.c.ask_microcredits,
        agent.c.standing,
        func.coalesce(agent_record.c.success_weight, 0.0).label("type_successes"),
        func.coalesce(agent_record.c.failure_weight, 0.0).label("type_failures"),
        func.coalesce(OVERALL.c.all_successes, 0.0).label("all_successes"),
        func.coalesce(OVERALL.c.all_failures, 0.0).label("all_failures"),
    )
    .join(agent, agent.c.id == bid.c.agent_id)
    .join(
        agent_record,
        and_(agent_record.c.agent_id == bid.c.agent_id, agent_record.c.task_type == bindparam("task_type")),
        isouter=True,
    )
    .join(OVERALL, OVERALL.c.agent_id == bid.c.agent_id, isouter=True)
    .where(bid.c.task_id == TASK)
    .order_by(bid.c.agent_id)
)
TRIED_AGENTS = select(attempt.c.agent_id).where(attempt.c.task_id == TASK)
EXPIRED_LEASES = (
    select(attempt)
    .join(task, task.c.id == attempt.c.task_id)
    .where(attempt.c.state == AttemptState.LEASED, attempt.c.expires_at_us <= bindparam("expired_us"))
    .order_by(attempt.c.id)
    .limit(LIMIT)
    .with_for_update(of=task, skip_locked=True, key_share=True)
)
UNCLAIMED_AWARDS = (
    select(task)
    .where(task.c.state == TaskState.AWARDED, task.c.awarded_at_us <= bindparam("awarded_us"))
    .order_by(task.c.id)
    .limit(LIMIT)
    .with_for_update(of=task, skip_locked=True, key_share=True)
)
PAST_DEADLINE = (
    select(task)
    .where(
        task.c.state.in_(WAITING),
        task.c.deadline_at_us <= NOW,
        ~exists().where(proposal.c.meta_task_id == task.c.id, proposal.c.state.in_(UNDECIDED)),
    )
    .order_by(task.c.id)
    .limit(LIMIT)
    .with_for_update(of=task, skip_locked=True, key_share=True)
)
BIDDER = select(
    agent.c.standing,
    select(func.count())
    .select_from(bid.join(task, task.c.id == bid.c.task_id))
    .where(bid.c.agent_id == AGENT, task.c.state == TaskState.BIDDING)
    .scalar_subquery()
    .label("open_bids"),
).where(agent.c.id == AGENT)


def open_for(tx: Tx, agent_id: int, types: Sequence[str] | None, limit: int) -> list[Row]:
    """Return tasks whose window is open, that the agent did not post and has not bid on, oldest first."""
    if types is None:
        return sql.listed(tx, OPEN_FOR, agent_id=agent_id, now_us=tx.now_us, limit=limit)
    return sql.listed(
        tx, OPEN_FOR_BY_TYPE, agent_id=agent_id, now_us=tx.now_us, limit=limit, types=list(types)
    )


def awarded_to(tx: Tx, agent_id: int, limit: int) -> list[Row]:
    """Return tasks that wait for this agent to take the lease, oldest first."""
    return sql.listed(tx, AWARDED_TO, agent_id=agent_id, limit=limit)


def ballots_open_to(tx: Tx, agent_id: int) -> list[int]:
    """Return the open proposals in whose electorate the agent is and on which it has not voted."""
    found = sql.listed(tx, BALLOTS_OPEN_TO, agent_id=agent_id, now_us=tx.now_us)
    return [row["id"] for row in found]


def due_windows(tx: Tx, limit: int) -> list[Row]:
    """Return tasks whose bid window has closed, oldest first, except past their deadline; they are locked.

    This and the next three leave out tasks that another transaction holds.
    """
    return sql.listed(tx, DUE_WINDOWS, now_us=tx.now_us, limit=limit)


def expired_leases(tx: Tx, grace_us: int, limit: int) -> list[Row]:
    """Return attempts whose lease and grace have passed without a result; their tasks are locked."""
    return sql.listed(tx, EXPIRED_LEASES, expired_us=tx.now_us - grace_us, limit=limit)


def unclaimed_awards(tx: Tx, start_window_us: int, limit: int) -> list[Row]:
    """Return awarded tasks whose winner did not take the lease in time."""
    return sql.listed(tx, UNCLAIMED_AWARDS, awarded_us=tx.now_us - start_window_us, limit=limit)


def past_deadline(tx: Tx, limit: int) -> list[Row]:
    """Return tasks that are not at work and not ended although their deadline has passed.

    An investigation whose proposal is being voted on, tested, or was promoted waits for its lap instead.
    """
    return sql.listed(tx, PAST_DEADLINE, now_us=tx.now_us, limit=limit)


def bids_with_records(tx: Tx, task_id: int, task_type: str) -> list[Row]:
    """Return the bids on a task with each bidder's decayed record, for this type and over all types."""
    return sql.listed(tx, BIDS_WITH_RECORDS, task_id=task_id, task_type=task_type)


def tried_agents(tx: Tx, task_id: int) -> set[int]:
    """Return the agents that already had an award of this task."""
    return {row["agent_id"] for row in sql.listed(tx, TRIED_AGENTS, task_id=task_id)}


def bidder(tx: Tx, agent_id: int) -> Row | None:
    """Return the agent (standing, open_bids: its bids on tasks that still take bids), or None."""
    return sql.first(tx, BIDDER, agent_id=agent_id)
