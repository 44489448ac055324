"""Voting: ballots, the exact tally, and the close of a vote.

Stands between filing and the sandbox. It never reads the reason of a ballot to decide anything.
"""

from services.domain.bet import Verdict
from services.domain.clock import seconds
from services.domain.errors import ConflictError, ForbiddenError, InvalidValueError, NotFoundError
from services.domain.events import Event, EventType
from services.domain.ledger_schema import EntryType
from services.domain.states import BallotChoice, ProposalState, Standing
from services.domain.tally import TallyOutcome, tally
from services.event_bus import publish
from services.operations import agent_registry, audit_log, production_config, review_queue
from services.store import governance, sql, tables
from services.store.sql import Row
from services.store.tx import Tx

STATE_OF_OUTCOME = {
    TallyOutcome.PASSED: ProposalState.PASSED,
    TallyOutcome.REJECTED: ProposalState.REJECTED,
    TallyOutcome.INQUORATE: ProposalState.INQUORATE,
}


def cast_ballot(
    tx: Tx,
    *,
    proposal_id: int,
    agent_id: int,
    choice: BallotChoice,
    reason: str,
    forecast_percent: int | None,
) -> int:
    """Cast one elector's ballot, then decide if the vote can be decided; return the ballot's id.

    Raises ForbiddenError for strangers to the electorate, ConflictError for a closed vote or a second ballot,
    InvalidValueError for a "no" without a reason or a forecast outside 0 to 100.
    """
    tx = audit_log.take_turn(tx)
    proposal = get_proposal(tx, proposal_id)
    if proposal["state"] != ProposalState.OPEN or tx.now_us >= proposal["closes_at_us"]:
        msg = f"the vote on proposal {proposal_id} is closed (it is {proposal['state']})"
        raise ConflictError(msg, field="proposal_id", code="vote_closed", state=proposal["state"])
    require_standing(tx, agent_id)
    if sql.find(tx, tables.elector, proposal_id=proposal_id, agent_id=agent_id) is None:
        msg = f"this agent is not in the electorate that was frozen when proposal {proposal_id} was filed"
        raise ForbiddenError(msg, field="proposal_id")
    if choice is BallotChoice.AGAINST and not reason.strip():
        msg = "a vote against needs a reason"
        raise InvalidValueError(msg, field="body.reason", code="reason_missing")
    if forecast_percent is not None and not 0 <= forecast_percent <= 100:  # noqa: PLR2004 (per cent)
        msg = "the forecast must be 0 to 100 per cent"
        raise InvalidValueError(msg, field="body.forecast_percent")
    tx = tx.in_lap(proposal["lap_id"])
    refusal = ConflictError(
        "this agent has voted already; ballots are final", field="proposal_id", code="already_voted"
    )
    ballot_id = sql.insert_unique(
        tx,
        tables.ballot,
        refusal,
        proposal_id=proposal_id,
        agent_id=agent_id,
        choice=choice,
        forecast_percent=forecast_percent,
        reason=reason,
        cast_at_us=tx.now_us,
    )
    audit_log.append(
        tx,
        EntryType.BALLOT,
        {
            "proposal_id": proposal_id,
            "voter": f"agent:{agent_id}",
            "choice": str(choice),
            "forecast_percent": forecast_percent,
            "reason_sha256": audit_log.keep_blob(tx, "reason", reason.encode()),
        },
    )
    publish(tx, Event(EventType.BALLOT_CAST, f"proposal:{proposal_id}", {"proposal_id": proposal_id}))
    if tx.now_us >= proposal["minimum_until_us"]:
        _decide(tx, proposal)
    return ballot_id


def tally_due(tx: Tx) -> dict[str, int]:
    """Decide every vote that can be decided now, and expire passed proposals that never started."""
    tx = audit_log.take_turn(tx)
    due = governance.open_and_due(tx)
    decided = sum(_decide(tx.in_lap(proposal["lap_id"]), proposal) for proposal in due)
    grace_us = seconds(production_config.number(tx, "consensus.start_grace_seconds"))
    passed = sql.find_all(tx, tables.proposal, lock=True, state=ProposalState.PASSED)
    late = [row for row in passed if row["decided_at_us"] + grace_us <= tx.now_us]
    for proposal in late:
        in_lap = tx.in_lap(proposal["lap_id"])
        audit_log.append(in_lap, EntryType.EXPIRED, {"proposal_id": proposal["id"]})
        close(in_lap, proposal, ProposalState.EXPIRED, "no experiment could start within the grace period")
    return {"open": len(due), "decided": decided, "expired": len(late)}


