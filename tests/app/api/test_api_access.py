"""Who may do what: keys, scopes, the operator's acts."""

import pytest

HANDOFF = {"done": "", "changed": {}, "next": ""}
RESULT = {"fencing_token": 1, "outcome": "completed", "handoff": HANDOFF}
PROPOSAL = {
    "parameter": "market.cooling",
    "to": "5",
    "expected_effect": "0.2",
    "root_cause": "x",
    "evidence": [1],
    "cap_tasks": 100,
    "cap_days": 7,
}
NEEDS_SCOPE = [
    ("post", "/tasks", {"type": "monte_carlo", "payload": {}}),
    ("post", "/tasks/1/cancel", {"reason": "x"}),
    ("bid", "/tasks/1/bids", {"ask_microcredits": 1}),
    ("bid", "/tasks/1/lease", {}),
    ("bid", "/tasks/1/heartbeat", {"fencing_token": 1}),
    ("bid", "/tasks/1/result", RESULT),
    ("propose", "/proposals", PROPOSAL),
    ("propose", "/proposals/1/withdraw", {}),
    ("vote", "/proposals/1/ballots", {"choice": "for"}),
]
OPERATORS_ONLY = [
    ("/agents", {"name": "n", "owner": "o", "scopes": []}),
    ("/parameters/market.cooling/rollback", {"reason": "x"}),
    ("/dead-letters/1/replay", {}),
    ("/cron/books_audit/run", {"reason": "x"}),
    ("/cron/books_audit/pause", {"reason": "x"}),
    ("/cron/books_audit/resume", {"reason": "x"}),
    ("/review-items", {"kind": "k", "subject": "s"}),
    ("/review-items/1/close", {}),
]
READABLE = [
    "/agents",
    "/agents/1",
    "/tasks",
    "/metrics/success",
    "/episodes",
    "/parameters",
    "/parameters/market.cooling",
    "/proposals",
    "/experiments",
    "/ledger",
    "/ledger/0",
    "/ledger/0/inclusion",
    "/ledger/consistency?from=1&to=1",
    "/ledger/checkpoint",
    "/ledger/export",
    "/laps",
    "/dead-letters",
    "/events",
    "/cron",
    "/review-items",
]


@pytest.mark.parametrize(("scope", "path", "body"), NEEDS_SCOPE)
def test_a_key_without_the_scope_is_refused(sqlite_world, problem_of, scope, path, body):
    others = [name for name in ("post", "bid", "propose", "vote") if name != scope]
    problem = problem_of(sqlite_world.agent("limited", others).post(path, body), 403, "forbidden")
    assert scope in problem["detail"]


@pytest.mark.parametrize(("path", "body"), OPERATORS_ONLY)
def test_an_operators_act_needs_the_operator_key(sqlite_world, problem_of, path, body):
    problem_of(sqlite_world.agent("agent").post(path, body), 403, "forbidden")


@pytest.mark.parametrize(("path", "body"), [item[1:] for item in NEEDS_SCOPE[2:]])
def test_the_operator_cannot_act_as_an_agent(sqlite_world, problem_of, path, body):
    problem_of(sqlite_world.operator.post(path, body), 403, "forbidden")


@pytest.mark.parametrize("path", READABLE)
def test_every_reading_needs_a_key_and_no_scope(sqlite_world, problem_of, path):
    refused = sqlite_world.nobody.get(path)
    problem_of(refused, 401, "unauthenticated")
    assert refused.headers["www-authenticate"] == "Bearer"
    for caller in (sqlite_world.agent("reader", []), sqlite_world.operator):
        answer = caller.get(path)
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    "value", ["", "Bearer", "Bearer ", "Basic bm9wXw==", "Bearer nac_wrong", "Bearer " + "x" * 9999]
)
def test_anything_but_a_known_key_is_nobody(sqlite_world, problem_of, value):
    answer = sqlite_world.client.get("/api/v1/tasks", headers={"Authorization": value})
    problem_of(answer, 401, "unauthenticated")


def test_a_stranger_learns_nothing_from_a_bad_body(sqlite_world, problem_of):
    problem_of(sqlite_world.nobody.post("/agents", {"name": 3}), 401, "unauthenticated")


def test_me_is_the_agent_of_the_key(sqlite_world, problem_of):
    agent = sqlite_world.agent("me")
    assert agent.get("/agents/me").json()["agent_id"] == agent.agent_id
    problem_of(sqlite_world.operator.get("/agents/me"), 403, "forbidden")


def test_asking_for_work_is_a_sign_of_life(sqlite_world):
    agent = sqlite_world.agent("alive")
    before = agent.get("/agents/me").json()["last_active_at"]
    sqlite_world.platform.store.clock.advance(60_000_000)
    assert agent.post("/agents/me/work", {}).json() == {
        "awards": [],
        "open": [],
        "next_after": None,
        "proposals": [],
    }
    assert agent.get("/agents/me").json()["last_active_at"] > before
