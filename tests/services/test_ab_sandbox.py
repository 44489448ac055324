"""The sandbox: arms by a secret salt, outcomes in assignment order, each task once, one verdict for good."""

import json
import random

import pytest

from app.bootstrap import open_platform
from services import ab_sandbox
from services.domain import assignment, sequential
from services.domain.bet import BetPlan
from services.domain.clock import DAY_US
from services.domain.sequential import DEADLINE
from services.domain.states import Scope
from services.store import sql, tables, views
from tests.services.laboratory import TIMEOUT
from tests.services.test_proposal_system import race

PASSAGES = "research_synthesis.passages_per_answer"


def test_started_experiment_commits_to_its_salt_and_plan(lab):
    experiment_id = lab.running()
    row = lab.row(tables.experiment, id=experiment_id)
    assert (row["state"], row["control_value"], row["treatment_value"]) == ("running", "90", "180")
    assert assignment.opens(row["salt_commitment"], row["salt"])
    assert len(row["salt"]) == 64
    leaf = json.loads(lab.row(tables.ledger_entry, type="EXPERIMENT_STARTED")["leaf"])
    assert leaf["payload"]["salt_commitment"] == row["salt_commitment"]
    assert leaf["payload"]["plan"] == row["plan"]
    assert lab.state(row["proposal_id"]) == "testing"


def test_two_arms_get_different_values_and_the_exposure_proves_it(lab):
    experiment_id = lab.running()
    seen = {}
    for _ in range(40):
        task_id, values = lab.assign()
        found = values[TIMEOUT]
        exposure = lab.row(tables.exposure, task_id=task_id)
        assert (exposure["arm"], exposure["value"]) == (found.arm, found.value)
        assert (found.source, found.experiment_id) == ("arm", experiment_id)
        seen.setdefault(found.arm, set()).add(found.value)
    assert seen == {0: {"90"}, 1: {"180"}}
    ordinals = [row["ordinal"] for row in lab.rows(tables.exposure)]
    assert ordinals == list(range(40))


def test_tasks_of_other_types_and_other_parameters_are_not_exposed(lab):
    lab.running()
    _, values = lab.assign("monte_carlo")
    assert {found.source for found in values.values()} == {"default"}
    assert lab.rows(tables.exposure) == []
    _, values = lab.assign()
    assert {name for name, found in values.items() if found.source == "arm"} == {TIMEOUT}


def test_outcomes_are_released_strictly_in_assignment_order(lab):
    experiment_id = lab.running()
    tasks = [lab.assign()[0] for _ in range(6)]
    for place, released in (
        (3, []),
        (1, []),
        (0, [0, 1]),
        (5, [0, 1]),
        (2, [0, 1, 2, 3]),
        (4, list(range(6))),
    ):
        lab.end(tasks[place], is_success=True)
        assert lab.folded(experiment_id) == released
    state = lab.replayed(experiment_id).state
    assert lab.bet(experiment_id) == state


def test_completion_order_changes_nothing(lab):
    experiment_id = lab.running()
    rng = random.Random(3)
    tasks = [lab.assign() for _ in range(30)]
    good = {task_id: rng.random() < 0.6 for task_id, _ in tasks}
    for task_id, _ in rng.sample(tasks, len(tasks)):
        lab.end(task_id, is_success=good[task_id])
    found = lab.bet(experiment_id)
    plan = BetPlan.from_payload(lab.row(tables.experiment, id=experiment_id)["plan"])
    in_order = sequential.start(plan)
    stratum = f"agent:{lab.proposer}"
    for ordinal, (task_id, values) in enumerate(tasks[: found.next_ordinal]):
        arm = values[TIMEOUT].arm
        record = sequential.Record(ordinal, str(task_id), arm, 0.5, float(good[task_id]), stratum)
        in_order = sequential.update(plan, in_order, record)
    assert found.next_ordinal >= 20
    assert found == in_order


