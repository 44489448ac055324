"""Leases: only the winner's, under a fencing token, for the time allowed; silence hands the task on."""

import pytest

from services import meta_task_market
from services.domain.errors import ConflictError, ForbiddenError, StaleTokenError
from services.domain.states import AttemptState, EndReason, EscrowState, TaskState
from services.store import sql, tables
from tests.plugins.platforms import RESERVE

GRANT = 100_000_000_000
STAKE = RESERVE * 20 // 100
START_SECONDS = 60
GRACE_SECONDS = 1
MICROSECOND = 0.000_001


@pytest.fixture
def second(market):
    """Another bidder."""
    return market.agent()


def heartbeat(market, agent_id, task_id, token):
    with market.write() as tx:
        return meta_task_market.heartbeat(tx, agent_id=agent_id, task_id=task_id, fencing_token=token)


def won(market, requester, *bidders, **terms):
    """Return a task with these bids, awarded, and its winner."""
    task_id = market.post(requester, **terms)
    for agent_id in bidders:
        market.bid(agent_id, task_id)
    market.close_windows()
    return task_id, market.task(task_id)["awarded_agent_id"]


def test_a_lease_says_how_long_and_under_which_values(market, requester, worker):
    task_id = market.awarded(requester, worker, public={"samples": 9})
    lease = market.lease(worker, task_id)
    allowed = lease.parameters["monte_carlo.timeout_seconds"]
    assert (lease.timeout_seconds, allowed["source"]) == (float(allowed["value"]), "default")
    now_us = market.platform.store.clock.now_us()
    assert lease.expires_at_us == now_us + round(lease.timeout_seconds * 1e6)
    assert lease.payload == {"samples": 9}
    assert market.task(task_id)["state"] == TaskState.LEASED
    assert market.row(tables.attempt, id=lease.fencing_token)["number"] == 1


def test_another_agent_gets_no_lease(market, requester, worker, second):
    task_id = market.awarded(requester, worker)
    with pytest.raises(ForbiddenError, match="awarded to another agent"):
        market.lease(second, task_id)


def test_a_lease_is_taken_once_and_only_on_an_award(market, requester, worker):
    task_id = market.post(requester)
    with pytest.raises(ConflictError, match="is bidding"):
        market.lease(worker, task_id)
    task_id = market.awarded(requester, worker)
    market.lease(worker, task_id)
    with pytest.raises(ConflictError, match="is leased"):
        market.lease(worker, task_id)


def test_no_lease_after_the_deadline(market, requester, worker):
    task_id = market.awarded(requester, worker, deadline_us=310 * 1_000_000)
    market.pass_seconds(10)
    with pytest.raises(ConflictError) as refusal:
        market.lease(worker, task_id)
    assert refusal.value.code == "deadline_passed"


def test_a_heartbeat_does_not_buy_time(market, requester, worker, second):
    task_id = market.awarded(requester, worker)
    lease = market.lease(worker, task_id)
    market.pass_seconds(3)
    assert heartbeat(market, worker, task_id, lease.fencing_token) == lease.expires_at_us
    attempt = market.row(tables.attempt, id=lease.fencing_token)
    assert attempt["heartbeat_at_us"] == market.platform.store.clock.now_us()
    for agent_id, token in ((second, lease.fencing_token), (worker, lease.fencing_token + 1)):
        with pytest.raises(ConflictError) as refusal:
            heartbeat(market, agent_id, task_id, token)
        assert refusal.value.code == "lease_lost"


def with_setting(market, name, value):
    with market.write() as tx:
        assert sql.update(tx, tables.parameter, {"name": name}, value=value)


def test_a_lease_runs_from_heartbeat_to_heartbeat(market, requester, worker, second):
    with_setting(market, "market.heartbeat_seconds", "10")
    task_id, first = won(market, requester, worker, second)
    lease = market.lease(first, task_id)
    now_us = market.platform.store.clock.now_us()
    assert lease.expires_at_us == now_us + 10_000_000 < lease.allowed_until_us
    market.pass_seconds(9)
    assert heartbeat(market, first, task_id, lease.fencing_token) == now_us + 19_000_000
    market.pass_seconds(10)
    assert market.expire()["lapsed"] == 0, "within its grace"
    market.pass_seconds(1)
    assert market.expire() == {"lapsed": 1, "unclaimed": 0, "late": 0}
    task = market.task(task_id)
    assert task["awarded_agent_id"] == (second if first == worker else worker)
    assert market.balance(first) == GRANT - STAKE
    with pytest.raises(ConflictError):
        heartbeat(market, first, task_id, lease.fencing_token)
    with pytest.raises(StaleTokenError):
        market.submit(first, task_id, lease.fencing_token)


def test_a_heartbeat_never_goes_beyond_the_time_allowed(market, requester, worker):
    with_setting(market, "market.heartbeat_seconds", "10")
    task_id = market.awarded(requester, worker)
    lease = market.lease(worker, task_id)
    market.pass_seconds(lease.timeout_seconds - 4)
    assert heartbeat(market, worker, task_id, lease.fencing_token) == lease.allowed_until_us


def test_work_may_not_outlast_the_deadline_and_its_grace(market, requester, worker):
    with_setting(market, "monte_carlo.timeout_seconds", "600")
    task_id = market.awarded(requester, worker, deadline_us=301 * 1_000_000)
    lease = market.lease(worker, task_id)
    assert lease.allowed_until_us == market.task(task_id)["deadline_at_us"] + 60_000_000


