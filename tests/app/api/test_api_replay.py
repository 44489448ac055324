"""Replays over HTTP: any agent may have an award recomputed, and is told why where it may not."""

from app.api.routers.replays import REPLAY
from services.store import sql, tables


def keys(value):
    """Return the shape of a JSON value: the keys of its objects, the first item of its lists."""
    if isinstance(value, dict):
        return {name: keys(item) for name, item in value.items()}
    return [keys(value[0])] if isinstance(value, list) and value else None


def test_any_agent_may_have_an_award_recomputed(world, pi_task):
    requester, worker, stranger = world.agent("requester"), world.agent("worker"), world.agent("stranger")
    task_id = requester.post("/tasks", pi_task).json()["task_id"]
    assert stranger.get(f"/tasks/{task_id}/replay").json()["code"] == "not_awarded"
    worker.post(f"/tasks/{task_id}/bids", {"ask_microcredits": 40_000})
    world.close_windows()
    for caller in (stranger, world.operator):
        told = caller.get(f"/tasks/{task_id}/replay")
        assert told.status_code == 200
        assert told.json()["is_confirmed"] is True
    with world.platform.store.write(actor="test") as tx:
        sql.update(tx, tables.award, {"task_id": task_id}, price_microcredits=1)
    told = stranger.get(f"/tasks/{task_id}/replay").json()
    assert told["is_confirmed"] is False
    (difference,) = told["awards"][0]["differences"]
    assert (difference["what"], difference["recorded"]) == ("price", 1)
    assert keys(told) == keys(REPLAY)


def test_what_cannot_be_replayed_is_refused_by_name(world):
    agent = world.agent("agent")
    assert agent.get("/tasks/7/replay").status_code == 404
    assert agent.get("/tasks/0/replay").status_code == 422
    assert world.nobody.get("/tasks/7/replay").status_code == 401