@pytest.mark.parametrize("arm", [0, 1])
def test_task_unresolved_at_the_maximum_wait_is_a_failure_in_either_arm(lab, arm):
    experiment_id = lab.running()
    wait_us = lab.row(tables.experiment, id=experiment_id)["maximum_wait_us"]
    silent = lab.assign_arm(experiment_id, arm)
    after = lab.assign()[0]
    lab.end(after, is_success=True)
    lab.platform.store.clock.advance(wait_us - 1)
    lab.evaluate()
    assert lab.folded(experiment_id) == []
    lab.platform.store.clock.advance(1)
    lab.evaluate()
    assert lab.folded(experiment_id) == [0, 1]
    assert lab.row(tables.exposure, task_id=silent)["outcome"] == 0.0
    lab.end(silent, is_success=True)
    assert lab.row(tables.exposure, task_id=silent)["outcome"] == 0.0, "too late to change what was bet on"
    assert lab.bet(experiment_id) == lab.replayed(experiment_id).state


@pytest.mark.parametrize(
    ("state", "outcome"), [("settled", 1.0), ("failed", 0.0), ("cancelled", 0.0), ("expired", 0.0)]
)
def test_every_end_counts_for_the_arm_it_was_assigned_to(lab, state, outcome):
    lab.running()
    task_id, _ = lab.assign()
    with lab.write() as tx:
        sql.update(tx, tables.task, {"id": task_id}, state=state, ended_at_us=tx.now_us)
    lab.hear(task_id)
    row = lab.row(tables.exposure, task_id=task_id)
    assert (row["outcome"], row["is_folded"]) == (outcome, True)


def test_duplicate_events_count_once(lab):
    experiment_id = lab.running()
    task_id, _ = lab.assign()
    lab.end(task_id, is_success=True)
    before = lab.bet(experiment_id)
    for _ in range(3):
        assert lab.hear(task_id) == 0
        lab.evaluate()
    assert lab.bet(experiment_id) == before
    assert before.next_ordinal == 1


def test_task_that_has_not_ended_is_not_counted(lab):
    experiment_id = lab.running()
    task_id, _ = lab.assign()
    assert lab.hear(task_id) == 0
    assert lab.row(tables.exposure, task_id=task_id)["outcome"] is None
    assert lab.folded(experiment_id) == []


def test_win_is_final(lab):
    experiment = lab.won()
    assert (experiment["reason"], experiment["state"]) == ("improvement shown", "provisional")
    assert experiment["lower"] < experiment["estimate"] < experiment["upper"]
    assert lab.replayed(experiment["id"]).decision.verdict == "win"
    running = [lab.assign()[0] for _ in range(5)]
    assert lab.rows(tables.exposure, task_id=tuple(running)) == [], "an ended experiment takes no more tasks"
    lab.evaluate()
    after = lab.row(tables.experiment, id=experiment["id"])
    assert dict(after) == dict(experiment)
    assert [row["type"] for row in lab.rows(tables.event)].count("ExperimentConcluded") == 1


def test_tasks_that_end_after_the_verdict_do_not_change_it(lab):
    experiment_id = lab.running()
    rng = random.Random(5)
    ahead = [lab.assign() for _ in range(4)]
    while lab.row(tables.experiment, id=experiment_id)["state"] == "running":
        task_id, values = ahead.pop(0)
        ahead.append(lab.assign())
        lab.end(task_id, is_success=rng.random() < (0.95 if values[TIMEOUT].arm else 0.2))
    assert len(lab.rows(tables.exposure, outcome=None)) == 4
    before = dict(lab.row(tables.experiment, id=experiment_id))
    for row in lab.rows(tables.exposure, outcome=None):
        lab.end(row["task_id"], is_success=False)
    assert dict(lab.row(tables.experiment, id=experiment_id)) == before


@pytest.mark.parametrize(
    ("rates", "verdict", "reason"),
    [((0.9, 0.2), "loss", "harm shown"), ((0.6, 0.6), "inconclusive", "futile")],
)
def test_change_that_is_worse_or_no_better_ends_without_a_win(lab, rates, verdict, reason):
    found = lab.run_experiment(lab.running(expected_effect="0.2"), rates, seed=4)
    assert (found["verdict"], found["reason"]) == (verdict, reason)
    lab.deliver()
    assert lab.value().value == "90"
    assert lab.state(found["proposal_id"]) == "refused"
    assert lab.types()[-2:] == ["VERDICT", "REFUSED"]
    assert lab.audit().ok


