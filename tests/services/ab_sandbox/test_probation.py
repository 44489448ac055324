"""Probation: most tasks on the new value, the rest on the old one, until a win is confirmed or taken back."""

import math
import random

import pytest

from services import ab_sandbox, event_bus, evolution_ledger
from services.domain import assignment
from services.domain.clock import DAY_US
from services.domain.errors import ConflictError
from services.domain.states import Leg, Scope
from services.operations import production_config
from services.store import tables
from tests.services.laboratory import TIMEOUT

PASSAGES = "research_synthesis.passages_per_answer"
ALIKE = (0.6, 0.6)
HARMFUL = (0.9, 0.2)


def config(lab):
    with lab.read() as tx:
        return production_config.snapshot(tx)


def assert_taken_back(lab, experiment_id, before, reason):
    """The platform rolled back by itself, read the old value back, and says why."""
    found = lab.experiment(experiment_id)
    assert (found["state"], found["verdict"]) == ("rolled_back", "win"), (
        "the trial's verdict stays what it was"
    )
    assert found["ended_at_us"] is not None
    assert config(lab) == before
    assert (lab.value().source, lab.value().version) == ("override", 3)
    entry = lab.payloads("ROLLED_BACK")[-1]
    assert (entry["from"], entry["to"], entry["read_back"]) == ("180", "90", "90")
    assert entry["reason"] == f"not confirmed in probation: {reason}"
    assert lab.rows(tables.ledger_entry, type="ROLLED_BACK")[-1]["actor"] == "system:promote"
    assert lab.state(found["proposal_id"]) == "rolled_back"
    task_id, values = lab.assign()
    assert (values[TIMEOUT].value, values[TIMEOUT].source) == ("90", "override")
    assert lab.rows(tables.exposure, task_id=task_id) == []
    assert "CONFIRMED" not in lab.types()
    report = lab.audit()
    assert report.ok, report.reason
    assert report.config == before


def test_a_promoted_value_goes_to_most_tasks_and_the_rest_stays_on_the_old_one(lab):
    experiment = lab.promoted()
    row = lab.probation(experiment["id"])
    assert (experiment["state"], experiment["treatment_share"]) == ("probation", 0.85)
    assert row["first_ordinal"] == experiment["assigned_count"] > 0
    assert row["plan"]["alpha"] == repr(experiment["confirm_alpha"])
    assert row["closes_at_us"] - row["started_at_us"] == 14 * DAY_US
    assigned = lab.assign_many(300)
    exposures = {found["task_id"]: found for found in lab.exposures(experiment["id"])}
    treated = 0
    for task_id, values in assigned:
        found, exposure = values[TIMEOUT], exposures[task_id]
        assert (found.source, found.experiment_id, found.version) == ("arm", experiment["id"], 2)
        assert exposure["share"] == 0.85
        assert exposure["arm"] == found.arm == assignment.arm_of(row["salt"], exposure["unit"], 0.85)
        assert found.value == exposure["value"] == ("180" if found.arm else "90")
        treated += found.arm
    assert 0.85 * 300 - 25 < treated < 0.85 * 300 + 25


def test_the_salt_of_probation_is_fresh_and_secret_until_its_end(lab_with):
    lab = lab_with(probation_tasks="3000")
    experiment = lab.promoted()
    salt = lab.probation(experiment["id"])["salt"]
    assert salt != experiment["salt"]
    lab.work(10, (0.3, 0.95), random.Random(1))
    assert salt not in lab.everything_public(experiment["id"])
    assert experiment["salt"] in lab.everything_public(experiment["id"])
    committed = lab.payloads("PROBATION_STARTED")[0]["salt_commitment"]
    assert assignment.opens(committed, salt)
    lab.run_experiment(experiment["id"], ALIKE, at_most=3000, batch=200)
    lab.deliver()
    assert lab.payloads("VERDICT")[-1]["salt"] == salt
    assert salt in lab.everything_public(experiment["id"])


