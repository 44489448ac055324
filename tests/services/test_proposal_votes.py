"""Votes: a frozen electorate, one final ballot each, the exact tally, and exactly one decision in a race."""

import pytest

from services.domain.errors import ConflictError, ForbiddenError, InvalidValueError, NacreError
from services.domain.states import BallotChoice, Scope
from services.store import sql, tables
from tests.services.laboratory import MINIMUM_PERIOD_SECONDS, VOTING_PERIOD_SECONDS, Laboratory
from tests.services.test_proposal_system import race

FOR, AGAINST, ABSTAIN = BallotChoice.FOR, BallotChoice.AGAINST, BallotChoice.ABSTAIN


def vote(lab, proposal_id, yes, no=0, abstain=0):
    choices = [FOR] * yes + [AGAINST] * no + [ABSTAIN] * abstain
    for agent_id, choice in zip(lab.voters, choices, strict=False):
        lab.cast(proposal_id, agent_id, choice, "no" if choice is AGAINST else "")


def published(lab, proposal_id):
    return [row["type"] for row in lab.rows(tables.event, aggregate=f"proposal:{proposal_id}")]


def test_agent_registered_after_the_opening_cannot_vote(lab):
    proposal_id = lab.file()
    late = lab.agent(Scope.VOTE)
    with pytest.raises(ForbiddenError):
        lab.cast(proposal_id, late)


def test_proposer_and_strangers_cannot_vote(lab):
    powerless = lab.agent(Scope.BID)
    unknown_newcomer = lab.agent(Scope.VOTE, is_vouched=False)
    proposal_id = lab.file()
    for agent_id in (lab.proposer, powerless, unknown_newcomer):
        with pytest.raises(ForbiddenError):
            lab.cast(proposal_id, agent_id)
    assert lab.row(tables.proposal, id=proposal_id)["electorate"] == 6


@pytest.mark.parametrize(
    ("changes", "is_elector"),
    [
        ({"standing": "suspended"}, False),
        ({"standing": "shadow"}, False),
        ({"standing": "full"}, True),
        ({"last_active_at_us": 0}, False),
        ({"is_vouched": False, "settled_jobs": 4}, False),
        ({"is_vouched": False, "settled_jobs": 5}, False),  # not a day old, and no work for others
        ({"scopes": ["bid", "propose"]}, False),
    ],
)
def test_electorate_is_who_may_vote_at_the_opening(lab, changes, is_elector):
    with lab.write("operator") as tx:
        sql.update(tx, tables.agent, {"id": lab.voters[0]}, **changes)
    proposal_id = lab.file()
    electors = {row["agent_id"] for row in lab.rows(tables.elector, proposal_id=proposal_id)}
    assert (lab.voters[0] in electors) is is_elector
    assert lab.row(tables.proposal, id=proposal_id)["electorate"] == len(electors)


def test_elector_that_was_suspended_since_cannot_vote(lab):
    proposal_id = lab.file()
    with lab.write("operator") as tx:
        sql.update(tx, tables.agent, {"id": lab.voters[0]}, standing="suspended")
    with pytest.raises(ForbiddenError):
        lab.cast(proposal_id, lab.voters[0])
    assert lab.row(tables.proposal, id=proposal_id)["electorate"] == 6


def test_ballots_are_final(lab):
    proposal_id = lab.file()
    lab.cast(proposal_id, lab.voters[0])
    with pytest.raises(ConflictError) as refused:
        lab.cast(proposal_id, lab.voters[0], AGAINST, "changed my mind")
    assert refused.value.code == "already_voted"
    assert [row["choice"] for row in lab.rows(tables.ballot)] == ["for"]
    assert lab.types().count("BALLOT") == 1


def test_no_ballot_counts_after_the_close(lab):
    proposal_id = lab.file()
    lab.pass_seconds(VOTING_PERIOD_SECONDS - 0.001)
    lab.cast(proposal_id, lab.voters[0])
    lab.pass_seconds(0.001)
    with pytest.raises(ConflictError) as refused:
        lab.cast(proposal_id, lab.voters[1])
    assert refused.value.code == "vote_closed"


@pytest.mark.parametrize("reason", ["", "   ", "\n"])
def test_vote_against_needs_a_reason(lab, reason):
    proposal_id = lab.file()
    with pytest.raises(InvalidValueError) as refused:
        lab.cast(proposal_id, lab.voters[0], AGAINST, reason)
    assert refused.value.code == "reason_missing"
    assert lab.rows(tables.ballot) == []


@pytest.mark.parametrize("forecast", [-1, 101])
def test_forecast_is_a_percentage(lab, forecast):
    proposal_id = lab.file()
    with pytest.raises(InvalidValueError):
        lab.cast(proposal_id, lab.voters[0], forecast=forecast)


def test_four_of_six_is_the_smallest_early_pass(lab):
    proposal_id = lab.file()
    lab.pass_seconds(MINIMUM_PERIOD_SECONDS)
    for number, agent_id in enumerate(lab.voters[:4], 1):
        assert lab.state(proposal_id) == "open", f"after {number - 1} of 6"
        lab.cast(proposal_id, agent_id)
    assert lab.state(proposal_id) == "passed"
    assert published(lab, proposal_id)[-1] == "ProposalPassed"
    assert lab.types()[-1] == "TALLY"
    row = lab.row(tables.proposal, id=proposal_id)
    assert (row["yes"], row["no"], row["abstain"]) == (4, 0, 0)
    assert lab.audit().ok


