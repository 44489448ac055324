"""The hold on promotions: a won value waits while a check of correctness fails, and nothing of it is lost."""

import pytest

from services import evolution_ledger
from services.domain.checks import Status
from services.domain.errors import LedgerBrokenError
from services.domain.states import ExperimentState, ProposalState, ValueSource
from services.evolution_ledger import holding
from services.operations import health
from services.store import sql, tables
from tests.services.laboratory import OTHER_TYPE, TIMEOUT

HOUR_SECONDS = 3_600


def check(lab, status, component="task_type/a"):
    with lab.write("system:probes") as tx:
        health.report(tx, "correct", component, "known_answers", status, output="7 of 10 right")


def promote_held(lab):
    with lab.write("system:held_promotions") as tx:
        return evolution_ledger.promote_held(tx)


def held(lab):
    with lab.read() as tx:
        return [(one.experiment_id, one.value) for one in evolution_ledger.held_promotions(tx)]


@pytest.fixture
def waiting(lab):
    """A won experiment whose verdict was delivered while a check failed."""
    experiment = lab.won()
    check(lab, Status.FAIL)
    lab.deliver()
    return experiment


def test_a_win_waits_with_its_verdict_recorded_and_nothing_refused(lab, waiting):
    assert (lab.value().value, lab.value().version) == ("90", 1)
    assert lab.types().count("VERDICT") == 1
    assert not {"PROMOTED", "REFUSED"} & set(lab.types())
    assert lab.experiment(waiting["id"])["state"] == ExperimentState.PROVISIONAL
    assert lab.state(waiting["proposal_id"]) is ProposalState.TESTING
    assert held(lab) == [(waiting["id"], "180")]
    assert promote_held(lab) == {"promoted": 0, "waiting": 1, "failed": []}
    assert lab.audit().ok


def test_it_is_promoted_by_itself_once_the_check_recovers(lab, waiting):
    check(lab, Status.PASS)
    assert held(lab) == []
    assert promote_held(lab) == {"promoted": 1, "waiting": 0, "failed": []}
    lab.deliver()
    assert (lab.value().value, lab.value().source) == ("180", ValueSource.PROMOTED)
    assert lab.experiment(waiting["id"])["state"] == ExperimentState.PROBATION
    assert lab.state(waiting["proposal_id"]) is ProposalState.PROMOTED
    assert promote_held(lab) == {"promoted": 0, "waiting": 0, "failed": []}
    assert lab.types().count("PROMOTED") == 1
    assert lab.audit().ok


def test_it_waits_for_every_check(lab, waiting):
    check(lab, Status.FAIL, "ledger")
    check(lab, Status.PASS)
    assert promote_held(lab) == {"promoted": 0, "waiting": 1, "failed": []}
    check(lab, Status.WARN, "ledger")
    assert promote_held(lab) == {"promoted": 1, "waiting": 0, "failed": []}


def test_checks_that_nobody_makes_any_more_hold_too(lab):
    check(lab, Status.PASS)
    experiment = lab.won()
    lab.pass_seconds(7 * HOUR_SECONDS)
    lab.deliver()
    assert held(lab) == [(experiment["id"], "180")]
    check(lab, Status.PASS)
    assert promote_held(lab)["promoted"] == 1


def test_a_value_that_moved_while_it_waited_is_refused(lab, waiting):
    with lab.write("intruder") as tx:
        sql.update(tx, tables.parameter, {"name": TIMEOUT}, version=5)
    check(lab, Status.PASS)
    assert promote_held(lab) == {"promoted": 0, "waiting": 0, "failed": []}
    assert lab.payloads("REFUSED")[-1]["reason"] == "tested against version 1, now at 5"
    assert lab.experiment(waiting["id"])["state"] == ExperimentState.REFUSED


def test_an_experiment_whose_verdict_is_not_recorded_yet_is_not_promoted(lab):
    lab.won()
    assert promote_held(lab) == {"promoted": 0, "waiting": 0, "failed": []}
    assert lab.value().version == 1


def test_a_lost_trial_is_refused_whether_held_or_not(lab):
    check(lab, Status.FAIL)
    experiment = lab.run_experiment(lab.running(), rates=(0.95, 0.3))
    assert experiment["verdict"] != "win"
    lab.deliver()
    assert lab.types().count("REFUSED") == 1


def test_a_rollback_is_never_held(lab):
    lab.promoted()
    check(lab, Status.FAIL)
    with lab.write("operator") as tx:
        done = evolution_ledger.rollback(tx, lab.platform.registry, parameter=TIMEOUT, reason="too slow")
    assert done.read_back == "90"
    lab.deliver()
    assert lab.audit().ok


def test_a_probation_that_fails_is_rolled_back_while_promotions_are_held(lab):
    experiment = lab.promoted()
    check(lab, Status.FAIL)
    lab.run_experiment(experiment["id"], (0.95, 0.1), at_most=2_000, batch=50)
    lab.deliver()
    assert lab.value().value == "90"
    assert lab.experiment(experiment["id"])["state"] == ExperimentState.ROLLED_BACK


def test_a_promotion_that_raises_keeps_no_other_waiting_and_is_told_of_once(lab, monkeypatch):
    broken, other = lab.won(), lab.other_type()
    check(lab, Status.FAIL)
    how = {"parameter": other["parameter"], "type_": OTHER_TYPE}
    good = lab.run_experiment(lab.running(**other), **how)
    assert good["verdict"] == "win"
    lab.deliver()
    assert promote_held(lab)["waiting"] == 2
    check(lab, Status.PASS)
    apply = holding.apply_verdict

    def refuse_one(tx, experiment_id):
        done = apply(tx, experiment_id)
        if experiment_id == broken["id"]:
            msg = "it does not read back"
            raise LedgerBrokenError(msg)
        return done

    monkeypatch.setattr(holding, "apply_verdict", refuse_one)
    for promoted in (1, 0):
        assert promote_held(lab) == {"promoted": promoted, "waiting": 1, "failed": [broken["id"]]}
    assert lab.value().value == "90"
    assert lab.value(other["parameter"]).value == good["treatment_value"]
    [item] = lab.rows(tables.review_item, kind="promotion_failed")
    assert (item["subject"], item["context"]["error"]) == (
        f"experiment {broken['id']}",
        "it does not read back",
    )
    assert lab.audit().ok
    monkeypatch.setattr(holding, "apply_verdict", apply)
    assert promote_held(lab) == {"promoted": 1, "waiting": 0, "failed": []}
    assert lab.value().value == "180"