def test_what_the_trial_left_unresolved_never_enters_the_second_leg(lab):
    experiment_id = lab.running()
    left = [task_id for task_id, _ in lab.assign_many(2)]
    lab.end(left.pop(0), is_success=True)
    lab.run_experiment(experiment_id, at_most=100)
    assert lab.bet(experiment_id).next_ordinal == 1, "the second task holds back all that came after it"
    lab.end(left.pop(), is_success=False)
    found = lab.experiment(experiment_id)
    assert (found["state"], found["verdict"]) == ("provisional", "win")
    unfolded = [row for row in lab.exposures(experiment_id) if not row["is_folded"]]
    assert len(unfolded) > 30, "the verdict came before all of them"
    between, values = lab.assign()
    assert lab.rows(tables.exposure, task_id=between) == [], "nobody bets between the two legs"
    assert values[TIMEOUT].source == "default"
    lab.deliver()
    open_ones = lab.assign_many(2)
    lab.evaluate()
    assert lab.bet(experiment_id, Leg.PROBATION).next_ordinal == 0
    lab.end_many({task_id: True for task_id, _ in open_ones})
    assert lab.bet(experiment_id, Leg.PROBATION).next_ordinal == 2
    lab.run_experiment(experiment_id, at_most=600, batch=50)
    lab.deliver()
    assert lab.experiment(experiment_id)["state"] == "confirmed"
    first = lab.probation(experiment_id)["first_ordinal"]
    assert first == len(unfolded) + lab.bet(experiment_id).next_ordinal
    for row in unfolded:
        assert lab.row(tables.exposure, id=row["id"])["is_folded"] is False
    assert lab.replayed(experiment_id, Leg.PROBATION).state == lab.bet(experiment_id, Leg.PROBATION)
    assert lab.audit().ok, lab.audit().reason


def test_a_win_that_holds_is_confirmed_at_its_level_and_all_tasks_get_it(lab):
    experiment = lab.promoted()
    trial = lab.bet(experiment["id"])
    assert lab.bet(experiment["id"], Leg.PROBATION).e_log == trial.e_log, "the wealth goes on"
    lab.run_experiment(experiment["id"], at_most=1000)
    found = lab.experiment(experiment["id"])
    state = lab.bet(experiment["id"], Leg.PROBATION)
    assert found["state"] == "confirmed"
    threshold = math.log(1 / found["confirm_alpha"])
    assert threshold > math.log(20)
    path = lab.replayed(experiment["id"], Leg.PROBATION).path
    assert state.e_log >= threshold
    least = experiment["plan"]["minimum_tasks"]
    would_do = [point.ordinal + 1 >= least and point.log_e >= threshold for point in path]
    assert would_do == [False] * (len(path) - 1) + [True]
    lab.deliver()
    assert lab.types()[-2:] == ["VERDICT", "CONFIRMED"]
    assert lab.payloads("VERDICT")[-1]["leg"] == "probation"
    assert lab.experiment(experiment["id"])["known_after"] == 1
    assert lab.state(found["proposal_id"]) == "promoted"
    for task_id, values in lab.assign_many(20):
        assert (values[TIMEOUT].value, values[TIMEOUT].source) == ("180", "promoted")
        assert lab.rows(tables.exposure, task_id=task_id) == []
    assert lab.replayed(experiment["id"], Leg.PROBATION).state == state
    assert lab.audit().ok, lab.audit().reason


def test_harm_in_probation_is_rolled_back_by_itself_and_read_back(lab):
    before = config(lab)
    experiment = lab.promoted()
    assert config(lab) != before
    lab.run_experiment(experiment["id"], HARMFUL, at_most=400)
    assert lab.probation(experiment["id"])["verdict"] == "loss"
    lab.deliver()
    assert_taken_back(lab, experiment["id"], before, "harm shown")
    assert lab.replayed(experiment["id"], Leg.PROBATION).decision.verdict == "loss"