def test_nothing_is_decided_before_the_minimum_period(lab):
    proposal_id = lab.file()
    vote(lab, proposal_id, 6)
    lab.pass_seconds(MINIMUM_PERIOD_SECONDS - 0.001)
    lab.tally()
    assert lab.state(proposal_id) == "open"
    lab.pass_seconds(0.001)
    assert lab.tally()["decided"] == 1
    assert lab.state(proposal_id) == "passed"


@pytest.mark.parametrize(
    ("ballots", "early", "at_the_deadline"),
    [
        ((3, 0, 0), "open", "passed"),
        ((3, 0, 1), "passed", "passed"),
        ((3, 3, 0), "rejected", "rejected"),
        ((0, 3, 0), "rejected", "rejected"),
        ((2, 1, 0), "open", "passed"),
        ((1, 2, 0), "open", "rejected"),
        ((2, 0, 4), "rejected", "rejected"),
        ((1, 1, 1), "open", "inquorate"),
        ((2, 0, 0), "open", "inquorate"),
        ((0, 0, 0), "open", "inquorate"),
    ],
)
def test_ballots_decide_by_the_rule(lab, ballots, early, at_the_deadline):
    proposal_id = lab.file()
    vote(lab, proposal_id, *ballots)
    lab.pass_seconds(MINIMUM_PERIOD_SECONDS)
    lab.tally()
    assert lab.state(proposal_id) == early
    lab.deliver()
    lab.pass_seconds(VOTING_PERIOD_SECONDS)
    lab.tally()
    expected = "testing" if early == "passed" else at_the_deadline
    assert lab.state(proposal_id) == expected
    assert lab.types().count("TALLY") == 1
    assert lab.audit().ok


@pytest.mark.parametrize(("no", "state"), [(3, "rejected"), (0, "inquorate")])
def test_vote_that_did_not_pass_is_said_once_and_never_started(lab, no, state):
    proposal_id = lab.file()
    vote(lab, proposal_id, 0, no)
    lab.pass_seconds(VOTING_PERIOD_SECONDS)
    lab.tally()
    lab.tally()
    lab.deliver()
    assert published(lab, proposal_id).count("ProposalClosed") == 1
    assert "ProposalPassed" not in published(lab, proposal_id)
    assert lab.state(proposal_id) == state
    assert lab.rows(tables.experiment) == []


def test_passed_proposal_that_cannot_start_expires(lab):
    proposal_id = lab.passed()
    lab.pass_seconds(VOTING_PERIOD_SECONDS - 1)
    lab.tally()
    assert lab.state(proposal_id) == "passed"
    lab.pass_seconds(1)
    assert lab.tally()["expired"] == 1
    assert lab.state(proposal_id) == "expired"
    assert lab.types()[-1] == "EXPIRED"
    lab.deliver()
    assert lab.rows(tables.experiment) == [], "an expired proposal is never started"
    assert lab.audit().ok


def test_electorate_too_small_to_decide_goes_to_a_person(platform):
    lab = Laboratory(platform).set_up(voters=2)
    proposal_id = lab.file()
    vote(lab, proposal_id, 2)
    lab.pass_seconds(MINIMUM_PERIOD_SECONDS)
    lab.tally()
    assert lab.state(proposal_id) == "rejected"
    item = lab.row(tables.review_item, kind="electorate_too_small")
    assert item["context"] == {"proposal_id": proposal_id}


def test_racing_ballots_make_exactly_one_decision(lab):
    proposal_id = lab.file()
    lab.pass_seconds(MINIMUM_PERIOD_SECONDS)
    results = race(*[lambda agent_id=agent_id: lab.cast(proposal_id, agent_id) for agent_id in lab.voters])
    late = [found for found in results if isinstance(found, NacreError)]
    assert {found.code for found in late} <= {"vote_closed"}
    assert lab.state(proposal_id) == "passed"
    assert lab.types().count("TALLY") == 1
    assert published(lab, proposal_id).count("ProposalPassed") == 1
    assert lab.types().count("BALLOT") == 6 - len(late)
    assert lab.audit().ok


def test_racing_ballots_of_one_voter_count_once(lab):
    proposal_id = lab.file()
    voter = lab.voters[0]
    results = race(*[lambda: lab.cast(proposal_id, voter)] * 4)
    assert sorted(found.code for found in results if isinstance(found, NacreError)) == ["already_voted"] * 3
    assert len(lab.rows(tables.ballot)) == 1


def test_racing_tallies_make_exactly_one_decision(lab):
    proposal_id = lab.file()
    vote(lab, proposal_id, 6)
    lab.pass_seconds(MINIMUM_PERIOD_SECONDS)
    results = race(*[lab.tally] * 4)
    assert [found for found in results if isinstance(found, Exception)] == []
    assert sum(found["decided"] for found in results) == 1
    assert lab.types().count("TALLY") == 1
    assert published(lab, proposal_id).count("ProposalPassed") == 1
