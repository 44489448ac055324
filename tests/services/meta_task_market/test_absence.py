"""An outage of the platform is not its agents' fault: the time they could not be heard in is given anew."""

import pytest

from services.cron_runner import run_tick
from services.domain.states import AttemptState, EndReason, EscrowState, OutcomeKind, TaskState
from services.operations import watchdog
from services.store import sql, tables
from tests.services.meta_task_market import market_invariants

GRANT = 100_000_000_000
SWEEP_SECONDS = 15


def sweep(market, times=1):
    """Let the sweep run by the clock so many times, as the cron runner does."""
    job = next(job for job in market.platform.jobs if job.name == "lease_expiry")
    store = market.platform.store
    for _ in range(times):
        now_us = store.clock.now_us()
        run_tick(store, market.platform.context, job, job.due_at_us(now_us), "test")
        market.pass_seconds(SWEEP_SECONDS)


def breaches(market):
    return market_invariants.breaches(market.platform.store)


def outcomes(market):
    return [row["kind"] for row in market.rows(tables.agent_outcome)]


def test_awards_that_could_not_be_taken_up_wait_anew(market, requester, worker):
    task_id = market.awarded(requester, worker)
    sweep(market, 2)
    market.pass_seconds(600)
    sweep(market, 3)
    assert market.task(task_id)["state"] == TaskState.AWARDED, "45 s after the platform came back"
    sweep(market, 3)
    assert market.task(task_id)["state"] != TaskState.AWARDED
    assert outcomes(market) == [OutcomeKind.CRASHED]


def test_a_lease_that_could_not_be_renewed_is_not_taken_back_at_once(market, requester, worker):
    with market.write() as tx:
        for name, value in (("monte_carlo.timeout_seconds", "3600"), ("market.heartbeat_seconds", "60")):
            assert sql.update(tx, tables.parameter, {"name": name}, value=value)
    task_id = market.awarded(requester, worker)
    lease = market.lease(worker, task_id)
    sweep(market, 2)
    market.pass_seconds(600)
    sweep(market, 2)
    assert market.task(task_id)["state"] == TaskState.LEASED
    market.submit(worker, task_id, lease.fencing_token)
    market.deliver()
    assert market.task(task_id)["state"] == TaskState.SETTLED


