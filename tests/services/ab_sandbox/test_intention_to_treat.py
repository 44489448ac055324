"""Intention to treat: whatever becomes of an assigned task, it counts once, for the arm it was given."""

import random

import pytest

from services import ab_sandbox
from services.domain.states import TaskState
from services.operations import production_config
from services.store import sql, tables
from tests.services.meta_task_market.test_arms import TIMEOUT, passed_proposal


@pytest.fixture
def experiment(market, requester):
    """A running experiment of the market's task type: its id."""
    with market.write("system:experiment") as tx:
        before = production_config.effective(tx, TIMEOUT)
        proposal_id = passed_proposal(tx, requester, before, str(float(before.value) * 2))
        platform = market.platform
        return ab_sandbox.start_experiment(tx, platform.registry, proposal_id, platform.context.entropy)


def exposure(market, task_id):
    return market.row(tables.exposure, task_id=task_id)


def handed_over(market, requester, first, second):
    """Return a task whose first winner fell silent and that the second has taken over."""
    task_id = market.post(requester)
    market.bid(first, task_id, ask=1_000)
    market.bid(second, task_id, ask=400_000)
    market.close_windows()
    winner = market.task(task_id)["awarded_agent_id"]
    market.pass_seconds(61)
    market.expire()
    market.award()
    later = market.task(task_id)["awarded_agent_id"]
    assert {winner, later} == {first, second}
    return task_id, winner, later


@pytest.mark.parametrize("is_good", [True, False])
def test_a_takeover_counts_once_for_the_arm_and_agent_of_the_first_award(
    market, requester, worker, experiment, is_good
):
    task_id, winner, later = handed_over(market, requester, worker, market.agent())
    before = exposure(market, task_id)
    assert before["stratum"] == f"agent:{winner}"
    given = market.lease(later, task_id)
    assert given.parameters[TIMEOUT]["arm"] == before["arm"]
    market.submit(later, task_id, given.fencing_token, is_good=is_good)
    market.deliver()
    after = exposure(market, task_id)
    unchanged = ("arm", "share", "unit", "stratum", "ordinal", "value", "assigned_at_us")
    assert [after[name] for name in unchanged] == [before[name] for name in unchanged]
    assert (after["outcome"], after["is_resolved"], after["is_folded"]) == (float(is_good), True, True)
    ended_at_us = market.task(task_id)["ended_at_us"]
    assert after["duration_seconds"] == (ended_at_us - before["assigned_at_us"]) / 1e6, (
        "the silence counts too"
    )


def test_a_retry_that_ends_in_silence_is_one_failure(market, requester, worker, experiment):
    task_id, _, later = handed_over(market, requester, worker, market.agent())
    before = exposure(market, task_id)
    market.lease(later, task_id)
    market.pass_seconds(200)
    market.expire()
    assert market.task(task_id)["state"] == TaskState.FAILED
    assert market.task(task_id)["attempt_count"] == 2
    market.deliver()
    [after] = market.rows(tables.exposure, task_id=task_id)
    assert (after["arm"], after["outcome"], after["is_folded"]) == (before["arm"], 0.0, True)


@pytest.mark.parametrize("is_leased", [False, True])
def test_a_cancellation_after_the_award_is_a_failure_in_its_arm(
    market, requester, worker, experiment, is_leased
):
    task_id = market.awarded(requester, worker)
    before = exposure(market, task_id)
    if is_leased:
        market.lease(worker, task_id)
    market.cancel(task_id, None if is_leased else requester)
    market.deliver()
    assert market.task(task_id)["state"] == TaskState.CANCELLED
    after = exposure(market, task_id)
    assert (after["arm"], after["outcome"], after["is_resolved"]) == (before["arm"], 0.0, True)
    assert after["is_folded"]


