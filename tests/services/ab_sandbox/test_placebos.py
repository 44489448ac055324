"""The standing slot of placebos, the freeze that they can pull, and the person who lifts it."""

import random

import pytest

from services import ab_sandbox, evolution_ledger
from services.domain.errors import ConflictError, InvalidValueError
from services.domain.states import Scope
from services.domain.stream import gamma
from services.operations import production_config
from services.store import tables

TYPES = ("research_synthesis", "monte_carlo", "physics_simulation", "ml_training")
LENGTH = 60


@pytest.fixture
def lab(lab_with):
    """A laboratory whose slot holds placebos of sixty tasks."""
    return lab_with(placebo_tasks=str(LENGTH))


def start(lab):
    with lab.write("system:experiment_evaluation") as tx:
        return ab_sandbox.start_placebo(tx, lab.platform.context.entropy)


def work(lab, placebo_id, rates, rng, count):
    """Let tasks of every type end at these rates by the placebo's arm, which no agent is told."""
    with lab.write() as tx:
        tasks = [lab.award(tx, type_=TYPES[number % len(TYPES)])[0] for number in range(count)]
    arms = {row["task_id"]: row["arm"] for row in lab.exposures(placebo_id)}
    lab.end_many({task_id: rng.random() < rates[arms[task_id]] for task_id in tasks})
    lab.evaluate()
    return tasks


