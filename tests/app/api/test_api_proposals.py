"""Proposals over HTTP: refusals by name, ballots bound to the caller, withdrawal before the first ballot."""

import pytest

from services.store import sql, tables

CHANGE = {
    "parameter": "research_synthesis.timeout_seconds",
    "to": "100",
    "expected_effect": "0.25",
    "root_cause": "a third of the tasks time out",
    "evidence": [1],
    "cap_tasks": 400,
    "cap_days": 7,
    "meta_task_id": None,
    "guardrails": [],
}
REFUSALS = [
    ({"parameter": "no.such"}, "parameter_unknown"),
    ({"parameter": "Research_Synthesis.timeout_seconds"}, "parameter_unknown"),
    ({"parameter": "sandbox.alpha", "to": "0.04"}, "parameter_fixed"),
    ({"parameter": "market.bid_window_seconds", "to": "200"}, "parameter_untestable"),
    ({"to": "many"}, "value_not_a_number"),
    ({"to": "NaN"}, "value_not_a_number"),
    ({"to": "999999"}, "value_out_of_bounds"),
    ({"to": "1000"}, "step_too_large"),
    ({"evidence": [999_999]}, "evidence_unknown"),
]


def write_proposal(world, proposer, *electors):
    now_us = world.platform.store.clock.now_us()
    with world.platform.store.write(actor="test") as tx:
        proposal_id = sql.insert(
            tx, tables.proposal, proposer_id=proposer.agent_id, parameter=CHANGE["parameter"],
            from_value="90", to_value="100", from_version=1, metric="task_success", expected_effect="0.25",
            cap_tasks=400, cap_days=7, admission_tasks=90, base_rate=0.65, root_cause="r", evidence=[1],
            content_hash="c", risk="open", state="open", yes=0, no=0, abstain=0, electorate=len(electors),
            opened_at_us=now_us, minimum_until_us=now_us + 10**8, closes_at_us=now_us + 10**9,
        )  # fmt: skip
        rows = [
            {"proposal_id": proposal_id, "agent_id": agent.agent_id, "unit": f"agent:{agent.agent_id}"}
            for agent in electors
        ]
        sql.insert_many(tx, tables.elector, rows)
    return proposal_id


@pytest.mark.parametrize(("wrong", "code"), REFUSALS, ids=range(len(REFUSALS)))
def test_a_change_that_cannot_be_is_refused_by_name(sqlite_world, problem_of, wrong, code):
    answer = sqlite_world.agent("proposer").post("/proposals", {**CHANGE, **wrong})
    assert problem_of(answer, 422, code)["field"].startswith("body.")
    assert sqlite_world.operator.get("/proposals").json()["items"] == []


def test_electors_vote_once_each_and_nobody_else_does(world, problem_of):
    proposer, ada, bob, eve = (world.agent(name) for name in ("proposer", "ada", "bob", "eve"))
    path = f"/proposals/{write_proposal(world, proposer, ada, bob)}/ballots"
    assert ada.post("/agents/me/work", {}).json()["proposals"] != []
    assert ada.post(path, {"choice": "for", "reason": "yes", "forecast_percent": 80}).status_code == 201
    problem_of(ada.post(path, {"choice": "for"}), 409, "already_voted")
    problem_of(bob.post(path, {"choice": "against"}), 422, "reason_missing")
    assert bob.post(path, {"choice": "against", "reason": "costly"}).status_code == 201
    problem_of(eve.post(path, {"choice": "for"}), 403, "forbidden")
    problem_of(proposer.post(path, {"choice": "for"}), 403, "forbidden")
    shown = world.operator.get(path.removesuffix("/ballots")).json()
    assert (shown["yes"], shown["no"]) == (1, 1)
    assert [one["agent_id"] for one in shown["electors"]] == [ada.agent_id, bob.agent_id]
    assert [ballot["agent_name"] for ballot in shown["ballots"]] == ["ada", "bob"]
    assert ada.post("/agents/me/work", {}).json()["proposals"] == []
    problem_of(proposer.post(path.replace("ballots", "withdraw")), 409, "conflict")


def test_only_its_proposer_withdraws_a_proposal(world, problem_of):
    proposer, ada = world.agent("proposer"), world.agent("ada")
    path = f"/proposals/{write_proposal(world, proposer, ada)}/withdraw"
    problem_of(ada.post(path), 403, "forbidden")
    assert proposer.post(path).json() == {"state": "withdrawn"}
    assert world.operator.get("/proposals", state="withdrawn").json()["items"][0]["end_reason"]
