"""The agent's cycle in one call: leases with the work, renewals, waiting without spinning, and events."""

import asyncio
import json
import threading
import time

import pytest

from app.api import listening
from app.api.waiting import WaitingRoom
from services.domain.clock import WallClock
from services.domain.events import Event, EventType
from services.domain.states import TaskKind, TaskState
from services.event_bus import publish, publish_all
from services.store import sql, tables
from services.store.tx import Store

HANDOFF = {"done": "", "changed": {}, "next": ""}


def won(world, pi_task, name="worker", count=1):
    """Return an agent with so many awards, and their tasks."""
    requester, worker = world.agent(f"requester-of-{name}"), world.agent(name)
    answer = requester.post("/batch/tasks", {"items": [pi_task] * count})
    ids = [item["task_id"] for item in answer.json()["results"]]
    worker.post("/batch/bids", {"items": [{"task_id": one, "ask_microcredits": 40_000} for one in ids]})
    world.close_windows()
    return worker, ids


def test_leases_come_with_the_work_in_one_call(world, pi_task):
    worker, ids = won(world, pi_task, count=2)
    told = worker.post("/agents/me/work", {"lease": True}).json()
    assert told["awards"] == []
    assert [lease["task_id"] for lease in told["leases"]] == ids
    lease = told["leases"][0]
    single = {"fencing_token", "expires_at", "timeout_seconds", "payload", "parameters"}
    assert set(lease) == single | {"task_id", "type", "kind"}
    body = {"fencing_token": lease["fencing_token"], "outcome": "completed", "handoff": HANDOFF}
    assert worker.post(f"/tasks/{ids[0]}/result", body).status_code == 200
    assert worker.post("/agents/me/work", {"lease": True}).json()["leases"] == []


def test_a_retry_under_the_same_key_gets_the_same_leases(world, pi_task):
    worker, ids = won(world, pi_task)
    first = worker.post("/agents/me/work", {"lease": True}, key="cycle")
    again = worker.post("/agents/me/work", {"lease": True}, key="cycle")
    assert [lease["task_id"] for lease in first.json()["leases"]] == ids
    assert again.content == first.content


def test_renewals_are_answered_one_by_one(world, pi_task):
    worker, ids = won(world, pi_task)
    lease = worker.post("/agents/me/work", {"lease": True}).json()["leases"][0]
    world.platform.store.clock.advance(1_000_000)
    held = {"task_id": ids[0], "fencing_token": lease["fencing_token"]}
    told = worker.post("/agents/me/work", {"renew": [held, {"task_id": ids[0], "fencing_token": 999}]}).json()
    assert "leases" not in told
    kept, lost = told["renewed"]
    assert kept["expires_at"] >= lease["expires_at"]
    assert (lost["code"], lost["status"], lost["task_id"]) == ("lease_lost", 409, ids[0])
    assert lost["field"] == "body.renew[1].fencing_token"


def test_an_old_agent_gets_what_it_always_got(sqlite_world):
    agent = sqlite_world.agent("old")
    assert agent.post("/agents/me/work", {}).json() == {
        "awards": [],
        "open": [],
        "next_after": None,
        "proposals": [],
    }


def test_what_is_open_comes_page_by_page(sqlite_world, pi_task):
    requester, worker = sqlite_world.agent("requester"), sqlite_world.agent("worker")
    ids = [requester.post("/tasks", pi_task).json()["task_id"] for _ in range(3)]
    first = worker.post("/agents/me/work", {"limit": 2}).json()
    assert ([item["task_id"] for item in first["open"]], first["next_after"]) == (ids[:2], ids[1])
    second = worker.post("/agents/me/work", {"limit": 2, "after": first["next_after"]}).json()
    assert ([item["task_id"] for item in second["open"]], second["next_after"]) == (ids[2:], None)
    with_lease = {"limit": 2, "after": ids[0], "lease": True}
    assert [item["task_id"] for item in worker.post("/agents/me/work", with_lease).json()["open"]] == ids[1:]


def test_leases_need_the_scope_to_bid(sqlite_world, problem_of):
    agent = sqlite_world.agent("voter", ["vote"])
    problem_of(agent.post("/agents/me/work", {"lease": True}), 403, "forbidden")
    problem_of(sqlite_world.operator.post("/agents/me/work", {}), 403, "forbidden")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"wait_seconds": 31}, "body.wait_seconds"),
        ({"wait_seconds": -1}, "body.wait_seconds"),
        ({"wait_seconds": "5"}, "body.wait_seconds"),
        ({"after": -1}, "body.after"),
        ({"lease": 1}, "body.lease"),
        ({"renew": [{"task_id": 1}]}, "body.renew[0].fencing_token"),
    ],
)
def test_a_wrong_question_is_named(sqlite_world, problem_of, body, field):
    answer = sqlite_world.agent("agent").post("/agents/me/work", body)
    assert problem_of(answer, 422, "validation_failed")["field"] == field