def finish(tx: Tx, proposal_id: int, state: ProposalState, reason: str) -> None:
    """Close a tested proposal, and score every forecast (Brier) by whether the experiment won.

    An invalid experiment says nothing about a forecast: none is scored.
    """
    where = {"id": proposal_id, "state": ProposalState.TESTING}
    sql.update(tx, tables.proposal, where, state=state, ended_at_us=tx.now_us, end_reason=reason[:120])
    experiment = sql.find(tx, tables.experiment, proposal_id=proposal_id)
    if experiment is None or experiment["verdict"] in (None, Verdict.INVALID):
        return
    won = 1.0 if experiment["verdict"] == Verdict.WIN else 0.0
    for ballot in sql.find_all(tx, tables.ballot, proposal_id=proposal_id):
        if ballot["forecast_percent"] is not None:
            brier = (ballot["forecast_percent"] / 100 - won) ** 2
            sql.update(tx, tables.ballot, {"id": ballot["id"]}, brier=brier)


def get_proposal(tx: Tx, proposal_id: int) -> Row:
    """Return a proposal's row, held; raise NotFoundError when there is none."""
    row = sql.find(tx, tables.proposal, lock=True, id=proposal_id)
    if row is None:
        msg = f"there is no proposal {proposal_id}"
        raise NotFoundError(msg, field="proposal_id")
    return row


def require_standing(tx: Tx, agent_id: int) -> Row:
    """Return the agent's row; raise ForbiddenError when it is suspended."""
    row = agent_registry.get(tx, agent_id)
    if row["standing"] == Standing.SUSPENDED:
        msg = "a suspended agent can neither propose nor vote; an operator can reinstate it"
        raise ForbiddenError(msg)
    return row


def _decide(tx: Tx, proposal: Row) -> bool:
    """Tally, and close the vote when the outcome is final; tell whether it was."""
    counts = governance.ballot_counts(tx, proposal["id"])
    yes, no, abstain = (counts.get(choice, 0) for choice in BallotChoice)
    is_closed = tx.now_us >= proposal["closes_at_us"]
    outcome = tally(
        electorate=proposal["electorate"],
        yes=yes,
        no=no,
        abstain=abstain,
        is_closed=is_closed,
        threshold_percent=int(production_config.number(tx, "consensus.threshold_percent")),
        minimum_ballots=int(production_config.number(tx, "consensus.minimum_ballots")),
    )
    if outcome is TallyOutcome.OPEN:
        return False
    facts = {"proposal_id": proposal["id"], "electorate": proposal["electorate"], "yes": yes, "no": no}
    facts |= {"abstain": abstain, "is_closed": is_closed, "outcome": str(outcome)}
    audit_log.append(tx, EntryType.TALLY, facts)
    sql.update(tx, tables.proposal, {"id": proposal["id"]}, yes=yes, no=no, abstain=abstain)
    state = STATE_OF_OUTCOME[outcome]
    if state is not ProposalState.PASSED:
        close(tx, proposal, state, f"{yes} for, {no} against, {abstain} abstained")
        return True
    where = {"id": proposal["id"], "state": ProposalState.OPEN}
    sql.update(tx, tables.proposal, where, state=state, decided_at_us=tx.now_us)
    publish(
        tx, Event(EventType.PROPOSAL_PASSED, f"proposal:{proposal['id']}", {"proposal_id": proposal["id"]})
    )
    return True


def close(tx: Tx, proposal: Row, state: ProposalState, reason: str) -> None:
    """End a proposal without an experiment; a vote that could never reach three ballots goes to a person."""
    where = {"id": proposal["id"], "state": proposal["state"]}
    times = {"decided_at_us": proposal["decided_at_us"] or tx.now_us, "ended_at_us": tx.now_us}
    sql.update(tx, tables.proposal, where, state=state, end_reason=reason, **times)
    if proposal["electorate"] < int(production_config.number(tx, "consensus.minimum_ballots")):
        subject = f"proposal {proposal['id']}: {proposal['electorate']} electors cannot decide"
        review_queue.open_item(
            tx, kind="electorate_too_small", subject=subject, context={"proposal_id": proposal["id"]}
        )
    facts = {"proposal_id": proposal["id"], "state": str(state), "meta_task_id": proposal["meta_task_id"]}
    publish(tx, Event(EventType.PROPOSAL_CLOSED, f"proposal:{proposal['id']}", facts))
