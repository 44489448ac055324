"""Sealed bids: one per agent, inside the window, within the reserve, never on one's own task."""

import pytest

from services import meta_task_market
from services.domain.clock import to_rfc3339
from services.domain.errors import ConflictError, ForbiddenError, InvalidValueError
from services.domain.states import Standing, TaskKind
from services.meta_task_market import TaskTerms
from services.store import sql, tables
from tests.plugins.platforms import RESERVE, TASK_TYPE, WINDOW_SECONDS


def work(market, agent_id, types=None, limit=50, after=0):
    with market.write() as tx:
        return meta_task_market.work_for(tx, agent_id=agent_id, types=types, limit=limit, after=after)


def test_a_bid_is_kept_as_it_was_made(market, requester, worker):
    task_id = market.post(requester)
    number = market.bid(worker, task_id, 123_456, confidence=77)
    bid = market.row(tables.bid, id=number)
    assert (bid["task_id"], bid["agent_id"], bid["ask_microcredits"], bid["confidence_percent"]) == (
        task_id,
        worker,
        123_456,
        77,
    )


@pytest.mark.parametrize("late_us", [0, 1_000_000])
def test_no_bid_after_the_window_has_closed(market, requester, worker, late_us):
    task_id = market.post(requester)
    market.pass_seconds(WINDOW_SECONDS + late_us / 1e6)
    with pytest.raises(ConflictError) as refusal:
        market.bid(worker, task_id)
    assert refusal.value.code == "bids_closed"


def test_a_bid_in_the_last_microsecond_is_taken(market, requester, worker):
    task_id = market.post(requester)
    market.pass_seconds(WINDOW_SECONDS - 1e-6)
    market.bid(worker, task_id)


def test_no_bid_on_a_task_that_has_moved_on(market, requester, worker):
    task_id = market.awarded(requester, market.agent())
    with pytest.raises(ConflictError, match="it is awarded"):
        market.bid(worker, task_id)


def test_no_bid_on_one_s_own_task(market, requester):
    with pytest.raises(ForbiddenError, match="own task"):
        market.bid(requester, market.post(requester))


@pytest.mark.parametrize("ask", [0, -1, RESERVE + 1])
def test_an_ask_lies_above_zero_and_within_the_reserve(market, requester, worker, ask):
    with pytest.raises(InvalidValueError) as refusal:
        market.bid(worker, market.post(requester), ask)
    assert (refusal.value.code, refusal.value.field) == ("ask_out_of_bounds", "body.ask_microcredits")


@pytest.mark.parametrize("ask", [1, RESERVE])
def test_the_bounds_of_the_ask_are_taken(market, requester, worker, ask):
    market.bid(worker, market.post(requester), ask)


@pytest.mark.parametrize("confidence", [-1, 101])
def test_confidence_is_a_percentage(market, requester, worker, confidence):
    with pytest.raises(InvalidValueError) as refusal:
        market.bid(worker, market.post(requester), confidence=confidence)
    assert refusal.value.field == "body.confidence_percent"


def test_a_suspended_agent_does_not_bid(market, requester, worker):
    task_id = market.post(requester)
    with market.write() as tx:
        sql.update(tx, tables.agent, {"id": worker}, standing=Standing.SUSPENDED)
    with pytest.raises(ForbiddenError, match="suspended"):
        market.bid(worker, task_id)


def test_an_agent_bids_once(market, requester, worker):
    task_id = market.post(requester)
    market.bid(worker, task_id, 500_000)
    with pytest.raises(ConflictError) as refusal:
        market.bid(worker, task_id, 400_000)
    assert refusal.value.code == "already_bid"
    assert market.row(tables.bid, task_id=task_id)["ask_microcredits"] == 500_000


def test_an_agent_cannot_crowd_out_the_others(market, requester, worker):
    with market.write() as tx:
        sql.update(tx, tables.parameter, {"name": "market.open_bids_per_agent"}, value="2")
    for _ in range(2):
        market.bid(worker, market.post(requester))
    with pytest.raises(ConflictError) as refusal:
        market.bid(worker, market.post(requester))
    assert refusal.value.code == "too_many_open_bids"
    market.close_windows()
    market.bid(worker, market.post(requester))


def test_an_agent_sees_what_it_can_do(market, requester, worker):
    first, second = market.post(requester), market.post(requester, type="ml_training")
    assert [item["task_id"] for item in work(market, worker)["open"]] == [first, second]
    assert [item["task_id"] for item in work(market, worker, ["ml_training"])["open"]] == [second]
    assert [item["task_id"] for item in work(market, worker, limit=1)["open"]] == [first]
    assert work(market, requester)["open"] == []
    market.bid(worker, first)
    assert [item["task_id"] for item in work(market, worker)["open"]] == [second]
    market.close_windows()
    found = work(market, worker)
    assert [item["task_id"] for item in found["awards"]] == [first]
    assert [item["task_id"] for item in found["open"]] == [second]


def test_nobody_sees_another_s_bid_or_what_the_verifier_keeps(market, requester, worker):
    task_id = market.post(requester, public={"shown": 1}, private={"kept": "secret"})
    market.bid(worker, task_id, 424_242)
    seen = str(work(market, market.agent()))
    assert "shown" in seen
    assert "424242" not in seen
    assert "secret" not in seen


@pytest.mark.parametrize("types", [None, [TASK_TYPE]], ids=["any type", "one type"])
def test_a_hundred_tasks_hide_none_of_those_behind_them(market, requester, worker, types):
    with market.write() as tx:
        tasks = [
            meta_task_market.post_task(tx, terms)
            for terms in [TaskTerms(TaskKind.USER, TASK_TYPE, {}, {}, requester, 1_000, 3_600_000_000)] * 104
        ]
    seen, after, sizes = [], 0, []
    while after is not None:
        told = work(market, worker, types, limit=500, after=after)
        seen += [item["task_id"] for item in told["open"]]
        sizes.append(len(told["open"]))
        after = told["next_after"]
    assert (seen, sizes) == (tasks, [100, 4])
    assert work(market, worker, types, limit=4, after=tasks[99])["next_after"] is None, "these were the last"


def test_each_task_says_until_when_it_can_be_done(market, requester, worker):
    task_id = market.awarded(requester, worker)
    other = market.post(requester)
    told = work(market, worker)
    deadlines = {item["task_id"]: item["deadline_at"] for item in (*told["awards"], *told["open"])}
    assert deadlines == {
        number: to_rfc3339(market.task(number)["deadline_at_us"]) for number in (task_id, other)
    }
