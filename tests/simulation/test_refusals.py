"""What must not be promoted is not: no cure, harm, too little evidence. Each is the data's doing."""

import pytest

from app.simulation.sources import busy, cliff
from app.simulation.world import RESEARCH, TIMEOUT, look_as_the_fleet_does
from services import evolution_ledger
from services.operations import production_config
from services.proposal_system import ProposalDraft
from services.store import sql, tables
from tests.simulation.test_lap import entries, experiments, read_all


def propose(to, *, effect, cap_tasks):
    """Return an investigator that files this change whatever it sees, with the failing tasks as evidence."""

    def investigate(world, payload):
        failed = read_all(world, tables.task, type=RESEARCH, state="failed")
        evidence = tuple(task["id"] for task in failed[:20])
        return ProposalDraft(
            TIMEOUT, to, effect, "because", evidence, cap_tasks, cap_days=7, meta_task_id=payload["task_id"]
        )

    return investigate


def assert_refused(world, verdict, reason):
    where = f"seed {world.seed}: {world.laps()[-1]['experiment']}"
    assert world.outcome() == "refused", where
    types = [entry["type"] for entry in entries(world) if entry["lap"] == 1]
    assert types.index("EXPERIMENT_STARTED") < types.index("VERDICT") < types.index("REFUSED"), where
    assert "PROMOTED" not in types
    experiment = experiments(world)[0]
    assert (experiment["verdict"], experiment["reason"]) == (verdict, reason), where
    row = read_all(world, tables.parameter, name=TIMEOUT)[0]
    assert (row["value"], row["version"], row["source"]) == ("0.9", 1, "default")
    assert [row["state"] for row in read_all(world, tables.proposal)] == ["refused"]
    assert [(task["state"], task["end_reason"]) for task in read_all(world, tables.task, kind="meta")] == [
        ("settled", "verified")
    ]
    with world.platform.store.read() as tx:
        lines = list(evolution_ledger.export_lines(tx, world.platform.signer))
        assert evolution_ledger.verify_export(lines).config == production_config.snapshot(tx)
    assert evolution_ledger.verify_export(lines).ok, where


@pytest.mark.parametrize("seed", [3, 6, 7])
def test_source_that_no_timeout_can_cure_ends_in_a_refusal(open_world, seed):
    world = open_world(seed=seed, latency=cliff)
    world.run_lap(at_most_seconds=140)
    assert float(experiments(world)[0]["treatment_value"]) > 0.9, "the diagnosis asked for more"
    assert_refused(world, "inconclusive", "futile")


def test_source_that_no_timeout_can_cure_is_refused_at_the_cap_at_the_latest(open_world):
    world = open_world(latency=cliff, investigate_by=propose("1", effect="0.25", cap_tasks=120))
    world.run_lap(at_most_seconds=60)
    experiment = experiments(world)[0]
    assert_refused(world, "inconclusive", experiment["reason"])
    assert experiment["reason"] in ("cap reached", "futile")
    assert experiment["bet_state"]["next_ordinal"] <= 120


@pytest.mark.parametrize("seed", [1, 3, 5])
def test_change_that_does_harm_is_stopped_as_a_loss(open_world, seed):
    """Of seeds 1 to 10 four end as futile: the stated gain is refuted before the harm is shown."""
    investigate = propose("0.5", effect="0.15", cap_tasks=4000)
    world = open_world(seed=seed, latency=busy, investigate_by=investigate)
    world.run_lap(at_most_seconds=70)
    assert_refused(world, "loss", "harm shown")
    experiment = world.laps()[-1]["experiment"]
    assert experiment["treatment"]["rate"] < experiment["control"]["rate"]
    scores = {row["choice"]: row["brier"] for row in read_all(world, tables.ballot)}
    assert scores == {"for": pytest.approx(0.64), "against": pytest.approx(0.04)}


def test_setting_that_moved_during_the_test_is_not_promoted(open_world):
    world = open_world()

    def moved(found):
        return bool(experiments(found))

    assert world.run(until=moved, at_most_seconds=30)
    with world.platform.store.write(actor="operator") as tx:
        row = sql.find(tx, tables.parameter, name=TIMEOUT)
        sql.update(tx, tables.parameter, {"name": TIMEOUT}, version=row["version"] + 1)
    world.run_lap(at_most_seconds=60)
    assert world.outcome() == "refused"
    refused = next(entry["payload"] for entry in entries(world) if entry["type"] == "REFUSED")
    assert refused["reason"] == "tested against version 1, now at 2"
    scores = {row["choice"]: row["brier"] for row in read_all(world, tables.ballot)}
    assert scores == {"for": pytest.approx(0.04), "against": pytest.approx(0.64)}, "the experiment itself won"


def test_same_refused_change_is_not_found_again_by_the_fleet(open_world):
    world = open_world(seed=7, latency=cliff)
    world.run_lap(at_most_seconds=70)
    tried = float(experiments(world)[0]["treatment_value"])
    draft = look_as_the_fleet_does(world, {"task_id": 1, "dimension": "task_type", "key": RESEARCH})
    assert draft is None or abs(float(draft.to) - tried) > 0.05 * tried
