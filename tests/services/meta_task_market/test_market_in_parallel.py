"""Many agents and jobs at the same time, each in its own thread: nothing is lost or doubled."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor

from services.domain.errors import NacreError
from services.domain.states import TaskState
from services.store import tables
from tests.services.meta_task_market import market_invariants

TASKS = 16
AGENTS = 5
WINDOW_SECONDS = 300


def everybody_at_once(*acts):
    """Run the acts at the same time and raise what any of them raised."""
    start = threading.Barrier(len(acts))

    def run(act):
        start.wait(timeout=30)
        return act()

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


def refused(act, *arguments, **named):
    try:
        act(*arguments, **named)
    except NacreError:
        return True
    return False


def test_one_window_is_awarded_once_by_many_jobs(market, requester):
    agents = [market.agent() for _ in range(AGENTS)]
    for _ in range(TASKS):
        task_id = market.post(requester)
        for agent_id in agents:
            market.bid(agent_id, task_id)
    market.pass_seconds(WINDOW_SECONDS)
    found = everybody_at_once(*[market.award] * 4)
    assert sum(row["awarded"] for row in found) + market.award()["awarded"] == TASKS
    assert len(market.rows(tables.award)) == TASKS
    market_invariants.check(market.platform.store)


def test_one_award_gives_one_lease(market, requester, worker):
    task_id = market.awarded(requester, worker)
    outcomes = everybody_at_once(*[lambda: refused(market.lease, worker, task_id)] * 6)
    assert sorted(outcomes) == [False] + [True] * 5
    assert len(market.rows(tables.attempt)) == 1


def test_one_result_of_many_is_taken(market, requester, worker):
    task_id = market.awarded(requester, worker)
    token = market.lease(worker, task_id).fencing_token
    outcomes = everybody_at_once(*[lambda: refused(market.submit, worker, task_id, token)] * 6)
    assert sorted(outcomes) == [False] + [True] * 5
    market.deliver()
    assert market.task(task_id)["state"] == TaskState.SETTLED
    market_invariants.check(market.platform.store)


def test_cancelling_and_handing_in_at_the_same_time_are_one_after_the_other(market, requester, worker):
    """Whoever is first decides what taking back costs: its fee before the result, the whole price after."""
    for _ in range(5):
        before = market.balance(worker)
        task_id = market.awarded(requester, worker)
        token = market.lease(worker, task_id).fencing_token
        outcomes = everybody_at_once(
            lambda task=task_id: refused(market.cancel, task, requester),
            lambda task=task_id, number=token: refused(market.submit, worker, task, number),
        )
        assert not outcomes[0], "a task is taken back at any stage"
        market.deliver()
        price = market.row(tables.award, task_id=task_id)["price_microcredits"]
        is_handed_in = not outcomes[1]
        assert market.balance(worker) - before == (price if is_handed_in else price * 10 // 100)
        assert market.task(task_id)["state"] == TaskState.CANCELLED
    market_invariants.check(market.platform.store)


def test_a_busy_market_keeps_its_books(market, requester):
    """Requesters, workers, the award job, the expiry job and the bus, all at once."""
    agents = [market.agent() for _ in range(AGENTS)]
    for _ in range(TASKS):
        task_id = market.post(requester)
        for agent_id in agents:
            market.bid(agent_id, task_id)
    market.close_windows()

    def work(agent_id):
        rng = random.Random(agent_id)
        for task in market.rows(tables.task, awarded_agent_id=agent_id):
            token = market.lease(agent_id, task["id"]).fencing_token
            if rng.random() < 0.8:
                market.submit(agent_id, task["id"], token, is_good=rng.random() < 0.7)
            own = market.post(agent_id)
            refused(market.bid, agents[0], own)

    def jobs():
        for _ in range(6):
            market.award()
            market.expire()
            market.pass_seconds(1)

    def bus():
        for _ in range(6):
            market.deliver()

    everybody_at_once(*[lambda agent_id=agent_id: work(agent_id) for agent_id in agents], jobs, bus, bus)
    market.pass_seconds(1)
    market.deliver()
    market_invariants.check(market.platform.store)
    ended = [row for row in market.rows(tables.task) if row["ended_at_us"] is not None]
    assert len(ended) >= TASKS // 2
