"""One act per key, on both engines: replays byte for byte, conflicts, refusals not recorded, races."""

from concurrent.futures import ThreadPoolExecutor

import pytest


def test_the_same_request_gets_the_same_bytes_and_acts_once(world, pi_task):
    requester = world.agent("requester")
    first = requester.post("/tasks", pi_task, key="k")
    world.platform.store.clock.advance(5_000_000)
    again = requester.post("/tasks", pi_task, key="k")
    assert (again.status_code, again.content) == (201, first.content)
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert len(requester.get("/tasks").json()["items"]) == 1


def test_another_body_or_path_under_the_same_key_is_refused(world, pi_task, problem_of):
    requester = world.agent("requester")
    task_id = requester.post("/tasks", pi_task, key="k").json()["task_id"]
    other = requester.post("/tasks", {**pi_task, "reserve_price_microcredits": 5}, key="k")
    assert problem_of(other, 409, "idempotency_key_reused")["field"] == "header.Idempotency-Key"
    cancel = requester.post(f"/tasks/{task_id}/cancel", {"reason": "x"}, key="k")
    problem_of(cancel, 409, "idempotency_key_reused")


def test_a_key_belongs_to_its_caller(world, pi_task):
    one, two = world.agent("one"), world.agent("two")
    first = one.post("/tasks", pi_task, key="shared").json()
    second = two.post("/tasks", pi_task, key="shared").json()
    assert first["task_id"] != second["task_id"]


def test_a_refusal_is_not_recorded(world, pi_task, problem_of):
    requester, bidder = world.agent("requester"), world.agent("bidder")
    body = {"ask_microcredits": 40_000}
    problem_of(bidder.post("/tasks/1/bids", body, key="bid"), 404, "not_found")
    assert requester.post("/tasks", pi_task).json()["task_id"] == 1
    assert bidder.post("/tasks/1/bids", body, key="bid").status_code == 201


@pytest.mark.parametrize("key", ["", "two words", "ü", "x" * 121])
def test_a_malformed_key_is_refused(sqlite_world, pi_task, problem_of, key):
    requester = sqlite_world.agent("requester")
    headers = {**requester.headers, "Idempotency-Key": key.encode()}
    answer = sqlite_world.client.post("/api/v1/tasks", json=pi_task, headers=headers)
    problem_of(answer, 400, "idempotency_key_invalid")


def test_a_missing_key_is_refused(sqlite_world, pi_task, problem_of):
    requester = sqlite_world.agent("requester")
    answer = sqlite_world.client.post("/api/v1/tasks", json=pi_task, headers=requester.headers)
    assert problem_of(answer, 400, "idempotency_key_missing")["field"] == "header.Idempotency-Key"


def test_a_replayed_registration_shows_the_same_key_though_it_is_stored_nowhere(world):
    body = {"name": "worker", "owner": "tests", "scopes": ["bid"], "vouched": False}
    first = world.operator.post("/agents", body, key="register")
    again = world.operator.post("/agents", body, key="register")
    assert (again.status_code, again.content) == (201, first.content)
    api_key = first.json()["api_key"]
    assert api_key.startswith("nac_")
    with world.platform.store.read() as tx:
        tables = ("agent", "idempotency", "ledger_entry", "event")
        stored = [tx.connection.exec_driver_sql(f"SELECT * FROM {name}").fetchall() for name in tables]
    assert api_key not in str(stored)
    assert api_key.removeprefix("nac_") not in str(stored)


def test_calls_that_race_under_one_key_act_once(world, pi_task):
    requester = world.agent("requester")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: requester.post("/tasks", pi_task, key="race"), range(16)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
    assert len(requester.get("/tasks").json()["items"]) == 1
