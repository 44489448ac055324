"""A task's whole life over HTTP, on both engines: sealed bids, award, lease, verification, pay."""

from app.tasks.registry import TASK_TYPE_REGISTRY
from services import meta_task_market
from services.store import sql, tables


def finish(world, worker, task_id):
    """Take the lease, really do the work, and hand it in."""
    lease = worker.post(f"/tasks/{task_id}/lease").json()
    result = TASK_TYPE_REGISTRY["monte_carlo"].load_tool()(lease["payload"], 1.0, lease["timeout_seconds"])
    handoff = {"done": "estimated", "changed": result, "next": ""}
    body = {"fencing_token": lease["fencing_token"], "outcome": "completed", "handoff": handoff}
    return lease, worker.post(f"/tasks/{task_id}/result", body)


def test_a_task_is_posted_bid_on_awarded_done_verified_and_paid(world, pi_task):
    requester, first, second = world.agent("requester"), world.agent("first"), world.agent("second")
    posted = requester.post("/tasks", pi_task)
    assert posted.status_code == 201
    task_id = posted.json()["task_id"]
    assert posted.json()["state"] == "bidding"
    assert "check_seed" not in posted.text

    work = first.post("/agents/me/work", {"types": None, "limit": 10}).json()
    assert [item["task_id"] for item in work["open"]] == [task_id]
    assert work["open"][0]["has_bid"] is False
    assert first.post(f"/tasks/{task_id}/bids", {"ask_microcredits": 40_000}).status_code == 201
    assert second.post(f"/tasks/{task_id}/bids", {"ask_microcredits": 90_000}).status_code == 201
    assert first.post("/agents/me/work", {}).json()["open"] == []

    assert world.close_windows() == {"awarded": 1, "without_bids": 0}
    task = requester.get(f"/tasks/{task_id}").json()
    assert task["state"] == "awarded"
    winner = {first.agent_id: first, second.agent_id: second}[task["awarded_agent_id"]]
    loser = second if winner is first else first
    assert [item["task_id"] for item in winner.post("/agents/me/work", {}).json()["awards"]] == [task_id]

    assert loser.post(f"/tasks/{task_id}/lease").status_code == 403
    lease, answer = finish(world, winner, task_id)
    assert (answer.status_code, answer.json()) == (200, {"state": "submitted"})
    assert lease["parameters"]["monte_carlo.timeout_seconds"]["source"] in ("default", "holdout")
    assert world.deliver() > 0

    life = requester.get(f"/tasks/{task_id}").json()
    assert (life["state"], life["end_reason"]) == ("settled", "verified")
    assert 40_000 <= life["paid_microcredits"] <= 100_000
    assert life["attempts"][0]["handoff"]["done"] == "estimated"
    assert life["transfers"]
    assert sorted(bid["ask_microcredits"] for bid in life["bids"]) == [40_000, 90_000]
    me = winner.get("/agents/me").json()
    assert (me["settled_jobs"], me["verified_jobs"]) == (1, 1)
    assert me["records"][0] == {"task_type": "monte_carlo", "jobs": 1, "verified": 1, "success_rate": 1.0}


def test_asks_stay_sealed_until_the_window_has_closed(world, pi_task):
    requester, bidder = world.agent("requester"), world.agent("bidder")
    task_id = requester.post("/tasks", pi_task).json()["task_id"]
    bidder.post(f"/tasks/{task_id}/bids", {"ask_microcredits": 43_210})
    for caller in (requester, bidder, world.operator):
        shown = caller.get(f"/tasks/{task_id}")
        assert shown.json()["bids"] == []
        assert "43210" not in shown.text + caller.get("/tasks").text
    world.platform.store.clock.advance(301_000_000)
    assert requester.get(f"/tasks/{task_id}").json()["bids"] == []
    world.close_windows()
    assert requester.get(f"/tasks/{task_id}").json()["bids"][0]["ask_microcredits"] == 43_210


def test_asks_of_a_task_cancelled_inside_its_window_stay_sealed(world, pi_task):
    requester, bidder = world.agent("requester"), world.agent("bidder")
    task_id = requester.post("/tasks", pi_task).json()["task_id"]
    bidder.post(f"/tasks/{task_id}/bids", {"ask_microcredits": 43_210})
    before = world.platform.store.clock.now_us()
    assert requester.post(f"/tasks/{task_id}/cancel", {"reason": "no"}).json() == {"state": "cancelled"}
    assert requester.get(f"/tasks/{task_id}").json()["bids"] == []
    world.platform.store.clock.advance(301_000_000)
    assert world.platform.store.clock.now_us() > before
    assert len(requester.get(f"/tasks/{task_id}").json()["bids"]) == 1