@pytest.mark.parametrize("is_away", [True, False])
def test_time_that_ran_out_while_the_platform_was_away_costs_nothing(market, requester, worker, is_away):
    task_id = market.awarded(requester, worker)
    lease = market.lease(worker, task_id)
    sweep(market, 2)
    if is_away:
        market.pass_seconds(lease.timeout_seconds + 600)
        sweep(market)
    else:
        sweep(market, int(lease.timeout_seconds // SWEEP_SECONDS) + 2)
    assert market.task(task_id)["state"] == TaskState.BIDDING
    stake = market.row(tables.award, task_id=task_id)["stake_microcredits"]
    assert market.balance(worker) == (GRANT if is_away else GRANT - stake)
    assert outcomes(market) == ([] if is_away else [OutcomeKind.CRASHED])
    attempt = market.row(tables.attempt, task_id=task_id)
    reason = EndReason.PLATFORM_AWAY if is_away else EndReason.LEASE_LAPSED
    assert (attempt["state"], attempt["reason"]) == (AttemptState.LAPSED, reason)
    assert breaches(market) == []


@pytest.mark.parametrize("away_seconds", [150, 3 * 3_600, 15 * 3_600])
def test_a_stop_and_a_start_with_leases_out_break_nothing(market, requester, worker, away_seconds):
    """A lease taken before the first sweep, one at its last attempt, an award: nobody is to blame for any."""
    other, third = market.agent(), market.agent()
    early, last, waiting = (market.post(requester) for _ in range(3))
    for task_id, agent_id in ((early, worker), (last, other), (waiting, third)):
        market.bid(agent_id, task_id)
    market.close_windows()
    market.lease(worker, early)
    sweep(market)
    with market.write() as tx:
        assert sql.update(tx, tables.task, {"id": last}, maximum_attempts=1)
    market.lease(other, last)
    sweep(market)
    before = {agent: market.balance(agent) for agent in (worker, other, third)}
    stakes = {row["task_id"]: row["stake_microcredits"] for row in market.rows(tables.award)}
    market.pass_seconds(away_seconds)
    sweep(market, 3)
    assert breaches(market) == []
    assert outcomes(market) == []
    assert market.balance(other) == before[other] + stakes[last]
    assert market.balance(worker) == before[worker] + stakes[early]
    if away_seconds < 600:
        ended = market.task(last)
        assert (ended["state"], ended["end_reason"]) == (TaskState.FAILED, EndReason.PLATFORM_AWAY)
        assert market.task(early)["state"] == TaskState.BIDDING
        assert market.task(waiting)["state"] == TaskState.AWARDED
    with market.write() as tx:
        watchdog.watch_tasks(tx)
        watchdog.audit_books(tx)
    assert market.rows(tables.review_item, kind=watchdog.KIND) == []


@pytest.fixture
def excused(market, requester, worker):
    """An attempt that is excused, for the platform was away for ten minutes; its task."""
    task_id = market.awarded(requester, worker)
    sweep(market)
    market.lease(worker, task_id)
    sweep(market)
    market.pass_seconds(1_000)
    sweep(market, 2)
    assert market.row(tables.attempt, task_id=task_id)["reason"] == EndReason.PLATFORM_AWAY
    assert breaches(market) == []
    return task_id


def test_an_excuse_while_the_platform_was_there_is_a_breach(market, excused):
    attempt = market.row(tables.attempt, task_id=excused)
    with market.write() as tx:
        tick = market.rows(tables.cron_tick, job="lease_expiry")[0]
        rest = {name: value for name, value in tick.items() if name not in ("id", "due_at_us")}
        first_us, last_us = attempt["leased_at_us"], attempt["ended_at_us"]
        for at_us in range(first_us + 7_000_000, last_us, SWEEP_SECONDS * 1_000_000):
            sql.insert(tx, tables.cron_tick, due_at_us=at_us, **rest)
    assert [line.split(":")[0] for line in breaches(market)] == [f"A8 task {excused}"]
    with market.write() as tx:
        tx.connection.execute(tables.cron_tick.delete().where(tables.cron_tick.c.due_at_us <= first_us))
    assert breaches(market) == [], "what was swept then is no longer known"


SPOILT = {
    "excused, and recorded as a crash": ("A8", tables.attempt, {"reason": EndReason.LEASE_LAPSED}),
    "excused, and not lapsed": ("A8", tables.attempt, {"state": AttemptState.FAILED}),
    "excused, and its stake was lost": ("M5", tables.escrow, {"state": EscrowState.FORFEITED}),
}


@pytest.mark.parametrize("case", SPOILT)
def test_an_excuse_holds_only_together_with_its_stake_and_its_record(market, excused, case):
    invariant, table, values = SPOILT[case]
    where = {"task_id": excused} | ({"purpose": "stake"} if table is tables.escrow else {})
    with market.write() as tx:
        assert sql.update(tx, table, where, **values)
    assert invariant in {line.split()[0] for line in breaches(market)}


def test_what_was_handed_in_has_its_grace_to_be_verified(market, requester, worker):
    """Work that ends at its last permitted moment, after the deadline, is still looked at."""
    with market.write() as tx:
        assert sql.update(tx, tables.parameter, {"name": "monte_carlo.timeout_seconds"}, value="600")
    task_id = market.awarded(requester, worker, deadline_us=310 * 1_000_000)
    lease = market.lease(worker, task_id)
    market.pass_seconds(70)
    market.submit(worker, task_id, lease.fencing_token)
    market.expire()
    assert market.task(task_id)["state"] == TaskState.SUBMITTED
    market.deliver()
    assert market.task(task_id)["state"] == TaskState.SETTLED


def test_a_sweep_goes_on_until_nothing_is_left(market, requester, monkeypatch):
    monkeypatch.setattr("services.meta_task_market.expiry.BATCH", 3)
    tasks = [market.post(requester, deadline_us=400 * 1_000_000) for _ in range(8)]
    market.pass_seconds(400)
    sweep(market)
    assert {market.task(task_id)["state"] for task_id in tasks} == {TaskState.EXPIRED}
    tick = market.rows(tables.cron_tick, job="lease_expiry")[-1]
    assert tick["result"] == {"lapsed": 0, "unclaimed": 0, "late": 8}


def test_awards_of_a_tick_are_committed_batch_by_batch(market, requester, worker, monkeypatch):
    """What is more than a budget holds stays done: the next tick goes on from there."""
    monkeypatch.setattr("services.meta_task_market.awards.BATCH", 2)
    tasks = [market.post(requester) for _ in range(5)]
    for task_id in tasks:
        market.bid(worker, task_id)
    market.pass_seconds(300)
    job = next(job for job in market.platform.jobs if job.name == "auto_accept_bids")
    store, seen = market.platform.store, []
    store.listeners.append(lambda: seen.append(len(market.rows(tables.award))))
    run_tick(store, market.platform.context, job, job.due_at_us(store.clock.now_us()), "test")
    assert seen == [2, 4, 5]
    assert market.rows(tables.cron_tick, job=job.name)[-1]["result"] == {"awarded": 5, "without_bids": 0}


def test_strangers_tasks_do_not_fill_the_entry_guard(market, requester):
    """The share of newcomers is counted over tasks of those whose word counts."""
    stranger, sybil, newcomer = (market.agent(is_vouched=False) for _ in range(3))
    for _ in range(12):
        market.bid(sybil, market.post(stranger, reserve_price_microcredits=1), 1)
    market.close_windows()
    task_id = market.post(requester)
    market.bid(newcomer, task_id)
    market.close_windows()
    award = market.row(tables.award, task_id=task_id)
    assert not award["inputs"]["is_entry_full"]
    assert award["inputs"]["bids"][0]["theta"] > 0
