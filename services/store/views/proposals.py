"""Read models of proposals: the typed change, its vote, and who cast which ballot.

Stands in the store beside the proposal system's queries (L5). It never decides a
vote: an open one shows the ballots cast so far, a decided one the counts it was decided by.
"""

from collections.abc import Sequence

from sqlalchemy import func, select

from services.domain.states import BallotChoice, ProposalState
from services.store.sql import Row, find, rows
from services.store.tables import agent, ballot, elector, experiment, proposal
from services.store.tx import Tx
from services.store.views.paging import LIMIT_DEFAULT, JsonObject, Page, at, fetch_page


def list_proposals(
    tx: Tx,
    *,
    state: str | None = None,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
    oldest_first: bool = False,
) -> Page:
    """Return a page of proposals, without electors and ballots."""
    statement = select(proposal)
    if state is not None:
        statement = statement.where(proposal.c.state == state)
    found, following = fetch_page(
        tx, statement, proposal.c.id, limit=limit, cursor=cursor, oldest_first=oldest_first
    )
    return {"items": proposals_of(tx, found), "next_cursor": following}


def get_proposal(tx: Tx, proposal_id: int) -> JsonObject | None:
    """Return one proposal with its frozen electorate and its ballots, or None."""
    found = find(tx, proposal, id=proposal_id)
    if found is None:
        return None
    electors = (
        select(elector.c.agent_id).where(elector.c.proposal_id == proposal_id).order_by(elector.c.agent_id)
    )
    return {
        **proposals_of(tx, [found])[0],
        "electors": list(tx.connection.scalars(electors)),
        "ballots": _ballots(tx, proposal_id),
    }


def proposals_of(tx: Tx, found: Sequence[Row]) -> list[JsonObject]:
    """Return proposal rows as the Proposals of the API's lists, each with its experiment's id or None."""
    ids = [row["id"] for row in found]
    statement = select(experiment.c.proposal_id, experiment.c.id).where(experiment.c.proposal_id.in_(ids))
    experiments = {row["proposal_id"]: row["id"] for row in rows(tx, statement)}
    counts = _open_counts(tx, [row["id"] for row in found if row["state"] == ProposalState.OPEN])
    return [_proposal(row, experiments.get(row["id"]), counts.get(row["id"])) for row in found]


def _open_counts(tx: Tx, ids: Sequence[int]) -> dict[int, dict[str, int]]:
    """Return the ballots cast so far by choice: an open vote's counts are stored only when it is tallied."""
    counts: dict[int, dict[str, int]] = {proposal_id: dict.fromkeys(BallotChoice, 0) for proposal_id in ids}
    statement = (
        select(ballot.c.proposal_id, ballot.c.choice, func.count().label("count"))
        .where(ballot.c.proposal_id.in_(ids))
        .group_by(ballot.c.proposal_id, ballot.c.choice)
    )
    for row in rows(tx, statement):
        counts[row["proposal_id"]][row["choice"]] = row["count"]
    return counts


def _proposal(row: Row, experiment_id: int | None, counts: dict[str, int] | None) -> JsonObject:
    return {
        "proposal_id": row["id"],
        "lap_id": row["lap_id"],
        "meta_task_id": row["meta_task_id"],
        "proposer_id": row["proposer_id"],
        "parameter": row["parameter"],
        "from": row["from_value"],
        "to": row["to_value"],
        "from_version": row["from_version"],
        "metric": row["metric"],
        "scope": row["scope"],
        "guardrails": row["guardrails"],
        "expected_effect": row["expected_effect"],
        "base_rate": row["base_rate"],
        "cap_tasks": row["cap_tasks"],
        "cap_days": row["cap_days"],
        "admission_tasks": row["admission_tasks"],
        "root_cause": row["root_cause"],
        "evidence": row["evidence"],
        "content_hash": row["content_hash"],
        "risk": row["risk"],
        "state": row["state"],
        "electorate": row["electorate"],
        "yes": counts[BallotChoice.FOR] if counts else row["yes"],
        "no": counts[BallotChoice.AGAINST] if counts else row["no"],
        "abstain": counts[BallotChoice.ABSTAIN] if counts else row["abstain"],
        "opened_at": at(row["opened_at_us"]),
        "minimum_until": at(row["minimum_until_us"]),
        "closes_at": at(row["closes_at_us"]),
        "decided_at": at(row["decided_at_us"]),
        "end_reason": row["end_reason"],
        "experiment_id": experiment_id,
    }


def _ballots(tx: Tx, proposal_id: int) -> list[JsonObject]:
    statement = (
        select(ballot, agent.c.name.label("agent_name"))
        .join(agent, agent.c.id == ballot.c.agent_id)
        .where(ballot.c.proposal_id == proposal_id)
        .order_by(ballot.c.id)
    )
    return [
        {
            "ballot_id": row["id"],
            "agent_id": row["agent_id"],
            "agent_name": row["agent_name"],
            "choice": row["choice"],
            "forecast_percent": row["forecast_percent"],
            "reason": row["reason"],
            "brier": row["brier"],
            "cast_at": at(row["cast_at_us"]),
        }
        for row in rows(tx, statement)
    ]