def test_a_late_result_is_refused_and_kept_once(world, pi_task, problem_of):
    requester, worker = world.agent("requester"), world.agent("worker")
    task_id = requester.post("/tasks", pi_task).json()["task_id"]
    worker.post(f"/tasks/{task_id}/bids", {"ask_microcredits": 40_000})
    world.close_windows()
    lease = worker.post(f"/tasks/{task_id}/lease").json()
    world.platform.store.clock.advance(120_000_000)
    body = {
        "fencing_token": lease["fencing_token"],
        "outcome": "completed",
        "handoff": {"done": "too late", "changed": {}, "next": ""},
    }
    for _ in range(2):
        problem_of(worker.post(f"/tasks/{task_id}/result", body), 409, "stale_fencing_token")
    assert requester.get(f"/tasks/{task_id}").json()["late_results"] == [], "another agent could hand it in"
    for _ in range(3):
        world.platform.store.clock.advance(30 * 86_400_000_000)
        with world.platform.store.write(actor="system:test") as tx:
            meta_task_market.expire_due(tx, lambda size: bytes(range(size)))
    kept = requester.get(f"/tasks/{task_id}").json()["late_results"]
    assert [row["handoff"]["done"] for row in kept] == ["too late"]


def test_open_bids_are_told_to_nobody_but_their_bidder_and_the_operator(world, pi_task):
    requester, worker = world.agent("requester"), world.agent("worker")
    task_id = requester.post("/tasks", pi_task).json()["task_id"]
    worker.post(f"/tasks/{task_id}/bids", {"ask_microcredits": 40_000})
    own = f"/agents/{worker.agent_id}"
    told = [worker.get("/agents/me"), worker.get(own), world.operator.get(own), requester.get(own)]
    assert [answer.json()["open_bids"] for answer in told] == [1, 1, 1, None]

    def listed(caller):
        return {row["agent_id"]: row["open_bids"] for row in caller.get("/agents").json()["items"]}

    assert listed(requester) == {requester.agent_id: None, worker.agent_id: None}
    assert listed(world.operator) == {requester.agent_id: 0, worker.agent_id: 1}


def test_a_foreign_lease_is_out_of_reach(world, pi_task, problem_of):
    requester, worker, other = world.agent("requester"), world.agent("worker"), world.agent("other")
    task_id = requester.post("/tasks", pi_task).json()["task_id"]
    worker.post(f"/tasks/{task_id}/bids", {"ask_microcredits": 40_000})
    world.close_windows()
    token = worker.post(f"/tasks/{task_id}/lease").json()["fencing_token"]
    handoff = {"done": "", "changed": {}, "next": ""}
    body = {"fencing_token": token, "outcome": "completed", "handoff": handoff}
    problem_of(other.post(f"/tasks/{task_id}/heartbeat", {"fencing_token": token}), 409, "lease_lost")
    problem_of(other.post(f"/tasks/{task_id}/result", body), 409, "stale_fencing_token")
    with world.platform.store.read() as tx:
        assert sql.find_all(tx, tables.late_result) == [], "it was never awarded to this agent"
    problem_of(other.post(f"/tasks/{task_id}/cancel", {"reason": "mine"}), 403, "forbidden")
    assert worker.post(f"/tasks/{task_id}/heartbeat", {"fencing_token": token}).status_code == 200
    assert requester.get(f"/tasks/{task_id}").json()["state"] == "leased"


def test_the_reserve_price_defaults_to_the_parameter_in_force(world, pi_task):
    del pi_task["reserve_price_microcredits"]
    task = world.operator.post("/tasks", pi_task).json()
    parameter = world.operator.get("/parameters/monte_carlo.reserve_price_microcredits").json()
    assert task["reserve_price_microcredits"] == int(parameter["value"])
    assert task["requester_id"] is None


def test_tasks_are_filtered_as_asked(world, pi_task):
    one, two = world.agent("one"), world.agent("two")
    mine = one.post("/tasks", pi_task).json()["task_id"]
    theirs = two.post("/tasks", pi_task).json()["task_id"]
    two.post(f"/tasks/{theirs}/cancel", {"reason": "changed my mind"})

    def ids(caller, **query):
        return [item["task_id"] for item in caller.get("/tasks", **query).json()["items"]]

    assert ids(one) == [theirs, mine]
    assert ids(one, order="oldest") == [mine, theirs]
    assert ids(one, requester="me") == [mine]
    assert ids(one, state="cancelled") == [theirs]
    assert ids(one, type="monte_carlo", kind="user") == [theirs, mine]
    assert ids(one, type="ml_training") == []
    assert ids(one, kind="meta") == []
    assert ids(one, ended_after="2020-01-01T00:00:00Z") == [theirs]
    assert ids(one, ended_after="2099-01-01T00:00:00Z") == []
