"""The nine hops of the loop: cut any one and the lap does not close as promoted, and says where it stands.

Each cut takes out the production function (or mutes the agents) that makes one hop happen; everything else is
the real platform on the seed whose lap closes when nothing is cut.
"""

from dataclasses import replace

import pytest

from app.simulation.world import START_US, World
from services import ab_sandbox, evolution_ledger, meta_task_market, observatory
from services.domain.clock import SECOND_US
from services.domain.events import EventType
from services.domain.states import TaskKind
from services.operations import assignments
from services.store import tables
from tests.simulation.conftest import SEED, fresh_database
from tests.simulation.test_lap import TIMEOUT, experiments, exposures_of, read_all

AT_MOST_SECONDS = 60
LONGER_SECONDS = 2


def cut_snapshot(world, patch):
    patch.setattr(observatory, "take_snapshot", lambda _tx: {})


def cut_event(world, patch):
    world.platform.store.routes = {**world.platform.store.routes, str(EventType.ANOMALY_DETECTED): ()}


def cut_meta_task(world, patch):
    post = meta_task_market.post_task

    def post_no_investigation(tx, terms):
        if terms.kind is TaskKind.META:
            raise RuntimeError("cut")
        return post(tx, terms)

    patch.setattr(meta_task_market, "post_task", post_no_investigation)


def cut_winning(world, patch):
    world.is_bidding_on_investigations = False


def cut_investigating(world, patch):
    world.is_investigating = False


def cut_proposing(world, patch):
    world.investigate_by = lambda _world, _payload: None


def cut_voting(world, patch):
    world.is_voting = False


def cut_approval(world, patch):
    world.against = 3


def cut_sandbox(world, patch):
    patch.setattr(ab_sandbox, "start_experiment", lambda *_: None)
    patch.setattr(ab_sandbox, "start_waiting", lambda *_: 0)


def cut_halves(world, patch):
    patch.setattr(assignments.assignment, "arm_of", lambda _salt, _unit, _share: 0)


def cut_control(world, patch):
    patch.setattr(assignments.assignment, "arm_of", lambda _salt, _unit, share: int(share >= 0.1))


def cut_different_values(world, patch):
    """Both arms are recorded, and both get the old value: the peer's bug."""
    value_of = assignments.OnTrial.value_of

    def value_of_the_old_arm(trial, placement):
        return value_of(trial, replace(placement, arm=0)) if trial.row["parameter"] == TIMEOUT else "0"

    patch.setattr(assignments.OnTrial, "value_of", value_of_the_old_arm)


def cut_stopping(world, patch):
    patch.setattr(ab_sandbox, "evaluate", lambda _tx, _experiment_id: False)
    patch.setattr(ab_sandbox, "evaluate_running", lambda _tx: {"running": 0, "ended": 0})


def cut_recording(world, patch):
    patch.setattr(evolution_ledger, "record_verdict", lambda _tx, _experiment_id: 0)


def cut_promotion(world, patch):
    patch.setattr(evolution_ledger, "apply_verdict", lambda _tx, _experiment_id: False)


CUTS = [
    pytest.param(cut_snapshot, None, id="hop1-no_snapshot"),
    pytest.param(cut_event, "diagnose", id="hop2-event_not_carried"),
    pytest.param(cut_meta_task, "diagnose", id="hop3-no_meta_task"),
    pytest.param(cut_winning, "diagnose", id="hop4-nobody_bids"),
    pytest.param(cut_investigating, "diagnose", id="hop4-nobody_investigates"),
    pytest.param(cut_proposing, "propose", id="hop5-no_proposal"),
    pytest.param(cut_voting, "vote", id="hop6-nobody_votes"),
    pytest.param(cut_approval, "vote", id="hop6-three_of_six"),
    pytest.param(cut_sandbox, "experiment", id="hop7-no_experiment"),
    pytest.param(cut_halves, "learn", id="hop7-all_in_the_old_arm"),
    pytest.param(cut_control, "learn", id="hop7-all_in_the_new_arm"),
    pytest.param(cut_stopping, "experiment", id="hop8-never_decided"),
    pytest.param(cut_recording, "learn", id="hop9-verdict_not_recorded"),
    pytest.param(cut_promotion, "promote", id="hop9-not_promoted"),
]


def assert_nothing_promoted(world):
    assert read_all(world, tables.parameter, name=TIMEOUT)[0]["version"] == 1
    types = {row["type"] for row in read_all(world, tables.ledger_entry)}
    assert "PROMOTED" not in types
    assert world.outcome() != "promoted"


@pytest.fixture(scope="module")
def long_enough(request, tmp_path_factory):
    """Virtual seconds in which a lap closes as promoted when nothing is cut, and a little more."""
    folder = tmp_path_factory.mktemp("uncut")
    with fresh_database(request, "sqlite", folder) as url:
        world = World(url, folder, seed=SEED)
        outcome = world.run_lap(at_most_seconds=AT_MOST_SECONDS)
        world.close()
    assert outcome == "promoted", f"seed {SEED}: nothing was cut"
    return (world.clock.now_us() - START_US) / SECOND_US + LONGER_SECONDS


def test_lap_closes_as_promoted_when_nothing_is_cut(long_enough):
    assert long_enough < AT_MOST_SECONDS


def deafen(world, name):
    """Take one subscriber off every route: what was published is not delivered to it."""
    world.platform.store.routes = {
        kind: tuple(subscriber for subscriber in names if subscriber != name)
        for kind, names in world.platform.store.routes.items()
    }


@pytest.mark.parametrize(("cut", "stands_at"), CUTS)
def test_lap_does_not_close_as_promoted_when_a_hop_is_cut(
    open_world, monkeypatch, long_enough, cut, stands_at
):
    world = open_world()
    cut(world, monkeypatch)
    world.run(until=lambda _: False, at_most_seconds=long_enough)
    assert_nothing_promoted(world)
    laps = world.laps()
    assert (laps[-1]["stage"] if laps else None) == stands_at, f"seed {world.seed}: {laps}"


@pytest.mark.parametrize("name", ["observe", "learn", "promote"])
def test_lap_stands_still_where_a_stage_hears_nothing(open_world, long_enough, name):
    world = open_world()
    deafen(world, name)
    world.run(until=lambda _: False, at_most_seconds=long_enough)
    assert_nothing_promoted(world)
    laps = world.laps()
    assert (laps[-1]["stage"] if laps else "observe") == name, f"seed {world.seed}"


def test_cron_starts_the_experiment_of_a_passed_proposal_that_nobody_heard_of(open_world):
    world = open_world()
    deafen(world, "experiment")
    assert world.run_lap(at_most_seconds=60) == "promoted"


def test_same_value_in_both_arms_shows_no_difference_and_promotes_nothing(
    open_world, monkeypatch, long_enough
):
    world = open_world()
    cut_different_values(world, monkeypatch)
    world.run(until=lambda _: False, at_most_seconds=long_enough)
    assert_nothing_promoted(world)
    assert world.laps()[-1]["stage"] in ("experiment", "promote")
    tasks = {row["id"]: row["effective_values"] for row in read_all(world, tables.task)}
    exposed = exposures_of(world)
    assert {tasks[row["task_id"]][TIMEOUT]["value"] for row in exposed} == {"0.9"}
    assert {row["arm"] for row in exposed} == {0, 1}
    assert experiments(world, verdict="win") == []
