"""A diagnostician over real HTTP: bids, leases, looks, files what follows, reports, votes."""

import pytest

from app.agents.client import ApiProblem
from app.agents.diagnosis import Draft, Finding
from app.agents.investigation import Investigator, InvestigatorProfile, larger_cap, review
from app.agents.voter import Choice
from tests.app.agents.market_stub import task
from tests.app.agents.planted import LIMIT, healthy, heavy_tailed, stuck

PROFILE = InvestigatorProfile("d", price_factor=0.5, confidence_percent=70, caution=0.8)
DRAFT = Draft(LIMIT, "2", "3.4", "0.2", "a tail", (1, 2), 400, 7)


def plant(stub, facts) -> None:
    for one in facts:
        stub.tasks[one.task_id] = task(
            one.task_id,
            type=one.type,
            state=str(one.state),
            end_reason=str(one.end_reason),
            duration_seconds=one.duration_seconds,
            awarded_agent_id=one.agent_id,
            parameters={name: {"value": str(value)} for name, value in one.values.items()} or None,
        )


@pytest.fixture
def world(stub):
    entry = {"value": "2", "low": "0.1", "high": "100", "step_max": "2", "unit": "seconds", "risk": "open"}
    stub.parameters = [
        {"name": LIMIT, **entry},
        {"name": "market.cooling", **entry, "unit": "factor"},
        {"name": "easy_work.timeout_seconds", **entry},
    ]
    plant(stub, heavy_tailed() + healthy(1000))
    failing = [number for number, one in stub.tasks.items() if one["state"] == "failed"]
    payload = {
        "episode_id": 1,
        "metric": "success",
        "dimension": "platform",
        "key": "",
        "baseline_rate": None,
        "window_start": "2026-03-01T00:00:00.000000Z",
        "failing_task_ids": failing[:200],
        "recent_changes": [],
    }
    summary = {"task_id": 70, "type": "investigation", "kind": "meta", "payload": payload}
    stub.awards = [{**summary, "reserve_price_microcredits": 1_000_000}]
    stub.leases = {70: {"payload": payload, "timeout_seconds": 30.0}}
    return stub


def handed_in(stub) -> dict:
    (call,) = stub.of("POST", "/tasks/70/result")
    return call.body


def test_it_bids_on_investigations(client, stub):
    stub.open = [{"task_id": 71, "type": "investigation", "reserve_price_microcredits": 1_000_000}]
    assert Investigator(client, PROFILE).step()
    (bid,) = stub.of("POST", "/tasks/71/bids")
    assert bid.body == {"ask_microcredits": 500_000, "confidence_percent": 70}
    assert stub.of("POST", "/agents/me/work")[0].body["types"] == ["investigation"]


def test_from_the_evidence_to_a_proposal_and_a_report(client, world):
    Investigator(client, PROFILE).step()
    (filed,) = world.of("POST", "/proposals")
    assert filed.body["parameter"] == LIMIT
    assert 2.0 < float(filed.body["to"]) <= 4.0
    assert filed.body["meta_task_id"] == 70
    assert filed.body["guardrails"] == []
    assert 0 < float(filed.body["expected_effect"]) < 1 / 3
    assert all(world.tasks[one]["end_reason"] == "timed_out" for one in filed.body["evidence"])
    body = handed_in(world)
    assert (body["outcome"], body["fencing_token"]) == ("completed", 7)
    assert body["handoff"]["changed"]["proposal_id"] == 91
    assert filed.body["root_cause"] in body["handoff"]["changed"]["finding"]
    asked = [call.query for call in world.of("GET", "/tasks")]
    assert {query["ended_after"] for query in asked} == {"2026-03-01T00:00:00.000000Z"}
    assert {query["kind"] for query in asked} == {"user"}


def test_when_more_time_would_not_help_it_reports_and_files_nothing(client, world):
    world.tasks.clear()
    plant(world, stuck() + healthy(1000))
    Investigator(client, PROFILE).step()
    assert not world.of("POST", "/proposals")
    body = handed_in(world)
    assert body["outcome"] == "completed"
    assert body["handoff"]["changed"]["proposal_id"] is None
    assert "would not help" in body["handoff"]["changed"]["finding"]


def test_a_peers_live_proposal_is_reported_not_doubled(client, world):
    world.proposals = {5: {"proposal_id": 5, "parameter": LIMIT, "state": "testing"}}
    Investigator(client, PROFILE).step()
    assert not world.of("POST", "/proposals")
    changed = handed_in(world)["handoff"]["changed"]
    assert changed["proposal_id"] == 5
    assert "is live" in changed["finding"]


def test_a_race_for_the_same_proposal_is_reported(client, world):
    world.refusals["/proposals"] = (409, "proposal_already_live", {"proposal_id": 6})
    Investigator(client, PROFILE).step()
    assert handed_in(world)["handoff"]["changed"]["proposal_id"] == 6


def test_a_refused_admission_is_tried_once_with_a_larger_cap(client, world):
    world.refusals["/proposals"] = (422, "admission_refused", {"needed_tasks": 5_000})
    Investigator(client, PROFILE).step()
    first, second = world.of("POST", "/proposals")
    assert second.body["cap_tasks"] == 10_000 > first.body["cap_tasks"]
    body = handed_in(world)
    assert body["outcome"] == "completed"
    assert "admission_refused" in body["handoff"]["changed"]["finding"]


def test_out_of_time_is_reported_as_such(client, world):
    world.leases[70]["timeout_seconds"] = 0.0
    Investigator(client, PROFILE).step()
    body = handed_in(world)
    assert (body["outcome"], body["failure_reason"]) == ("failed", "timed_out")


def test_a_lost_lease_is_no_crash(client, world):
    world.refusals["/tasks/70/result"] = (409, "stale_fencing_token", {})
    assert Investigator(client, PROFILE).step()


def test_it_votes_for_what_it_would_have_found(client, world):
    world.awards.clear()
    world.proposals = {4: {"proposal_id": 4, "parameter": LIMIT, "from": "2", "to": "3", "state": "open"}}
    world.ballots_due = [4]
    Investigator(client, PROFILE).step()
    (ballot,) = world.of("POST", "/proposals/4/ballots")
    assert ballot.body["choice"] == "for"


@pytest.mark.parametrize(
    ("parameter", "to", "draft", "choice"),
    [
        (LIMIT, "3", DRAFT, Choice.FOR),
        (LIMIT, "1", DRAFT, Choice.AGAINST),
        ("other.timeout_seconds", "3", DRAFT, Choice.AGAINST),
        (LIMIT, "3", None, Choice.AGAINST),
    ],
    ids=["same", "other direction", "other parameter", "nothing found"],
)
def test_review(parameter, to, draft, choice):
    opinion = review({"parameter": parameter, "from": "2", "to": to}, Finding("found", draft))
    assert opinion.choice is choice
    assert opinion.reason


def test_a_larger_cap_without_a_figure_doubles():
    assert larger_cap(300, ApiProblem("admission_refused", 422, "", {"transient": False})) == 600
