"""Queries of proposals and experiments: eligible voters, recent outcomes, exposures in assignment order.

Stands under layers 5 and 6. It never tallies and never bets.
"""

from collections.abc import Mapping, Sequence

from sqlalchemy import bindparam, case, func, or_, select

from services.domain.bet import Verdict
from services.domain.clock import DAY_US, SECOND_US
from services.domain.metrics import Metric
from services.domain.states import (
    LIVE_PROPOSALS,
    ExperimentKind,
    ExperimentState,
    OutcomeKind,
    ProposalState,
    ReviewState,
    Standing,
    TaskKind,
    TaskState,
)
from services.store import sql
from services.store.sql import Row, rows
from services.store.tables import (
    agent,
    agent_outcome,
    award,
    ballot,
    experiment,
    exposure,
    freeze,
    parameter_change,
    proposal,
    review_gate,
    task,
)
from services.store.tx import Tx

CEILING_TASKS = 200
ACTIVE_WITHIN_US = 7 * DAY_US
ENDED = (TaskState.SETTLED, TaskState.FAILED)
EXPOSURES = (
    select(exposure)
    .where(
        exposure.c.experiment_id == bindparam("experiment_id"),
        exposure.c.ordinal >= bindparam("first_ordinal"),
        exposure.c.is_folded == bindparam("is_folded"),
    )
    .order_by(exposure.c.ordinal)
)
FIRST_EXPOSURES = EXPOSURES.limit(bindparam("limit"))
PRICE_PAID = (
    select(award.c.price_microcredits)
    .where(award.c.task_id == bindparam("task_id"))
    .order_by(award.c.attempt_number.desc())
    .limit(1)
)


def eligible_voters(tx: Tx, *, minimum_settled_jobs: int, tenure_us: int) -> list[Row]:
    """Return the agents that may vote (`id`, `owner`), by id: scope, asked for work in 7 days, known.

    Known is who is vouched for, or was registered `tenure_us` ago and had so many results verified for the
    platform or for requesters that are vouched for: work that one orders from oneself earns no ballot.
    """
    jobs = (
        select(func.count())
        .where(
            agent_outcome.c.agent_id == agent.c.id,
            agent_outcome.c.kind == OutcomeKind.VERIFIED,
            agent_outcome.c.requester_id.is_(None),
        )
        .scalar_subquery()
    )
    is_tenured = (
        (agent.c.registered_at_us <= tx.now_us - tenure_us)
        & (agent.c.settled_jobs >= minimum_settled_jobs)
        & (jobs >= minimum_settled_jobs)
    )
    statement = (
        select(agent.c.id, agent.c.owner, agent.c.scopes)
        .where(
            agent.c.last_active_at_us >= tx.now_us - ACTIVE_WITHIN_US,
            agent.c.standing.in_([Standing.PROBATION, Standing.FULL]),
            or_(agent.c.is_vouched, is_tenured),
        )
        .order_by(agent.c.id)
    )
    return [row for row in rows(tx, statement) if "vote" in row["scopes"]]


def owners(tx: Tx) -> list[str]:
    """Return every owner of an agent, once, sorted."""
    statement = select(agent.c.owner).distinct().order_by(agent.c.owner)
    return [row["owner"] for row in rows(tx, statement)]


def paid_since(tx: Tx, task_type: str, since_us: int) -> set[int]:
    """Return the agents that were awarded tasks of a type since an instant: those it pays.

    Only tasks of the platform and of requesters that are vouched for count: nobody loses a ballot by one
    task that a stranger posts.
    """
    requester = agent.alias("requester")
    statement = (
        select(task.c.awarded_agent_id)
        .outerjoin(requester, requester.c.id == task.c.requester_id)
        .where(
            task.c.type == task_type,
            task.c.awarded_at_us >= since_us,
            or_(task.c.requester_id.is_(None), requester.c.is_vouched),
        )
        .distinct()
    )
    return {row["awarded_agent_id"] for row in rows(tx, statement)}


def spent_in_lap(tx: Tx, lap_id: int) -> int:
    """Return what the investigations of a lap were paid, in microcredits."""
    statement = (
        select(func.coalesce(func.sum(award.c.price_microcredits), 0).label("spent"))
        .join(task, (task.c.id == award.c.task_id) & (task.c.attempt_count == award.c.attempt_number))
        .where(task.c.lap_id == lap_id, task.c.kind == TaskKind.META, task.c.state == TaskState.SETTLED)
    )
    return int(rows(tx, statement)[0]["spent"])


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


def winners_since(tx: Tx, task_type: str, since_us: int) -> int:
    """Return how many agents were awarded user tasks of a type since an instant."""
    statement = select(func.count(task.c.awarded_agent_id.distinct()).label("agents")).where(
        task.c.type == task_type, task.c.kind == TaskKind.USER, task.c.awarded_at_us >= since_us
    )
    return int(rows(tx, statement)[0]["agents"])


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


