"""Each voter's one rule, as a table; and a ballot over real HTTP."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.agents import voter_caution, voter_cost, voter_evidence, voter_power, voter_sceptic
from app.agents.evidence import ParameterFact, sample_of
from app.agents.voter import Choice, Opinion, cast_ballots
from tests.app.agents.market_stub import task
from tests.app.agents.planted import (
    LIMIT,
    fact,
    heavy_tailed,
    limit_parameter,
    refused,
    stuck,
    timed_out,
)

FOR, AGAINST, ABSTAIN = Choice.FOR, Choice.AGAINST, Choice.ABSTAIN
SIZE = ParameterFact("slow_work.passages", 6, 1, 30, 2, "passages", "open")
OPENED = datetime(2026, 3, 1, tzinfo=UTC)


def late(count: int, first: int = 1) -> list:
    return [timed_out(number) for number in range(first, first + count)]


def wrong(count: int, first: int = 100) -> list:
    return [refused(number) for number in range(first, first + count)]


@pytest.mark.parametrize(
    ("parameter", "cited", "missing", "choice"),
    [
        (limit_parameter(), late(10), [], FOR),
        (limit_parameter(), late(6) + wrong(4), [], FOR),
        (limit_parameter(), late(5) + wrong(5), [], AGAINST),
        (limit_parameter(), wrong(10), [], AGAINST),
        (SIZE, wrong(10), [], FOR),
        (limit_parameter(), late(10), [99], AGAINST),
        (limit_parameter(), [*late(9), fact(50)], [], AGAINST),
        (limit_parameter(), [*late(9), timed_out(50, type="other")], [], AGAINST),
        (limit_parameter(), [], [], AGAINST),
        (None, late(10), [], AGAINST),
    ],
    ids=[
        "all timed out",
        "six in ten",
        "five in ten",
        "other reason for a limit",
        "other reason for a size",
        "one missing",
        "one settled",
        "one of another type",
        "none",
        "no such parameter",
    ],
)
def test_evidence(parameter, cited, missing, choice):
    assert voter_evidence.judge(parameter, cited, missing).choice is choice


@pytest.mark.parametrize(
    ("needed", "cap", "base", "effect", "choice"),
    [
        (100, 300, 0.67, 0.2, FOR),
        (300, 300, 0.67, 0.33, FOR),
        (301, 300, 0.67, 0.2, AGAINST),
        (100, 300, 0.67, 0.34, AGAINST),
        (100, 300, 0.67, 0.0, AGAINST),
    ],
    ids=["fits", "just fits", "one too many", "more than all", "no gain"],
)
def test_power(needed, cap, base, effect, choice):
    opinion = voter_power.judge(needed_tasks=needed, cap_tasks=cap, base_rate=base, effect=effect)
    assert opinion.choice is choice


@pytest.mark.parametrize(
    ("parameter", "to", "rolled_back", "choice"),
    [
        (limit_parameter(), 4.0, [], FOR),
        (limit_parameter(), 1.0, [], FOR),
        (limit_parameter(), 4.01, [], AGAINST),
        (limit_parameter(), 0.99, [], AGAINST),
        (limit_parameter(high=3.0), 3.5, [], AGAINST),
        (limit_parameter(risk="gated"), 3.0, [], FOR),
        (limit_parameter(risk="fixed"), 3.0, [], AGAINST),
        (limit_parameter(), 3.0, [OPENED - timedelta(days=6)], AGAINST),
        (limit_parameter(), 3.0, [OPENED - timedelta(days=8)], FOR),
        (None, 3.0, [], AGAINST),
    ],
    ids=["double", "half", "over", "under", "bound", "gated", "fixed", "lately", "long ago", "unknown"],
)
def test_caution(parameter, to, rolled_back, choice):
    assert voter_caution.judge(parameter, to, OPENED, rolled_back).choice is choice


@pytest.mark.parametrize(
    ("to", "effect", "reserve", "choice"),
    [
        (4.0, 0.2, 200_000, FOR),
        (4.0, 0.2, 1_000, AGAINST),
        (1.0, 0.05, 1_000, FOR),
    ],
    ids=["worth it", "cheap work", "shorter"],
)
def test_cost(to, effect, reserve, choice):
    of_type = [replace(one, reserve_price_microcredits=reserve) for one in heavy_tailed()]
    assert voter_cost.judge(limit_parameter(), to, effect, of_type).choice is choice


def test_cost_abstains_from_what_it_cannot_weigh():
    assert voter_cost.judge(SIZE, 8, 0.2, heavy_tailed()).choice is ABSTAIN
    assert voter_cost.judge(limit_parameter(), 4.0, 0.2, []).choice is ABSTAIN


@pytest.mark.parametrize(
    ("parameter", "to", "facts", "choice"),
    [
        (limit_parameter(), 4.0, heavy_tailed(), FOR),
        (limit_parameter(), 4.0, stuck(), AGAINST),
        (limit_parameter(), 4.0, [fact(n, duration_seconds=1.9) for n in range(50)], AGAINST),
        (limit_parameter(), 1.0, heavy_tailed(), ABSTAIN),
        (SIZE, 8, heavy_tailed(), ABSTAIN),
    ],
    ids=["tail", "hangs", "nothing cut off", "shorter", "no limit"],
)
def test_sceptic(parameter, to, facts, choice):
    assert voter_sceptic.judge(parameter, to, facts).choice is choice


def test_the_sceptic_looks_at_the_value_in_force_only():
    longer = [replace(one, values={LIMIT: 9.0}) for one in heavy_tailed(limit=9.0)]
    assert voter_sceptic.judge(limit_parameter(), 4.0, stuck() + longer).choice is AGAINST


def test_a_sample_is_spread_and_the_same_for_all():
    assert sample_of(range(1, 201), 4) == [1, 51, 101, 151]
    assert sample_of([3, 3, 1], 4) == [3, 1]


def proposal(**fields) -> dict:
    return {
        "proposal_id": 3,
        "parameter": LIMIT,
        "from": "2",
        "to": "3.5",
        "expected_effect": "0.2",
        "base_rate": "0.67",
        "cap_tasks": 400,
        "admission_tasks": 130,
        "evidence": [11, 12],
        "opened_at": "2026-03-01T00:00:00.000000Z",
        "state": "open",
        **fields,
    }


@pytest.fixture
def asked(stub):
    stub.proposals = {3: proposal()}
    stub.ballots_due = [3]
    stub.parameters = [
        {
            "name": LIMIT,
            "value": "2",
            "low": "0.1",
            "high": "9",
            "step_max": "2",
            "unit": "seconds",
            "risk": "open",
        }
    ]
    for number, one in enumerate(heavy_tailed(), start=11):
        values = {LIMIT: {"value": "2", "source": "default"}}
        stub.tasks[number] = task(
            number,
            type="slow_work",
            state=str(one.state),
            end_reason=str(one.end_reason),
            duration_seconds=one.duration_seconds,
            parameters=values,
        )
    late_ids = [number for number, one in stub.tasks.items() if one["end_reason"] == "timed_out"]
    stub.proposals[3]["evidence"] = late_ids
    return stub


@pytest.mark.parametrize(
    "voter",
    [voter_evidence, voter_power, voter_caution, voter_cost, voter_sceptic],
    ids=lambda one: one.__name__,
)
def test_every_voter_gets_its_evidence_over_the_api(client, asked, voter):
    work = client.work([])["proposals"]
    assert cast_ballots(client, work, lambda one: voter.examine(client, one))
    (ballot,) = asked.of("POST", "/proposals/3/ballots")
    assert ballot.body["choice"] == "for", ballot.body["reason"]
    assert ballot.body["reason"]
    assert 0 <= ballot.body["forecast_percent"] <= 100
    assert not cast_ballots(client, client.work([])["proposals"], lambda one: voter.examine(client, one))


def test_a_rollback_in_the_ledger_makes_caution_say_no(client, asked):
    asked.ledger = [{"at": "2026-02-27T00:00:00.000000Z", "payload": {"parameter": LIMIT}}]
    assert voter_caution.examine(client, proposal()).choice is AGAINST
    asked.ledger = [{"at": "2026-02-27T00:00:00.000000Z", "payload": {"parameter": "other.x"}}]
    assert voter_caution.examine(client, proposal()).choice is FOR


def test_a_text_is_voted_on_without_a_crash(client, asked):
    asked.parameters = [{"name": LIMIT, "value": "be brief", "low": "", "high": "", "step_max": ""}]
    for voter in (voter_evidence, voter_power, voter_caution, voter_cost, voter_sceptic):
        assert voter.examine(client, proposal(to="be thorough")).reason


def test_evidence_that_does_not_exist_is_seen(client, asked):
    opinion = voter_evidence.examine(client, proposal(evidence=[asked.proposals[3]["evidence"][0], 987_654]))
    assert opinion.choice is AGAINST
    assert "987654" in opinion.reason


def test_a_refused_ballot_is_no_crash(client, asked):
    asked.refusals["/ballots"] = (409, "conflict", {})
    assert not cast_ballots(client, [{"proposal_id": 3}], lambda _: Opinion(FOR, "", 50))
