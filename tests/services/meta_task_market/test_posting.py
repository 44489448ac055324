"""Posting and taking back: the reserve goes into escrow first and comes back whole."""

import pytest

from services.domain.budget import BudgetKey, BudgetScope, Resource
from services.domain.errors import ConflictError, ForbiddenError, InsufficientFundsError, InvalidValueError
from services.domain.errors import NotFoundError as Missing
from services.domain.states import AttemptState, EndReason, EscrowState, TaskKind, TaskState
from services.meta_task_market import TaskTerms, post_tasks
from services.operations import budget_governor
from services.store import sql, tables
from tests.plugins.platforms import RESERVE, TASK_TYPE, WINDOW_SECONDS

GRANT = 100_000_000_000


def test_posting_holds_the_reserve(market, requester):
    task_id = market.post(requester)
    task = market.task(task_id)
    assert (task["state"], task["attempt_count"], task["effective_values"]) == (TaskState.BIDDING, 0, None)
    assert task["bids_close_at_us"] - task["posted_at_us"] == WINDOW_SECONDS * 1_000_000
    assert market.balance(requester) == GRANT - RESERVE
    hold = market.row(tables.escrow, task_id=task_id)
    assert (hold["purpose"], hold["state"], hold["amount"]) == (
        "reserve",
        EscrowState.HELD,
        RESERVE,
    )


def test_the_treasury_pays_for_the_platform_s_own_tasks(market):
    before = market.balance("treasury")
    market.post(None, kind=TaskKind.META, type="investigation")
    assert market.balance("treasury") == before - RESERVE


def poor_agent(market):
    """Return an agent that may commit more than the 100,000,000 micro-credits it has."""
    agent_id = market.agent(is_vouched=False)
    with market.write("operator") as tx:
        key = BudgetKey(BudgetScope.AGENT, str(agent_id))
        budget_governor.set_limit(tx, key, Resource.MICROCREDITS, 10**12, reason="a test")
    return agent_id


def test_who_cannot_pay_posts_nothing(market):
    poor = poor_agent(market)
    with pytest.raises(InsufficientFundsError):
        market.post(poor, reserve_price_microcredits=100_000_001)
    assert market.rows(tables.task) == []
    assert market.rows(tables.escrow) == []
    assert market.balance(poor) == 100_000_000


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"reserve_price_microcredits": 0}, "body.reserve_price_microcredits"),
        ({"reserve_price_microcredits": -5}, "body.reserve_price_microcredits"),
        ({"reserve_price_microcredits": 10**15 + 1}, "body.reserve_price_microcredits"),
        ({"deadline_us": WINDOW_SECONDS * 1_000_000}, "body.deadline_seconds"),
    ],
)
def test_terms_that_cannot_be_are_refused(market, requester, terms, field):
    with pytest.raises(InvalidValueError) as refusal:
        market.post(requester, **terms)
    assert refusal.value.field == field


def test_a_task_is_taken_back_while_bids_come_in(market, requester, worker):
    task_id = market.post(requester)
    market.bid(worker, task_id)
    market.cancel(task_id, requester)
    task = market.task(task_id)
    assert (task["state"], task["end_reason"], task["paid_microcredits"]) == (
        TaskState.CANCELLED,
        EndReason.CANCELLED,
        0,
    )
    assert market.balance(requester) == GRANT
    assert market.close_windows() == {"awarded": 0, "without_bids": 0}


def test_a_task_is_taken_back_at_work_and_nobody_loses_money(market, requester, worker):
    task_id = market.awarded(requester, worker)
    market.lease(worker, task_id)
    assert market.balance(worker) == GRANT - RESERVE * 20 // 100
    market.cancel(task_id, None)
    assert (market.balance(requester), market.balance(worker)) == (GRANT, GRANT)
    attempt = market.row(tables.attempt, task_id=task_id)
    assert (attempt["state"], attempt["reason"]) == (AttemptState.FAILED, EndReason.CANCELLED)
    assert market.row(tables.agent, id=worker)["settled_jobs"] == 0


def test_an_award_is_taken_back_with_its_stake(market, requester, worker):
    task_id = market.awarded(requester, worker)
    market.cancel(task_id, None)
    assert (market.balance(requester), market.balance(worker)) == (GRANT, GRANT)


