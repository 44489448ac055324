"""Read models of voters: who had a ballot, what became of those it cast, and how its forecasts did.

Stands in the store beside the read models of proposals (L5). The scores are computed by
`services.domain.voter_records`, from what is recorded. It never ranks anybody.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import asdict

from sqlalchemy import and_, case, func, or_, select

from services.domain.bet import Verdict
from services.domain.states import BallotChoice, ExperimentKind, ProposalState
from services.domain.voter_records import CastBallot, track_record
from services.store.sql import Row, find, rows
from services.store.tables import agent, ballot, elector, experiment, proposal
from services.store.tx import Tx
from services.store.views.paging import LIMIT_DEFAULT, JsonObject, Page, at, fetch_page

LATEST_BALLOTS = 50
ENDED = (ProposalState.PROMOTED, ProposalState.REFUSED, ProposalState.ROLLED_BACK)
"""States of a proposal whose trial has ended, and whose forecasts are scored."""
SAID_SOMETHING = and_(
    proposal.c.state.in_(ENDED), experiment.c.verdict.is_not(None), experiment.c.verdict != Verdict.INVALID
)


def list_voters(
    tx: Tx, *, limit: int = LIMIT_DEFAULT, cursor: str | None = None, oldest_first: bool = False
) -> Page:
    """Return a page of the agents that ever had a ballot, by id, each with its track record."""
    had = select(elector.c.agent_id)
    statement = select(agent.c.id, agent.c.name, agent.c.owner).where(agent.c.id.in_(had))
    found, following = fetch_page(
        tx, statement, agent.c.id, limit=limit, cursor=cursor, oldest_first=oldest_first
    )
    return {"items": _voters(tx, found), "next_cursor": following}


def get_voter(tx: Tx, agent_id: int) -> JsonObject | None:
    """Return one agent's track record with its latest ballots, or None for an unknown agent."""
    found = find(tx, agent, id=agent_id)
    if found is None:
        return None
    latest = _ballots(tx, [agent_id], limit=LATEST_BALLOTS)
    return {**_voters(tx, [found])[0], "ballots": [_shown(row) for row in latest]}


def _voters(tx: Tx, agents: Sequence[Row]) -> list[JsonObject]:
    ids = [row["id"] for row in agents]
    cast: dict[int, list[CastBallot]] = defaultdict(list)
    for row in _ballots(tx, ids):
        said = CastBallot(BallotChoice(row["choice"]), row["forecast_percent"], _has_won(row))
        cast[row["agent_id"]].append(said)
    eligible, base_rate = _eligible(tx, ids), _base_rate(tx)
    voters = []
    for row in agents:
        of_agent = cast[row["id"]]
        record = track_record(
            of_agent, eligible=max(len(of_agent), eligible.get(row["id"], 0)), base_rate=base_rate
        )
        voters.append({"agent_id": row["id"], "name": row["name"], "owner": row["owner"], **asdict(record)})
    return voters


def _ballots(tx: Tx, agent_ids: Collection[int], *, limit: int | None = None) -> list[Row]:
    """Return these agents' ballots, newest first, each with how its proposal's trial ended."""
    statement = (
        select(
            ballot.c.id,
            ballot.c.agent_id,
            ballot.c.proposal_id,
            ballot.c.unit,
            ballot.c.choice,
            ballot.c.forecast_percent,
            ballot.c.brier,
            ballot.c.cast_at_us,
            proposal.c.parameter,
            proposal.c.state,
            case((SAID_SOMETHING, experiment.c.verdict)).label("verdict"),
        )
        .join(proposal, proposal.c.id == ballot.c.proposal_id)
        .outerjoin(experiment, experiment.c.proposal_id == proposal.c.id)
        .where(ballot.c.agent_id.in_(agent_ids))
        .order_by(ballot.c.id.desc())
    )
    return rows(tx, statement if limit is None else statement.limit(limit))


def _eligible(tx: Tx, agent_ids: Collection[int]) -> dict[int, int]:
    """Return how many votes each of these agents had a ballot in.

    Not counted: votes that are open still, or were withdrawn, without its word, and ballots of an owner that
    another of its agents cast.
    """
    own = and_(ballot.c.proposal_id == elector.c.proposal_id, ballot.c.unit == elector.c.unit)
    is_over = proposal.c.state.not_in([ProposalState.OPEN, ProposalState.WITHDRAWN])
    statement = (
        select(elector.c.agent_id, func.count().label("count"))
        .join(proposal, proposal.c.id == elector.c.proposal_id)
        .outerjoin(ballot, own)
        .where(
            elector.c.agent_id.in_(agent_ids),
            or_(ballot.c.agent_id == elector.c.agent_id, and_(ballot.c.id.is_(None), is_over)),
        )
        .group_by(elector.c.agent_id)
    )
    return {row["agent_id"]: row["count"] for row in rows(tx, statement)}


def _base_rate(tx: Tx) -> float | None:
    """Return the share of proposals' ended experiments that won, None before the first."""
    won = func.sum(case((experiment.c.verdict == Verdict.WIN, 1), else_=0))
    statement = (
        select(func.coalesce(won, 0).label("won"), func.count().label("ended"))
        .join(proposal, proposal.c.id == experiment.c.proposal_id)
        .where(SAID_SOMETHING, experiment.c.kind == ExperimentKind.CHANGE)
    )
    row = rows(tx, statement)[0]
    return int(row["won"]) / row["ended"] if row["ended"] else None


def _has_won(row: Row) -> bool | None:
    return None if row["verdict"] is None else row["verdict"] == Verdict.WIN


def _shown(row: Row) -> JsonObject:
    return {
        "ballot_id": row["id"],
        "proposal_id": row["proposal_id"],
        "parameter": row["parameter"],
        "state": row["state"],
        "unit": row["unit"],
        "choice": row["choice"],
        "forecast_percent": row["forecast_percent"],
        "has_won": _has_won(row),
        "brier": row["brier"],
        "cast_at": at(row["cast_at_us"]),
    }
