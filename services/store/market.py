"""Queries of the market: open tasks, due windows, expired leases, bids with records.

Stands under layer 4. It never decides an award.
"""

from collections.abc import Collection, Sequence

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    and_,
    bindparam,
    exists,
    func,
    literal_column,
    or_,
    select,
)

from services.domain.states import LIVE_PROPOSALS, AttemptState, ProposalState, TaskState, TickState
from services.store import sql
from services.store.sql import Row
from services.store.tables import (
    agent,
    agent_outcome,
    agent_record,
    attempt,
    award,
    ballot,
    bid,
    cron_tick,
    elector,
    proposal,
    task,
)
from services.store.tx import Tx

AGENT: BindParameter[int] = bindparam("agent_id")
NOW: BindParameter[int] = bindparam("now_us")
LIMIT: BindParameter[int] = bindparam("limit")
AFTER: BindParameter[int] = bindparam("after")
BIDDING: ColumnElement[str] = literal_column(f"'{TaskState.BIDDING}'")
"""States stand in the text of a statement where an index is kept for one of them alone."""
AWARDED: ColumnElement[str] = literal_column(f"'{TaskState.AWARDED}'")
LEASED: ColumnElement[str] = literal_column(f"'{AttemptState.LEASED}'")
UNDECIDED = (*LIVE_PROPOSALS, ProposalState.PROMOTED)

