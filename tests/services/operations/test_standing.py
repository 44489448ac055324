"""Acts on standing: suspension, the way back by a new stake, appeals, and the recount from outcomes."""

import json
import math

import pytest

from services.domain.clock import DAY_US, SECOND_US
from services.domain.demotion import E_VALUE_HIGHEST, e_value, failures_left, next_step
from services.domain.errors import ConflictError, InsufficientFundsError, InvalidValueError, NotFoundError
from services.domain.failed_work import FailedKind
from services.domain.reputation import AgentCounts, log_e
from services.domain.states import OutcomeKind, Standing
from services.domain.track_record import SUSPENSION_LOG_E
from services.operations import (
    accounts,
    agent_registry,
    failed_work,
    production_config,
    review_queue,
    standing,
)
from services.store import sql, tables, views
from tests.plugins.platforms import broken_books

STAKE = 1_000_000


def suspend(market, agent_id, reason="it copies results"):
    with market.write("operator") as tx:
        standing.suspend(tx, agent_id, reason=reason)


def come_back(market, agent_id):
    with market.write(f"agent:{agent_id}") as tx:
        return standing.come_back(tx, agent_id)


def agent(market, agent_id):
    return market.row(tables.agent, id=agent_id)


def bond(market, agent_id):
    return market.balance(standing.bond_account(agent_id))


def standing_entries(market, agent_id):
    payloads = [json.loads(row["leaf"]) for row in market.rows(tables.ledger_entry, type="STANDING")]
    return [
        (entry["actor"], entry["payload"]["from"], entry["payload"]["to"], entry["payload"]["reason"])
        for entry in payloads
        if entry["payload"]["agent"] == f"agent:{agent_id}"
    ]


def outcomes(market, agent_id):
    return [row["kind"] for row in market.rows(tables.agent_outcome, agent_id=agent_id)]


def differences(market, agent_id):
    with market.read() as tx:
        return standing.recompute(tx, [agent_id])


def books_are_right(market):
    with market.read() as tx:
        assert broken_books(tx) == []
    return True


def test_an_operator_suspends_once_with_a_reason_in_the_ledger(market, worker):
    suspend(market, worker)
    row = agent(market, worker)
    assert row["standing"] == Standing.SUSPENDED
    assert row["suspended_at_us"] == market.platform.store.clock.now_us()
    assert standing_entries(market, worker) == [("operator", "probation", "suspended", "it copies results")]
    assert outcomes(market, worker) == [OutcomeKind.SUSPENDED]
    with pytest.raises(ConflictError, match="suspended already"):
        suspend(market, worker)
    with pytest.raises(InvalidValueError, match="needs a reason"):
        suspend(market, worker, reason="  ")
    with pytest.raises(NotFoundError, match="no agent 999"):
        suspend(market, 999)
    assert differences(market, worker) == []


def test_a_reinstated_agent_begins_its_trial_anew(market, requester, worker):
    market.done(requester, worker)
    market.done(requester, worker, is_good=False)
    before = agent(market, worker)
    assert (before["trial_successes"], before["trial_failures"]) == (1, 1)
    suspend(market, worker)
    assert agent(market, worker)["trial_failures"] == 1, "a suspension leaves the counts as they are"
    with market.write("operator") as tx:
        standing.reinstate(tx, worker, reason="its source was down")
    row = agent(market, worker)
    assert (row["standing"], row["suspended_at_us"]) == (Standing.PROBATION, None)
    assert (row["trial_successes"], row["trial_failures"], row["consecutive_crashes"]) == (0, 0, 0)
    assert (row["settled_jobs"], row["verified_jobs"]) == (2, 1), "the record itself stays"
    assert outcomes(market, worker)[-2:] == [OutcomeKind.SUSPENDED, OutcomeKind.REINSTATED]
    assert differences(market, worker) == []


def test_nobody_comes_back_before_the_cool_down_or_without_the_stake(market, worker):
    with pytest.raises(ConflictError, match="not suspended"):
        come_back(market, worker)
    suspend(market, worker)
    market.pass_seconds(86_399)
    with pytest.raises(ConflictError, match="may come back from") as refused:
        come_back(market, worker)
    assert refused.value.code == "cool_down"
    market.pass_seconds(1)
    with market.write() as tx:
        accounts.move(
            tx,
            kind="fine",
            debit=accounts.agent_account(worker),
            credit=accounts.TREASURY,
            amount_microcredits=market.balance(worker) - STAKE + 1,
        )
    with pytest.raises(InsufficientFundsError, match="cannot pay"):
        come_back(market, worker)
    assert agent(market, worker)["standing"] == Standing.SUSPENDED
    assert bond(market, worker) == 0


