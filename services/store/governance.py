"""Queries of proposals and experiments: eligible voters, recent outcomes, exposures in assignment order.

Stands under layers 5 and 6. It never tallies and never bets.
"""

from collections.abc import Sequence

from sqlalchemy import case, func, or_, select

from services.domain.clock import DAY_US
from services.domain.states import LIVE_PROPOSALS, ProposalState, Standing, TaskKind, TaskState
from services.store.sql import Row, rows
from services.store.tables import agent, ballot, exposure, proposal, task
from services.store.tx import Tx

ACTIVE_WITHIN_US = 7 * DAY_US
ENDED = (TaskState.SETTLED, TaskState.FAILED)


def eligible_voters(tx: Tx, *, proposer_id: int, minimum_settled_jobs: int) -> list[int]:
    """Return the agents that may vote: scope, asked for work in 7 days, vouched or tenured, not proposing."""
    statement = (
        select(agent.c.id, agent.c.scopes)
        .where(
            agent.c.id != proposer_id,
            agent.c.last_active_at_us >= tx.now_us - ACTIVE_WITHIN_US,
            agent.c.standing.in_([Standing.PROBATION, Standing.FULL]),
            or_(agent.c.is_vouched, agent.c.settled_jobs >= minimum_settled_jobs),
        )
        .order_by(agent.c.id)
    )
    return [row["id"] for row in rows(tx, statement) if "vote" in row["scopes"]]


def recent_outcomes(tx: Tx, task_type: str, limit: int) -> tuple[int, int]:
    """Return (verified, ended) over the newest `limit` ended user tasks of a type."""
    newest = (
        select(task.c.state)
        .where(task.c.type == task_type, task.c.kind == TaskKind.USER, task.c.state.in_(ENDED))
        .order_by(task.c.ended_at_us.desc(), task.c.id.desc())
        .limit(limit)
        .subquery()
    )
    verified = func.sum(case((newest.c.state == TaskState.SETTLED, 1), else_=0))
    row = rows(
        tx,
        select(func.coalesce(verified, 0).label("verified"), func.count().label("ended")).select_from(newest),
    )[0]
    return int(row["verified"]), int(row["ended"])


def posted_since(tx: Tx, task_type: str, since_us: int) -> tuple[int, int | None]:
    """Return how many user tasks of a type were posted since an instant, and when the first of them was."""
    statement = select(func.count().label("count"), func.min(task.c.posted_at_us).label("first")).where(
        task.c.type == task_type, task.c.kind == TaskKind.USER, task.c.posted_at_us >= since_us
    )
    row = rows(tx, statement)[0]
    return int(row["count"]), row["first"]


def ended_tasks(tx: Tx, ids: Sequence[int]) -> dict[int, Row]:
    """Return the ended user tasks among `ids`, by id."""
    statement = select(task).where(
        task.c.id.in_(list(ids)), task.c.kind == TaskKind.USER, task.c.state.in_(ENDED)
    )
    return {row["id"]: row for row in rows(tx, statement)}


def live_of_owner(tx: Tx, owner: str) -> int | None:
    """Return a live proposal of any agent of this owner, or None."""
    statement = (
        select(proposal.c.id)
        .join(agent, agent.c.id == proposal.c.proposer_id)
        .where(agent.c.owner == owner, proposal.c.state.in_(LIVE_PROPOSALS))
        .limit(1)
    )
    found = rows(tx, statement)
    return found[0]["id"] if found else None


def same_content_since(tx: Tx, content_hash: str, since_us: int) -> int | None:
    """Return a proposal of the same content that was decided since an instant (promoted ones aside)."""
    statement = (
        select(proposal.c.id)
        .where(
            proposal.c.content_hash == content_hash,
            proposal.c.ended_at_us >= since_us,
            proposal.c.state != ProposalState.PROMOTED,
        )
        .limit(1)
    )
    found = rows(tx, statement)
    return found[0]["id"] if found else None


def open_and_due(tx: Tx) -> list[Row]:
    """Return open proposals whose minimum period has passed."""
    statement = (
        select(proposal)
        .where(proposal.c.state == ProposalState.OPEN, proposal.c.minimum_until_us <= tx.now_us)
        .order_by(proposal.c.id)
    )
    return rows(tx, statement.with_for_update(skip_locked=True) if tx.is_postgresql else statement)


def ballot_counts(tx: Tx, proposal_id: int) -> dict[str, int]:
    """Return the number of ballots by choice."""
    statement = (
        select(ballot.c.choice, func.count().label("count"))
        .where(ballot.c.proposal_id == proposal_id)
        .group_by(ballot.c.choice)
    )
    return {row["choice"]: row["count"] for row in rows(tx, statement)}


def unfolded_exposures(tx: Tx, experiment_id: int, limit: int) -> list[Row]:
    """Return exposures that are not in the bet yet, in assignment order."""
    statement = (
        select(exposure)
        .where(exposure.c.experiment_id == experiment_id, exposure.c.is_folded.is_(False))
        .order_by(exposure.c.ordinal)
        .limit(limit)
    )
    return rows(tx, statement)


def folded_exposures(tx: Tx, experiment_id: int) -> list[Row]:
    """Return the exposures that are in the bet, in assignment order."""
    statement = (
        select(exposure)
        .where(exposure.c.experiment_id == experiment_id, exposure.c.is_folded.is_(True))
        .order_by(exposure.c.ordinal)
    )
    return rows(tx, statement)
