"""Queries of the market: open tasks, due windows, expired leases, bids with records.

Stands under layer 4. It never decides an award.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, and_, exists, func, select

from services.domain.states import LIVE_PROPOSALS, AttemptState, ProposalState, TaskState
from services.store.sql import Row, rows
from services.store.tables import agent, agent_record, attempt, ballot, bid, elector, proposal, task
from services.store.tx import Tx


def open_for(tx: Tx, agent_id: int, types: Sequence[str] | None, limit: int) -> list[Row]:
    """Return tasks whose window is open, that the agent did not post and has not bid on, oldest first."""
    has_bid = exists().where(bid.c.task_id == task.c.id, bid.c.agent_id == agent_id)
    statement = (
        select(task)
        .where(
            task.c.state == TaskState.BIDDING,
            task.c.bids_close_at_us > tx.now_us,
            task.c.requester_id.is_distinct_from(agent_id),
            ~has_bid,
        )
        .order_by(task.c.id)
        .limit(limit)
    )
    if types is not None:
        statement = statement.where(task.c.type.in_(list(types)))
    return rows(tx, statement)


def awarded_to(tx: Tx, agent_id: int, limit: int) -> list[Row]:
    """Return tasks that wait for this agent to take the lease, oldest first."""
    statement = (
        select(task)
        .where(task.c.awarded_agent_id == agent_id, task.c.state == TaskState.AWARDED)
        .order_by(task.c.id)
        .limit(limit)
    )
    return rows(tx, statement)


def ballots_open_to(tx: Tx, agent_id: int) -> list[int]:
    """Return the open proposals in whose electorate the agent is and on which it has not voted."""
    has_voted = exists().where(ballot.c.proposal_id == proposal.c.id, ballot.c.agent_id == agent_id)
    statement = (
        select(proposal.c.id)
        .join(elector, and_(elector.c.proposal_id == proposal.c.id, elector.c.agent_id == agent_id))
        .where(proposal.c.state == ProposalState.OPEN, proposal.c.closes_at_us > tx.now_us, ~has_voted)
        .order_by(proposal.c.id)
    )
    return [row["id"] for row in rows(tx, statement)]


def due_windows(tx: Tx, limit: int) -> list[Row]:
    """Return tasks whose bid window has closed, oldest first, except past their deadline; they are locked."""
    statement = (
        select(task)
        .where(
            task.c.state == TaskState.BIDDING,
            task.c.bids_close_at_us <= tx.now_us,
            task.c.deadline_at_us > tx.now_us,
        )
        .order_by(task.c.bids_close_at_us, task.c.id)
        .limit(limit)
    )
    return _locked(tx, statement)


def bids_with_records(tx: Tx, task_id: int, task_type: str) -> list[Row]:
    """Return the bids on a task with each bidder's decayed record, for this type and over all types."""
    overall = (
        select(
            agent_record.c.agent_id,
            func.sum(agent_record.c.success_weight).label("all_successes"),
            func.sum(agent_record.c.failure_weight).label("all_failures"),
        )
        .group_by(agent_record.c.agent_id)
        .subquery()
    )
    of_type = and_(agent_record.c.agent_id == bid.c.agent_id, agent_record.c.task_type == task_type)
    statement = (
        select(
            bid.c.agent_id,
            bid.c.ask_microcredits,
            agent.c.standing,
            func.coalesce(agent_record.c.success_weight, 0.0).label("type_successes"),
            func.coalesce(agent_record.c.failure_weight, 0.0).label("type_failures"),
            func.coalesce(overall.c.all_successes, 0.0).label("all_successes"),
            func.coalesce(overall.c.all_failures, 0.0).label("all_failures"),
        )
        .join(agent, agent.c.id == bid.c.agent_id)
        .join(agent_record, of_type, isouter=True)
        .join(overall, overall.c.agent_id == bid.c.agent_id, isouter=True)
        .where(bid.c.task_id == task_id)
        .order_by(bid.c.agent_id)
    )
    return rows(tx, statement)


def tried_agents(tx: Tx, task_id: int) -> set[int]:
    """Return the agents that already had an award of this task."""
    from_attempts = select(attempt.c.agent_id).where(attempt.c.task_id == task_id)
    return {row["agent_id"] for row in rows(tx, from_attempts)}


def expired_leases(tx: Tx, grace_us: int, limit: int) -> list[Row]:
    """Return attempts whose lease and grace have passed without a result; their tasks are locked."""
    statement = (
        select(attempt)
        .join(task, task.c.id == attempt.c.task_id)
        .where(attempt.c.state == AttemptState.LEASED, attempt.c.expires_at_us + grace_us <= tx.now_us)
        .order_by(attempt.c.id)
        .limit(limit)
    )
    return _locked(tx, statement)


def unclaimed_awards(tx: Tx, start_window_us: int, limit: int) -> list[Row]:
    """Return awarded tasks whose winner did not take the lease in time."""
    statement = (
        select(task)
        .where(task.c.state == TaskState.AWARDED, task.c.awarded_at_us + start_window_us <= tx.now_us)
        .order_by(task.c.id)
        .limit(limit)
    )
    return _locked(tx, statement)


def past_deadline(tx: Tx, limit: int) -> list[Row]:
    """Return tasks that are not at work and not ended although their deadline has passed.

    An investigation whose proposal is being voted on, tested, or was promoted waits for its lap instead.
    """
    waiting = (TaskState.BIDDING, TaskState.AWARDED, TaskState.SUBMITTED)
    undecided = (*LIVE_PROPOSALS, ProposalState.PROMOTED)
    waits_for_lap = exists().where(proposal.c.meta_task_id == task.c.id, proposal.c.state.in_(undecided))
    statement = (
        select(task)
        .where(task.c.state.in_(waiting), task.c.deadline_at_us <= tx.now_us, ~waits_for_lap)
        .order_by(task.c.id)
        .limit(limit)
    )
    return _locked(tx, statement)


def open_bids(tx: Tx, agent_id: int) -> int:
    """Return on how many tasks that still take bids the agent has bid."""
    statement = (
        select(func.count())
        .select_from(bid.join(task, task.c.id == bid.c.task_id))
        .where(bid.c.agent_id == agent_id, task.c.state == TaskState.BIDDING)
    )
    return int(tx.connection.execute(statement).scalar_one())


def _locked(tx: Tx, statement: Select[*tuple[Any, ...]]) -> list[Row]:
    """Return the rows of a select with their tasks locked until the end, leaving out what others hold."""
    if tx.is_postgresql:
        statement = statement.with_for_update(of=task, skip_locked=True, key_share=True)
    return rows(tx, statement)