@pytest.mark.parametrize("arm", [0, 1])
def test_what_is_unresolved_at_the_maximum_wait_is_a_failure_that_no_late_result_changes(lab, arm):
    experiment_id = lab.running()
    silent = lab.assign_arm(experiment_id, arm)
    wait_us = lab.experiment(experiment_id)["maximum_wait_us"]
    lab.platform.store.clock.advance(wait_us - 1)
    assert lab.evaluate()["ended"] == 0
    assert lab.row(tables.exposure, task_id=silent)["outcome"] is None
    lab.platform.store.clock.advance(1)
    lab.evaluate()
    counted = dict(lab.row(tables.exposure, task_id=silent))
    assert (counted["outcome"], counted["is_resolved"], counted["is_folded"]) == (0.0, False, True)
    state = lab.bet(experiment_id)
    assert (state.assigned[arm], state.resolved) == (1, (0, 0))
    lab.pass_seconds(5)
    lab.end(silent, is_success=True)
    assert dict(lab.row(tables.exposure, task_id=silent)) == counted
    assert lab.bet(experiment_id) == state


@pytest.mark.parametrize(("late_us", "outcome"), [(0, 1.0), (1, 0.0)])
def test_the_window_is_the_tasks_own_however_late_its_event_comes(lab, late_us, outcome):
    experiment_id = lab.running()
    task_id, _ = lab.assign()
    assigned_us = lab.now_us
    wait_us = lab.experiment(experiment_id)["maximum_wait_us"]
    lab.platform.store.clock.advance(wait_us + late_us)
    with lab.write() as tx:
        ended = {"state": "settled", "ended_at_us": assigned_us + wait_us + late_us}
        sql.update(tx, tables.task, {"id": task_id}, **ended)
    lab.pass_seconds(900)
    lab.evaluate()
    row = lab.row(tables.exposure, task_id=task_id)
    assert (row["outcome"], row["is_resolved"], row["is_folded"]) == (outcome, outcome == 1.0, True)


@pytest.mark.parametrize("seed", [1, 2])
def test_events_in_any_order_and_any_number_count_each_task_once(lab, seed):
    experiment_id = lab.running(expected_effect="0.15")
    rng = random.Random(seed)
    tasks = lab.assign_many(24)
    good = {task_id: rng.random() < 0.7 for task_id, _ in tasks}
    with lab.write() as tx:
        for task_id, is_success in good.items():
            state = "settled" if is_success else "failed"
            sql.update(tx, tables.task, {"id": task_id}, state=state, ended_at_us=tx.now_us)
    told = rng.sample([task_id for task_id in good for _ in range(3)], 3 * len(good))
    for task_id in told:
        lab.hear(task_id)
        if rng.random() < 0.2:
            lab.evaluate()
    state = lab.bet(experiment_id)
    assert state.next_ordinal == len(tasks) == len(lab.folded(experiment_id))
    treated = [good[task_id] for task_id, values in tasks if values["research_synthesis.timeout_seconds"].arm]
    control = [
        good[task_id] for task_id, values in tasks if not values["research_synthesis.timeout_seconds"].arm
    ]
    assert state.assigned == (len(control), len(treated))
    assert state.successes == (float(sum(control)), float(sum(treated)))
    assert lab.replayed(experiment_id).state == state


@pytest.mark.parametrize("silent", [0, 1])
def test_an_arm_whose_tasks_do_not_resolve_makes_it_invalid(lab, silent):
    """Both arms fail alike, so neither harm nor futility speaks first; only one of them answers at all."""
    experiment_id = lab.running(expected_effect="0.08", cap_tasks=5_000, cap_days=60)
    wait_us = lab.experiment(experiment_id)["maximum_wait_us"]
    for _ in range(30):
        tasks = lab.assign_many(20)
        arms = {row["task_id"]: row["arm"] for row in lab.exposures(experiment_id)}
        lab.end_many({task_id: False for task_id, _ in tasks if arms[task_id] != silent})
        lab.platform.store.clock.advance(wait_us)
        lab.evaluate()
        if lab.experiment(experiment_id)["state"] != "running":
            break
    found = lab.experiment(experiment_id)
    assert (found["state"], found["verdict"]) == ("aborted", "invalid")
    assert found["reason"] == "sample ratio mismatch of resolved outcomes"
    assert min(lab.bet(experiment_id).assigned) > 5, "what was assigned had its promised shares"
    lab.deliver()
    assert lab.types()[-2:] == ["VERDICT", "REFUSED"]
    assert lab.audit().ok, lab.audit().reason
