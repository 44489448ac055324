"""Two platforms over one database, each with its own connections: counted once, one verdict, one entry."""

import random
import threading

import pytest

from app.bootstrap import open_platform
from services import ab_sandbox, event_bus
from services.domain.clock import VirtualClock
from services.domain.states import Leg
from services.store import sql, tables
from tests.services.laboratory import TIMEOUT, Laboratory

RATES = (0.45, 0.92)


@pytest.fixture
def other(lab):
    """A second platform over the laboratory's database, as another process opens it."""
    platform = open_platform(
        lab.platform.settings,
        clock=VirtualClock(lab.now_us),
        entropy=random.Random(1234).randbytes,
        verify=lab.platform.context.verify,
        is_migrated=True,
    )
    yield Laboratory(platform, proposer=lab.proposer)
    platform.close()


def at_once(*acts):
    """Run each act in a thread of its own for as long as it says so; raise what they raise."""
    start, wrong = threading.Barrier(len(acts)), []

    def run(act):
        start.wait(timeout=30)
        try:
            while act():
                pass
        except Exception as error:
            wrong.append(error)
            raise

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert wrong == []


def ready(lab, count, rng):
    """Assign tasks and note their outcomes without betting on any."""
    assigned = lab.assign_many(count)
    with lab.write() as tx:
        for task_id, values in assigned:
            state = "settled" if rng.random() < RATES[values[TIMEOUT].arm] else "failed"
            sql.update(tx, tables.task, {"id": task_id}, state=state, ended_at_us=tx.now_us)
            ab_sandbox.record_outcome(tx, task_id)


def test_two_evaluations_at_once_count_once_and_give_one_verdict(lab, other):
    experiment_id = lab.running()
    ready(lab, 150, random.Random(8))
    ended = []

    def evaluate(one):
        def act():
            ended.append(one.evaluate()["ended"])
            return False

        return act

    at_once(*[evaluate(one) for one in (lab, other) * 2])
    assert sum(ended) == 1
    found = lab.experiment(experiment_id)
    assert (found["state"], found["verdict"]) == ("provisional", "win")
    assert lab.replayed(experiment_id).state == lab.bet(experiment_id)
    assert lab.folded(experiment_id) == list(range(lab.bet(experiment_id).next_ordinal))
    assert [row["type"] for row in lab.rows(tables.event)].count("ExperimentConcluded") == 1


def test_two_processes_run_an_experiment_through_both_legs_together(lab, other):
    """Each assigns, ends, evaluates and delivers as it comes, until the change is confirmed."""
    experiment_id = lab.running()
    rounds = iter(range(400))

    def work(one, seed):
        rng = random.Random(seed)

        def act():
            assigned = one.assign_many(3)
            for task_id, values in assigned:
                one.end(task_id, is_success=rng.random() < RATES[values[TIMEOUT].arm or 0])
            one.evaluate()
            event_bus.drain(one.platform.store, one.platform.subscribers)
            live = one.experiment(experiment_id)["state"] in ("running", "provisional", "probation")
            return live and next(rounds, None) is not None

        return act

    at_once(work(lab, 1), work(other, 2))
    lab.end_many({row["id"]: True for row in lab.rows(tables.task, state="awarded")})
    lab.pass_seconds(700)  # what one process gave up for the other waits for its retry
    lab.deliver()
    assert lab.experiment(experiment_id)["state"] == "confirmed"
    for leg in (Leg.TRIAL, Leg.PROBATION):
        assert lab.replayed(experiment_id, leg).state == lab.bet(experiment_id, leg)
    ordinals = [row["ordinal"] for row in lab.exposures(experiment_id)]
    assert ordinals == list(range(lab.experiment(experiment_id)["assigned_count"]))
    kinds = ("VERDICT", "PROMOTED", "PROBATION_STARTED", "CONFIRMED")
    assert [lab.types().count(kind) for kind in kinds] == [2, 1, 1, 1]
    assert lab.audit().ok, lab.audit().reason
