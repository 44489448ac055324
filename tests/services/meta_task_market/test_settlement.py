"""Settlement: the platform's verifier decides pay, stake, record and standing, once and for good."""

import pytest

from services import event_bus, loop, meta_task_market
from services.domain.events import EventType
from services.domain.ledger_schema import EntryType
from services.domain.reputation import Outcome, StandingRules, refold
from services.domain.states import (
    AttemptState,
    EndReason,
    EscrowState,
    OutcomeKind,
    Standing,
    TaskKind,
    TaskState,
)
from services.loop import LoopContext
from services.store import sql, tables
from tests.plugins.platforms import RESERVE

GRANT = 100_000_000_000
STAKE = RESERVE * 20 // 100
ASK = RESERVE // 2


def states_of_holds(market, task_id):
    return {row["purpose"]: row["state"] for row in market.rows(tables.escrow, task_id=task_id)}


def investigation(market, worker):
    """Return a meta-task with its result in: (task id, attempt id)."""
    task_id = market.post(None, kind=TaskKind.META, type="investigation")
    market.bid(worker, task_id)
    market.close_windows()
    token = market.lease(worker, task_id).fencing_token
    market.submit(worker, task_id, token)
    return task_id, token


def close(market, task_id, *, is_supported):
    with market.write() as tx:
        meta_task_market.close_investigation(tx, task_id, is_supported=is_supported, reason="so it was")


def test_verified_work_is_paid_from_escrow_and_the_rest_goes_back(market, requester, worker):
    rival = market.agent()
    task_id = market.post(requester)
    market.bid(worker, task_id, ASK)
    market.bid(rival, task_id, RESERVE)
    market.close_windows()
    winner = market.task(task_id)["awarded_agent_id"]
    market.submit(winner, task_id, market.lease(winner, task_id).fencing_token)
    market.deliver()

    task, price = market.task(task_id), market.row(tables.award, task_id=task_id)["price_microcredits"]
    assert (task["state"], task["end_reason"], task["paid_microcredits"]) == (
        TaskState.SETTLED,
        EndReason.VERIFIED,
        price,
    )
    assert ASK <= price <= RESERVE
    assert market.balance(winner) == GRANT + price
    assert market.balance(requester) == GRANT - price
    assert states_of_holds(market, task_id) == {"reserve": EscrowState.PAID, "stake": EscrowState.RETURNED}
    assert market.balance("escrow") == 0


def test_refused_work_is_not_paid_and_loses_its_stake(market, requester, worker):
    task_id = market.done(requester, worker, is_good=False)
    task = market.task(task_id)
    assert (task["state"], task["end_reason"], task["paid_microcredits"]) == (
        TaskState.FAILED,
        EndReason.VERIFICATION_FAILED,
        0,
    )
    assert (market.balance(requester), market.balance(worker)) == (GRANT, GRANT - STAKE)
    assert states_of_holds(market, task_id) == {
        "reserve": EscrowState.RETURNED,
        "stake": EscrowState.FORFEITED,
    }


def test_what_the_verifier_said_is_kept(market, requester, worker):
    task_id = market.done(requester, worker)
    attempt = market.row(tables.attempt, task_id=task_id)
    assert (attempt["state"], attempt["verification"]) == (AttemptState.VERIFIED, {"reason": "scripted"})
    ended = market.row(tables.event, type=EventType.TASK_ENDED)["payload"]
    assert ended == {
        "task_id": task_id,
        "kind": "user",
        "type": "monte_carlo",
        "state": "settled",
        "end_reason": "verified",
    }


@pytest.mark.parametrize("first", [True, False])
def test_an_attempt_is_settled_once(market, requester, worker, first):
    task_id = market.done(requester, worker, is_good=first)
    attempt_id = market.row(tables.attempt, task_id=task_id)["id"]
    before = market.balance(worker)
    for again in (True, False):
        with market.write() as tx:
            assert not meta_task_market.settle(tx, attempt_id, is_verified=again, verification={})
    assert market.balance(worker) == before
    assert len(market.rows(tables.event, type=EventType.TASK_ENDED)) == 1
    with market.write() as tx:
        assert not meta_task_market.settle(tx, 999, is_verified=True, verification={})


def test_a_verifier_that_breaks_is_asked_again(market, requester, worker):
    """A failing verifier delays the settlement; it neither pays nor fails the task."""
    answers = iter([RuntimeError("no memory"), (True, {"reason": "second try"})])

    def verify(*_):
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    context = market.platform.context
    subscribers = loop.subscribers(LoopContext(context.registry, context.entropy, verify))
    task_id = market.awarded(requester, worker)
    market.submit(worker, task_id, market.lease(worker, task_id).fencing_token)
    event_bus.drain(market.platform.store, subscribers)
    assert market.task(task_id)["state"] == TaskState.SUBMITTED
    market.pass_seconds(1)
    event_bus.drain(market.platform.store, subscribers)
    assert market.row(tables.attempt, task_id=task_id)["verification"] == {"reason": "second try"}
    assert market.task(task_id)["state"] == TaskState.SETTLED


