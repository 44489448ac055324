"""Read models of proposals: everything a voter must see of a typed change, its vote, and who cast what.

Stands in the store beside the proposal system's queries (L5). Electorate, conflicts and rules are shown as
they were frozen at the opening. It never decides a vote: an open one shows the ballots cast so far, a decided
one the counts it was decided by.
"""

from collections.abc import Sequence

from sqlalchemy import func, select

from services.domain.clock import DAY_US, SECOND_US
from services.domain.states import BallotChoice, ProposalState
from services.domain.tally import WHOLE_PERCENT, need
from services.store import texts
from services.store.sql import Row, find, rows
from services.store.tables import agent, ballot, elector, episode, experiment, proposal
from services.store.tx import Tx
from services.store.views.paging import LIMIT_DEFAULT, JsonObject, Page, at, fetch_page
from services.store.views.reviews import review_state

DAY_SECONDS = DAY_US // SECOND_US


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
        select(elector.c.agent_id, agent.c.name, elector.c.unit)
        .join(agent, agent.c.id == elector.c.agent_id)
        .where(elector.c.proposal_id == proposal_id)
        .order_by(elector.c.agent_id)
    )
    episodes = select(func.min(episode.c.id)).where(episode.c.lap_id == found["lap_id"])
    return {
        **proposals_of(tx, [found])[0],
        "episode_id": tx.connection.scalar(episodes) if found["lap_id"] is not None else None,
        "electors": [dict(row) for row in rows(tx, electors)],
        "ballots": _ballots(tx, proposal_id, texts.erased_of_proposal(tx, proposal_id)),
        "review": review_state(tx, proposal_id),
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


def needs(*, electorate: int, no: int, abstain: int, rules: dict[str, int]) -> dict[str, int | None]:
    """Return how many ballots for carry a change as things stand; None for more than there can be.

    `early`: whatever the silent do, so that the vote ends at once. `at_close`: if the vote closed now, the
    `no` against being all there are.
    """
    percent, least = rules["threshold_percent"], rules["minimum_ballots"]
    most = electorate - no - abstain
    early = max(need(electorate - abstain, percent), least - no)
    rest = WHOLE_PERCENT - percent
    share = -(-percent * no // rest) if rest else (0 if no == 0 else most + 1)
    at_close = max(share, least - no)
    return {
        "early": early if early <= most else None,
        "at_close": at_close if at_close <= most else None,
    }


def _admission(row: Row) -> JsonObject:
    """Return what the test would take at the traffic of the opening, and its cap; units as randomised."""
    per_day = row["units_per_day"]
    days = row["admission_tasks"] / per_day if per_day else None
    return {
        "needed_tasks": row["admission_tasks"],
        "units_per_day": per_day,
        "expected_seconds": None if days is None else days * DAY_SECONDS,
        "expected_days": days,
        "cap_tasks": row["cap_tasks"],
        "cap_days": row["cap_days"],
    }


def _proposal(row: Row, experiment_id: int | None, counts: dict[str, int] | None) -> JsonObject:
    no = counts[BallotChoice.AGAINST] if counts else row["no"]
    abstain = counts[BallotChoice.ABSTAIN] if counts else row["abstain"]
    return {
        "proposal_id": row["id"],
        "lap_id": row["lap_id"],
        "meta_task_id": row["meta_task_id"],
        "proposer_id": row["proposer_id"],
        "parameter": row["parameter"],
        "from": row["from_value"],
        "to": row["to_value"],
        "from_version": row["from_version"],
        "inverse": {"parameter": row["parameter"], "from": row["to_value"], "to": row["from_value"]},
        "metric": row["metric"],
        "scope": row["scope"],
        "guardrails": row["guardrails"],
        "expected_effect": row["expected_effect"],
        "base_rate": row["base_rate"],
        "cap_tasks": row["cap_tasks"],
        "cap_days": row["cap_days"],
        "admission_tasks": row["admission_tasks"],
        "admission": _admission(row),
        "root_cause": row["root_cause"] or texts.ERASED,
        "evidence": row["evidence"],
        "content_hash": row["content_hash"],
        "risk": row["risk"],
        "state": row["state"],
        "electorate": row["electorate"],
        "electorate_mode": row["electorate_mode"],
        "conflicts": [
            {"agent_id": int(name.removeprefix("agent:")), "reason": why}
            for name, why in row["conflicts"].items()
        ],
        "rules": row["rules"],
        "yes": counts[BallotChoice.FOR] if counts else row["yes"],
        "no": no,
        "abstain": abstain,
        "need": needs(electorate=row["electorate"], no=no, abstain=abstain, rules=row["rules"]),
        "opened_at": at(row["opened_at_us"]),
        "minimum_until": at(row["minimum_until_us"]),
        "closes_at": at(row["closes_at_us"]),
        "extended_from": at(row["extended_from_us"]),
        "decided_at": at(row["decided_at_us"]),
        "ended_at": at(row["ended_at_us"]),
        "end_reason": row["end_reason"],
        "experiment_id": experiment_id,
    }


def _ballots(tx: Tx, proposal_id: int, erased: set[str]) -> list[JsonObject]:
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
            "unit": row["unit"],
            "choice": row["choice"],
            "forecast_percent": row["forecast_percent"],
            "reason": texts.ERASED if f"agent:{row['agent_id']}" in erased else row["reason"],
            "brier": row["brier"],
            "cast_at": at(row["cast_at_us"]),
        }
        for row in rows(tx, statement)
    ]