def test_experiment_ends_at_its_cap(lab):
    experiment_id = lab.running(cap_tasks=97)
    found = lab.run_experiment(experiment_id, (0.55, 0.66), seed=4)
    assert (found["verdict"], found["reason"]) == ("inconclusive", "cap reached")
    assert lab.bet(experiment_id).next_ordinal == 97


def test_experiment_ends_at_its_deadline(lab):
    experiment_id = lab.running(cap_days=1)
    for _ in range(5):
        lab.end(lab.assign()[0], is_success=True)
    unresolved = lab.assign()[0]
    lab.platform.store.clock.advance(DAY_US - 1)
    assert lab.evaluate() == {"running": 1, "ended": 0}
    lab.platform.store.clock.advance(1)
    assert lab.evaluate() == {"running": 1, "ended": 1}
    found = lab.row(tables.experiment, id=experiment_id)
    assert (found["verdict"], found["reason"]) == ("inconclusive", DEADLINE)
    assert lab.row(tables.exposure, task_id=unresolved)["outcome"] == 0.0
    lab.deliver()
    assert lab.types()[-2:] == ["VERDICT", "REFUSED"]
    assert lab.audit().ok


def test_arms_without_the_promised_shares_make_it_invalid(lab):
    experiment_id = lab.running()
    for number in range(60):
        lab.end(lab.assign_arm(experiment_id, 1), is_success=number % 5 < 3)
        if lab.row(tables.experiment, id=experiment_id)["state"] == "aborted":
            break
    found = lab.row(tables.experiment, id=experiment_id)
    assert (found["verdict"], found["reason"]) == ("invalid", "sample ratio mismatch")
    lab.deliver()
    assert lab.value().value == "90"
    assert {row["brier"] for row in lab.rows(tables.ballot)} == {None}, "nothing was shown either way"
    assert lab.audit().ok


def reopened(lab):
    """Close the platform and open it again over the same database, as a process that restarts."""
    old = lab.platform
    old.close()
    lab.platform = open_platform(
        old.settings, clock=old.store.clock, entropy=random.Random(99).randbytes, is_migrated=True
    )
    return lab


def test_experiment_goes_on_after_a_restart(lab):
    experiment_id = lab.running()
    for _ in range(10):
        lab.end(lab.assign()[0], is_success=True)
    waiting = lab.assign()[0]
    before = dict(lab.row(tables.experiment, id=experiment_id))
    reopened(lab)
    try:
        assert dict(lab.row(tables.experiment, id=experiment_id)) == before
        lab.end(waiting, is_success=True)
        assert lab.bet(experiment_id).next_ordinal == 11
        found = lab.run_experiment(experiment_id)
        assert found["verdict"] == "win"
        assert lab.replayed(experiment_id).state == lab.bet(experiment_id)
        lab.deliver()
        assert lab.value().value == "180"
        assert lab.audit().ok
    finally:
        lab.platform.close()


def second_proposal(lab):
    """Return a passed proposal on another parameter of the same task type, by another owner."""
    now = float(lab.value(PASSAGES).value)
    lab.proposer = lab.agent()
    return lab.passed(parameter=PASSAGES, to=str(int(now + 1)))


def test_one_experiment_at_a_time_per_task_type(lab):
    first = lab.running()
    second = second_proposal(lab)
    lab.deliver()
    assert lab.state(second) == "passed"
    assert [row["id"] for row in lab.rows(tables.experiment, state="running")] == [first]
    lab.run_experiment(first)
    lab.deliver()
    with lab.write() as tx:
        assert ab_sandbox.start_waiting(tx, lab.platform.registry, lab.platform.context.entropy) == 1
    assert lab.row(tables.experiment, state="running")["proposal_id"] == second
    assert lab.audit().ok


