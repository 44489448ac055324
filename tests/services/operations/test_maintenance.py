"""The platform's own jobs: who is active, which old rows go."""

import pytest

from services.domain.errors import ConflictError, InvalidValueError
from services.domain.states import Standing, TickState
from services.operations import maintenance, review_queue, standing
from services.store import sql, tables

DAY_SECONDS = 24 * 3600


def run(market, job):
    with market.write() as tx:
        return job(tx)


def suspend(market, agent_id):
    with market.write() as tx:
        sql.update(tx, tables.agent, {"id": agent_id}, standing=Standing.SUSPENDED)


def test_the_scan_counts_active_silent_and_suspended(market, requester):
    market.pass_seconds(16 * 60)
    worker = market.agent()
    suspend(market, worker)
    assert run(market, maintenance.scan_agents) == {"active": 1, "silent": 1, "suspended": 1}


def test_a_suspended_agent_is_queued_for_a_person_once_and_can_be_reinstated(market, requester, worker):
    while market.row(tables.agent, id=worker)["standing"] != Standing.SUSPENDED:
        market.done(requester, worker, is_good=False)
    [item] = market.rows(tables.review_item)
    assert (item["kind"], item["closed_at_us"]) == ("agent_suspended", None)
    assert item["context"]["agent"] == f"agent:{worker}"
    with market.write() as tx, pytest.raises(InvalidValueError, match="needs a reason"):
        standing.reinstate(tx, worker, reason=" ")
    with market.write() as tx:
        standing.reinstate(tx, worker, reason="the source was down")
    row = market.row(tables.agent, id=worker)
    assert (row["standing"], row["trial_failures"]) == (Standing.PROBATION, 0)
    with market.write() as tx, pytest.raises(ConflictError, match="not suspended"):
        standing.reinstate(tx, worker, reason="again")


def test_an_item_is_closed_once(market):
    with market.write() as tx:
        number = review_queue.open_item(tx, kind="k", subject="s" * 200, context={"a": 1})
    with market.write() as tx:
        review_queue.close_item(tx, number)
    with market.write() as tx, pytest.raises(ConflictError, match="is not open"):
        review_queue.close_item(tx, number)
    row = market.row(tables.review_item, id=number)
    assert (len(row["subject"]), row["closed_at_us"]) == (120, market.platform.store.clock.now_us())


def tick(tx, job, age_seconds, state):
    due_us = tx.now_us - age_seconds * 1_000_000
    sql.insert(
        tx, tables.cron_tick, job=job, due_at_us=due_us, claimed_by="p", state=state, priority=0,
        budget_us=1, started_at_us=due_us,
    )  # fmt: skip


def key(tx, name, age_seconds):
    sql.insert(
        tx, tables.idempotency, principal="p", key=name, request_hash="h", status=200, body="{}",
        created_at_us=tx.now_us - age_seconds * 1_000_000,
    )  # fmt: skip


def test_pruning_takes_what_is_old_and_nothing_else(market):
    with market.write() as tx:
        tick(tx, "old", 15 * DAY_SECONDS, TickState.DONE)
        tick(tx, "running", 15 * DAY_SECONDS, TickState.RUNNING)
        tick(tx, "young", 13 * DAY_SECONDS, TickState.FAILED)
        key(tx, "old", 8 * DAY_SECONDS)
        key(tx, "young", 6 * DAY_SECONDS)
    assert run(market, maintenance.prune) == {
        "ticks": 1,
        "idempotency_keys": 1,
        "deliveries": 0,
        "events": 0,
    }
    assert [row["job"] for row in market.rows(tables.cron_tick)] == ["running", "young"]
    assert [row["key"] for row in market.rows(tables.idempotency)] == ["young"]
