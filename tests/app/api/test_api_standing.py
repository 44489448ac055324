"""Bids, directory, standing and failed work over HTTP: who may, what is told, and the shapes."""

import pytest

from app.api import market_examples as examples


def suspended(world, name="fallen"):
    """Return an agent that the operator has suspended."""
    agent = world.agent(name)
    answer = world.operator.post(f"/agents/{agent.agent_id}/suspend", {"reason": "it copies"})
    assert answer.json() == {"agent_id": agent.agent_id, "standing": "suspended"}
    return agent


def failed_task(world, requester, pi_task):
    """Return a task that nobody bid on before its deadline."""
    task_id = requester.post("/tasks", {**pi_task, "deadline_seconds": 400}).json()["task_id"]
    world.close_windows()
    assert requester.get(f"/tasks/{task_id}").json()["state"] == "expired"
    return task_id


def test_an_agent_reads_its_own_bids_and_nobody_elses(world, pi_task, problem_of):
    requester, one, two = world.agent("requester"), world.agent("one"), world.agent("two")
    task_id = requester.post("/tasks", pi_task).json()["task_id"]
    one.post(f"/tasks/{task_id}/bids", {"ask_microcredits": 41_234, "confidence_percent": 90})
    two.post(f"/tasks/{task_id}/bids", {"ask_microcredits": 45_678})
    mine = one.get("/agents/me/bids").json()["items"]
    assert [item["ask_microcredits"] for item in mine] == [41_234]
    assert "45678" not in one.get("/agents/me/bids").text
    world.close_windows()
    states = {caller: caller.get("/agents/me/bids").json()["items"][0] for caller in (one, two)}
    assert {item["state"] for item in states.values()} == {"won", "lost"}
    lost = next(item for item in states.values() if item["state"] == "lost")
    assert lost["reason"]["code"] == "outscored"
    assert lost["bidders"] == 2
    assert one.get("/agents/me/bids", state="open").json()["items"] == []
    problem_of(world.operator.get("/agents/me/bids"), 403, "forbidden")
    problem_of(one.get("/agents/me/bids", state="dragon"), 422, "validation_failed")


def test_the_way_back_is_told_and_taken(world, problem_of):
    agent = suspended(world)
    shown = world.agent("other").get(f"/agents/{agent.agent_id}/standing").json()
    assert shown["suspension"]["stake_microcredits"] == 1_000_000
    problem = problem_of(agent.post("/agents/me/reinstatement"), 409, "cool_down")
    assert problem["may_return_at"] == shown["suspension"]["may_return_at"]
    world.platform.store.clock.advance(86_400_000_000)
    answer = agent.post("/agents/me/reinstatement", key="back")
    assert answer.json() == {"standing": "probation", "stake_microcredits": 1_000_000}
    assert agent.post("/agents/me/reinstatement", key="back").content == answer.content
    me = agent.get(f"/agents/{agent.agent_id}/standing").json()
    assert (me["standing"], me["bond_microcredits"], me["suspension"]) == ("probation", 1_000_000, None)
    problem_of(world.operator.get("/agents/999/standing"), 404, "not_found")


def test_an_appeal_is_made_by_the_agent_and_decided_by_the_operator(world, problem_of):
    agent = suspended(world)
    item_id = agent.post("/agents/me/appeal", {"reason": "its source was down"}).json()["item_id"]
    problem_of(agent.post("/agents/me/appeal", {"reason": "please"}), 409, "appealed_already")
    body = {"decision": "granted", "reason": "indeed"}
    problem_of(agent.post(f"/appeals/{item_id}/decision", body), 403, "forbidden")
    problem_of(
        world.operator.post(f"/appeals/{item_id}/decision", {"decision": "granted"}), 422, "validation_failed"
    )
    problem_of(world.operator.post("/appeals/999/decision", body), 404, "not_found")
    decided = world.operator.post(f"/appeals/{item_id}/decision", body)
    assert decided.json() == {"agent_id": agent.agent_id, "decision": "granted"}
    problem_of(world.operator.post(f"/appeals/{item_id}/decision", body), 409, "conflict")
    entry = world.operator.get("/ledger", type="STANDING").json()["items"][0]
    assert entry["payload"]["reason"] == "appeal granted: indeed"
    assert entry["actor"] == "operator"


@pytest.mark.parametrize("path", ["/agents/1/suspend", "/agents/1/reinstate"])
def test_standing_is_the_operators_to_give_and_take(world, problem_of, path):
    agent = world.agent("agent")
    problem_of(agent.post(path, {"reason": "because"}), 403, "forbidden")
    problem_of(world.operator.post(path, {"reason": ""}), 422, "validation_failed")
    problem_of(world.operator.post(path.replace("/1/", "/99/"), {"reason": "because"}), 404, "not_found")


