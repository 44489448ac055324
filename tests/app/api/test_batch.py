"""Many items in one call, on both engines: each is answered by itself, once, in order."""

from concurrent.futures import ThreadPoolExecutor

import pytest

HANDOFF = {"done": "estimated", "changed": {"estimate": 3.1}, "next": ""}


def posted(requester, pi_task, count):
    answer = requester.post("/batch/tasks", {"items": [pi_task] * count})
    assert answer.status_code == 200, answer.text
    assert [item["status"] for item in answer.json()["results"]] == [201] * count
    return [item["task_id"] for item in answer.json()["results"]]


def test_a_market_cycle_in_five_calls(world, pi_task):
    requester, worker = world.agent("requester"), world.agent("worker")
    ids = posted(requester, pi_task, 3)
    bids = [{"task_id": number, "ask_microcredits": 40_000} for number in ids]
    placed = worker.post("/batch/bids", {"items": bids}).json()["results"]
    assert len({item["bid_id"] for item in placed}) == 3
    world.close_windows()
    leases = worker.post("/batch/leases", {"items": [{"task_id": number} for number in ids]}).json()[
        "results"
    ]
    assert [item["status"] for item in leases] == [200, 200, 200]
    assert leases[0]["payload"]["samples"] == pi_task["payload"]["samples"]
    held = [
        {"task_id": number, "fencing_token": lease["fencing_token"]}
        for number, lease in zip(ids, leases, strict=True)
    ]
    renewed = worker.post("/batch/heartbeats", {"items": held}).json()["results"]
    assert all(item["expires_at"] for item in renewed)
    results = [{**item, "outcome": "completed", "handoff": HANDOFF} for item in held]
    handed_in = worker.post("/batch/results", {"items": results}).json()["results"]
    assert handed_in == [{"status": 200, "state": "submitted"}] * 3
    assert {requester.get(f"/tasks/{number}").json()["state"] for number in ids} == {"submitted"}


def test_a_posted_task_is_answered_as_it_is_shown(world, pi_task):
    for requester in (world.agent("requester"), world.operator):
        answer = requester.post("/tasks", pi_task)
        shown = requester.get(f"/tasks/{answer.json()['task_id']}")
        assert answer.json() == shown.json()
        assert list(answer.json()) == list(shown.json())
        assert [item["kind"] for item in shown.json()["transfers"]], "its price is reserved"


def test_a_refused_item_spoils_no_other(world, pi_task):
    requester, bidder = world.agent("requester"), world.agent("bidder")
    one, two = posted(requester, pi_task, 2)
    items = [
        {"task_id": one, "ask_microcredits": 40_000},
        {"task_id": one, "ask_microcredits": 30_000},
        {"task_id": 999, "ask_microcredits": 40_000},
        {"task_id": two, "ask_microcredits": 0},
        {"task_id": two, "ask_microcredits": 100_001},
        {"task_id": two},
        "nonsense",
        {"task_id": two, "ask_microcredits": 40_000, "confidence_percent": 90},
    ]
    results = bidder.post("/batch/bids", {"items": items}).json()["results"]
    assert [item["status"] for item in results] == [201, 409, 404, 422, 422, 422, 422, 201]
    told = [(item["code"], item.get("field")) for item in results if "code" in item]
    assert told == [
        ("already_bid", "body.items[1].task_id"),
        ("not_found", "body.items[2].task_id"),
        ("validation_failed", "body.items[3].ask_microcredits"),
        ("ask_out_of_bounds", "body.items[4].ask_microcredits"),
        ("validation_failed", "body.items[5].ask_microcredits"),
        ("validation_failed", "body.items[6]"),
    ]
    assert all(item["type"] == f"urn:nacre:problem:{item['code']}" for item in results if "code" in item)


def test_tasks_that_their_type_or_purse_refuses_are_refused_alone(world, pi_task):
    requester = world.agent("requester", vouched=False)
    dear = {**pi_task, "reserve_price_microcredits": 99_000_000}
    items = [dear, {**pi_task, "payload": {}}, {**pi_task, "type": "none"}, dear, pi_task]
    results = requester.post("/batch/tasks", {"items": items}).json()["results"]
    assert [item["status"] for item in results] == [201, 422, 422, 402, 201]
    assert [item.get("field") for item in results[1:3]] == [
        "body.items[1].payload.model",
        "body.items[2].type",
    ]
    assert len(requester.get("/tasks").json()["items"]) == 2


def test_one_key_covers_the_whole_batch(world, pi_task, problem_of):
    requester = world.agent("requester")
    body = {"items": [pi_task, {}]}
    first = requester.post("/batch/tasks", body, key="b")
    again = requester.post("/batch/tasks", body, key="b")
    assert (again.status_code, again.content) == (200, first.content)
    assert again.headers["idempotent-replayed"] == "true"
    assert len(requester.get("/tasks").json()["items"]) == 1
    other = requester.post("/batch/tasks", {"items": [pi_task]}, key="b")
    problem_of(other, 409, "idempotency_key_reused")


@pytest.mark.parametrize(
    "body", [{}, {"items": []}, {"items": {}}, {"items": [{}] * 501}, {"items": [1], "x": 1}]
)
def test_a_list_that_is_none_is_refused_whole(sqlite_world, problem_of, body):
    answer = sqlite_world.agent("agent").post("/batch/bids", body)
    problem_of(answer, 422, "validation_failed")


def test_five_hundred_items_are_taken(sqlite_world, pi_task):
    assert len(posted(sqlite_world.agent("requester"), pi_task, 500)) == 500


@pytest.mark.parametrize(
    ("path", "scope"),
    [("tasks", "post"), ("bids", "bid"), ("leases", "bid"), ("heartbeats", "bid"), ("results", "bid")],
)
def test_a_batch_needs_the_scope_of_its_single_route(sqlite_world, problem_of, path, scope):
    others = [name for name in ("post", "bid", "propose", "vote") if name != scope]
    agent = sqlite_world.agent("limited", others)
    problem_of(agent.post(f"/batch/{path}", {"items": [{}]}), 403, "forbidden")


def test_bids_of_many_clients_that_race_are_each_placed_once(world, pi_task):
    requester = world.agent("requester")
    ids = posted(requester, pi_task, 4)
    bidders = [world.agent(f"bidder-{number}") for number in range(6)]
    calls = [(bidder, number) for bidder in bidders for number in ids] * 2

    def place(call):
        bidder, number = call
        key = f"{bidder.agent_id}-{number}"
        return bidder.post(f"/tasks/{number}/bids", {"ask_microcredits": 9_000 + number}, key=key)

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(place, calls))
    assert {answer.status_code for answer in answers} == {201}
    assert sum("idempotent-replayed" in answer.headers for answer in answers) == len(calls) // 2
    assert len({answer.json()["bid_id"] for answer in answers}) == len(calls) // 2
    writer = world.platform.writer
    assert writer.acts >= writer.commits