def test_racing_starts_leave_one_running(lab):
    first = lab.passed()
    second = second_proposal(lab)

    def start(proposal_id):
        with lab.write() as tx:
            return ab_sandbox.start_experiment(
                tx, lab.platform.registry, proposal_id, lambda count: bytes(range(count))
            )

    results = race(lambda: start(first), lambda: start(second), lambda: start(first), lambda: start(second))
    assert [found for found in results if isinstance(found, Exception)] == []
    assert len([found for found in results if found is not None]) == 1
    assert len(lab.rows(tables.experiment)) == 1
    assert lab.types().count("EXPERIMENT_STARTED") == 1


def test_setting_that_moved_after_the_filing_is_not_tested(lab):
    lab.confirmed()
    lab.proposer = lab.agent(Scope.PROPOSE)
    proposal_id = lab.file(to="200")
    for agent_id in lab.voters[:4]:
        lab.cast(proposal_id, agent_id)
    lab.roll_back()
    lab.pass_seconds(300)
    lab.tally()
    lab.deliver()
    assert lab.state(proposal_id) == "refused"
    assert len(lab.rows(tables.experiment)) == 1
    assert lab.types()[-1] == "REFUSED"
    assert {row["brier"] for row in lab.rows(tables.ballot, proposal_id=proposal_id)} == {None}
    assert lab.audit().ok, lab.audit().reason


def test_salt_is_secret_until_the_end(lab):
    experiment_id = lab.running()
    lab.end(lab.assign()[0], is_success=True)
    salt = lab.row(tables.experiment, id=experiment_id)["salt"]
    assert salt not in lab.everything_public(experiment_id)
    lab.run_experiment(experiment_id)
    lab.deliver()
    with lab.read() as tx:
        assert views.get_experiment(tx, experiment_id)["salt"] == salt
    assert json.loads(lab.row(tables.ledger_entry, type="VERDICT")["leaf"])["payload"]["salt"] == salt


def test_arms_can_be_recomputed_once_the_salt_is_revealed(lab):
    experiment = lab.won()
    with lab.read() as tx:
        shown = views.get_experiment(tx, experiment["id"])
    assert assignment.opens(shown["salt_commitment"], shown["salt"])
    exposures = lab.rows(tables.exposure)
    assert len(exposures) >= 20
    for row in exposures:
        assert assignment.arm_of(shown["salt"], row["unit"], row["share"]) == row["arm"]


def test_racing_evaluations_give_one_verdict(lab):
    experiment_id = lab.running()
    rng = random.Random(8)
    for _ in range(90):
        task_id, values = lab.assign()
        is_success = rng.random() < (0.98 if values[TIMEOUT].arm else 0.2)
        with lab.write() as tx:
            state = "settled" if is_success else "failed"
            sql.update(tx, tables.task, {"id": task_id}, state=state, ended_at_us=tx.now_us)
            ab_sandbox.record_outcome(tx, task_id)
    results = race(*[lab.evaluate] * 4)
    assert [found for found in results if isinstance(found, Exception)] == []
    assert sum(found["ended"] for found in results) == 1
    assert lab.row(tables.experiment, id=experiment_id)["verdict"] == "win"
    assert [row["type"] for row in lab.rows(tables.event)].count("ExperimentConcluded") == 1
    assert lab.folded(experiment_id) == list(range(lab.bet(experiment_id).next_ordinal))


def test_proposal_that_did_not_pass_starts_nothing(lab):
    proposal_id = lab.file()
    with lab.write() as tx:
        assert (
            ab_sandbox.start_experiment(tx, lab.platform.registry, proposal_id, random.Random(1).randbytes)
            is None
        )
        assert (
            ab_sandbox.start_experiment(tx, lab.platform.registry, 10**9, random.Random(1).randbytes) is None
        )
    assert lab.rows(tables.experiment) == []


def test_experiment_started_twice_is_one(lab):
    proposal_id = lab.passed()
    with lab.write() as tx:
        first = ab_sandbox.start_experiment(
            tx, lab.platform.registry, proposal_id, random.Random(1).randbytes
        )
        assert (
            ab_sandbox.start_experiment(tx, lab.platform.registry, proposal_id, random.Random(2).randbytes)
            is None
        )
    assert [row["id"] for row in lab.rows(tables.experiment)] == [first]