def run(lab, rates=(0.7, 0.7), seed=1):
    """Run the next placebo to its end and let it be recorded; return its row."""
    placebo_id, rng = start(lab), random.Random(seed)
    for _ in range(LENGTH // 10 + 1):
        work(lab, placebo_id, rates, rng, 10)
        if lab.experiment(placebo_id)["state"] != "running":
            break
    lab.deliver()
    return lab.experiment(placebo_id)


def frozen(lab):
    with lab.read() as tx:
        return evolution_ledger.frozen(tx)


def unfreeze(lab, reason="looked into it"):
    with lab.write("operator") as tx:
        return evolution_ledger.unfreeze(tx, reason=reason)


def test_a_placebo_runs_over_every_type_ends_is_recorded_and_the_next_one_starts(lab):
    placebo_id = start(lab)
    assert start(lab) is None, "one at a time"
    tasks = work(lab, placebo_id, (0.7, 0.7), random.Random(2), LENGTH)
    exposures = lab.exposures(placebo_id)
    assert [row["task_id"] for row in exposures] == tasks
    assert {row["stratum"] for row in exposures} == set(TYPES)
    assert {row["arm"] for row in exposures} == {0, 1}
    row = lab.experiment(placebo_id)
    assert (row["kind"], row["state"], row["verdict"]) == ("placebo", "inconclusive", "inconclusive")
    assert (row["reason"], lab.bet(placebo_id).next_ordinal) == ("cap reached", LENGTH)
    lab.deliver()
    [verdict] = lab.payloads("PLACEBO_VERDICT")
    assert (verdict["experiment_id"], verdict["tasks"], verdict["salt"]) == (placebo_id, LENGTH, row["salt"])
    assert not {"VERDICT", "REFUSED", "PROMOTED"} & set(lab.types())
    assert start(lab) > placebo_id
    assert lab.replayed(placebo_id).state == lab.bet(placebo_id)
    assert lab.audit().ok, lab.audit().reason


def test_a_placebo_changes_no_value_and_takes_no_investigation(lab):
    placebo_id = start(lab)
    for type_ in TYPES:
        _, values = lab.assign(type_)
        assert {value.source for value in values.values()} == {"default"}
    assert len(lab.exposures(placebo_id)) == len(TYPES)
    with lab.write() as tx:
        lab.award(tx, kind="meta", type_="investigation")
    assert len(lab.exposures(placebo_id)) == len(TYPES)


def test_a_task_may_be_in_a_placebo_and_in_an_experiment_with_arms_of_their_own(lab):
    placebo_id, experiment_id = start(lab), lab.running()
    tasks = [task_id for task_id, _ in lab.assign_many(40)]
    ours, theirs = lab.exposures(experiment_id), lab.exposures(placebo_id)
    assert [row["task_id"] for row in ours] == [row["task_id"] for row in theirs] == tasks
    pairs = {(mine["arm"], other["arm"]) for mine, other in zip(ours, theirs, strict=True)}
    assert pairs == {(0, 0), (0, 1), (1, 0), (1, 1)}


def test_placebos_take_no_level_of_the_stream(lab):
    for seed in range(2):
        assert run(lab, seed=seed)["stream_position"] is None
    row = lab.experiment(lab.running())
    assert (row["stream_position"], row["confirm_alpha"]) == (1, pytest.approx(0.025 * gamma(1)))
    assert lab.audit().ok, lab.audit().reason


def test_an_empty_slot_stays_empty(lab_with):
    assert start(lab_with(placebo_tasks="0")) is None


def test_a_placebo_that_wins_promotes_nothing(lab):
    with lab.read() as tx:
        before = production_config.snapshot(tx)
    row = run(lab, rates=(0.1, 0.95))
    assert (row["verdict"], row["state"]) == ("win", "refused")
    with lab.read() as tx:
        assert production_config.snapshot(tx) == before
    assert frozen(lab) is None, "one win may happen"
    assert lab.audit().ok, lab.audit().reason


def freeze(lab):
    """Let three placebos win, which two arms alike hardly ever do."""
    for seed in range(3):
        assert frozen(lab) is None
        assert run(lab, rates=(0.1, 0.95), seed=seed)["verdict"] == "win"
    assert frozen(lab) is not None


def test_placebos_that_win_too_often_freeze_promotion_once_and_call_a_person(lab):
    freeze(lab)
    [entry] = lab.payloads("FROZEN")
    assert (entry["wins"], entry["placebos"]) == (3, 3)
    assert float(entry["e"]) >= 100
    item = lab.row(tables.review_item, kind="promotion_frozen")
    assert item["closed_at_us"] is None
    assert item["context"] == {"ledger_index": lab.row(tables.ledger_entry, type="FROZEN")["index"]}
    assert [row["type"] for row in lab.rows(tables.event)].count("PromotionFrozen") == 1
    run(lab, rates=(0.1, 0.95), seed=4)
    assert lab.types().count("FROZEN") == 1
    assert lab.audit().ok, lab.audit().reason


def test_frozen_promotion_refuses_a_win_and_the_next_one_passes_once_a_person_has_looked(lab):
    freeze(lab)
    refused = lab.won()
    lab.deliver()
    found = lab.experiment(refused["id"])
    assert (found["verdict"], found["state"]) == ("win", "refused")
    assert lab.state(found["proposal_id"]) == "refused"
    assert lab.payloads("REFUSED")[-1]["reason"].startswith("promotion is frozen: 3 of 3 placebos won")
    assert (lab.value().value, lab.value().source) == ("90", "default")
    lab.pass_seconds(1)
    index = unfreeze(lab)
    assert lab.row(tables.ledger_entry, index=index)["actor"] == "operator"
    assert frozen(lab) is None
    row = lab.row(tables.freeze)
    assert (row["lifted_by"], row["lift_reason"], row["lifted_at_us"]) == (
        "operator",
        "looked into it",
        lab.now_us,
    )
    lab.pass_seconds(1)
    run(lab, seed=8)
    assert frozen(lab) is None, "what was looked into is not held against it again"
    passed = lab.promoted(proposer=lab.agent(Scope.PROPOSE), to="150")
    assert (passed["state"], lab.value().value) == ("probation", "150")
    assert lab.audit().ok, lab.audit().reason


def test_a_freeze_does_not_hold_back_what_probation_says(lab):
    experiment = lab.promoted()
    freeze_with_change(lab)
    lab.run_experiment(experiment["id"], rates=(0.9, 0.2), at_most=400)
    lab.deliver()
    assert lab.experiment(experiment["id"])["state"] == "rolled_back"
    assert lab.value().value == "90"
    assert lab.audit().ok, lab.audit().reason


def freeze_with_change(lab):
    """Freeze on tasks of another type, so that the running probation sees none of them."""
    for seed in range(3):
        placebo_id, rng = start(lab), random.Random(seed)
        while lab.experiment(placebo_id)["state"] == "running":
            with lab.write() as tx:
                tasks = [lab.award(tx, type_="monte_carlo")[0] for _ in range(10)]
            arms = {row["task_id"]: row["arm"] for row in lab.exposures(placebo_id)}
            lab.end_many({task_id: rng.random() < (0.1, 0.95)[arms[task_id]] for task_id in tasks})
            lab.evaluate()
        lab.deliver()
    assert frozen(lab) is not None


def test_lifting_a_freeze_needs_a_freeze_and_a_reason(lab):
    with pytest.raises(ConflictError) as refused:
        unfreeze(lab)
    assert refused.value.code == "not_frozen"
    freeze(lab)
    for reason in ("", "  \n"):
        with pytest.raises(InvalidValueError) as missing:
            unfreeze(lab, reason)
        assert missing.value.code == "reason_missing"
    assert frozen(lab) is not None
    assert "UNFROZEN" not in lab.types()