def test_a_new_stake_is_held_and_lost_at_the_next_suspension(market, worker):
    suspend(market, worker)
    market.pass_seconds(86_400)
    before = market.balance(worker)
    assert come_back(market, worker) == STAKE
    assert agent(market, worker)["standing"] == Standing.PROBATION
    assert (market.balance(worker), bond(market, worker)) == (before - STAKE, STAKE)
    assert standing_entries(market, worker)[-1][:3] == (f"agent:{worker}", "suspended", "probation")
    assert books_are_right(market)
    treasury = market.balance(accounts.TREASURY)
    suspend(market, worker, "again")
    assert (bond(market, worker), market.balance(worker)) == (0, before - STAKE)
    assert market.balance(accounts.TREASURY) == treasury + STAKE
    assert books_are_right(market)
    assert differences(market, worker) == []


def test_work_that_suspends_an_agent_takes_its_new_stake(market, requester, worker):
    suspend(market, worker)
    market.pass_seconds(86_400)
    come_back(market, worker)
    failures = 0
    while agent(market, worker)["standing"] != Standing.SUSPENDED:
        market.done(requester, worker, is_good=False)
        failures += 1
        assert failures < 40
        assert bond(market, worker) == (
            0 if agent(market, worker)["standing"] == Standing.SUSPENDED else STAKE
        )
    assert failures == failures_left(0, 0)
    assert books_are_right(market)
    assert differences(market, worker) == []


def test_a_new_stake_is_returned_at_full_standing(market, requester, worker):
    suspend(market, worker)
    market.pass_seconds(86_400)
    before = market.balance(worker)
    come_back(market, worker)
    jobs = 0
    while agent(market, worker)["standing"] != Standing.FULL:
        assert bond(market, worker) == STAKE
        market.done(requester, worker)
        jobs += 1
    assert jobs == 20
    assert bond(market, worker) == 0
    assert market.balance(worker) > before
    kinds = [row["kind"] for row in market.rows(tables.transfer) if "bond" in row["kind"]]
    assert kinds == ["hold_bond", "return_bond"]
    assert books_are_right(market)
    assert differences(market, worker) == []


def test_an_appeal_is_decided_once_by_a_recorded_act(market, worker):
    with market.write() as tx, pytest.raises(ConflictError, match="not suspended"):
        standing.appeal(tx, worker, reason="why not")
    suspend(market, worker)
    with market.write() as tx:
        item = standing.appeal(tx, worker, reason="my source was down")
    with market.write() as tx, pytest.raises(ConflictError, match="waits for an operator") as refused:
        standing.appeal(tx, worker, reason="please")
    assert refused.value.code == "appealed_already"
    with market.write("operator") as tx, pytest.raises(ConflictError, match="grant or deny"):
        review_queue.close_item(tx, item)
    with market.write("operator") as tx, pytest.raises(ConflictError, match="grant or deny"):
        failed_work.dismiss(tx, FailedKind.REVIEW_ITEM, item, agent_id=None, reason="no")
    with market.write("operator") as tx:
        assert standing.decide_appeal(tx, item, is_granted=False, reason="it was not") == worker
    assert agent(market, worker)["standing"] == Standing.SUSPENDED
    assert standing_entries(market, worker)[-1] == (
        "operator", "suspended", "suspended", "appeal denied: it was not",
    )  # fmt: skip
    with market.write() as tx, pytest.raises(ConflictError, match="was decided"):
        standing.appeal(tx, worker, reason="please")
    with market.write("operator") as tx, pytest.raises(ConflictError, match="not open"):
        standing.decide_appeal(tx, item, is_granted=True, reason="changed my mind")
    assert differences(market, worker) == []


