"""Budgets over HTTP: reserve, settle, void, once under each key; limits; problems that say what is."""

import pytest

from app.api import money_examples as examples
from services.domain.clock import seconds
from services.operations import budget_governor

DAY_CAP, AGENT_CAP = 2_000_000, 200_000


@pytest.fixture
def agent(world):
    return world.agent("worker")


def hold(agent, amount=100, key=None, **more):
    return agent.post("/budgets/holds", {"resource": "tokens", "amount": amount, **more}, key=key)


def mine(agent, scope="agent", resource="tokens", **asked):
    items = agent.get("/budgets", **asked).json()["items"]
    return next(one for one in items if one["scope"] == scope and one["resource"] == resource)


def test_hold_settle_and_see_what_is_left(world, agent):
    held = hold(agent)
    assert held.status_code == 201
    assert list(held.json()) == list(examples.HOLD)
    assert [one["budget"] for one in held.json()["budgets"]] == [f"agent:{agent.agent_id}", "day"]
    assert list(mine(agent)) == list(examples.BUDGET)
    assert (mine(agent)["reserved"], mine(agent)["free"]) == (100, AGENT_CAP - 100)
    settled = agent.post(f"/budgets/holds/{held.json()['hold_id']}/settle", {"amount": 60})
    assert settled.json() == {
        "hold_id": held.json()["hold_id"], "state": "settled", "held": 100, "settled": 60, "returned": 40,
    }  # fmt: skip
    assert (mine(agent)["reserved"], mine(agent)["spent"]) == (0, 60)
    assert mine(agent, "day")["cap"] == DAY_CAP
    [listed] = agent.get("/budgets/holds").json()["items"]
    assert list(listed) == list(examples.HOLD_KEPT)
    assert (listed["state"], listed["settled"]) == ("settled", 60)
    assert agent.get("/budgets/holds", state="held").json()["items"] == []


def test_the_same_key_holds_and_settles_once(world, agent):
    first, again = hold(agent, key="k1"), hold(agent, key="k1")
    assert again.json() == first.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert mine(agent)["reserved"] == 100
    path = f"/budgets/holds/{first.json()['hold_id']}/settle"
    told = [agent.post(path, {"amount": 70}, key="k2").json() for _ in range(2)]
    assert told[0] == told[1]
    assert mine(agent)["spent"] == 70
    assert hold(agent, 5, key="k1").json()["code"] == "idempotency_key_reused"


def test_what_does_not_fit_says_what_is_and_when_it_renews(world, agent, problem_of):
    hold(agent, 150)
    problem = problem_of(hold(agent, AGENT_CAP), 409, "budget_exhausted")
    assert problem["field"] == "body.amount"
    told = {
        name: problem[name] for name in ("scope", "budget", "resource", "cap", "reserved", "spent", "free")
    }
    assert told == {
        "scope": "agent", "budget": f"agent:{agent.agent_id}", "resource": "tokens", "cap": AGENT_CAP,
        "reserved": 150, "spent": 0, "free": AGENT_CAP - 150,
    }  # fmt: skip
    assert problem["renews_at"] == "2026-01-02T00:00:00.000000Z"
    assert problem["transient"] is False


def test_problems_name_what_is_wrong(world, agent, problem_of):
    number = hold(agent).json()["hold_id"]
    path = f"/budgets/holds/{number}"
    more = problem_of(agent.post(f"{path}/settle", {"amount": 101}), 422, "more_than_held")
    assert (more["field"], more["held"]) == ("body.amount", 100)
    other = world.agent("other")
    assert problem_of(other.post(f"{path}/void"), 403, "forbidden")["field"] == "path.hold_id"
    agent.post(f"{path}/void")
    again = problem_of(agent.post(f"{path}/settle", {"amount": 1}), 409, "hold_resolved")
    assert again["state"] == "voided"
    assert problem_of(agent.post("/budgets/holds/999/void"), 404, "not_found")["field"] == "path.hold_id"
    assert problem_of(hold(agent, task_id=999), 404, "not_found")["field"] == "body.task_id"
    problem_of(hold(world.operator), 403, "forbidden")


@pytest.mark.parametrize(
    ("wrong", "field"),
    [({"amount": 0}, "amount"), ({"amount": 1.5}, "amount"), ({"resource": "wishes"}, "resource"),
     ({"expires_in_seconds": 0.5}, "expires_in_seconds"), ({"agent_id": 3}, "agent_id")],
)  # fmt: skip
def test_a_body_out_of_form_is_refused(sqlite_world, problem_of, wrong, field):
    agent = sqlite_world.agent("worker")
    body = {"resource": "tokens", "amount": 1, **wrong}
    problem = problem_of(agent.post("/budgets/holds", body), 422, "validation_failed")
    assert problem["field"] == f"body.{field}"


