"""Scopes: what is randomised is what is bet on, once, when it is over and all of its tasks have resolved."""

import random
from dataclasses import replace

import pytest

from services.domain import assignment
from services.domain.ledger_records import read_records
from services.domain.states import ExperimentScope, Leg
from services.store import tables
from tests.services.laboratory import TIMEOUT, assign

HOUR = 3600
AGENT, PLATFORM = ExperimentScope.AGENT, ExperimentScope.PLATFORM


def certified(lab, experiment_id):
    kept = lab.row(tables.blob, sha256=lab.experiment(experiment_id)["records_sha256"])
    return read_records(bytes(kept["content"]))[1]


def units(lab, experiment_id):
    """Return the units of an experiment in order of first assignment, each with its exposures."""
    grouped = {}
    for row in lab.exposures(experiment_id):
        grouped.setdefault(row["unit"], []).append(row)
    return grouped


def end_all(lab, tasks, *, is_success=True):
    lab.end_many(dict.fromkeys([task_id for task_id, _ in tasks], is_success))


def test_all_tasks_of_an_agent_in_a_window_share_one_arm(lab):
    experiment_id = lab.running(scope=AGENT)
    lab.pass_seconds(1)
    agents = lab.voters[:3]
    for hour in range(6):
        for agent_id in agents:
            lab.assign_many(3, agent_id=agent_id)
        lab.pass_seconds(HOUR - 1 if not hour else HOUR)
    found = units(lab, experiment_id)
    assert [unit.rsplit(":", 1)[0] for unit in found] == [
        f"agent:{agent_id}:{window}" for window in range(6) for agent_id in agents
    ]
    salt = lab.experiment(experiment_id)["salt"]
    for unit, exposures in found.items():
        assert len(exposures) == 3
        assert {row["arm"] for row in exposures} == {assignment.arm_of(salt, unit, 0.5)}
        assert {row["stratum"] for row in exposures} == {f"agent:{unit.split(':')[1]}"}
    of_one = {
        exposures[0]["arm"] for unit, exposures in found.items() if unit.startswith(f"agent:{agents[0]}:")
    }
    assert of_one == {0, 1}, "an agent's next window draws anew"


def test_a_window_of_the_platform_is_one_unit_for_every_agent(lab):
    experiment_id = lab.running(scope=PLATFORM)
    for _ in range(8):
        for agent_id in lab.voters[:3]:
            lab.assign(agent_id=agent_id)
        lab.pass_seconds(HOUR)
    found = units(lab, experiment_id)
    assert [unit.rsplit(":", 1)[0] for unit in found] == [f"window:{window}" for window in range(8)]
    assert {len(exposures) for exposures in found.values()} == {3}
    assert all(len({row["arm"] for row in exposures}) == 1 for exposures in found.values())
    assert {row["arm"] for row in lab.exposures(experiment_id)} == {0, 1}
    assert {row["stratum"] for row in lab.exposures(experiment_id)} == {"research_synthesis"}


def test_a_unit_is_bet_on_once_on_the_mean_of_its_tasks(lab):
    experiment_id = lab.running(scope=AGENT, cap_days=1)
    ended = {}
    for number, agent_id in enumerate(lab.voters[:4]):
        tasks = [task_id for task_id, _ in lab.assign_many(4, agent_id=agent_id)]
        ended |= {task_id: place <= number for place, task_id in enumerate(tasks)}
    lab.end_many(ended)
    assert lab.bet(experiment_id).next_ordinal == 0, "the window is still open"
    lab.pass_seconds(HOUR)
    lab.evaluate()
    assert lab.bet(experiment_id).next_ordinal == 4, "sixteen tasks, four units"
    assert sum(lab.bet(experiment_id).successes) == 0.25 + 0.5 + 0.75 + 1.0
    assert len(lab.folded(experiment_id)) == 16
    lab.pass_seconds(24 * HOUR)
    lab.evaluate()
    records = certified(lab, experiment_id)
    assert [record.outcome for record in records] == [0.25, 0.5, 0.75, 1.0]
    assert [record.unit for record in records] == list(units(lab, experiment_id))
    lab.deliver()
    assert lab.audit().ok, lab.audit().reason


@pytest.mark.parametrize("scope", [AGENT, PLATFORM])
def test_a_unit_waits_for_its_window_and_for_all_its_tasks(lab, scope):
    experiment_id = lab.running(scope=scope)
    first = lab.assign_many(2)
    end_all(lab, first)
    lab.pass_seconds(HOUR - 0.001)
    lab.evaluate()
    assert lab.folded(experiment_id) == []
    late = lab.assign()
    assert lab.row(tables.exposure, task_id=late[0])["unit"] == lab.exposures(experiment_id)[0]["unit"]
    lab.pass_seconds(0.001)
    lab.evaluate()
    assert lab.folded(experiment_id) == [], "one of its tasks outlives the window"
    lab.pass_seconds(600)
    lab.end(late[0], is_success=False)
    assert lab.folded(experiment_id) == [0, 1, 2]
    assert lab.bet(experiment_id).next_ordinal == 1


