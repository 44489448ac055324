"""What the ledger may say of votes: filing, ballots, late swings, tallies, and a person's review.

Stands beside `ledger_causality`, which dispatches to these acts. Electorate, rule, deadline, swing and result
are recomputed from the entries before, not believed. It never looks at hashes of entries or repairs.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from services.domain.clock import seconds
from services.domain.ledger_history import (
    EMPTY_BLOB_SHA256,
    CausalityError,
    LedgerHistory,
    ProposalFacts,
    require_cause,
)
from services.domain.ledger_schema import Entry
from services.domain.parameters import Risk
from services.domain.states import BallotChoice, ElectorateMode, ProposalState, ReviewState
from services.domain.tally import TallyOutcome, extension, is_late, swing, tally

UNITS: Final = 3
"""The format since which a proposal states its units, rules and conflicts, and late swings extend."""

_AFTER_TALLY: Final = {
    TallyOutcome.PASSED: ProposalState.PASSED,
    TallyOutcome.REJECTED: ProposalState.REJECTED,
    TallyOutcome.INQUORATE: ProposalState.INQUORATE,
}
_AFTER_REVIEW: Final = {
    ReviewState.APPROVED: ProposalState.PASSED,
    ReviewState.REFUSED: ProposalState.REFUSED,
    ReviewState.EXPIRED: ProposalState.EXPIRED,
}


def proposal(history: LedgerHistory, entry: Entry) -> None:
    """A typed change is filed from the value in force; electorate, rule and deadline are fixed."""
    payload = entry.payload
    proposal_id, parameter, electors = payload["proposal_id"], payload["parameter"], payload["electorate"]
    require_cause(proposal_id not in history.proposals, f"proposal {proposal_id} was already filed")
    require_cause(parameter in history.config, f"{parameter} is not a registered parameter")
    require_cause(
        history.config[parameter] == payload["from"],
        f"{parameter} is {history.config[parameter]!a} in the config, not {payload['from']!a}",
    )
    require_cause(len(set(electors)) == len(electors), "the electorate names an elector twice")
    require_cause(
        payload["proposer"] not in electors, "the proposer is in the electorate of its own proposal"
    )
    require_cause(payload["opens_at_us"] < payload["closes_at_us"], "the vote closes before it opens")
    history.check_blob("root_cause_sha256", payload["root_cause_sha256"])
    if history.format >= UNITS:
        _check_terms(history, payload)
    history.proposals[proposal_id] = ProposalFacts(
        parameter,
        payload["to"],
        payload,
        frozenset(electors),
        payload["opens_at_us"],
        payload["closes_at_us"],
        history.format,
    )


def _check_terms(history: LedgerHistory, payload: Mapping[str, Any]) -> None:
    """Hold the electorate's units, the rule and the deadline to the config in force."""
    mode, of_agents = payload["electorate_mode"], payload["electors"]
    require_cause(
        mode == history.config.get("consensus.electorate", ElectorateMode.AGENT),
        f"ballots are one per {mode}, the config says otherwise",
    )
    left_out = payload["conflicts"].keys()
    require_cause(payload["proposer"] not in of_agents, "the proposer is among the electors")
    require_cause(left_out.isdisjoint(of_agents), "an agent with a conflict of interest has a ballot")
    require_cause(
        sorted(set(of_agents.values())) == sorted(payload["electorate"]),
        "the units of the electors are not the electorate",
    )
    if mode == ElectorateMode.AGENT:
        require_cause(all(agent == unit for agent, unit in of_agents.items()), "an agent is not its own unit")
    period = payload["closes_at_us"] - payload["opens_at_us"]
    settings = (
        ("threshold_percent", payload["rules"]["threshold_percent"]),
        ("minimum_ballots", payload["rules"]["minimum_ballots"]),
    )
    for name, stated in settings:
        require_cause(stated == history.consensus(name), f"{name} is not the rule in force")
    require_cause(
        period == seconds(history.consensus("voting_period_seconds")), "the vote is not open for its period"
    )


def ballot(history: LedgerHistory, entry: Entry) -> None:
    """One unit of the electorate says its word, once, while the vote is open."""
    payload = entry.payload
    voter, choice = payload["voter"], payload["choice"]
    facts = history.proposal_in(payload["proposal_id"], ProposalState.OPEN)
    require_cause(voter in facts.electorate, f"{voter!a} is not in the frozen electorate")
    require_cause(voter not in facts.ballots, f"{voter!a} has already voted")
    require_cause(facts.opens_at_us <= entry.at_us, "the ballot was cast before the vote opened")
    require_cause(entry.at_us < facts.closes_at_us, "the ballot was cast after the vote closed")
    if choice == BallotChoice.AGAINST:
        require_cause(payload["reason_sha256"] != EMPTY_BLOB_SHA256, "a ballot against needs a reason")
    history.check_blob("reason_sha256", payload["reason_sha256"])
    before = facts.decisive
    facts.ballots[voter] = choice
    if facts.format < UNITS:
        return
    agent = payload["agent"]
    require_cause(facts.terms["electors"].get(agent) == voter, f"{agent!a} does not vote for {voter!a}")
    require_cause(facts.swing is None, "a late swing has to extend the vote before the next ballot")
    if facts.is_extended or not is_late(entry.at_us, facts.opens_at_us, facts.closes_at_us):
        return
    if _outcome(history, facts, is_closed=False) is TallyOutcome.OPEN:
        facts.swing = swing(before, facts.decisive, **_rules(history, facts))


