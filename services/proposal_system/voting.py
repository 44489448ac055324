"""Voting: ballots, late swings, the exact tally, and the close of a vote.

Stands between filing and the sandbox. It never reads the reason of a ballot to decide anything.
"""

from services.domain.clock import seconds
from services.domain.errors import ConflictError, ForbiddenError, InvalidValueError
from services.domain.events import Event, EventType
from services.domain.ledger_schema import UNITS, EntryType
from services.domain.parameters import Risk
from services.domain.states import BallotChoice, ProposalState, Standing
from services.domain.tally import TallyOutcome, extension, is_late, swing, tally
from services.event_bus import publish
from services.operations import agent_registry, audit_log, production_config
from services.proposal_system.closing import close, get_proposal
from services.proposal_system.reviewing import expire_reviews, open_review
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
    unit = _unit_of(tx, proposal, agent_id)
    if choice is BallotChoice.AGAINST and not reason.strip():
        msg = "a vote against needs a reason"
        raise InvalidValueError(msg, field="body.reason", code="reason_missing")
    if forecast_percent is not None and not 0 <= forecast_percent <= 100:  # noqa: PLR2004 (per cent)
        msg = "the forecast must be 0 to 100 per cent"
        raise InvalidValueError(msg, field="body.forecast_percent")
    tx = tx.in_lap(proposal["lap_id"])
    before = _counts(tx, proposal_id)
    said = {"choice": str(choice), "forecast_percent": forecast_percent}
    ballot_id = sql.insert_unique(
        tx,
        tables.ballot,
        _voted_already(unit, agent_id),
        proposal_id=proposal_id,
        agent_id=agent_id,
        unit=unit,
        reason=reason,
        cast_at_us=tx.now_us,
        **said,
    )
    kept = audit_log.keep_blob(tx, "reason", reason.encode())
    whose = {"proposal_id": proposal_id, "voter": unit, "agent": f"agent:{agent_id}"}
    audit_log.append(tx, EntryType.BALLOT, {**whose, **said, "reason_sha256": kept})
    publish(tx, Event(EventType.BALLOT_CAST, f"proposal:{proposal_id}", {"proposal_id": proposal_id}))
    proposal = _extend(tx, proposal, before)
    if tx.now_us >= proposal["minimum_until_us"]:
        _decide(tx, proposal)
    return ballot_id


def _unit_of(tx: Tx, proposal: Row, agent_id: int) -> str:
    """Return the unit that an agent votes for; refuse a closed vote, the suspended, and strangers."""
    if proposal["state"] != ProposalState.OPEN or tx.now_us >= proposal["closes_at_us"]:
        msg = f"the vote on proposal {proposal['id']} is closed (it is {proposal['state']})"
        raise ConflictError(msg, field="proposal_id", code="vote_closed", state=proposal["state"])
    require_standing(tx, agent_id)
    elector = sql.find(tx, tables.elector, proposal_id=proposal["id"], agent_id=agent_id)
    if elector is None:
        msg = f"this agent is not in the electorate that was frozen when proposal {proposal['id']} was filed"
        raise ForbiddenError(msg, field="proposal_id")
    return str(elector["unit"])


def _voted_already(unit: str, agent_id: int) -> ConflictError:
    whose = "this agent" if unit == f"agent:{agent_id}" else "another agent of this owner, or this one,"
    msg = f"{whose} has voted already; ballots are final"
    return ConflictError(msg, field="proposal_id", code="already_voted")


def tally_due(tx: Tx) -> dict[str, int]:
    """Decide every vote that can be decided now; end late reviews and proposals that never started."""
    tx = audit_log.take_turn(tx)
    unreviewed = expire_reviews(tx)
    due = governance.open_and_due(tx)
    decided = sum(_decide(tx.in_lap(proposal["lap_id"]), proposal) for proposal in due)
    grace_us = seconds(production_config.number(tx, "consensus.start_grace_seconds"))
    passed = sql.find_all(tx, tables.proposal, lock=True, state=ProposalState.PASSED)
    late = [row for row in passed if row["decided_at_us"] + grace_us <= tx.now_us]
    for proposal in late:
        in_lap = tx.in_lap(proposal["lap_id"])
        audit_log.append(in_lap, EntryType.EXPIRED, {"proposal_id": proposal["id"]})
        close(in_lap, proposal, ProposalState.EXPIRED, "no experiment could start within the grace period")
    return {"open": len(due), "decided": decided, "expired": len(late) + unreviewed}