def same_change_since(
    tx: Tx, parameter: str, from_value: str, to_value: str, *, owner: str, since_us: int
) -> Row | None:
    """Return the newest proposal (`id`, `ended_at_us`) of this change that ended since an instant, or None.

    Promoted ones aside. What was withdrawn, or passed and never started, was refused by nobody: only those
    of `owner` are looked for.
    """
    was_shown = select(review_gate.c.id).where(
        review_gate.c.proposal_id == proposal.c.id, review_gate.c.state == ReviewState.EXPIRED
    )
    is_refused = proposal.c.state.not_in([ProposalState.WITHDRAWN, ProposalState.EXPIRED])
    statement = (
        select(proposal.c.id, proposal.c.ended_at_us)
        .join(agent, agent.c.id == proposal.c.proposer_id)
        .where(
            proposal.c.parameter == parameter,
            proposal.c.from_value == from_value,
            proposal.c.to_value == to_value,
            proposal.c.ended_at_us >= since_us,
            proposal.c.state != ProposalState.PROMOTED,
            or_(is_refused, was_shown.exists(), agent.c.owner == owner),
        )
        .order_by(proposal.c.ended_at_us.desc())
        .limit(1)
    )
    found = rows(tx, statement)
    return found[0] if found else None


def filed_since(tx: Tx, owner: str, since_us: int, limit: int) -> list[int]:
    """Return when the agents of an owner filed since an instant, newest first, at most `limit` times."""
    statement = (
        select(proposal.c.opened_at_us)
        .join(agent, agent.c.id == proposal.c.proposer_id)
        .where(agent.c.owner == owner, proposal.c.opened_at_us > since_us)
        .order_by(proposal.c.opened_at_us.desc())
        .limit(limit)
    )
    return [row["opened_at_us"] for row in rows(tx, statement)]


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


def unfolded_exposures(tx: Tx, experiment_id: int, first_ordinal: int, limit: int | None) -> list[Row]:
    """Return exposures of the leg from `first_ordinal` that are not in the bet yet, in assignment order."""
    return _exposures(tx, experiment_id, first_ordinal, is_folded=False, limit=limit)


def folded_exposures(tx: Tx, experiment_id: int, first_ordinal: int) -> list[Row]:
    """Return the exposures of the leg from `first_ordinal` that are in the bet, in assignment order."""
    return _exposures(tx, experiment_id, first_ordinal, is_folded=True, limit=None)


def _exposures(
    tx: Tx, experiment_id: int, first_ordinal: int, *, is_folded: bool, limit: int | None
) -> list[Row]:
    given = {"experiment_id": experiment_id, "first_ordinal": first_ordinal, "is_folded": is_folded}
    if limit is None:
        return sql.listed(tx, EXPOSURES, **given)
    return sql.listed(tx, FIRST_EXPOSURES, **given, limit=limit)


def fold_exposures(tx: Tx, folded: Sequence[Mapping[str, object]]) -> None:
    """Mark exposures (by `id`) as bet on, with their outcome and the wealth after their unit."""
    sql.update_many(tx, exposure, ["id"], [{**row, "is_folded": True} for row in folded])


def unwatched_promotions(tx: Tx, before_us: int) -> list[int]:
    """Return the experiments promoted before an instant whose probation has not begun."""
    statement = (
        select(experiment.c.id)
        .join(parameter_change, parameter_change.c.experiment_id == experiment.c.id)
        .where(
            experiment.c.state == ExperimentState.PROVISIONAL,
            parameter_change.c.changed_at_us <= before_us,
        )
        .order_by(experiment.c.id)
    )
    return [row["id"] for row in rows(tx, statement)]


def stream_so_far(tx: Tx) -> tuple[int, list[int]]:
    """Return how many experiments of the stream have started, and for each confirmation how many had then."""
    statement = select(experiment.c.known_after).where(experiment.c.kind == ExperimentKind.CHANGE)
    known = [row["known_after"] for row in rows(tx, statement)]
    return len(known), sorted(number for number in known if number is not None)


def placebo_counts(tx: Tx, since_us: int) -> tuple[int, int]:
    """Return (wins, ends) of the placebos that began at or after an instant; an invalid one is no win."""
    won = func.sum(case((experiment.c.verdict == Verdict.WIN, 1), else_=0))
    statement = select(func.coalesce(won, 0).label("wins"), func.count().label("ended")).where(
        experiment.c.kind == ExperimentKind.PLACEBO,
        experiment.c.verdict.is_not(None),
        experiment.c.started_at_us >= since_us,
    )
    row = rows(tx, statement)[0]
    return int(row["wins"]), int(row["ended"])


def last_lifted_us(tx: Tx) -> int:
    """Return when the last freeze was lifted, 0 when none was."""
    return int(rows(tx, select(func.coalesce(func.max(freeze.c.lifted_at_us), 0).label("at_us")))[0]["at_us"])


def price_paid(tx: Tx, task_id: int) -> int:
    """Return the price of a task's newest award, in microcredits; 0 without one."""
    return int(sql.value(tx, PRICE_PAID, task_id=task_id) or 0)


def ceiling(tx: Tx, task_type: str, metric: Metric) -> float:
    """Return the 95th percentile of a metric over the newest verified tasks of a type; 1 without any."""
    newest = (
        select(task.c.awarded_at_us, task.c.ended_at_us, award.c.price_microcredits)
        .join(award, (award.c.task_id == task.c.id) & (award.c.attempt_number == task.c.attempt_count))
        .where(task.c.type == task_type, task.c.kind == TaskKind.USER, task.c.state == TaskState.SETTLED)
        .order_by(task.c.ended_at_us.desc(), task.c.id.desc())
        .limit(CEILING_TASKS)
    )
    measures = sorted(
        (row["ended_at_us"] - row["awarded_at_us"]) / SECOND_US
        if metric is Metric.DURATION
        else float(row["price_microcredits"])
        for row in rows(tx, newest)
    )
    found = measures[int(len(measures) * 0.95)] if measures else 0.0
    return found if found > 0.0 else 1.0