def extended(history: LedgerHistory, entry: Entry) -> None:
    """A late swing gives the vote a quarter of its period more, once."""
    payload = entry.payload
    facts = history.proposal_in(payload["proposal_id"], ProposalState.OPEN)
    require_cause(not facts.is_extended, "the vote was extended before")
    require_cause(
        facts.swing is not None and payload["cause"] == facts.swing, "no late swing of this kind came before"
    )
    due = extension(entry.at_us, facts.opens_at_us, facts.closes_at_us)
    require_cause(payload["closes_at_us"] == due, f"an extended vote closes at {due}")
    facts.closes_at_us, facts.swing, facts.is_extended = due, None, True


def tallied(history: LedgerHistory, entry: Entry) -> None:
    """The vote ends as its ballots and the rule say."""
    payload = entry.payload
    facts = history.proposal_in(payload["proposal_id"], ProposalState.OPEN)
    cast = list(facts.ballots.values())
    counts = {
        "electorate": len(facts.electorate),
        "yes": cast.count(BallotChoice.FOR),
        "no": cast.count(BallotChoice.AGAINST),
        "abstain": cast.count(BallotChoice.ABSTAIN),
    }
    for name, counted in counts.items():
        require_cause(
            payload[name] == counted, f"the tally says {name} {payload[name]}, the ballots {counted}"
        )
    require_cause(facts.swing is None, "a late swing has to extend the vote before it is tallied")
    is_over = entry.at_us >= facts.closes_at_us or len(cast) == len(facts.electorate)
    require_cause(is_over or not payload["is_closed"], "the tally calls the vote closed before its deadline")
    require_cause(
        payload["is_closed"] or entry.at_us < facts.closes_at_us,
        "the tally calls the vote open after its deadline",
    )
    outcome = _outcome(history, facts, is_closed=payload["is_closed"])
    require_cause(
        payload["outcome"] == outcome, f"the tally says {payload['outcome']}, the rule says {outcome}"
    )
    facts.state = _AFTER_TALLY[outcome]
    if outcome is TallyOutcome.PASSED and facts.format >= UNITS and facts.terms["risk"] == Risk.GATED:
        facts.state = ProposalState.REVIEW


def _rules(history: LedgerHistory, facts: ProposalFacts) -> dict[str, int]:
    """Return the rule that a vote was opened under."""
    if facts.format >= UNITS:
        return dict(facts.terms["rules"])
    return {"threshold_percent": history.threshold_percent, "minimum_ballots": history.minimum_ballots}


def _outcome(history: LedgerHistory, facts: ProposalFacts, *, is_closed: bool) -> TallyOutcome:
    yes, no = facts.decisive
    return tally(
        electorate=len(facts.electorate),
        yes=yes,
        no=no,
        abstain=len(facts.ballots) - yes - no,
        is_closed=is_closed,
        **_rules(history, facts),
    )


def review_opened(history: LedgerHistory, entry: Entry) -> None:
    """A passed GATED change is laid before a person: what is shown is fixed by its hash."""
    payload = entry.payload
    facts = history.proposal_in(payload["proposal_id"], ProposalState.REVIEW)
    require_cause(facts.review is None, "this change was laid before a person already")
    due = entry.at_us + seconds(history.consensus("review_seconds"))
    require_cause(payload["expires_at_us"] == due, f"a person has until {due}")
    shown = payload["shown_sha256"]
    history.check_blob("shown_sha256", shown)
    if shown in history.blobs:
        _check_shown(facts, payload["proposal_id"], history.blobs[shown])
    facts.review = (shown, due)


def _check_shown(facts: ProposalFacts, proposal_id: int, content: bytes) -> None:
    try:
        told = json.loads(content)
        stated = (told["proposal_id"], told["parameter"], told["from"], told["to"])
    except (ValueError, KeyError, TypeError) as error:
        raise CausalityError("what was shown is no JSON object that states the change") from error
    voted = (proposal_id, facts.parameter, facts.terms["from"], facts.treatment)
    require_cause(stated == voted, "what was shown is not the change that was voted on")


def review_decided(history: LedgerHistory, entry: Entry) -> None:
    """A person decides once on exactly what was shown, in time; silence means no."""
    payload = entry.payload
    facts = history.proposal_in(payload["proposal_id"], ProposalState.REVIEW)
    if facts.review is None:
        raise CausalityError("nothing was shown that a person could decide on")
    shown, expires_at_us = facts.review
    require_cause(payload["shown_sha256"] == shown, "the decision is on something else than was shown")
    history.check_blob("reason_sha256", payload["reason_sha256"])
    decision = ReviewState(payload["decision"])
    if decision is ReviewState.EXPIRED:
        require_cause(entry.at_us >= expires_at_us, "the time of the review is not over")
    else:
        require_cause(entry.is_by_person and payload["reviewer"] != "", "only a person decides a review")
        require_cause(entry.at_us < expires_at_us, "the review was decided after its time")
        require_cause(payload["reason_sha256"] != EMPTY_BLOB_SHA256, "a review needs a reason")
    facts.state = _AFTER_REVIEW[decision]


def withdrawn(history: LedgerHistory, entry: Entry) -> None:
    """The proposer takes it back before the first ballot."""
    facts = history.proposal_in(entry.payload["proposal_id"], ProposalState.OPEN)
    require_cause(not facts.ballots, "a proposal can be withdrawn only before the first ballot")
    facts.state = ProposalState.WITHDRAWN


def expired(history: LedgerHistory, entry: Entry) -> None:
    """It passed, and no experiment could start in time."""
    history.proposal_in(entry.payload["proposal_id"], ProposalState.PASSED).state = ProposalState.EXPIRED