def require_standing(tx: Tx, agent_id: int) -> Row:
    """Return the agent's row; raise ForbiddenError when it is suspended."""
    row = agent_registry.get(tx, agent_id)
    if row["standing"] == Standing.SUSPENDED:
        msg = "a suspended agent can neither propose nor vote; an operator can reinstate it"
        raise ForbiddenError(msg)
    return row


def _decide(tx: Tx, proposal: Row) -> bool:
    """Tally, and close the vote when the outcome is final; tell whether it was."""
    counts = _counts(tx, proposal["id"])
    is_closed = tx.now_us >= proposal["closes_at_us"]
    electorate, rules = proposal["electorate"], proposal["rules"]
    outcome = tally(electorate=electorate, **counts, is_closed=is_closed, **rules)
    if outcome is TallyOutcome.OPEN:
        return False
    facts = {"proposal_id": proposal["id"], "electorate": electorate, **counts, "is_closed": is_closed}
    audit_log.append(tx, EntryType.TALLY, {**facts, "outcome": str(outcome)})
    sql.update(tx, tables.proposal, {"id": proposal["id"]}, **counts)
    state = STATE_OF_OUTCOME[outcome]
    if state is not ProposalState.PASSED:
        words = f"{counts['yes']} for, {counts['no']} against, {counts['abstain']} abstained"
        close(tx, proposal, state, words)
        return True
    is_gated = _needs_a_person(tx, proposal)
    state = ProposalState.REVIEW if is_gated else state
    where = {"id": proposal["id"], "state": ProposalState.OPEN}
    sql.update(tx, tables.proposal, where, state=state, decided_at_us=tx.now_us)
    if is_gated:
        open_review(tx, proposal, counts)
        return True
    facts = {"proposal_id": proposal["id"]}
    publish(tx, Event(EventType.PROPOSAL_PASSED, f"proposal:{proposal['id']}", facts))
    return True


def _needs_a_person(tx: Tx, proposal: Row) -> bool:
    """Tell whether the change is GATED, as it was filed or by what its parameter was declared to be since."""
    declared = (sql.find(tx, tables.parameter, name=proposal["parameter"]) or {}).get("declaration") or {}
    is_stricter = declared.get("risk", Risk.OPEN) != Risk.OPEN and proposal["format"] >= UNITS
    return is_stricter or str(proposal["risk"]) == Risk.GATED


def _counts(tx: Tx, proposal_id: int) -> dict[str, int]:
    """Return the ballots so far as `yes`, `no` and `abstain`."""
    found = governance.ballot_counts(tx, proposal_id)
    names = ("yes", "no", "abstain")
    return {name: found.get(choice, 0) for name, choice in zip(names, BallotChoice, strict=True)}


def _extend(tx: Tx, proposal: Row, before: dict[str, int]) -> Row:
    """Give a vote that a ballot turned late a quarter of its period more, once; return the proposal."""
    opens_at_us, closes_at_us = proposal["opened_at_us"], proposal["closes_at_us"]
    is_known = proposal["format"] >= UNITS  # votes that were opened before keep the rule of their opening
    if proposal["extended_from_us"] is not None or not is_known:
        return proposal
    if not is_late(tx.now_us, opens_at_us, closes_at_us):
        return proposal
    after, rules = _counts(tx, proposal["id"]), proposal["rules"]
    if tally(electorate=proposal["electorate"], **after, is_closed=False, **rules) is not TallyOutcome.OPEN:
        return proposal  # final: nothing that the others could still say would change it
    cause = swing((before["yes"], before["no"]), (after["yes"], after["no"]), **rules)
    if cause is None:
        return proposal
    later = extension(tx.now_us, opens_at_us, closes_at_us)
    facts = {"proposal_id": proposal["id"], "closes_at_us": later, "cause": str(cause)}
    audit_log.append(tx, EntryType.EXTENDED, facts)
    times = {"closes_at_us": later, "extended_from_us": closes_at_us}
    sql.update(tx, tables.proposal, {"id": proposal["id"]}, **times)
    publish(tx, Event(EventType.VOTE_EXTENDED, f"proposal:{proposal['id']}", facts))
    return {**proposal, **times}