def test_a_win_that_is_not_confirmed_at_the_cap_is_rolled_back(lab_with):
    lab = lab_with(probation_tasks="100")
    before = config(lab)
    experiment = lab.promoted(expected_effect="0.39")
    lab.run_experiment(experiment["id"], ALIKE, at_most=150)
    found = lab.probation(experiment["id"])
    assert (found["verdict"], found["reason"]) == ("inconclusive", "cap reached")
    assert lab.bet(experiment["id"], Leg.PROBATION).next_ordinal == 100
    lab.deliver()
    assert_taken_back(lab, experiment["id"], before, "cap reached")


def test_a_win_that_is_not_confirmed_in_time_is_rolled_back(lab_with):
    lab = lab_with(probation_seconds="21600")
    before = config(lab)
    experiment = lab.promoted()
    lab.run_experiment(experiment["id"], ALIKE, at_most=20)
    lab.pass_seconds(21599)
    assert lab.evaluate()["ended"] == 0
    lab.pass_seconds(1)
    assert lab.evaluate()["ended"] == 1
    lab.deliver()
    assert_taken_back(lab, experiment["id"], before, "deadline reached")


def test_arms_of_other_shares_make_probation_invalid_and_it_is_rolled_back(lab):
    before = config(lab)
    experiment = lab.promoted()
    for _ in range(100):
        lab.end(lab.assign_arm(experiment["id"], 0), is_success=True)
        if lab.experiment(experiment["id"])["state"] != "probation":
            break
    lab.deliver()
    assert_taken_back(lab, experiment["id"], before, "sample ratio mismatch")


def test_a_persons_rollback_ends_probation(lab):
    before = config(lab)
    experiment = lab.promoted()
    open_ones = lab.assign_many(3)
    lab.work(20, (0.3, 0.95), random.Random(2))
    lab.roll_back("users complain")
    found = lab.experiment(experiment["id"])
    assert (found["state"], found["ended_at_us"]) == ("rolled_back", lab.now_us)
    assert config(lab) == before
    lab.end_many({task_id: True for task_id, _ in open_ones})
    assert lab.evaluate() == {"running": 0, "ended": 0}
    lab.deliver()
    assert lab.probation(experiment["id"])["verdict"] is None, "nobody bets on it any more"
    assert lab.state(found["proposal_id"]) == "rolled_back"
    assert lab.assign()[1][TIMEOUT].source == "override"
    assert lab.types().count("ROLLED_BACK") == 1
    assert lab.file(proposer=lab.agent(Scope.PROPOSE), to="150"), "the parameter is free again"
    assert lab.audit().ok, lab.audit().reason


def test_a_persons_rollback_before_probation_has_begun_ends_it_too(lab):
    experiment = lab.won()
    with lab.write("system:learn") as tx:
        evolution_ledger.record_verdict(tx, experiment["id"])
    with lab.write("system:promote") as tx:
        assert evolution_ledger.apply_verdict(tx, experiment["id"])
    assert lab.experiment(experiment["id"])["state"] == "provisional"
    lab.roll_back()
    lab.deliver()
    assert lab.experiment(experiment["id"])["state"] == "rolled_back"
    assert lab.rows(tables.probation) == []
    assert lab.value().value == "90"
    assert lab.audit().ok, lab.audit().reason


@pytest.mark.parametrize(("rates", "verdict"), [((0.3, 0.95), "win"), (HARMFUL, "loss")])
def test_a_persons_rollback_after_the_verdict_of_probation_stands(lab, rates, verdict):
    before = config(lab)
    experiment = lab.promoted()
    lab.run_experiment(experiment["id"], rates, at_most=1000, batch=50)
    assert lab.probation(experiment["id"])["verdict"] == verdict
    lab.roll_back("just now")
    lab.deliver()
    assert config(lab) == before
    assert lab.types().count("ROLLED_BACK") == 1
    assert "CONFIRMED" not in lab.types()
    assert lab.experiment(experiment["id"])["state"] == "rolled_back"
    assert lab.experiment(experiment["id"])["known_after"] is None
    assert lab.audit().ok, lab.audit().reason