def test_a_result_that_comes_to_be_verified_after_the_deadline_changes_nothing(market, requester, worker):
    task_id = market.awarded(requester, worker, deadline_us=310 * 1_000_000)
    market.submit(worker, task_id, market.lease(worker, task_id).fencing_token)
    market.pass_seconds(10 + 59)
    assert market.expire()["late"] == 0, "what was handed in has its grace to be verified"
    market.pass_seconds(1)
    assert market.expire()["late"] == 1
    market.deliver()
    task = market.task(task_id)
    assert (task["state"], task["end_reason"]) == (TaskState.FAILED, EndReason.DEADLINE_PASSED)
    assert (market.balance(requester), market.balance(worker)) == (GRANT, GRANT)


def test_standing_and_record_are_the_fold_of_the_outcomes(market, requester):
    worker = market.agent(is_vouched=False)
    outcomes = [True, False, True, True, True]
    for is_good in outcomes:
        market.done(requester, worker, is_good=is_good)
    kinds = [OutcomeKind.VERIFIED if is_good else OutcomeKind.FAILED for is_good in outcomes]
    state = refold(
        [Outcome(kind, "monte_carlo") for kind in kinds], StandingRules(12, 2.0, 5), is_vouched=False
    )
    record = state.records["monte_carlo"]
    assert [row["kind"] for row in market.rows(tables.agent_outcome, agent_id=worker)] == kinds
    agent = market.row(tables.agent, id=worker)
    assert (agent["standing"], agent["verified_jobs"], agent["settled_jobs"]) == (state.standing, 4, 5)
    assert (agent["trial_successes"], agent["trial_failures"]) == (4, 1)
    assert agent["success_weight"] == pytest.approx(state.success_weight)
    row = market.row(tables.agent_record, agent_id=worker, task_type="monte_carlo")
    assert (row["success_weight"], row["failure_weight"]) == pytest.approx(
        (record.success_weight, record.failure_weight)
    )
    assert (row["jobs"], row["verified"]) == (5, 4)


def test_every_move_on_the_ladder_stands_in_the_ledger(market, requester):
    worker = market.agent(is_vouched=False)
    for is_good in [True] * 3 + [False] * 20:
        market.done(requester, worker, is_good=is_good)
        if market.row(tables.agent, id=worker)["standing"] == Standing.SUSPENDED:
            break
    with market.read() as tx:
        entries = sql.find_all(tx, tables.ledger_entry, order_by="index", type=EntryType.STANDING)
    moves = [entry["leaf"].decode() for entry in entries]
    assert [('"to":"probation"' in move, '"to":"suspended"' in move) for move in moves] == [
        (True, False),
        (False, True),
    ]
    assert all(f'"agent":"agent:{worker}"' in move for move in moves)
    assert '"from":"shadow"' in moves[0]


def test_an_investigation_waits_for_its_lap(market, worker):
    task_id, _ = investigation(market, worker)
    market.deliver()
    assert market.task(task_id)["state"] == TaskState.SUBMITTED


def test_an_investigation_that_stood_up_is_paid(market, worker):
    task_id, _ = investigation(market, worker)
    close(market, task_id, is_supported=True)
    close(market, task_id, is_supported=False)
    assert market.task(task_id)["state"] == TaskState.SETTLED
    assert market.balance(worker) == GRANT + RESERVE
    assert len(market.rows(tables.event, type=EventType.INVESTIGATION_CLOSED)) == 1


def test_an_investigation_that_led_nowhere_is_not_paid(market, worker):
    task_id, token = investigation(market, worker)
    close(market, task_id, is_supported=False)
    assert market.task(task_id)["end_reason"] == EndReason.NOT_SUPPORTED
    assert market.row(tables.attempt, id=token)["verification"] == {"reason": "so it was"}
    assert market.balance(worker) == GRANT - STAKE


@pytest.mark.parametrize("stage", ["bidding", "awarded", "leased"])
def test_an_investigation_without_a_result_is_taken_back(market, worker, stage):
    task_id = market.post(None, kind=TaskKind.META, type="investigation")
    market.bid(worker, task_id)
    if stage != "bidding":
        market.close_windows()
    if stage == "leased":
        market.lease(worker, task_id)
    assert market.task(task_id)["state"] == stage
    close(market, task_id, is_supported=True)
    assert market.task(task_id)["state"] == TaskState.CANCELLED
    assert market.balance(worker) == GRANT
    close(market, 999, is_supported=True)