OPEN_FOR = (
    select(task)
    .where(
        task.c.state == BIDDING,
        task.c.id > AFTER,
        task.c.bids_close_at_us > NOW,
        task.c.awarded_at_us.is_(None),
        task.c.requester_id.is_distinct_from(AGENT),
        ~exists().where(bid.c.task_id == task.c.id, bid.c.agent_id == AGENT),
    )
    .order_by(task.c.id)
    .limit(LIMIT)
)
OPEN_FOR_BY_TYPE = OPEN_FOR.where(task.c.type.in_(bindparam("types", expanding=True)))
AWARDED_TO = (
    select(task)
    .where(task.c.awarded_agent_id == AGENT, task.c.state == AWARDED)
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
TASK_IDS: BindParameter[int] = bindparam("task_ids", expanding=True)
FOR_BIDS = select(
    task.c.id,
    task.c.state,
    task.c.requester_id,
    task.c.reserve_price_microcredits,
    task.c.bids_close_at_us,
    task.c.awarded_at_us,
).where(task.c.id.in_(TASK_IDS))
OPEN_FOR_BIDS = (
    FOR_BIDS.where(task.c.state == BIDDING, task.c.bids_close_at_us > NOW, task.c.awarded_at_us.is_(None))
    .order_by(task.c.id)
    .with_for_update(of=task, read=True)
)
LOCKED_TASKS = (
    select(task).where(task.c.id.in_(TASK_IDS)).order_by(task.c.id).with_for_update(of=task, key_share=True)
)
LOCKED_AGENTS = (
    select(agent)
    .where(agent.c.id.in_(bindparam("agent_ids", expanding=True)))
    .order_by(agent.c.id)
    .with_for_update(of=agent, key_share=True)
)
IDENTITIES = select(agent.c.id, agent.c.owner, agent.c.is_vouched).where(
    agent.c.id.in_(bindparam("agent_ids", expanding=True))
)
DUE_WINDOWS = (
    select(task)
    .where(task.c.state == BIDDING, task.c.bids_close_at_us <= NOW, task.c.deadline_at_us > NOW)
    .order_by(task.c.bids_close_at_us, task.c.id)
    .limit(LIMIT)
    .with_for_update(of=task, skip_locked=True, key_share=True)
)
DUE_AGAIN = DUE_WINDOWS.where(task.c.attempt_count > 0)
BIDS_WITH_RECORDS = (
    select(
        bid.c.task_id,
        bid.c.id.label("bid_id"),
        bid.c.agent_id,
        bid.c.ask_microcredits,
        agent.c.standing,
        agent.c.model,
        agent.c.settled_jobs.label("jobs"),
        agent.c.success_weight.label("all_successes"),
        agent.c.failure_weight.label("all_failures"),
        func.coalesce(agent_record.c.success_weight, 0.0).label("type_successes"),
        func.coalesce(agent_record.c.failure_weight, 0.0).label("type_failures"),
    )
    .join(task, task.c.id == bid.c.task_id)
    .join(agent, agent.c.id == bid.c.agent_id)
    .join(
        agent_record,
        and_(agent_record.c.agent_id == bid.c.agent_id, agent_record.c.task_type == task.c.type),
        isouter=True,
    )
    .where(bid.c.task_id.in_(TASK_IDS))
    .order_by(bid.c.task_id, bid.c.agent_id)
)
BIDDERS_OF = select(bid.c.task_id, bid.c.agent_id).where(bid.c.task_id.in_(TASK_IDS))
HANDED_IN = (
    select(attempt.c.id, attempt.c.handoff, task.c.kind, task.c.type, task.c.public, task.c.private)
    .join(task, task.c.id == attempt.c.task_id)
    .where(
        attempt.c.id.in_(bindparam("attempt_ids", expanding=True)),
        attempt.c.state == AttemptState.SUBMITTED,
    )
)
HELD_LEASES = (
    select(attempt.c.id, attempt.c.task_id, attempt.c.agent_id, attempt.c.allowed_until_us)
    .where(
        attempt.c.id.in_(bindparam("attempt_ids", expanding=True)),
        attempt.c.state == AttemptState.LEASED,
    )
    .order_by(attempt.c.id)
    .with_for_update(of=attempt, key_share=True)
)
TRIED_AGENTS = select(attempt.c.task_id, attempt.c.agent_id).where(attempt.c.task_id.in_(TASK_IDS))
REQUESTER = agent.alias("requester")
NEWEST_AWARDS = (
    select(award.c.is_unproven)
    .join(task, task.c.id == award.c.task_id)
    .join(REQUESTER, REQUESTER.c.id == task.c.requester_id, isouter=True)
    .where(or_(task.c.requester_id.is_(None), REQUESTER.c.is_vouched))
    .order_by(award.c.id.desc())
    .limit(LIMIT)
)
NEWEST_OUTCOME = select(func.coalesce(func.max(agent_outcome.c.id), 0))
LIFE_OF_ATTEMPT = (
    select(
        attempt.c.id,
        attempt.c.task_id,
        attempt.c.agent_id,
        attempt.c.number,
        attempt.c.state,
        attempt.c.leased_at_us,
        attempt.c.allowed_until_us,
        attempt.c.expires_at_us,
        award.c.price_microcredits,
        bid.c.confidence_percent,
    )
    .join(award, and_(award.c.task_id == attempt.c.task_id, award.c.attempt_number == attempt.c.number))
    .join(bid, and_(bid.c.task_id == attempt.c.task_id, bid.c.agent_id == attempt.c.agent_id))
    .order_by(attempt.c.id)
)
ATTEMPTS = LIFE_OF_ATTEMPT.where(attempt.c.id.in_(bindparam("attempt_ids", expanding=True)))
LIVE_ATTEMPTS = LIFE_OF_ATTEMPT.where(
    attempt.c.task_id.in_(TASK_IDS), attempt.c.state.in_((AttemptState.LEASED, AttemptState.SUBMITTED))
)
AWARDS_NOW = (
    select(award.c.task_id, award.c.agent_id, award.c.price_microcredits, bid.c.confidence_percent)
    .join(task, and_(task.c.id == award.c.task_id, task.c.attempt_count == award.c.attempt_number))
    .join(bid, and_(bid.c.task_id == award.c.task_id, bid.c.agent_id == award.c.agent_id))
    .where(award.c.task_id.in_(TASK_IDS))
)
EXPIRED_LEASES = (
    select(attempt.c.id, attempt.c.task_id, attempt.c.leased_at_us, attempt.c.allowed_until_us)
    .join(task, task.c.id == attempt.c.task_id)
    .where(attempt.c.state == LEASED, attempt.c.expires_at_us <= bindparam("expired_us"))
    .order_by(attempt.c.id)
    .limit(LIMIT)
    .with_for_update(of=[task, attempt], skip_locked=True, key_share=True)
)
EARLIER_TICK = cron_tick.alias("earlier_tick")
LAST_BEFORE = (
    select(func.max(EARLIER_TICK.c.due_at_us))
    .where(
        EARLIER_TICK.c.job == bindparam("job"),
        EARLIER_TICK.c.due_at_us <= bindparam("since_us"),
        EARLIER_TICK.c.state != TickState.MISSED,
    )
    .scalar_subquery()
)
TICKS = (
    select(
        cron_tick.c.due_at_us,
        func.lag(cron_tick.c.due_at_us).over(order_by=cron_tick.c.due_at_us).label("before_us"),
    )
    .where(
        cron_tick.c.job == bindparam("job"),
        cron_tick.c.due_at_us >= func.coalesce(LAST_BEFORE, bindparam("since_us")),
        cron_tick.c.state != TickState.MISSED,
    )
    .subquery()
)
LAST_GAP = (
    select(TICKS.c.before_us, TICKS.c.due_at_us)
    .where(TICKS.c.due_at_us - TICKS.c.before_us > bindparam("longest_us"))
    .order_by(TICKS.c.due_at_us.desc())
    .limit(1)
)
UNCLAIMED_AWARDS = (
    select(task)
    .where(task.c.state == AWARDED, task.c.awarded_at_us <= bindparam("awarded_us"))
    .order_by(task.c.id)
    .limit(LIMIT)
    .with_for_update(of=task, skip_locked=True, key_share=True)
)
PAST_DEADLINE = (
    select(task)
    .where(
        task.c.ended_at_us.is_(None),
        task.c.deadline_at_us <= NOW,
        or_(
            task.c.state.in_((TaskState.BIDDING, TaskState.AWARDED)),
            and_(
                task.c.state == TaskState.SUBMITTED,
                task.c.deadline_at_us <= bindparam("graced_us"),
                ~exists().where(
                    attempt.c.task_id == task.c.id,
                    attempt.c.state == AttemptState.SUBMITTED,
                    attempt.c.submitted_at_us > bindparam("graced_us"),
                ),
            ),
        ),
        ~exists().where(proposal.c.meta_task_id == task.c.id, proposal.c.state.in_(UNDECIDED)),
    )
    .order_by(task.c.id)
    .limit(LIMIT)
    .with_for_update(of=task, skip_locked=True, key_share=True)
)


def open_for(tx: Tx, agent_id: int, types: Sequence[str] | None, limit: int, after: int = 0) -> list[Row]:
    """Return tasks whose window is open, that the agent did not post and has not bid on, oldest first.

    Only those behind the task `after`.
    """
    asked = {"agent_id": agent_id, "now_us": tx.now_us, "limit": limit, "after": after}
    if types is None:
        return sql.listed(tx, OPEN_FOR, **asked)
    return sql.listed(tx, OPEN_FOR_BY_TYPE, **asked, types=list(types))


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
    """Return attempts whose lease and grace have passed; both they and their tasks are held."""
    return sql.listed(tx, EXPIRED_LEASES, expired_us=tx.now_us - grace_us, limit=limit)


def last_gap(tx: Tx, job: str, since_us: int, longest_us: int) -> tuple[int, int] | None:
    """Return the ends of the newest gap between two ticks of a job that is longer than so, or None.

    The gap ends after `since_us`; it may have begun long before.
    """
    row = sql.first(tx, LAST_GAP, job=job, since_us=since_us, longest_us=longest_us)
    return None if row is None else (int(row["before_us"]), int(row["due_at_us"]))


def unclaimed_awards(tx: Tx, start_window_us: int, limit: int) -> list[Row]:
    """Return awarded tasks whose winner did not take the lease in time."""
    return sql.listed(tx, UNCLAIMED_AWARDS, awarded_us=tx.now_us - start_window_us, limit=limit)


def past_deadline(tx: Tx, grace_us: int, limit: int) -> list[Row]:
    """Return tasks that are not at work and not ended although their deadline has passed; they are locked.

    What was handed in has its grace to be verified. An investigation whose proposal is being voted on,
    tested, or was promoted waits for its lap instead.
    """
    return sql.listed(tx, PAST_DEADLINE, now_us=tx.now_us, graced_us=tx.now_us - grace_us, limit=limit)


def due_again(tx: Tx, limit: int) -> list[Row]:
    """Return tasks that go to their next-best bid and whose wait is over; they are locked."""
    return sql.listed(tx, DUE_AGAIN, now_us=tx.now_us, limit=limit)


def tasks_for_bids(tx: Tx, task_ids: Collection[int]) -> dict[int, Row]:
    """Return what bidding reads of these tasks; those that take bids are held against their award.

    Others are only read: a bid that is refused must not stand in the way of an award.
    """
    found = {
        row["id"]: row for row in sql.listed(tx, OPEN_FOR_BIDS, task_ids=list(task_ids), now_us=tx.now_us)
    }
    rest = [number for number in task_ids if number not in found]
    return found | {row["id"]: row for row in (sql.listed(tx, FOR_BIDS, task_ids=rest) if rest else ())}


def locked_tasks(tx: Tx, task_ids: Collection[int]) -> dict[int, Row]:
    """Return these tasks by id, held until the end."""
    return {row["id"]: row for row in sql.listed(tx, LOCKED_TASKS, task_ids=list(task_ids))}


def locked_agents(tx: Tx, agent_ids: Collection[int]) -> dict[int, Row]:
    """Return these agents by id, held until the end."""
    if not agent_ids:
        return {}
    return {row["id"]: row for row in sql.listed(tx, LOCKED_AGENTS, agent_ids=list(agent_ids))}


def identities(tx: Tx, agent_ids: Collection[int]) -> dict[int, Row]:
    """Return owner and is_vouched of these agents, by id."""
    if not agent_ids:
        return {}
    return {row["id"]: row for row in sql.listed(tx, IDENTITIES, agent_ids=list(agent_ids))}


def bids_with_records(tx: Tx, task_ids: Collection[int]) -> list[Row]:
    """Return the bids on these tasks with each bidder's decayed record, for the type and over all types."""
    return sql.listed(tx, BIDS_WITH_RECORDS, task_ids=list(task_ids))


def bidders_of(tx: Tx, task_ids: Collection[int]) -> list[Row]:
    """Return (task_id, agent_id) of every bid on these tasks."""
    return sql.listed(tx, BIDDERS_OF, task_ids=list(task_ids))


def tried_agents(tx: Tx, task_ids: Collection[int]) -> set[tuple[int, int]]:
    """Return (task_id, agent_id) of everybody who already had an attempt at one of these tasks."""
    found = sql.listed(tx, TRIED_AGENTS, task_ids=list(task_ids)) if task_ids else []
    return {(row["task_id"], row["agent_id"]) for row in found}


def newest_awards(tx: Tx, limit: int) -> list[bool]:
    """Tell of the newest awards, newest first, whether they went to an unproven agent.

    Only tasks of the platform and of vouched requesters count: strangers could fill the window for nothing.
    """
    return [bool(row["is_unproven"]) for row in sql.listed(tx, NEWEST_AWARDS, limit=limit)]


def newest_outcome(tx: Tx) -> int:
    """Return the id of the newest outcome that records hold, 0 before the first."""
    return int(sql.value(tx, NEWEST_OUTCOME))


def attempts(tx: Tx, attempt_ids: Collection[int]) -> dict[int, Row]:
    """Return these attempts by id, with the price of their award and the confidence claimed in the bid."""
    found = sql.listed(tx, ATTEMPTS, attempt_ids=list(attempt_ids)) if attempt_ids else []
    return {row["id"]: row for row in found}


def live_attempts(tx: Tx, task_ids: Collection[int]) -> dict[int, Row]:
    """Return the attempt at work or handed in of each of these tasks that has one, by task."""
    return {row["task_id"]: row for row in sql.listed(tx, LIVE_ATTEMPTS, task_ids=list(task_ids))}


def handed_in(tx: Tx, attempt_ids: Collection[int]) -> dict[int, Row]:
    """Return what the verifier needs of these attempts, by id: those that still wait for its word."""
    found = sql.listed(tx, HANDED_IN, attempt_ids=list(attempt_ids)) if attempt_ids else []
    return {row["id"]: row for row in found}


def held_leases(tx: Tx, attempt_ids: Collection[int]) -> list[Row]:
    """Return those of these attempts that are at work, held until the end."""
    return sql.listed(tx, HELD_LEASES, attempt_ids=list(attempt_ids))


def awards_now(tx: Tx, task_ids: Collection[int]) -> dict[int, Row]:
    """Return the award in force of each of these tasks that has one (agent, price, confidence), by task."""
    return {row["task_id"]: row for row in sql.listed(tx, AWARDS_NOW, task_ids=list(task_ids))}
