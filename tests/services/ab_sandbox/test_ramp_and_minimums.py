"""The first tasks of a trial: a small share at first, and no win before its minimum time and counts."""

import math
import random

import pytest

from services.domain import assignment
from services.store import tables

WIN = math.log(20)


def work(lab, experiment_id, arm, *, is_success):
    """Assign a task into this arm and end it."""
    lab.end(lab.assign_arm(experiment_id, arm), is_success=is_success)


def shares(lab, experiment_id):
    return [row["share"] for row in lab.exposures(experiment_id)]


def test_a_ramp_begins_with_a_tenth_and_goes_on_to_half_for_good(lab_with):
    lab = lab_with(ramp_percent="10")
    experiment_id = lab.running(expected_effect="0.15")
    assert lab.experiment(experiment_id)["treatment_share"] == 0.1
    ahead = lab.assign_many(3)
    lab.end_many({task_id: True for task_id, _ in lab.assign_many(16)})
    lab.end_many({task_id: True for task_id, _ in ahead})
    assert lab.bet(experiment_id).next_ordinal == 19
    assert lab.experiment(experiment_id)["treatment_share"] == 0.1, "nineteen tasks are not twenty"
    late = lab.assign_many(2)
    lab.end(late[0][0], is_success=True)
    assert lab.experiment(experiment_id)["treatment_share"] == 0.5
    lab.end(late[1][0], is_success=True)
    while lab.bet(experiment_id).harm_log < math.log(2):
        work(lab, experiment_id, 1, is_success=False)
    lab.work(3, (1.0, 1.0), random.Random(1))
    found = lab.experiment(experiment_id)
    assert found["state"] == "running"
    assert lab.bet(experiment_id).harm_log > math.log(2), "a hint of harm after the ramp ..."
    assert found["treatment_share"] == 0.5, "... takes nothing back"
    assert shares(lab, experiment_id)[:22] == [0.1] * 21 + [0.5]
    assert set(shares(lab, experiment_id)[21:]) == {0.5}
    for row in lab.exposures(experiment_id):
        assert row["arm"] == assignment.arm_of(found["salt"], row["unit"], row["share"])
    assert lab.replayed(experiment_id).state == lab.bet(experiment_id)


def test_a_hint_of_harm_holds_the_ramp_until_it_is_gone(lab_with):
    lab = lab_with(ramp_percent="10")
    experiment_id = lab.running()
    for place in range(24):
        is_treated = place in (4, 13)
        work(lab, experiment_id, int(is_treated), is_success=not is_treated)
    found = lab.bet(experiment_id)
    assert (found.next_ordinal, found.decision.verdict) == (24, None)
    assert found.harm_log >= math.log(2)
    assert lab.experiment(experiment_id)["treatment_share"] == 0.1
    while lab.bet(experiment_id).harm_log >= math.log(2):
        assert lab.experiment(experiment_id)["treatment_share"] == 0.1
        work(lab, experiment_id, 1, is_success=True)
        work(lab, experiment_id, 0, is_success=False)
        assert lab.bet(experiment_id).next_ordinal < 40
    assert lab.experiment(experiment_id)["treatment_share"] == 0.5
    assert lab.bet(experiment_id).decision.verdict is None
    assert lab.replayed(experiment_id).state == lab.bet(experiment_id)


def test_a_ramped_trial_is_won_and_its_shares_are_in_the_certificate(lab_with):
    lab = lab_with(ramp_percent="10")
    experiment = lab.promoted()
    assert {row["share"] for row in lab.exposures(experiment["id"]) if row["is_folded"]} == {0.1, 0.5}
    assert lab.audit().ok, lab.audit().reason


def test_no_win_before_the_minimum_cycle(lab_with):
    lab = lab_with(minimum_cycle_seconds="3600")
    experiment_id = lab.running()
    lab.run_experiment(experiment_id, at_most=60)
    assert lab.bet(experiment_id).e_log > WIN
    lab.pass_seconds(3599)
    lab.run_experiment(experiment_id, at_most=10)
    assert lab.experiment(experiment_id)["state"] == "running", "all that was seen is younger than an hour"
    lab.pass_seconds(1)
    lab.evaluate()
    assert lab.experiment(experiment_id)["state"] == "running", "time alone is no evidence"
    before = lab.bet(experiment_id).next_ordinal
    found = lab.run_experiment(experiment_id, at_most=10)
    assert (found["state"], found["verdict"]) == ("provisional", "win")
    assert lab.bet(experiment_id).next_ordinal == before + 1
    lab.deliver()
    assert lab.audit().ok, lab.audit().reason


@pytest.mark.parametrize(("name", "value"), [("minimum_per_arm", "30"), ("minimum_tasks", "70")])
def test_no_win_on_fewer_tasks_than_are_asked_for(lab_with, name, value):
    lab = lab_with(**{name: value})
    experiment_id = lab.running()
    while lab.experiment(experiment_id)["state"] == "running":
        found = lab.bet(experiment_id)
        reached = min(found.assigned) if name == "minimum_per_arm" else found.next_ordinal
        assert reached < int(value)
        lab.run_experiment(experiment_id, at_most=1, batch=1, seed=found.next_ordinal)
    found = lab.bet(experiment_id)
    assert found.decision.verdict == "win"
    assert (min(found.assigned) if name == "minimum_per_arm" else found.next_ordinal) == int(value)
    assert found.e_log > WIN + 2, "the evidence had been there long before"


def test_the_minimum_cycle_does_not_hold_back_harm(lab_with):
    lab = lab_with(minimum_cycle_seconds="86400")
    found = lab.run_experiment(lab.running(), rates=(1.0, 0.0))
    assert (found["state"], found["verdict"], found["reason"]) == ("aborted", "loss", "harm shown")
    assert lab.rows(tables.parameter_change, name=found["parameter"])[-1]["version"] == 1