def test_a_call_with_nothing_to_do_waits_its_time(sqlite_world):
    agent = sqlite_world.agent("patient")
    began = time.monotonic()
    told = agent.post("/agents/me/work", {"wait_seconds": 0.4}).json()
    assert time.monotonic() - began >= 0.4
    assert told == {"awards": [], "open": [], "next_after": None, "proposals": []}


def test_a_call_with_something_to_do_does_not_wait(sqlite_world, pi_task):
    worker, ids = won(sqlite_world, pi_task)
    began = time.monotonic()
    told = worker.post("/agents/me/work", {"wait_seconds": 30}).json()
    assert time.monotonic() - began < 10
    assert [award["task_id"] for award in told["awards"]] == ids


def test_a_waiting_call_is_answered_when_its_award_comes(world, pi_task):
    requester, worker = world.agent("requester"), world.agent("worker")
    task_id = requester.post("/tasks", pi_task).json()["task_id"]
    worker.post(f"/tasks/{task_id}/bids", {"ask_microcredits": 40_000})
    told = {}

    def wait():
        told.update(worker.post("/agents/me/work", {"wait_seconds": 30, "lease": True}).json())

    thread = threading.Thread(target=wait)
    began = time.monotonic()
    thread.start()
    time.sleep(0.3)
    assert thread.is_alive(), "there was nothing to do yet"
    world.close_windows()
    thread.join(timeout=20)
    assert time.monotonic() - began < 15
    assert [lease["task_id"] for lease in told["leases"]] == [task_id]


def test_a_waiting_call_is_answered_when_a_task_of_its_type_is_posted(sqlite_world, pi_task):
    requester, worker, other = (sqlite_world.agent(name) for name in ("requester", "worker", "other"))
    told = {}

    def wait(agent, types, seconds):
        body = {"wait_seconds": seconds, "types": types}
        told[agent.agent_id] = agent.post("/agents/me/work", body).json()

    threads = [
        threading.Thread(target=wait, args=(worker, ["monte_carlo"], 30)),
        threading.Thread(target=wait, args=(other, ["ml_training"], 3)),
    ]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    task_id = requester.post("/tasks", pi_task).json()["task_id"]
    threads[0].join(timeout=20)
    assert [item["task_id"] for item in told[worker.agent_id]["open"]] == [task_id]
    threads[1].join(timeout=20)
    assert told[other.agent_id]["open"] == []


def say(store, kind, facts):
    with store.write(actor="system:test") as tx:
        return publish(tx, Event(kind, "task:1", facts))


class CountingRoom(WaitingRoom):
    looks = 0

    def _look(self, agents):
        self.looks += 1
        return super()._look(agents)