def test_events_of_both_legs_delivered_twice_change_nothing(lab):
    experiment = lab.confirmed()
    kept = (tables.experiment, tables.probation, tables.exposure, tables.ledger_entry, tables.parameter)
    before = [list(map(dict, lab.rows(table))) for table in kept]
    with lab.write() as tx:
        assert ab_sandbox.start_probation(tx, experiment["id"], random.Random(1).randbytes) is False
        assert evolution_ledger.apply_verdict(tx, experiment["id"]) is False
        assert evolution_ledger.apply_verdict(tx, experiment["id"], Leg.PROBATION) is False
        evolution_ledger.record_verdict(tx, experiment["id"], Leg.PROBATION)
        assert ab_sandbox.evaluate(tx, experiment["id"]) is False
    event_bus.drain(lab.platform.store, lab.platform.subscribers)
    assert [list(map(dict, lab.rows(table))) for table in kept] == before


def test_a_second_proposal_on_the_parameter_is_refused_meanwhile(lab):
    experiment = lab.won()
    for _ in range(2):
        with pytest.raises(ConflictError) as refused:
            lab.file(proposer=lab.agent(Scope.PROPOSE), to="150")
        assert refused.value.code == "experiment_running"
        assert refused.value.arguments["experiment_id"] == experiment["id"]
        lab.deliver()
        assert lab.experiment(experiment["id"])["state"] == "probation"
    lab.run_experiment(experiment["id"], at_most=1000, batch=50)
    lab.deliver()
    assert lab.file(proposer=lab.agent(Scope.PROPOSE), to="240")


def test_another_layer_runs_at_the_same_time_and_the_same_layer_waits_for_the_trial(lab):
    first = lab.running()
    other = lab.running(**lab.other_type())
    assert {row["id"] for row in lab.rows(tables.experiment, state="running")} == {first, other}
    passages = str(int(float(lab.value(PASSAGES).value) + 1))
    waiting = lab.passed(proposer=lab.agent(Scope.PROPOSE), parameter=PASSAGES, to=passages)
    lab.deliver()
    assert lab.state(waiting) == "passed"
    lab.run_experiment(first)
    lab.deliver()
    assert lab.experiment(first)["state"] == "probation"
    with lab.write() as tx:
        registry, entropy = lab.platform.registry, lab.platform.context.entropy
        assert ab_sandbox.start_waiting(tx, registry, entropy) == 1
    third = lab.row(tables.experiment, proposal_id=waiting)
    task_id, values = lab.assign()
    exposed = {row["experiment_id"] for row in lab.rows(tables.exposure, task_id=task_id)}
    assert exposed == {first, third["id"]}, "a probation and a trial share the task; each has its own arm"
    assert {name for name, value in values.items() if value.source == "arm"} == {TIMEOUT, PASSAGES}
    lab.end(task_id, is_success=True)
    lab.run_experiment(first, at_most=1000, batch=50)
    lab.deliver()
    assert lab.experiment(first)["state"] == "confirmed"
    assert lab.audit().ok, lab.audit().reason


def test_a_promotion_whose_event_was_lost_is_put_on_probation_by_the_clock(lab):
    experiment = lab.won()
    with lab.write() as tx:
        evolution_ledger.record_verdict(tx, experiment["id"])
        assert evolution_ledger.apply_verdict(tx, experiment["id"])
    lab.pass_seconds(3599)
    assert watched(lab) == 0
    lab.pass_seconds(1)
    assert watched(lab) == 1
    assert lab.experiment(experiment["id"])["state"] == "probation"
    assert watched(lab) == 0
    assert lab.audit().ok


def watched(lab):
    with lab.write() as tx:
        return ab_sandbox.watch_promotions(tx, lab.platform.context.entropy)
