"""Pages that miss nothing and repeat nothing, the ledger over HTTP, operators' lists, health."""

import json

from app.keys import is_signed_by
from services import evolution_ledger
from services.domain.hash_chain import from_hex, verify_inclusion
from services.domain.states import DeliveryState
from services.store import sql, tables


def walk(caller, path, **query):
    """Yield the items of each page until there is no next one."""
    cursor = None
    while True:
        page = caller.get(path, **query, **({"cursor": cursor} if cursor else {})).json()
        yield page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return


def test_pages_are_complete_while_tasks_are_posted(world, pi_task):
    requester = world.agent("requester")
    posted = [requester.post("/tasks", pi_task).json()["task_id"] for _ in range(7)]
    newest = []
    for items in walk(requester, "/tasks", limit=3):
        newest += [item["task_id"] for item in items]
        requester.post("/tasks", pi_task)
    assert newest == posted[::-1]
    everything = requester.get("/tasks", limit=500).json()["items"]
    oldest = [
        item["task_id"] for items in walk(requester, "/tasks", limit=4, order="oldest") for item in items
    ]
    assert oldest == sorted(item["task_id"] for item in everything)


def test_a_cursor_serves_only_its_own_order(sqlite_world, pi_task, problem_of):
    requester = sqlite_world.agent("requester")
    for _ in range(3):
        requester.post("/tasks", pi_task)
    cursor = requester.get("/tasks", limit=1).json()["next_cursor"]
    problem_of(requester.get("/tasks", cursor=cursor, order="oldest"), 422, "invalid_cursor")


def test_the_page_that_ends_exactly_has_no_next(sqlite_world, pi_task):
    requester = sqlite_world.agent("requester")
    for _ in range(2):
        requester.post("/tasks", pi_task)
    assert requester.get("/tasks", limit=2).json()["next_cursor"] is None


def test_parameters_come_in_pages_by_name(world):
    names = [item["name"] for items in walk(world.operator, "/parameters", limit=5) for item in items]
    assert names == [parameter.name for parameter in world.platform.registry]


def test_a_parameter_says_where_its_value_comes_from(world):
    shown = world.operator.get("/parameters/market.cooling").json()
    assert (shown["value"], shown["source"], shown["version"]) == ("4", "default", 1)
    assert [change["version"] for change in shown["history"]] == [1]


def test_a_rollback_of_what_was_never_promoted_is_refused(world, problem_of):
    answer = world.operator.post("/parameters/market.cooling/rollback", {"reason": "because"})
    problem_of(answer, 404, "not_found")


def test_the_ledger_proves_itself_over_http(world):
    entries = world.operator.get("/ledger", order="oldest").json()["items"]
    assert entries[0]["type"] == "GENESIS"
    assert world.operator.get("/ledger/0").json() == {**entries[0], "corrections": []}
    point = world.operator.get("/ledger/checkpoint").json()
    assert entries[0]["payload"]["origin"] == point["origin"]
    assert is_signed_by(point["note"], world.platform.signer.verifier_key)
    proof = world.operator.get("/ledger/0/inclusion").json()
    nodes = [from_hex(node) for node in proof["proof"]]
    leaf, root = from_hex(entries[0]["leaf_hash"]), from_hex(point["root"])
    assert verify_inclusion(leaf, 0, point["size"], nodes, root)
    grown = world.operator.get("/ledger/consistency", **{"from": 1, "to": point["size"]}).json()
    assert grown["to_root"] == point["root"]


def test_an_export_is_audited_from_its_bytes_alone(world):
    answer = world.operator.get("/ledger/export")
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = answer.content.splitlines(keepends=True)
    assert json.loads(lines[0])["kind"] == "checkpoint"
    evolution_ledger.verify_export(lines)


def test_a_dead_letter_is_seen_and_replayed(world, problem_of):
    with world.platform.store.write(actor="system:test") as tx:
        event_id = sql.insert(
            tx, tables.event, type="TaskEnded", aggregate="task:1", payload={"task_id": 1}, actor="x",
            published_at_us=tx.now_us,
        )  # fmt: skip
        sql.insert(
            tx, tables.delivery, event_id=event_id, subscriber="resolve", state=DeliveryState.DEAD,
            attempts=8, next_attempt_at_us=tx.now_us, last_error="KeyError: x",
        )  # fmt: skip
    letter = world.operator.get("/dead-letters").json()["items"][0]
    assert (letter["event_type"], letter["last_error"]) == ("TaskEnded", "KeyError: x")
    path = f"/dead-letters/{letter['delivery_id']}/replay"
    assert world.operator.post(path).json()["state"] == "pending"
    assert world.operator.get("/dead-letters").json()["items"] == []
    problem_of(world.operator.post(path), 409, "conflict")


def test_review_items_are_opened_listed_and_closed(world, problem_of):
    body = {"kind": "agent_crashes", "subject": "worker-1", "context": {"crashes": 12}}
    item_id = world.operator.post("/review-items", body).json()["item_id"]
    item = world.operator.get("/review-items", open=True).json()["items"][0]
    assert (item["item_id"], item["context"], item["closed_at"]) == (item_id, {"crashes": 12}, None)
    assert world.operator.post(f"/review-items/{item_id}/close").json()["state"] == "closed"
    assert world.operator.get("/review-items", open=True).json()["items"] == []
    problem_of(world.operator.post(f"/review-items/{item_id}/close"), 409, "conflict")


def test_cron_shows_every_job_with_its_last_tick(world):
    with world.platform.store.write(actor="system:test") as tx:
        sql.insert(
            tx, tables.cron_tick, job="auto_accept_bids", due_at_us=1, claimed_by="p", state="done",
            priority=0, budget_us=20_000_000, started_at_us=2, ended_at_us=3, result={"awarded": 4},
        )  # fmt: skip
    shown = world.operator.get("/cron").json()
    last = {job["job"]: job["last_tick"] for job in shown["jobs"]}
    assert {"platform_metrics_snapshot", "agent_autonomy_scan", "autodream_consolidation"} <= set(last)
    assert last["auto_accept_bids"]["result"] == {"awarded": 4}
    assert last["autodream_consolidation"] is None
    assert [tick["job"] for tick in shown["history"]["items"]] == ["auto_accept_bids"]