def test_thousands_wait_on_one_reader_and_only_whom_it_concerns_is_woken(sqlite_world):
    store = sqlite_world.platform.store
    room = CountingRoom(store)

    async def wait(agent_id, woken):
        with room.waiting(agent_id, ()) as waiter:
            while True:
                await waiter.woken_within(20)
                if waiter.taken():
                    woken.append(agent_id)
                    return

    async def run():
        woken = []
        began = time.monotonic()
        tasks = [asyncio.create_task(wait(number, woken)) for number in range(1, 2_001)]
        await asyncio.sleep(1.5)
        assert woken == []
        looks_idle, seconds_idle = room.looks, time.monotonic() - began
        await asyncio.to_thread(say, store, EventType.TASK_AWARDED, {"task_id": 1, "agent_id": 1_234})
        await asyncio.wait(tasks, timeout=15, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return woken, looks_idle, seconds_idle

    woken, looks_idle, seconds_idle = asyncio.run(run())
    assert woken == [1_234]
    assert looks_idle <= seconds_idle + 2, "one look a second, not one for each waiter"


@pytest.fixture
def postgresql_room(migrated_postgresql_url):
    """A room over PostgreSQL, where ids are given out before their rows are committed."""
    store = Store(migrated_postgresql_url, WallClock())
    yield store, WaitingRoom(store)
    store.close()


async def gathered(room, agent_id, types, act, count):
    """Return the notices of one waiter, and whether it was woken after the act."""
    with room.waiting(agent_id, types) as waiter:
        await waiter.woken_within(5)
        waiter.taken()
        await asyncio.to_thread(act)
        found, ends_at = [], time.monotonic() + 10
        await waiter.woken_within(5)
        is_woken = waiter.event.is_set()
        while len(found) < count and time.monotonic() < ends_at:
            await waiter.woken_within(1)
            found += waiter.taken()
        return found, is_woken


@pytest.mark.parametrize("begins", ["before", "after"])
def test_awards_that_commit_behind_newer_events_are_told_all_the_same(postgresql_room, begins):
    """Four hundred awards in one long transaction, which takes its ids before a shorter one commits."""
    store, room = postgresql_room
    facts = {"task_id": 1, "agent_id": 7}
    long = store.write(actor="system:test")
    tx = long.__enter__()

    def take_ids():
        publish_all(tx, [(None, Event(EventType.TASK_AWARDED, "task:1", facts))] * 400)
        say(store, EventType.BALLOT_CAST, {})

    def commit():
        if begins == "after":
            take_ids()
            time.sleep(1.5)
        long.__exit__(None, None, None)

    if begins == "before":
        take_ids()
    found, _ = asyncio.run(gathered(room, 7, (), commit, 400))
    assert [notice.name for notice in found] == ["award"] * 400
    assert len({notice.event_id for notice in found}) == 400


def test_a_task_whose_posting_commits_behind_newer_ones_wakes_who_waits_for_it(postgresql_room):
    store, room = postgresql_room
    row = {
        "kind": TaskKind.USER, "type": "monte_carlo", "state": TaskState.BIDDING, "public": {}, "private": {},
        "reserve_price_microcredits": 1, "attempt_count": 0, "maximum_attempts": 1, "posted_at_us": 1,
        "bids_close_at_us": 2, "deadline_at_us": 3,
    }  # fmt: skip

    def post_late():
        with store.write(actor="system:test") as slow:
            sql.insert(slow, tables.task, **row)
            with store.write(actor="system:test") as quick:
                sql.insert(quick, tables.task, **{**row, "type": "ml_training"})
            time.sleep(1.5)

    _, is_woken = asyncio.run(gathered(room, 7, ["monte_carlo"], post_late, 0))
    assert is_woken


def test_those_who_wait_are_let_go_when_the_server_ends(sqlite_world):
    room = WaitingRoom(sqlite_world.platform.store)

    async def run():
        with room.waiting(1, None) as waiter:
            await waiter.woken_within(5)
            waiter.taken()
            threading.Timer(0.1, room.close).start()
            began = time.monotonic()
            await waiter.woken_within(20)
            return time.monotonic() - began

    assert asyncio.run(run()) < 10


def read_events(texts):
    """Return (id, event, data) of what a stream has sent."""
    found = []
    for block in "".join(texts).split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if lines:
            found.append((int(lines["id"]), lines["event"], json.loads(lines["data"])))
    return found


async def first_of(store, room, agent_id, after, count, meanwhile=None):
    """Read a stream until it has sent `count` events."""
    response = await listening.stream_of(store, room, agent_id, after)
    assert response.media_type == "text/event-stream"
    texts = []
    async for text in response.body_iterator:
        texts.append(text)
        if meanwhile and len(texts) == 1:
            await asyncio.to_thread(meanwhile)
        if len(read_events(texts)) >= count:
            break
    await response.body_iterator.aclose()
    return read_events(texts)


def test_a_stream_tells_winners_and_losers_live_and_after_a_pause(world, pi_task):
    requester, one, two = (world.agent(name) for name in ("requester", "one", "two"))
    ids = [requester.post("/tasks", pi_task).json()["task_id"] for _ in range(2)]
    store = world.platform.store
    for agent, ask in ((one, 40_000), (two, 90_000)):
        agent.post(f"/tasks/{ids[0]}/bids", {"ask_microcredits": ask})
    one.post(f"/tasks/{ids[1]}/bids", {"ask_microcredits": ask})

    async def run():
        room = WaitingRoom(store)
        live = await first_of(store, room, one.agent_id, None, 2, world.close_windows)
        again = await first_of(store, room, one.agent_id, "0", 2)
        rest = await first_of(store, room, one.agent_id, str(live[0][0]), 1)
        other = await first_of(store, room, two.agent_id, "0", 1)
        room.close()
        return live, again, rest, other

    live, again, rest, other = asyncio.run(run())
    assert live == again
    assert rest == live[1:]
    assert {facts["task_id"] for _, _, facts in live} == set(ids)
    names = {facts["task_id"]: name for _, name, facts in live}
    assert {names[ids[0]], other[0][1]} == {"award", "window_closed"}
    assert other[0][2] == {"task_id": ids[0]}


def test_streams_are_few_and_resume_only_behind_an_event(sqlite_world, problem_of):
    agent = sqlite_world.agent("listener")
    room = sqlite_world.client.app.state.waiting_room
    headers = {**agent.headers, "Last-Event-ID": "yesterday"}
    wrong = sqlite_world.client.get("/api/v1/agents/me/events", headers=headers)
    assert problem_of(wrong, 422, "invalid_value")["field"] == "header.Last-Event-ID"

    async def crowd():
        contexts = [room.waiting(agent.agent_id, ()) for _ in range(listening.STREAMS_PER_AGENT)]
        for context in contexts:
            context.__enter__()
        try:
            with pytest.raises(listening.TooManyStreamsError):
                await listening.stream_of(sqlite_world.platform.store, room, agent.agent_id, None)
        finally:
            for context in contexts:
                context.__exit__(None, None, None)

    asyncio.run(crowd())
    problem_of(sqlite_world.operator.get("/agents/me/events"), 403, "forbidden")