def test_a_task_that_outlives_its_window_holds_the_units_after_it_too(lab_with):
    lab = lab_with(maximum_wait_seconds="7200")
    experiment_id = lab.running(scope=AGENT)
    lab.pass_seconds(HOUR - 60)
    slow, quick = lab.voters[:2]
    held = lab.assign(agent_id=slow)[0]
    end_all(lab, lab.assign_many(2, agent_id=quick))
    lab.pass_seconds(60)
    end_all(lab, lab.assign_many(2, agent_id=quick))
    lab.pass_seconds(2 * HOUR - 60 - 1)
    lab.evaluate()
    assert lab.folded(experiment_id) == []
    lab.pass_seconds(1)
    lab.evaluate()
    assert lab.folded(experiment_id) == [0, 1, 2, 3, 4], "a failure at the maximum wait, and the way is free"
    assert lab.row(tables.exposure, task_id=held)["is_resolved"] is False
    found = [exposures[0]["arm"] for exposures in units(lab, experiment_id).values()]
    assert len(found) == 3
    assert lab.bet(experiment_id).resolved == (found[1:].count(0), found[1:].count(1))


def test_units_are_released_in_the_order_of_their_first_assignment(lab_with):
    lab = lab_with(maximum_wait_seconds="7200")
    experiment_id = lab.running(scope=AGENT)
    first, second = lab.voters[:2]
    opener = lab.assign(agent_id=first)
    end_all(lab, [lab.assign(agent_id=second)])
    end_all(lab, [lab.assign(agent_id=first)])
    lab.pass_seconds(HOUR)
    lab.evaluate()
    assert lab.folded(experiment_id) == [], "the second agent is done, but the first came first"
    lab.end(opener[0], is_success=True)
    assert lab.folded(experiment_id) == [0, 1, 2]


@pytest.mark.parametrize("scope", [AGENT, PLATFORM])
def test_windows_have_no_ramp_and_run_to_a_certified_win(lab_with, scope):
    lab = lab_with(ramp_percent="10", window_seconds="60")
    experiment_id = lab.running(scope=scope, expected_effect="0.39")
    row = lab.experiment(experiment_id)
    assert (row["treatment_share"], row["window_us"]) == (0.5, 60_000_000)
    rng = random.Random(4)
    for _ in range(60):
        for agent_id in lab.voters[: 3 if scope is AGENT else 1]:
            lab.work(2, (0.2, 0.98), rng, agent_id=agent_id)
        lab.pass_seconds(60)
        if lab.evaluate()["ended"]:
            break
    assert lab.experiment(experiment_id)["verdict"] == "win"
    lab.deliver()
    assert lab.value().value == "180"
    assert lab.payloads("EXPERIMENT_STARTED")[0]["scope"] == scope
    opened = lab.assign_many(3, agent_id=lab.voters[0])
    assert len({values[TIMEOUT].arm for _, values in opened}) == 1
    rows = lab.exposures(experiment_id)[-3:]
    salt = lab.probation(experiment_id)["salt"]
    assert {row["share"] for row in rows} == {0.85}
    assert {row["arm"] for row in rows} == {assignment.arm_of(salt, rows[0]["unit"], 0.85)}
    end_all(lab, opened)
    lab.pass_seconds(60)
    lab.evaluate()
    assert lab.bet(experiment_id, Leg.PROBATION).next_ordinal == 1
    assert lab.audit().ok, lab.audit().reason


@pytest.mark.parametrize("scope", [AGENT, PLATFORM])
def test_an_award_older_than_its_window_opens_a_unit_of_its_own(lab, scope):
    experiment_id = lab.running(scope=scope)
    lab.pass_seconds(1)
    early = lab.now_us
    end_all(lab, lab.assign_many(4, agent_id=lab.voters[0]))
    lab.pass_seconds(HOUR)
    lab.evaluate()
    assert lab.bet(experiment_id).next_ordinal == 1
    late = lab.task()
    with lab.write() as tx:
        of_old = replace(tx, now_us=early)
        assign(of_old, late, agent_id=lab.voters[0], award_seed=f"{late:032x}")
    first, second = units(lab, experiment_id)
    assert first.rsplit(":", 1)[0] == second.rsplit(":", 1)[0]
    lab.end_many({late: True})
    lab.evaluate()
    assert lab.bet(experiment_id).next_ordinal == 2
    assert [len(rows) for rows in units(lab, experiment_id).values()] == [4, 1]