def test_a_hold_expires(world, agent, problem_of):
    number = hold(agent, expires_in_seconds=30).json()["hold_id"]
    world.platform.store.clock.advance(seconds(31))
    path = f"/budgets/holds/{number}/settle"
    assert problem_of(agent.post(path, {"amount": 1}), 409, "hold_expired")["state"] == "expired"
    with world.platform.store.write(actor="system:budget_hold_expiry") as tx:
        assert budget_governor.expire_due(tx) == {"expired": 1}
    assert mine(agent)["reserved"] == 0


def test_a_hold_for_a_task_shows_the_budgets_of_the_task(world, agent, pi_task):
    task_id = agent.post("/tasks", pi_task).json()["task_id"]
    held = hold(agent, 10, task_id=task_id).json()
    assert held["budgets"][0]["budget"] == f"task:{task_id}"
    assert held["budgets"][0]["renews_at"] is None
    assert mine(agent, "task", task_id=task_id)["reserved"] == 10


def test_only_the_operator_sets_limits_and_they_work_the_same_day(world, agent, problem_of):
    limit = {"budget": f"agent:{agent.agent_id}", "resource": "tokens", "amount": 50, "reason": "it loops"}
    problem_of(agent.post("/budgets/limits", limit), 403, "forbidden")
    hold(agent, 40)
    told = world.operator.post("/budgets/limits", limit)
    assert told.status_code == 201
    assert (told.json()["cap"], told.json()["free"]) == (50, 10)
    problem_of(hold(agent, 11), 409, "budget_exhausted")
    [kept] = agent.get("/budgets/limits").json()["items"]
    assert list(kept) == list(examples.LIMIT)
    assert (kept["actor"], kept["reason"], kept["amount"]) == ("operator", "it loops", 50)
    wrong = problem_of(
        world.operator.post("/budgets/limits", {**limit, "budget": "lap:1"}), 422, "invalid_value"
    )
    assert wrong["field"] == "body.budget"
    nobody = {**limit, "budget": "agent:999"}
    assert problem_of(world.operator.post("/budgets/limits", nobody), 404, "not_found")


def test_the_operator_sees_every_budget(world, agent, problem_of):
    hold(agent)
    page = world.operator.get("/budgets/open", limit=1).json()
    assert page["next_cursor"]
    items = world.operator.get("/budgets/open").json()["items"]
    assert {one["budget"] for one in items} == {f"agent:{agent.agent_id}", "day"}
    assert world.operator.get("/budgets/open", period="2026-01-02").json()["items"] == []
    problem_of(agent.get("/budgets/open"), 403, "forbidden")
    assert mine(world.operator, agent_id=agent.agent_id)["reserved"] == 100
    other = world.agent("other")
    problem_of(other.get("/budgets", agent_id=agent.agent_id), 403, "forbidden")
    assert other.get("/budgets/holds").json()["items"] == []
    assert len(world.operator.get("/budgets/holds").json()["items"]) == 1


def test_a_workflow_is_its_owner_s(world, agent, pi_task, problem_of):
    """Everybody says the plain name; whose workflow it is follows from who asks, or from the task."""
    task_id = agent.post("/tasks", {**pi_task, "workflow": "report"}).json()["task_id"]
    held = hold(agent, 10, workflow="report")
    assert [one["budget"] for one in held.json()["budgets"]][1] == "workflow:tests/report"
    assert mine(agent, "workflow", workflow="report")["reserved"] == 10
    assert mine(world.operator, "workflow", task_id=task_id)["reserved"] == 10
    assert mine(world.operator, "workflow", agent_id=agent.agent_id, workflow="report")["reserved"] == 10
    unsaid = problem_of(world.operator.get("/budgets", workflow="report"), 422, "invalid_value")
    assert unsaid["field"] == "query.workflow"
    limit = {"budget": "workflow:tests/report", "resource": "tokens", "amount": 15, "reason": "it loops"}
    assert world.operator.post("/budgets/limits", limit).json()["free"] == 5
    assert problem_of(hold(agent, 6, workflow="report"), 409, "budget_exhausted")["budget"] == limit["budget"]
    plain = world.operator.post("/budgets/limits", {**limit, "budget": "workflow:report"})
    assert "workflow:OWNER/NAME" in problem_of(plain, 422, "invalid_value")["detail"]
    longest = f"workflow:{'%25' * 80}/{'w' * 80}"
    assert world.operator.post("/budgets/limits", {**limit, "budget": longest}).json()["budget"] == longest
