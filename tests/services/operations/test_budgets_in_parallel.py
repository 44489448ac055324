"""Many callers of one budget at the same time, in threads and in processes: exactly the cap is spent."""

import multiprocessing
import random
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

from services.domain.budget import Resource, breaches, parse_key
from services.domain.clock import VirtualClock
from services.domain.errors import ConflictError
from services.operations import budget_governor
from services.operations.budget_governor import HoldTerms
from services.store import budgets, tables
from services.store.tx import Store
from tests.plugins.platforms import broken_books

CALLERS = 32


def limited(market, text, amount):
    with market.write("operator") as tx:
        key = parse_key(text)
        budget_governor.set_limit(tx, key, Resource.TOKENS, amount, reason="a test")


def spend(store, agent_id, amount):
    """Hold and settle in two transactions; return what was spent."""
    try:
        with store.write(actor=f"agent:{agent_id}") as tx:
            held = budget_governor.hold(tx, HoldTerms(agent_id, Resource.TOKENS, amount))
    except ConflictError as refused:
        if refused.code != "budget_exhausted":
            raise
        return 0
    with store.write(actor=f"agent:{agent_id}") as tx:
        return budget_governor.settle(tx, held.hold_id, agent_id=agent_id, amount=amount).settled


def spend_in_a_process(url, agent_id, now_us, amounts):
    store = Store(url, VirtualClock(now_us))
    try:
        return sum(spend(store, agent_id, amount) for amount in amounts)
    finally:
        store.close()


def check_books(market, agent_ids, cap):
    with market.read() as tx:
        lines = budgets.all_lines(tx)
        assert breaches(lines) == []
        assert budgets.recounted(tx) == lines
        assert broken_books(tx) == []
        day = next(one for one in lines if str(one.key) == "day")
    assert (day.cap, day.reserved, day.spent) == (cap, 0, cap)
    spent = [one.spent for one in lines if str(one.key) in {f"agent:{number}" for number in agent_ids}]
    assert sum(spent) == cap


def test_thirty_two_callers_spend_exactly_what_there_is(market):
    """Nothing is open yet when they begin: they also race for who opens the budgets."""
    agents = [market.agent() for _ in range(4)]
    limited(market, "day", 100)
    start = threading.Barrier(CALLERS)

    def call(number):
        start.wait(timeout=30)
        return sum(spend(market.platform.store, agents[number % 4], amount) for amount in (5, 5, 5, 5))

    with ThreadPoolExecutor(CALLERS) as pool:
        assert sum(pool.map(call, range(CALLERS))) == 100
    check_books(market, agents, 100)


def test_two_processes_spend_exactly_what_there_is(market):
    agents = [market.agent() for _ in range(2)]
    limited(market, "day", 100)
    url, now_us = market.platform.store.url, market.platform.store.clock.now_us()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        calls = [pool.submit(spend_in_a_process, url, agent_id, now_us, [1] * 70) for agent_id in agents]
        assert sum(call.result(timeout=60) for call in calls) == 100
    check_books(market, agents, 100)


def test_one_hold_is_resolved_once_by_many(market, worker):
    for _ in range(5):
        with market.write() as tx:
            terms = HoldTerms(worker, Resource.TOKENS, 10, expires_in_seconds=1)
            held = budget_governor.hold(tx, terms)

        def resolve(number, hold_id=held.hold_id):
            try:
                with market.write() as tx:
                    if number % 2:
                        budget_governor.void(tx, hold_id, agent_id=worker)
                    else:
                        budget_governor.settle(tx, hold_id, agent_id=worker, amount=4)
            except ConflictError as refused:
                return refused.code
            return "done"

        with ThreadPoolExecutor(6) as pool:
            told = sorted(pool.map(resolve, range(6)))
        assert told == ["done"] + ["hold_resolved"] * 5
    resolved = market.rows(tables.budget_hold)
    with market.read() as tx:
        spent = next(one.spent for one in budgets.all_lines(tx) if str(one.key) == "day")
    assert spent == sum(row["settled_amount"] for row in resolved)


def test_limits_expiry_postings_and_holds_at_once_keep_the_books(market):
    agents = [market.agent(owner="acme") for _ in range(4)]
    store = market.platform.store

    def work(agent_id):
        rng = random.Random(agent_id)
        for _ in range(12):
            with store.write(actor="agent") as tx:
                seconds = rng.choice((1, 60))
                terms = HoldTerms(agent_id, Resource.MICROCREDITS, 3, expires_in_seconds=seconds)
                held = budget_governor.hold(tx, terms)
            if seconds > 1:
                with store.write(actor="agent") as tx:
                    budget_governor.settle(tx, held.hold_id, agent_id=agent_id, amount=rng.randint(0, 3))
            with store.write(actor="agent") as tx:
                posting = (agent_id, rng.choice((None, "w", "x")))
                taken = budget_governor.PostingBudgets(tx, [posting])
                taken.require(*posting, 2)
                taken.take(*posting, 2)
                taken.write()

    def operate():
        for number in range(12):
            for text in ("day", f"agent:{agents[0]}", "workflow:acme/w"):
                with store.write(actor="operator") as tx:
                    key, limit = parse_key(text), 10_000 + number
                    budget_governor.set_limit(tx, key, Resource.MICROCREDITS, limit, reason="a test")
            with store.write(actor="system") as tx:
                budget_governor.expire_due(tx)

    with ThreadPoolExecutor(6) as pool:
        calls = [pool.submit(work, agent_id) for agent_id in agents] + [pool.submit(operate)]
        for call in calls:
            call.result(timeout=60)
    market.pass_seconds(100)
    with market.write() as tx:
        budget_governor.expire_due(tx)
    with market.read() as tx:
        lines = budgets.all_lines(tx)
        assert breaches(lines) == []
        assert budgets.recounted(tx) == lines
        assert broken_books(tx) == []
    day = next(one for one in lines if str(one.key) == "day")
    settled = sum(row["settled_amount"] for row in market.rows(tables.budget_hold))
    of_agents = [one for one in lines if str(one.key).startswith("agent:")]
    assert (day.reserved, day.spent) == (0, 4 * 12 * 2)
    assert sum(one.spent for one in of_agents) == settled + 4 * 12 * 2