def test_failed_work_is_retried_by_its_requester_and_dismissed_with_a_reason(world, pi_task, problem_of):
    requester, other = world.agent("requester"), world.agent("other")
    first, second = failed_task(world, requester, pi_task), failed_task(world, requester, pi_task)
    (line,) = requester.get("/failed-work", owner="me").json()["items"]
    assert (line["kind"], line["ids"], line["reason"]["code"]) == ("task", [second, first], "no_bids")
    assert other.get("/failed-work", owner="me").json()["items"] == []
    problem_of(other.post(f"/failed-work/task/{first}/retry"), 403, "forbidden")
    answer = requester.post(f"/failed-work/task/{first}/retry")
    assert answer.status_code == 201
    assert requester.get(f"/tasks/{answer.json()['task_id']}").json()["retry_of_id"] == first
    problem_of(requester.post(f"/failed-work/task/{first}/retry"), 409, "retried_already")
    problem_of(world.operator.post("/failed-work/tick/1/retry"), 409, "not_retriable")
    problem_of(world.operator.post("/failed-work/dragon/1/retry"), 422, "validation_failed")
    problem_of(requester.post(f"/failed-work/task/{second}/dismiss", {}), 422, "validation_failed")
    problem_of(other.post(f"/failed-work/task/{second}/dismiss", {"reason": "x"}), 403, "forbidden")
    done = requester.post(f"/failed-work/task/{second}/dismiss", {"reason": "no longer needed"})
    assert done.json()["count"] == 1
    problem_of(requester.post(f"/failed-work/task/{second}/dismiss", {"reason": "x"}), 409, "not_waiting")
    assert requester.get("/failed-work").json()["items"] == []


@pytest.mark.parametrize("name", ["<b onmouseover=x>", "a\u202eb", "x>y"])
@pytest.mark.parametrize("field", ["name", "owner"])
def test_names_that_are_markup_or_cannot_be_printed_are_refused(sqlite_world, field, name):
    body = {"name": "plain", "owner": "acme", "scopes": [], field: name}
    told = sqlite_world.operator.post("/agents", body)
    assert (told.status_code, told.json()["code"], told.json()["field"]) == (
        422,
        "name_not_plain",
        f"body.{field}",
    )


def test_names_that_look_like_templates_stay_text(sqlite_world):
    agent = sqlite_world.agent("{{7*7}} & co")
    (entry,) = agent.get("/directory").json()["items"]
    assert entry["name"] == "{{7*7}} & co"


def shape(value):
    """Return the keys of an answer in their order, nested."""
    if isinstance(value, list):
        return shape(value[0]) if value else None
    return {key: shape(inner) for key, inner in value.items()} if isinstance(value, dict) else None


def fits(real, example):
    """Tell whether two shapes agree wherever both say something."""
    if real is None or example is None:
        return True
    return list(real) == list(example) and all(fits(real[key], example[key]) for key in real)


def test_the_examples_have_the_shapes_of_the_answers(sqlite_world, pi_task):
    world = sqlite_world
    requester, one, two = world.agent("requester"), world.agent("one"), world.agent("two")
    task_id = requester.post("/tasks", pi_task).json()["task_id"]
    for caller in (one, two):
        caller.post(f"/tasks/{task_id}/bids", {"ask_microcredits": 40_000})
    failed_task(world, requester, pi_task)
    lost = one.get("/agents/me/bids", state="lost").json()["items"]
    lost += two.get("/agents/me/bids", state="lost").json()["items"]
    winner = one if lost[0]["winner"]["agent_id"] == one.agent_id else two
    token = winner.post(f"/tasks/{task_id}/lease").json()["fencing_token"]
    handoff = {"done": "no", "changed": {}, "next": ""}
    body = {"fencing_token": token, "outcome": "failed", "failure_reason": "agent_error", "handoff": handoff}
    winner.post(f"/tasks/{task_id}/result", body)
    fallen = suspended(world)
    fallen.post("/agents/me/appeal", {"reason": "why"})
    listed = winner.get("/directory", type="monte_carlo").json()["items"]
    shown = {
        "bid": (lost[0], examples.OWN_BID),
        "directory": (listed[0], examples.DIRECTORY_ENTRY),
        "rank": (winner.get("/leaderboard").json()["items"][0], examples.RANKED),
        "standing": (fallen.get(f"/agents/{fallen.agent_id}/standing").json(), examples.STANDING),
        "failed": (winner.get("/failed-work", kind="task").json()["items"][0], examples.FAILED_LINE),
    }
    for name, (real, example) in shown.items():
        assert fits(shape(real), shape(example)), name
