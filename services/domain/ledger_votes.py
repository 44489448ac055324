"""What the ledger may say of votes: filing, ballots, late swings, tallies, and a person's review.

Stands beside `ledger_causality`, which dispatches to these acts. Electorate, rule, deadline, swing and result
are recomputed from the entries before, not believed. It never looks at hashes of entries or repairs.
"""

import hashlib
import json
from typing import Final

from services.domain.clock import seconds
from services.domain.ledger_history import (
    EMPTY_BLOB_SHA256,
    CausalityError,
    LedgerHistory,
    ProposalFacts,
    require_cause,
)
from services.domain.ledger_schema import UNITS, Entry
from services.domain.ledger_terms import check_proposed
from services.domain.parameters import Risk
from services.domain.states import LIVE_PROPOSALS, BallotChoice, ElectorateMode, ProposalState, ReviewState
from services.domain.tally import TallyOutcome, extension, is_late, swing, tally

_SHOWN_OF_TERMS: Final = (
    "parameter", "from", "to", "proposer", "evidence", "metric", "scope", "guardrails", "expected_effect",
    "cap_tasks", "cap_days", "risk", "conflicts", "rules",
)  # fmt: skip
_SHOWN_OF_BALLOT: Final = ("voter", "choice", "forecast_percent")
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
    minimum_until_us = _check_terms(history, entry) if history.format >= UNITS else 0
    history.proposals[proposal_id] = ProposalFacts(
        parameter,
        payload["to"],
        payload,
        frozenset(electors),
        payload["opens_at_us"],
        payload["closes_at_us"],
        history.format,
        minimum_until_us=minimum_until_us,
    )


def _check_terms(history: LedgerHistory, entry: Entry) -> int:
    """Hold change, units, rule and times to what is in force; return when the vote may first be decided."""
    payload = entry.payload
    require_cause(entry.actor == payload["proposer"], f"{entry.actor!a} filed for {payload['proposer']!a}")
    check_proposed(history, payload)
    of_same = [facts for facts in history.proposals.values() if facts.parameter == payload["parameter"]]
    require_cause(
        not any(facts.state in LIVE_PROPOSALS for facts in of_same), "a proposal on this parameter is live"
    )
    require_cause(payload["opens_at_us"] == entry.at_us, "the vote opens at another time than it was filed")
    mode, of_agents = payload["electorate_mode"], payload["electors"]
    require_cause(
        mode == history.config.get("consensus.electorate", ElectorateMode.AGENT),
        f"ballots are one per {mode}, the config says otherwise",
    )
    left_out = payload["conflicts"].keys()
    require_cause(payload["proposer"] not in of_agents, "the proposer is among the electors")
    require_cause(left_out.isdisjoint(of_agents), "an agent with a conflict of interest has a ballot")
    require_cause(payload["proposer"] in left_out, "the proposer is not among the conflicts of interest")
    require_cause(
        sorted(set(of_agents.values())) == sorted(payload["electorate"]),
        "the units of the electors are not the electorate",
    )
    of_agents = {**of_agents, payload["proposer"]: payload["proposer_unit"]}
    if mode == ElectorateMode.AGENT:
        require_cause(all(agent == unit for agent, unit in of_agents.items()), "an agent is not its own unit")
    else:
        is_owner = all(unit.startswith("owner:") for unit in of_agents.values())
        require_cause(is_owner, "a ballot is one per owner, and a unit is none")
    require_cause(
        payload["proposer_unit"] not in payload["electorate"], "the proposer's unit is in the electorate"
    )
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
    minimum = seconds(history.consensus("minimum_period_seconds"))
    return int(payload["opens_at_us"]) + int(min(minimum, period))


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
    facts.cast.append(payload)
    if facts.format < UNITS:
        return
    agent = payload["agent"]
    require_cause(entry.actor == agent, f"{entry.actor!a} cast the ballot of {agent!a}")
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
    is_over = entry.at_us >= facts.closes_at_us
    if facts.format < UNITS:
        is_over = is_over or len(cast) == len(facts.electorate)
    require_cause(entry.at_us >= facts.minimum_until_us, "the vote was decided before its minimum period")
    require_cause(is_over or not payload["is_closed"], "the tally calls the vote closed before its deadline")
    require_cause(
        payload["is_closed"] or entry.at_us < facts.closes_at_us,
        "the tally calls the vote open after its deadline",
    )
    outcome = _outcome(history, facts, is_closed=payload["is_closed"])
    require_cause(
        payload["outcome"] == outcome, f"the tally says {payload['outcome']}, the rule says {outcome}"
    )
    facts.state, facts.decided_at_us = _AFTER_TALLY[outcome], entry.at_us
    if outcome is TallyOutcome.PASSED and facts.format >= UNITS:
        risks = {facts.terms["risk"], history.declarations[facts.parameter]["risk"]}
        facts.state = ProposalState.PASSED if risks == {Risk.OPEN} else ProposalState.REVIEW


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
    require_cause(entry.at_us == facts.decided_at_us, "a person is asked when the vote has passed, not later")
    due = entry.at_us + seconds(history.consensus("review_seconds"))
    require_cause(payload["expires_at_us"] == due, f"a person has until {due}")
    shown = payload["shown_sha256"]
    history.check_blob("shown_sha256", shown)
    if shown in history.blobs:
        _check_shown(history, facts, payload["proposal_id"], history.blobs[shown])
    facts.review = (shown, due)


