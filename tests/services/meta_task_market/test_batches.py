"""Batches: each item is answered for itself, what is refused spoils nothing."""

from services import meta_task_market
from services.domain.errors import (
    ConflictError,
    ForbiddenError,
    InvalidValueError,
    NacreError,
    StaleTokenError,
)
from services.domain.events import EventType
from services.domain.handoff import Handoff
from services.domain.states import EndReason, TaskState
from services.meta_task_market import Claim, Lease, NewBid, NewResult, Renewal, SubmittedOutcome, Verdict
from services.store import tables


def answers_of(market, verb, *items):
    with market.write() as tx:
        return verb(tx, list(items))


def kinds(answers):
    return [type(answer) for answer in answers]


def result(agent_id, task_id, token, outcome=SubmittedOutcome.COMPLETED, reason=None, *, is_good=True):
    return NewResult(agent_id, task_id, token, outcome, reason, Handoff("worked", {"is_good": is_good}, ""))


def test_bids_of_a_batch_are_answered_one_by_one(market, requester, worker):
    first, second = market.post(requester), market.post(requester)
    other = market.agent()
    answers = answers_of(
        market, meta_task_market.place_bids,
        NewBid(worker, first, 10), NewBid(worker, first, 20), NewBid(worker, second, 0),
        NewBid(requester, second, 10), NewBid(other, 999, 10), NewBid(999, second, 10),
        NewBid(other, second, 30),
    )  # fmt: skip
    assert kinds(answers)[:1] + kinds(answers)[-1:] == [int, int]
    assert [answer.code for answer in answers if isinstance(answer, NacreError)] == [
        "already_bid",
        "ask_out_of_bounds",
        "forbidden",
        "not_found",
        "not_found",
    ]
    placed = [(row["agent_id"], row["task_id"], row["ask_microcredits"]) for row in market.rows(tables.bid)]
    assert placed == [(worker, first, 10), (other, second, 30)]
    assert [market.row(tables.agent, id=number)["open_bids"] for number in (worker, other)] == [1, 1]
    assert [row["id"] for row in market.rows(tables.bid)] == [answers[0], answers[-1]]


def test_a_batch_of_leases_and_results(market, requester, worker):
    tasks = [market.post(requester) for _ in range(4)]
    for task_id in tasks:
        market.bid(worker, task_id)
    market.close_windows()
    claims = [Claim(worker, task_id) for task_id in tasks[:3]]
    stranger = Claim(requester, tasks[3])
    leases = answers_of(market, meta_task_market.take_leases, *claims, claims[0], stranger)
    assert kinds(leases) == [Lease, Lease, Lease, ConflictError, ForbiddenError]
    tokens = [lease.fencing_token for lease in leases[:3]]

    renewed = answers_of(
        market, meta_task_market.renew_leases,
        Renewal(worker, tasks[0], tokens[0]), Renewal(requester, tasks[1], tokens[1]),
    )  # fmt: skip
    assert kinds(renewed) == [int, ConflictError]

    handed_in = answers_of(
        market, meta_task_market.submit_results,
        result(worker, tasks[0], tokens[0]), result(worker, tasks[0], tokens[0]),
        result(worker, tasks[1], tokens[1], SubmittedOutcome.FAILED, EndReason.TIMED_OUT),
        result(worker, tasks[2], tokens[2], SubmittedOutcome.FAILED, EndReason.CANCELLED),
        result(requester, tasks[2], tokens[2]),
    )  # fmt: skip
    assert kinds(handed_in) == [TaskState, StaleTokenError, TaskState, InvalidValueError, StaleTokenError]
    assert [market.task(task_id)["state"] for task_id in tasks] == [
        TaskState.SUBMITTED,
        TaskState.FAILED,
        TaskState.LEASED,
        TaskState.AWARDED,
    ]
    said = market.row(tables.event, type=EventType.RESULT_SUBMITTED)
    assert (said["aggregate"], said["actor"]) == (f"task:{tasks[0]}", f"agent:{worker}")
    verdict = Verdict(tokens[0], is_verified=True, verification={"reason": "good"})
    settled = answers_of(market, meta_task_market.settle_all, verdict, verdict, Verdict(tokens[2], True, {}))
    assert settled == [True, False, False]
    assert market.task(tasks[0])["state"] == TaskState.SETTLED


def test_many_tasks_are_settled_as_one_by_one(market, requester):
    """Twenty lives in batches leave the balances and records that twenty lives one by one leave."""
    batched, single = market.agent(), market.agent()
    for agent_id, verb in ((batched, together), (single, one_by_one)):
        verb(market, requester, agent_id, [number % 4 != 0 for number in range(20)])
    rows = [dict(market.row(tables.agent_record, agent_id=number)) for number in (batched, single)]
    agents = [dict(market.row(tables.agent, id=number)) for number in (batched, single)]
    folded = ("standing", "settled_jobs", "verified_jobs", "success_weight", "trial_failures", "open_bids")
    assert [agents[0][name] for name in folded] == [agents[1][name] for name in folded]
    assert {**rows[0], "agent_id": 0} == {**rows[1], "agent_id": 0}
    assert market.balance(batched) == market.balance(single)
    assert market.balance("escrow") == 0


def together(market, requester, agent_id, goods):
    tasks = [market.post(requester) for _ in goods]
    answers_of(
        market, meta_task_market.place_bids, *(NewBid(agent_id, task_id, 500_000) for task_id in tasks)
    )
    market.close_windows()
    leases = answers_of(market, meta_task_market.take_leases, *(Claim(agent_id, number) for number in tasks))
    results = [
        result(agent_id, task_id, lease.fencing_token, is_good=is_good)
        for task_id, lease, is_good in zip(tasks, leases, goods, strict=True)
    ]
    answers_of(market, meta_task_market.submit_results, *results)
    market.deliver()


def one_by_one(market, requester, agent_id, goods):
    for is_good in goods:
        market.done(requester, agent_id, is_good=is_good)
