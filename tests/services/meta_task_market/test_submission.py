"""Handing in: once, by the holder of the current token, in time; anything else is refused and kept."""

import pytest

from services import meta_task_market
from services.domain.errors import InvalidValueError, StaleTokenError
from services.domain.events import EventType
from services.domain.handoff import Handoff
from services.domain.states import AttemptState, EndReason, TaskState
from services.store import tables

GRANT = 100_000_000_000
STAKE = 200_000


@pytest.fixture
def leased(market, requester, worker):
    """A task at work: (task id, token)."""
    task_id = market.awarded(requester, worker)
    return task_id, market.lease(worker, task_id).fencing_token


def test_a_result_waits_for_the_platform_s_verifier(market, worker, leased):
    task_id, token = leased
    market.pass_seconds(2)
    assert market.submit(worker, task_id, token) is TaskState.SUBMITTED
    attempt, task = market.row(tables.attempt, id=token), market.task(task_id)
    assert (attempt["state"], attempt["verification"]) == (AttemptState.SUBMITTED, None)
    assert attempt["handoff"] == {"done": "worked", "changed": {"is_good": True}, "next": ""}
    assert (task["state"], task["duration_us"], task["ended_at_us"]) == (
        TaskState.SUBMITTED,
        2_000_000,
        None,
    )
    event = market.row(tables.event, type=EventType.RESULT_SUBMITTED)
    assert event["payload"] == {"task_id": task_id, "attempt_id": token, "kind": "user"}


def test_a_result_is_taken_once(market, worker, leased):
    task_id, token = leased
    market.submit(worker, task_id, token)
    with pytest.raises(StaleTokenError, match="it is submitted"):
        market.submit(worker, task_id, token, is_good=False)
    market.deliver()
    with pytest.raises(StaleTokenError, match="it is verified"):
        market.submit(worker, task_id, token)
    assert market.row(tables.attempt, id=token)["handoff"]["changed"] == {"is_good": True}
    assert len(market.rows(tables.event, type=EventType.RESULT_SUBMITTED)) == 1


def test_a_token_works_for_its_agent_and_task_only(market, requester, worker, leased):
    task_id, token = leased
    other_task = market.awarded(requester, worker)
    for agent_id, task, number in (
        (requester, task_id, token),
        (worker, other_task, token),
        (worker, task_id, token + 1),
    ):
        with pytest.raises(StaleTokenError) as refusal:
            market.submit(agent_id, task, number)
        assert refusal.value.field == "body.fencing_token"
    assert market.task(task_id)["state"] == TaskState.LEASED


def test_the_token_of_a_lapsed_lease_is_stale_although_another_works(market, requester):
    first, second = market.agent(), market.agent()
    task_id = market.post(requester)
    for agent_id in (first, second):
        market.bid(agent_id, task_id)
    market.close_windows()
    holder = market.task(task_id)["awarded_agent_id"]
    lease = market.lease(holder, task_id)
    market.pass_seconds(lease.timeout_seconds + 1)
    market.expire()
    market.award()
    heir = market.task(task_id)["awarded_agent_id"]
    token = market.lease(heir, task_id).fencing_token
    with pytest.raises(StaleTokenError, match="it is lapsed"):
        market.submit(holder, task_id, lease.fencing_token)
    assert market.submit(heir, task_id, token) is TaskState.SUBMITTED


def test_a_refused_result_is_kept_for_the_operator(market, worker, leased):
    task_id, token = leased
    with market.write() as tx:
        number = meta_task_market.keep_late_result(
            tx, agent_id=worker, task_id=task_id, fencing_token=token + 5,
            handoff=Handoff("late", {"a": 1}, "sorry"), reason="stale_fencing_token" * 9,
        )  # fmt: skip
    row = market.row(tables.late_result, id=number)
    assert row["handoff"] == {"done": "late", "changed": {"a": 1}, "next": "sorry"}
    assert len(row["reason"]) == 64
    assert market.task(task_id)["state"] == TaskState.LEASED


@pytest.mark.parametrize("reason", [EndReason.TIMED_OUT, EndReason.AGENT_ERROR])
def test_an_honest_failure_ends_the_task_and_costs_the_stake(market, requester, worker, leased, reason):
    task_id, token = leased
    assert market.submit(worker, task_id, token, failed=reason) is TaskState.FAILED
    task = market.task(task_id)
    assert (task["end_reason"], task["paid_microcredits"]) == (reason, 0)
    assert (market.balance(requester), market.balance(worker)) == (GRANT, GRANT - STAKE)
    agent = market.row(tables.agent, id=worker)
    assert (agent["settled_jobs"], agent["verified_jobs"]) == (1, 0)
    attempt = market.row(tables.attempt, id=token)
    assert (attempt["state"], attempt["reason"]) == (AttemptState.FAILED, reason)


@pytest.mark.parametrize("reason", [None, EndReason.VERIFIED, EndReason.CANCELLED])
def test_a_failure_is_named_by_what_an_agent_can_know(market, worker, leased, reason):
    task_id, token = leased
    with market.write() as tx, pytest.raises(InvalidValueError) as refusal:
        meta_task_market.submit_result(
            tx, agent_id=worker, task_id=task_id, fencing_token=token,
            outcome=meta_task_market.SubmittedOutcome.FAILED, failure_reason=reason,
            handoff=Handoff("", {}, ""),
        )  # fmt: skip
    assert refusal.value.field == "body.failure_reason"
    assert market.task(task_id)["state"] == TaskState.LEASED