def test_a_granted_appeal_reinstates_and_the_next_suspension_may_be_appealed_again(market, worker):
    suspend(market, worker)
    with market.write() as tx:
        item = standing.appeal(tx, worker, reason="my source was down")
    with market.write("operator") as tx:
        standing.decide_appeal(tx, item, is_granted=True, reason="indeed")
    assert agent(market, worker)["standing"] == Standing.PROBATION
    assert standing_entries(market, worker)[-1][3] == "appeal granted: indeed"
    market.pass_seconds(1)
    suspend(market, worker)
    with market.write() as tx:
        again = standing.appeal(tx, worker, reason="not again")
    market.pass_seconds(86_400)
    come_back(market, worker)
    assert market.row(tables.review_item, id=again)["closed_at_us"] is not None, "it has become moot"
    with market.write("operator") as tx, pytest.raises(NotFoundError, match="is no appeal"):
        standing.decide_appeal(tx, 999, is_granted=True, reason="which")


def test_what_somebody_wrote_by_hand_is_named(market, requester, worker):
    market.done(requester, worker)
    assert differences(market, worker) == []
    with market.write() as tx:
        sql.update(tx, tables.agent, {"id": worker}, verified_jobs=7, standing=Standing.FULL)
        sql.update(tx, tables.agent_record, {"agent_id": worker}, success_weight=3.5)
    found = {item.what: (item.stored, item.folded) for item in differences(market, worker)}
    assert found == {
        "verified_jobs": (7, 1),
        "standing": ("full", "probation"),
        "monte_carlo: success_weight": (3.5, 1.0),
    }


def test_the_standing_tells_what_would_move_it(market, requester, worker):
    market.done(requester, worker)
    with market.read() as tx:
        shown = views.get_standing(tx, worker)
    assert shown["next_step"] == {"standing": "full", "verified_jobs": 19}
    assert shown["demotion"]["successes"] == 1
    assert shown["demotion"]["failures_left"] == failures_left(1, 0)
    assert shown["demotion"]["e_value"] == pytest.approx(math.exp(log_e(1, 0)))
    assert shown["crashes"] == {"in_a_row": 0, "limit": 12}
    assert (shown["suspension"], shown["appeal"], shown["acts"]) == (None, None, [])
    suspend(market, worker)
    with market.write() as tx:
        item = standing.appeal(tx, worker, reason="it was not me")
        shown = views.get_standing(tx, worker)
        wait_us = production_config.number(tx, "market.suspension_seconds") * SECOND_US
        since_us = agent_registry.get(tx, worker)["suspended_at_us"]
    assert wait_us == DAY_US
    assert since_us == market.platform.store.clock.now_us()
    assert shown["suspension"]["stake_microcredits"] == STAKE
    assert shown["suspension"]["since"] < shown["suspension"]["may_return_at"]
    assert shown["appeal"]["item_id"] == item
    assert "it was not me" not in json.dumps(shown)
    assert [act["kind"] for act in shown["acts"]] == ["suspended"]


@pytest.mark.parametrize(("successes", "failures"), [(0, 0), (5, 3), (40, 10), (1_000, 0), (100_000, 7)])
def test_the_failures_left_are_exactly_those_that_suspend(successes, failures):
    left = failures_left(successes, failures)
    assert log_e(successes, failures + left) >= SUSPENSION_LOG_E
    assert log_e(successes, failures + left - 1) < SUSPENSION_LOG_E
    assert failures_left(successes, failures + left) == 0


def test_evidence_is_shown_however_large_and_rungs_need_at_least_one_more_job():
    assert e_value(AgentCounts(trial_failures=100_000)) == pytest.approx(E_VALUE_HIGHEST)
    assert e_value(AgentCounts()) == pytest.approx(1)
    assert next_step(AgentCounts(Standing.SHADOW, verified_jobs=1)) == (Standing.PROBATION, 2)
    assert next_step(AgentCounts(Standing.PROBATION, verified_jobs=90)) == (Standing.FULL, 1)
    assert next_step(AgentCounts(Standing.FULL)) is None
    assert next_step(AgentCounts(Standing.SUSPENDED)) is None
    assert views.ladder("probation") == [
        {"standing": "shadow", "is": "passed"},
        {"standing": "probation", "is": "here"},
        {"standing": "full", "is": "ahead"},
    ]
    assert {rung["is"] for rung in views.ladder("suspended")} == {"ahead"}
