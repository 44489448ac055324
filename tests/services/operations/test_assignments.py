"""Assignments: the holdout of an epoch, in no experiment and on the old values for good; arms fixed once."""

import pytest

from services import evolution_ledger
from services.domain import assignment
from services.domain.errors import InvalidValueError
from services.operations import production_config
from services.store import tables
from tests.services.laboratory import TIMEOUT, TYPE

COUNT = 600


@pytest.fixture
def lab(lab_with):
    """A laboratory that holds out three in a hundred tasks."""
    return lab_with(holdout_percent="3")


def renew(lab, reason="a new year"):
    with lab.write("operator") as tx:
        return evolution_ledger.renew_epoch(tx, lab.platform.context.entropy, reason=reason)


def held_seed(lab, epoch=None, *, is_held=True):
    """Return an award seed that holds the next task out of this epoch (the one that runs)."""
    row = epoch or lab.row(tables.epoch, ended_at_us=None)
    key = max(found["id"] for found in lab.rows(tables.task)) + 1
    seeds = (f"{number:016x}" for number in range(10_000))
    return next(
        seed
        for seed in seeds
        if bool(assignment.arm_of(row["salt"], f"{key}:{seed}", row["share"])) is is_held
    )


def held_task(lab, **how):
    """Assign a task that is held out; return (id, values)."""
    return lab.assign(award_seed=held_seed(lab), **how)


def test_about_three_in_a_hundred_tasks_are_held_out_by_the_secret_salt(lab):
    epoch = lab.row(tables.epoch)
    assert epoch["share"] == 0.03
    assigned = lab.assign_many(COUNT)
    rows = {row["id"]: row for row in lab.rows(tables.task)}
    held = [task_id for task_id, _ in assigned if rows[task_id]["is_holdout"]]
    by_salt = [
        task_id
        for task_id, _ in assigned
        if assignment.arm_of(epoch["salt"], f"{task_id}:{task_id:016x}", 0.03)
    ]
    assert held == by_salt
    assert 0.03 * COUNT - 13 < len(held) < 0.03 * COUNT + 13
    for task_id, values in assigned:
        assert {value.source for value in values.values()} == {"holdout" if task_id in held else "default"}


def test_a_task_held_out_is_in_no_experiment_and_no_placebo(lab_with):
    lab = lab_with(holdout_percent="5", placebo_tasks="400")
    with lab.write() as tx:
        from_slot = lab.start_placebo(tx)
    experiment_id = lab.running()
    tasks = [task_id for task_id, _ in lab.assign_many(200)]
    held = {row["id"] for row in lab.rows(tables.task, is_holdout=True)}
    assert len(held) >= 3
    rest = [task_id for task_id in tasks if task_id not in held]
    for number in (experiment_id, from_slot):
        assert [row["task_id"] for row in lab.exposures(number)] == rest


def test_the_holdout_keeps_the_starting_value_through_trial_and_promotion(lab):
    before = {value.value for value in (held_task(lab)[1][TIMEOUT],)}
    experiment = lab.promoted()
    assert lab.experiment(experiment["id"])["state"] == "probation"
    task_id, values = held_task(lab)
    assert (values[TIMEOUT].value, values[TIMEOUT].source, values[TIMEOUT].version) == ("90", "holdout", 2)
    assert lab.row(tables.task, id=task_id)["is_holdout"] is True
    assert lab.rows(tables.exposure, task_id=task_id) == []
    lab.run_experiment(experiment["id"], at_most=1000, batch=50)
    lab.deliver()
    assert lab.experiment(experiment["id"])["state"] == "confirmed"
    _, values = held_task(lab)
    assert {values[TIMEOUT].value} == before
    _, values = lab.assign(award_seed=held_seed(lab, is_held=False))
    assert (values[TIMEOUT].value, values[TIMEOUT].source) == ("180", "promoted")
    held = [row["id"] for row in lab.rows(tables.task, is_holdout=True)]
    assert lab.rows(tables.exposure, task_id=held) == []
    assert lab.audit().ok, lab.audit().reason


def test_a_new_epoch_moves_the_holdout_on_and_reveals_the_old_salt(lab):
    lab.confirmed()
    old = lab.row(tables.epoch)
    assert old["salt"] not in lab.everything_public(1)
    renew(lab)
    first, second = lab.payloads("EPOCH")
    assert first["salt_commitment"] == old["salt_commitment"] != second["salt_commitment"]
    assert second["previous_salt"] == old["salt"]
    assert assignment.opens(first["salt_commitment"], second["previous_salt"])
    with lab.read() as tx:
        now = production_config.snapshot(tx)
    assert second["config"] == production_config.config_hash(now) != first["config"]
    assert lab.row(tables.epoch, id=old["id"])["ended_at_us"] == lab.now_us
    _, values = held_task(lab)
    assert (values[TIMEOUT].value, values[TIMEOUT].source) == ("180", "holdout")
    seed = held_seed(lab, old)
    task_id, _ = lab.assign(award_seed=seed)
    fresh = lab.row(tables.epoch, ended_at_us=None)
    is_held = bool(assignment.arm_of(fresh["salt"], f"{task_id}:{seed}", fresh["share"]))
    assert lab.row(tables.task, id=task_id)["is_holdout"] is is_held, "the old salt says nothing any more"
    assert [entry["act"] for entry in lab.payloads("OVERRIDE")] == ["renew_holdout"]
    assert lab.audit().ok, lab.audit().reason


def test_a_new_epoch_needs_a_reason(lab):
    for reason in ("", " \n"):
        with pytest.raises(InvalidValueError) as refused:
            renew(lab, reason)
        assert refused.value.code == "reason_missing"
    assert lab.types().count("EPOCH") == 1


def test_an_epoch_begins_once(lab):
    with lab.write() as tx:
        assert evolution_ledger.begin_epoch(tx, lab.platform.context.entropy) is None
    assert lab.types().count("EPOCH") == 1


def test_meta_tasks_are_never_held_out(lab):
    with lab.write() as tx:
        made = [lab.award(tx, kind="meta", type_=TYPE)[0] for _ in range(200)]
    assert {row["is_holdout"] for row in lab.rows(tables.task, id=made)} == {False}
    task_id = held_task(lab)[0]
    assert lab.row(tables.task, id=task_id)["is_holdout"] is True


def test_nothing_is_held_out_where_none_is_wanted(lab_with):
    lab = lab_with(holdout_percent="0")
    assert lab.rows(tables.epoch) == []
    renew(lab)
    lab.assign_many(100)
    assert lab.rows(tables.task, is_holdout=True) == []
    assert lab.audit().ok, lab.audit().reason


def test_a_held_out_task_of_a_running_experiment_says_the_version_in_force(lab):
    lab.running()
    _, values = held_task(lab)
    assert (values[TIMEOUT].source, values[TIMEOUT].version, values[TIMEOUT].arm) == ("holdout", 1, None)
    assert values[TIMEOUT].experiment_id is None


def test_the_unit_ends_with_digits_of_the_award_that_nobody_knew_while_bidding(lab):
    """The same task would be in either arm: what decides is drawn after the bids."""
    experiment_id = lab.running()
    salt = lab.experiment(experiment_id)["salt"]
    task_id = max(row["id"] for row in lab.rows(tables.task)) + 1
    arms = {assignment.arm_of(salt, f"{task_id}:{number:016x}", 0.5) for number in range(64)}
    assert arms == {0, 1}
    seed = held_seed(lab, is_held=False)
    lab.assign(award_seed=seed + "ffffffffffffffff")
    assert lab.row(tables.exposure, task_id=task_id)["unit"] == f"{task_id}:{seed}"