def test_the_time_allowed_is_enforced_with_its_grace(market, requester, worker):
    task_id = market.awarded(requester, worker)
    lease = market.lease(worker, task_id)
    market.pass_seconds(lease.timeout_seconds + GRACE_SECONDS - MICROSECOND)
    assert market.expire()["lapsed"] == 0
    market.pass_seconds(MICROSECOND)
    market.submit(worker, task_id, lease.fencing_token)

    task_id = market.awarded(requester, worker)
    lease = market.lease(worker, task_id)
    market.pass_seconds(lease.timeout_seconds + GRACE_SECONDS + MICROSECOND)
    with pytest.raises(StaleTokenError, match=r"passed 1\.000 s ago"):
        market.submit(worker, task_id, lease.fencing_token)


def test_a_silent_lease_goes_to_the_next_best_bid(market, requester, worker, second):
    task_id, first = won(market, requester, worker, second)
    other = second if first == worker else worker
    lease = market.lease(first, task_id)
    values = market.task(task_id)["effective_values"]
    market.pass_seconds(lease.timeout_seconds + GRACE_SECONDS)
    assert market.expire() == {"lapsed": 1, "unclaimed": 0, "late": 0}

    attempt = market.row(tables.attempt, id=lease.fencing_token)
    assert (attempt["state"], attempt["reason"]) == (AttemptState.LAPSED, EndReason.LEASE_LAPSED)
    assert market.balance(first) == GRANT - STAKE
    assert market.row(tables.agent, id=first)["settled_jobs"] == 1
    task = market.task(task_id)
    assert (task["awarded_agent_id"], task["attempt_count"]) == (other, 2)
    assert task["effective_values"] == values
    assert market.lease(other, task_id).fencing_token > lease.fencing_token


def test_an_award_nobody_claims_goes_on_likewise(market, requester, worker, second):
    task_id, first = won(market, requester, worker, second)
    market.pass_seconds(START_SECONDS - MICROSECOND)
    assert market.expire()["unclaimed"] == 0
    market.pass_seconds(MICROSECOND)
    assert market.expire() == {"lapsed": 0, "unclaimed": 1, "late": 0}
    assert market.balance(first) == GRANT - STAKE
    with pytest.raises(ForbiddenError):
        market.lease(first, task_id)
    assert market.task(task_id)["awarded_agent_id"] not in (first, None)


def test_when_every_attempt_fell_silent_the_money_goes_back(market, requester, worker, second):
    task_id, _ = won(market, requester, worker, second)
    for _ in range(2):
        market.award()
        market.pass_seconds(START_SECONDS)
        market.expire()
    task = market.task(task_id)
    assert (task["state"], task["end_reason"]) == (TaskState.FAILED, EndReason.LEASE_LAPSED)
    assert market.balance(requester) == GRANT
    assert market.balance(worker) == market.balance(second) == GRANT - STAKE
    assert {row["state"] for row in market.rows(tables.escrow, purpose="stake")} == {EscrowState.FORFEITED}


def test_the_same_agent_is_not_asked_twice(market, requester, worker):
    task_id = market.awarded(requester, worker)
    market.pass_seconds(START_SECONDS)
    market.expire()
    task = market.task(task_id)
    assert (task["state"], task["awarded_agent_id"]) == (TaskState.BIDDING, None)
    assert task["bids_close_at_us"] > market.platform.store.clock.now_us(), "others may bid now"
    other = market.agent()
    market.bid(other, task_id)
    market.close_windows()
    assert market.task(task_id)["awarded_agent_id"] == other


@pytest.mark.parametrize("is_awarded", [True, False])
def test_at_the_deadline_a_waiting_task_ends_and_everybody_has_their_money(
    market, requester, worker, is_awarded
):
    task_id = market.post(requester, deadline_us=320 * 1_000_000)
    if is_awarded:
        market.bid(worker, task_id)
        market.close_windows()
    market.pass_seconds(20 if is_awarded else 320)
    assert market.expire()["late"] == 1
    task = market.task(task_id)
    ended = TaskState.FAILED if is_awarded else TaskState.EXPIRED
    assert (task["state"], task["end_reason"]) == (ended, EndReason.DEADLINE_PASSED)
    assert (market.balance(requester), market.balance(worker)) == (GRANT, GRANT)


def test_an_award_unclaimed_past_the_deadline_ends_once(market, requester, worker):
    task_id = market.awarded(requester, worker, deadline_us=320 * 1_000_000)
    market.pass_seconds(START_SECONDS)
    assert market.expire() == {"lapsed": 0, "unclaimed": 1, "late": 0}
    assert market.task(task_id)["end_reason"] == EndReason.LEASE_LAPSED
    assert market.expire() == {"lapsed": 0, "unclaimed": 0, "late": 0}
    assert market.balance(requester) == GRANT


def test_work_begun_in_time_may_end_after_the_deadline(market, requester, worker):
    task_id = market.awarded(requester, worker, deadline_us=301 * 1_000_000)
    lease = market.lease(worker, task_id)
    market.pass_seconds(2)
    assert market.expire() == {"lapsed": 0, "unclaimed": 0, "late": 0}
    market.submit(worker, task_id, lease.fencing_token)
    market.deliver()
    assert market.task(task_id)["state"] == TaskState.SETTLED
