"""Retries by a type's own policy: how often, after what, and how long before the next-best bid's turn."""

import pytest

from services import meta_task_market
from services.domain.errors import ConflictError
from services.domain.states import EndReason, OutcomeKind, TaskState
from services.store import sql, tables
from tests.plugins.platforms import TASK_TYPE

GRANT = 100_000_000_000


def with_policy(market, **values):
    with market.write() as tx:
        for suffix, value in values.items():
            assert sql.update(tx, tables.parameter, {"name": f"{TASK_TYPE}.{suffix}"}, value=value)


def at_work(market, requester, *bidders):
    """Return a task with these bids, at work: (task id, its agent, its token)."""
    task_id = market.post(requester)
    for agent_id in bidders:
        market.bid(agent_id, task_id)
    market.close_windows()
    agent_id = market.task(task_id)["awarded_agent_id"]
    return task_id, agent_id, market.lease(agent_id, task_id).fencing_token


def fail(market, how, task_id, agent_id, token):
    if how == "reported":
        state = market.submit(agent_id, task_id, token, failed=EndReason.AGENT_ERROR)
        assert state == market.task(task_id)["state"]
    else:
        market.submit(agent_id, task_id, token, is_good=False)
        market.deliver()


@pytest.mark.parametrize("how", ["reported", "not verified"])
def test_a_failure_goes_to_the_next_best_bid_where_the_type_says_so(market, requester, worker, how):
    with_policy(market, retry_failures="1")
    task_id, first, token = at_work(market, requester, worker, market.agent())
    values = market.task(task_id)["effective_values"]
    fail(market, how, task_id, first, token)
    task = market.task(task_id)
    assert (task["state"], task["awarded_agent_id"], task["attempt_count"]) == (TaskState.BIDDING, None, 1)
    assert market.balance("escrow") > 0, "the reserve stays where it is"
    market.expire()
    task = market.task(task_id)
    assert task["awarded_agent_id"] not in (first, None)
    assert (task["attempt_count"], task["effective_values"]) == (2, values)
    outcomes = [row["kind"] for row in market.rows(tables.agent_outcome)]
    assert outcomes == [OutcomeKind.FAILED]

    second = task["awarded_agent_id"]
    fail(market, how, task_id, second, market.lease(second, task_id).fencing_token)
    task = market.task(task_id)
    ended = EndReason.AGENT_ERROR if how == "reported" else EndReason.VERIFICATION_FAILED
    assert (task["state"], task["end_reason"]) == (TaskState.FAILED, ended)
    assert market.balance(requester) == GRANT
    assert market.balance("escrow") == 0


@pytest.mark.parametrize("how", ["reported", "not verified"])
def test_otherwise_a_failure_ends_the_task(market, requester, worker, how):
    task_id, first, token = at_work(market, requester, worker, market.agent())
    fail(market, how, task_id, first, token)
    assert market.task(task_id)["state"] == TaskState.FAILED


def test_a_type_allows_its_own_number_of_attempts(market, requester):
    with_policy(market, maximum_attempts="3")
    task_id, agent_id, _ = at_work(market, requester, *(market.agent() for _ in range(4)))
    seen = {agent_id}
    for _ in range(2):
        market.pass_seconds(700)
        market.expire()
        agent_id = market.task(task_id)["awarded_agent_id"]
        seen.add(agent_id)
        market.lease(agent_id, task_id)
    assert len(seen) == 3
    market.pass_seconds(700)
    market.expire()
    task = market.task(task_id)
    assert (task["state"], task["attempt_count"]) == (TaskState.FAILED, 3)


def test_a_type_may_wait_before_it_tries_again(market, requester, worker):
    with_policy(market, retry_wait_seconds="120", retry_failures="1")
    task_id, first, token = at_work(market, requester, worker, market.agent())
    market.submit(first, task_id, token, failed=EndReason.TIMED_OUT)
    market.expire()
    assert market.task(task_id)["state"] == TaskState.BIDDING
    late = market.agent()
    with pytest.raises(ConflictError) as refusal:
        market.bid(late, task_id, 1)
    assert refusal.value.code == "bids_closed", "the others' asks were open while it was at work"
    with market.write() as tx:
        assert meta_task_market.work_for(tx, agent_id=late, types=None, limit=5)["open"] == []
    market.pass_seconds(119)
    market.expire()
    assert market.task(task_id)["state"] == TaskState.BIDDING
    market.pass_seconds(1)
    market.expire()
    assert market.task(task_id)["state"] == TaskState.AWARDED


def test_open_bids_are_counted_through_every_turn(market, requester, worker):
    with_policy(market, retry_failures="1")
    other = market.agent()

    def open_bids():
        return [market.row(tables.agent, id=number)["open_bids"] for number in (worker, other)]

    task_id = market.post(requester)
    for agent_id in (worker, other):
        market.bid(agent_id, task_id)
    assert open_bids() == [1, 1]
    market.close_windows()
    assert open_bids() == [0, 0]
    first = market.task(task_id)["awarded_agent_id"]
    market.submit(first, task_id, market.lease(first, task_id).fencing_token, failed=EndReason.AGENT_ERROR)
    assert open_bids() == [1, 1]
    market.cancel(task_id, requester)
    assert open_bids() == [0, 0]
