"""Arms: fixed once per task at its first award, by (salt, task) alone; the lease gives the arm's value."""

import json

import pytest

from services import ab_sandbox
from services.domain import assignment
from services.domain.states import ProposalState, TaskState
from services.operations import production_config
from services.store import sql, tables

TIMEOUT = "monte_carlo.timeout_seconds"


def passed_proposal(tx, proposer, before, after):
    return sql.insert(
        tx, tables.proposal, proposer_id=proposer, parameter=TIMEOUT, from_value=before.value, to_value=after,
        from_version=before.version, metric="task_success", expected_effect="0.2", cap_tasks=400, cap_days=14,
        admission_tasks=400, base_rate=0.6, root_cause="slow", evidence=[], content_hash="h", risk="open",
        state=ProposalState.PASSED, yes=3, no=0, abstain=0, electorate=3, opened_at_us=tx.now_us,
        minimum_until_us=tx.now_us, closes_at_us=tx.now_us, decided_at_us=tx.now_us,
    )  # fmt: skip


@pytest.fixture
def experiment(market, requester):
    """A running experiment on the timeout of a task type: its row."""
    with market.write("system:experiment") as tx:
        before = production_config.effective(tx, TIMEOUT)
        after = str(float(before.value) * 2)
        number = ab_sandbox.start_experiment(
            tx,
            market.platform.registry,
            passed_proposal(tx, requester, before, after),
            market.platform.context.entropy,
        )
    return market.row(tables.experiment, id=number)


def test_arms_are_a_pure_function_of_salt_and_unit(market, requester, worker, experiment):
    tasks = [market.post(requester) for _ in range(24)]
    for task_id in tasks:
        market.bid(worker, task_id)
    market.close_windows()
    exposures = market.rows(tables.exposure, experiment_id=experiment["id"])
    assert [row["task_id"] for row in exposures] == tasks
    assert [row["ordinal"] for row in exposures] == list(range(24))
    seeds = [market.row(tables.award, task_id=task_id)["seed"] for task_id in tasks]
    units = [f"{task_id}:{seed[:16]}" for task_id, seed in zip(tasks, seeds, strict=True)]
    assert [row["unit"] for row in exposures] == units, "unknown to anybody while bids are taken"
    arms = [assignment.arm_of(experiment["salt"], unit, 0.5) for unit in units]
    assert [row["arm"] for row in exposures] == arms
    assert 4 <= sum(arms) <= 20
    assert market.row(tables.experiment, id=experiment["id"])["assigned_count"] == 24


def test_both_arms_really_run_under_their_value(market, requester, worker, experiment):
    seen = {}
    for _ in range(8):
        task_id = market.awarded(requester, worker)
        lease = market.lease(worker, task_id)
        [exposure] = market.rows(tables.exposure, task_id=task_id)
        given = lease.parameters[TIMEOUT]
        assert (given["value"], given["source"], given["arm"]) == (
            exposure["value"],
            "arm",
            exposure["arm"],
        )
        assert lease.timeout_seconds == float(exposure["value"])
        assert lease.expires_at_us - exposure["assigned_at_us"] == round(float(exposure["value"]) * 1e6)
        seen[exposure["arm"]] = exposure["value"]
    assert seen == {0: experiment["control_value"], 1: experiment["treatment_value"]}


def test_a_task_that_changes_hands_keeps_its_arm_and_is_counted_once(market, requester, worker, experiment):
    other = market.agent()
    task_id = market.post(requester)
    for agent_id in (worker, other):
        market.bid(agent_id, task_id)
    market.close_windows()
    before = market.task(task_id)["effective_values"]
    market.pass_seconds(60)
    market.expire()
    market.award()
    task = market.task(task_id)
    assert (task["state"], task["attempt_count"]) == (TaskState.AWARDED, 2)
    assert task["effective_values"] == before
    assert len(market.rows(tables.exposure, task_id=task_id)) == 1


def test_every_end_counts_for_the_arm_it_was_assigned_to(market, requester, worker, experiment):
    good = market.done(requester, worker)
    bad = market.done(requester, worker, is_good=False)
    taken_back = market.awarded(requester, worker)
    market.cancel(taken_back, requester)
    market.deliver()
    outcomes = {row["task_id"]: row["outcome"] for row in market.rows(tables.exposure)}
    assert outcomes == {good: 1.0, bad: 0.0, taken_back: 0.0}


def test_another_task_type_is_not_exposed(market, requester, worker, experiment):
    task_id = market.awarded(requester, worker, type="ml_training")
    assert market.rows(tables.exposure, task_id=task_id) == []
    values = market.task(task_id)["effective_values"]
    assert {value["source"] for value in values.values()} == {"default"}
    assert all(name.startswith("ml_training.") for name in values)


def test_a_task_without_an_award_has_no_arm(market, requester, worker, experiment):
    task_id = market.post(requester)
    market.bid(worker, task_id)
    assert market.rows(tables.exposure) == []
    assert market.task(task_id)["effective_values"] is None


def test_the_salt_is_committed_to_and_not_told(market, experiment):
    entries = [json.loads(row["leaf"]) for row in market.rows(tables.ledger_entry)]
    started = entries[-1]["payload"]
    assert assignment.opens(started["salt_commitment"], experiment["salt"])
    assert experiment["salt"] not in json.dumps(entries)