@pytest.mark.parametrize("stage", ["awarded", "leased", "submitted"])
def test_a_requester_pays_for_what_it_stops(market, requester, worker, stage):
    task_id = market.awarded(requester, worker)
    if stage != "awarded":
        token = market.lease(worker, task_id).fencing_token
    if stage == "submitted":
        market.submit(worker, task_id, token)
    market.cancel(task_id, requester)
    price = market.row(tables.award, task_id=task_id)["price_microcredits"]
    fee = price if stage == "submitted" else price * 10 // 100
    assert (market.balance(requester), market.balance(worker)) == (GRANT - fee, GRANT + fee)
    task = market.task(task_id)
    assert (task["state"], task["end_reason"], task["paid_microcredits"]) == (
        TaskState.CANCELLED,
        EndReason.CANCELLED,
        0,
    )
    assert market.row(tables.agent, id=worker)["settled_jobs"] == 0
    market.deliver()
    assert market.task(task_id)["state"] == TaskState.CANCELLED
    assert market.balance("escrow") == 0


def test_nobody_takes_back_what_another_posted(market, requester, worker):
    task_id = market.post(requester)
    with pytest.raises(ForbiddenError, match="by somebody else"):
        market.cancel(task_id, worker)
    with pytest.raises(Missing):
        market.cancel(999, requester)


@pytest.mark.parametrize("agent", ["requester", "operator"])
def test_what_has_ended_is_not_cancelled(market, requester, worker, agent):
    task_id = market.done(requester, worker)
    with pytest.raises(ConflictError, match="is settled; what has ended"):
        market.cancel(task_id, requester if agent == "requester" else None)


def test_a_batch_is_posted_as_far_as_the_money_goes(market):
    poor = poor_agent(market)
    terms = [
        TaskTerms(TaskKind.USER, TASK_TYPE, {}, {}, poor, price, 3600 * 1_000_000)
        for price in (60_000_000, 60_000_000, 0, 40_000_000)
    ]
    with market.write() as tx:
        answers = post_tasks(tx, terms)
    assert [type(answer) for answer in answers] == [int, InsufficientFundsError, InvalidValueError, int]
    assert [row["id"] for row in market.rows(tables.task)] == [answers[0], answers[3]]
    assert (market.balance(poor), market.balance("escrow")) == (0, 100_000_000)


def test_posting_draws_on_the_budgets_of_the_day(market):
    """What does not fit is refused and costs nothing; the platform's own tasks draw on none."""
    with market.write() as tx:
        for scope in ("agent", "day"):
            name = f"budget.{scope}_microcredits"
            assert sql.update(tx, tables.parameter, {"name": name}, value=str(2 * RESERVE + 1))
    spender = market.agent()
    for _ in range(2):
        market.post(spender)
    with pytest.raises(ConflictError) as refusal:
        market.post(spender)
    assert (refusal.value.code, refusal.value.field) == (
        "budget_exhausted",
        "body.reserve_price_microcredits",
    )
    assert market.balance(spender) == GRANT - 2 * RESERVE
    with pytest.raises(ConflictError, match="day"):
        market.post(market.agent())
    market.post(None, kind=TaskKind.META, type="investigation")
    assert len(market.rows(tables.task)) == 3
    market.pass_seconds(24 * 3600)
    market.post(spender)


def test_an_agent_that_nobody_vouched_for_may_have_so_many_open_tasks(market, requester):
    stranger = market.agent(is_vouched=False)
    with market.write() as tx:
        sql.update(tx, tables.parameter, {"name": "market.open_tasks_per_requester"}, value="20")
    first = market.post(stranger, reserve_price_microcredits=1_000)

    def terms(owner):
        return TaskTerms(TaskKind.USER, TASK_TYPE, {}, {}, owner, 1_000, 3_600_000_000)

    with market.write() as tx:
        answers = post_tasks(tx, [terms(owner) for owner in (stranger, requester, stranger, None)])
    assert [getattr(answer, "code", "posted") for answer in answers] == [
        "posted",
        "posted",
        "too_many_open_tasks",
        "posted",
    ]
    with market.write() as tx:
        answers = post_tasks(tx, [terms(requester)] * 20)
    assert [isinstance(answer, ConflictError) for answer in answers] == [False] * 20
    assert len(market.rows(tables.task, requester_id=requester)) == 21
    with pytest.raises(ConflictError, match="may have 2 tasks") as refusal:
        market.post(stranger)
    assert refusal.value.code == "too_many_open_tasks"
    market.cancel(first, stranger)
    market.post(stranger, reserve_price_microcredits=1_000)