def _check_shown(history: LedgerHistory, facts: ProposalFacts, proposal_id: int, content: bytes) -> None:
    """Hold what a person was shown to the proposal and to every ballot."""
    try:
        told = json.loads(content)
        texts = [(told["root_cause"], facts.terms["root_cause_sha256"])]
        texts += [
            (shown["reason"], cast["reason_sha256"])
            for shown, cast in zip(told["ballots"], facts.cast, strict=True)
        ]
        said = {
            **told,
            "ballots": [{name: one[name] for name in _SHOWN_OF_BALLOT} for one in told["ballots"]],
        }
        hashes = [hashlib.sha256(text.encode()).hexdigest() for text, _ in texts]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CausalityError("what was shown does not state the change and its ballots") from error
    yes, no = facts.decisive
    votes = {"yes": yes, "no": no, "abstain": len(facts.ballots) - yes - no}
    expected = {name: facts.terms[name] for name in _SHOWN_OF_TERMS} | {
        "proposal_id": proposal_id,
        "inverse": {"from": facts.treatment, "to": facts.terms["from"]},
        "votes": {**votes, "electorate": len(facts.electorate)},
        "ballots": [{name: cast[name] for name in _SHOWN_OF_BALLOT} for cast in facts.cast],
    }
    for name, value in expected.items():
        require_cause(said.get(name) == value, f"what was shown has another {name} than was voted on")
    for hashed, (text, sha256) in zip(hashes, texts, strict=True):
        is_gone = text == "" and sha256 not in history.blobs
        require_cause(hashed == sha256 or is_gone, "what was shown has another text than was voted on")


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
    facts.state, facts.decided_at_us = _AFTER_REVIEW[decision], entry.at_us


def withdrawn(history: LedgerHistory, entry: Entry) -> None:
    """The proposer takes it back before the first ballot."""
    facts = history.proposal_in(entry.payload["proposal_id"], ProposalState.OPEN)
    require_cause(not facts.ballots, "a proposal can be withdrawn only before the first ballot")
    is_own = facts.format < UNITS or entry.actor == facts.terms["proposer"]
    require_cause(is_own, "only its proposer takes a proposal back")
    facts.state = ProposalState.WITHDRAWN


def expired(history: LedgerHistory, entry: Entry) -> None:
    """It passed, and no experiment could start in time."""
    facts = history.proposal_in(entry.payload["proposal_id"], ProposalState.PASSED)
    if facts.format >= UNITS:
        is_late = entry.at_us >= facts.decided_at_us + seconds(history.consensus("start_grace_seconds"))
        require_cause(is_late, "the time to start its experiment is not over")
    facts.state = ProposalState.EXPIRED
