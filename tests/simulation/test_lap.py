"""The scripted lap closes, on both engines: every hop happened, is recorded, and can be checked offline."""

from collections import Counter

import pytest

from app.simulation.world import RESEARCH, TIMEOUT, fast
from services import evolution_ledger, loop
from services.domain.events import EventType
from services.operations import accounts, production_config
from services.store import sql, tables, views
from tests.plugins.platforms import broken_books

CAUSAL = (
    "ANOMALY", "PROPOSAL", "BALLOT", "TALLY", "EXPERIMENT_STARTED", "VERDICT", "PROMOTED", "RECOVERED",
)  # fmt: skip


def read_all(world, table, **where):
    order = next(iter(table.primary_key)).name
    with world.platform.store.read() as tx:
        return sql.find_all(tx, table, order_by=order, **where)


def experiments(world, **where):
    """Return the experiments on changes; the placebos of the standing slot are left out."""
    return read_all(world, tables.experiment, kind="change", **where)


def exposures_of(world):
    """Return the exposures to experiments on changes."""
    known = {row["id"] for row in experiments(world)}
    return [row for row in read_all(world, tables.exposure) if row["experiment_id"] in known]


def root_of(world):
    return read_all(world, tables.ledger_head)[0]["root"]


def entries(world):
    with world.platform.store.read() as tx:
        return views.list_entries(tx, oldest_first=True, limit=500)["items"]


def research_values(world, source):
    """Return (task, its timeout's effective value) of every awarded research task with that source."""
    awarded = [task for task in read_all(world, tables.task, type=RESEARCH) if task["effective_values"]]
    found = [(task, task["effective_values"][TIMEOUT]) for task in awarded]
    return [(task, value) for task, value in found if value["source"] == source]


def test_lap_closes_with_the_change_promoted(closed):
    lap = closed.laps()[-1]
    assert lap["outcome"] == "promoted", f"seed {closed.seed}: stands at {lap['stage']}: {lap['stages']}"
    assert [stage["state"] for stage in lap["stages"]] == ["done"] * 7
    assert [stage["name"] for stage in lap["stages"]] == [stage.name for stage in loop.STAGES]


def test_every_stage_said_its_word_in_the_order_of_the_loop(closed):
    said = [row["type"] for row in read_all(closed, tables.event, lap_id=1)]
    first = [said.index(str(stage.says)) for stage in loop.STAGES]
    assert first == sorted(first)
    once = [said.count(str(stage.says)) for stage in loop.STAGES]
    assert once == [1] * 7
    assert said.index("AnomalyRecovered") > said.index("ParameterPromoted")


def test_ledger_holds_the_lap_in_causal_order_under_one_lap_id(closed):
    found = [entry for entry in entries(closed) if entry["type"] in CAUSAL]
    assert {entry["lap"] for entry in found} == {1}
    assert list(dict.fromkeys(entry["type"] for entry in found)) == list(CAUSAL)
    assert Counter(entry["type"] for entry in found)["BALLOT"] == 6


def test_promoted_value_is_in_force_and_read_back(closed):
    promoted = next(entry["payload"] for entry in entries(closed) if entry["type"] == "PROMOTED")
    row = read_all(closed, tables.parameter, name=TIMEOUT)[0]
    assert promoted["from"] == "0.9"
    assert float(promoted["to"]) > 0.9
    assert row["value"] == promoted["read_back"] == promoted["to"]
    assert (row["source"], row["version"]) == ("promoted", 2)
    lap = closed.laps()[-1]
    assert lap["parameter"] == {"name": TIMEOUT, "before": "0.9", "after": promoted["to"]}


def test_later_tasks_run_under_the_promoted_value_but_for_the_share_of_probation(closed):
    value = read_all(closed, tables.parameter, name=TIMEOUT)[0]["value"]
    [probation] = read_all(closed, tables.probation)
    later = [row for row in exposures_of(closed) if row["ordinal"] >= probation["first_ordinal"]]
    promoted = [row for row in later if row["value"] == value]
    assert len(later) > 20
    assert {row["value"] for row in later} <= {value, "0.9"}
    assert 0.7 <= len(promoted) / len(later) <= 0.97
    assert {row["share"] for row in later} == {0.85}
    allowed = set()
    for row in promoted:
        for attempt in read_all(closed, tables.attempt, task_id=row["task_id"]):
            allowed.add(attempt["expires_at_us"] - attempt["leased_at_us"])
    assert allowed == {round(float(value) * 1e6)}


def test_held_out_tasks_stay_on_the_starting_value(closed):
    held_out = research_values(closed, "holdout")
    assert 0 < len(held_out) < 0.15 * len(research_values(closed, "arm"))
    assert {found["value"] for _, found in held_out} == {"0.9"}
    exposed = {row["task_id"] for row in exposures_of(closed)}
    assert exposed.isdisjoint(task["id"] for task, _ in held_out)


def test_both_arms_really_ran_under_their_own_value(closed):
    experiment = experiments(closed)[0]
    values = {0: experiment["control_value"], 1: experiment["treatment_value"]}
    exposures = {row["task_id"]: row for row in exposures_of(closed)}
    allowed = {0: set(), 1: set()}
    for task, found in research_values(closed, "arm"):
        exposure = exposures.pop(task["id"])
        assert (exposure["arm"], exposure["value"]) == (found["arm"], found["value"])
        assert exposure["value"] == values[exposure["arm"]]
        for attempt in read_all(closed, tables.attempt, task_id=task["id"]):
            allowed[exposure["arm"]].add(attempt["expires_at_us"] - attempt["leased_at_us"])
    assert exposures == {}
    assert allowed == {arm: {round(float(value) * 1e6)} for arm, value in values.items()}
    counts = Counter(row["arm"] for row in exposures_of(closed))
    assert min(counts.values()) >= 0.25 * sum(counts.values())


def test_investigation_is_closed_and_paid(closed):
    meta = read_all(closed, tables.task, kind="meta")
    assert [(task["state"], task["lap_id"]) for task in meta] == [("settled", 1)]
    paid = meta[0]["paid_microcredits"]
    assert paid > 0
    with closed.platform.store.read() as tx:
        owner = accounts.agent_account(closed.diagnostician)
        assert accounts.balance_microcredits(tx, owner) == 100_000_000_000 + paid


def test_forecasts_are_scored_by_the_outcome(closed):
    scores = {row["choice"]: row["brier"] for row in read_all(closed, tables.ballot)}
    assert scores == {"for": pytest.approx(0.04), "against": pytest.approx(0.64)}


def test_export_verifies_offline_and_its_config_is_the_live_one(closed):
    with closed.platform.store.read() as tx:
        lines = list(evolution_ledger.export_lines(tx, closed.platform.signer))
        live = production_config.snapshot(tx)
    report = evolution_ledger.verify_export(lines)
    assert report.ok, f"seed {closed.seed}: entry {report.first_error_index}: {report.reason}"
    assert report.config == live
    assert report.root_hex == root_of(closed)


def test_nothing_was_lost_on_the_way(closed):
    assert {row["state"] for row in read_all(closed, tables.delivery)} == {"delivered"}
    assert {row["state"] for row in read_all(closed, tables.cron_tick)} == {"done"}
    with closed.platform.store.read() as tx:
        assert broken_books(tx) == []


def test_snapshots_show_the_fall_and_the_recovery(closed):
    episode = read_all(closed, tables.episode)[0]
    assert episode["numerator"] < 0.7 * episode["denominator"]
    recovered = next(entry["payload"] for entry in entries(closed) if entry["type"] == "RECOVERED")
    assert recovered["numerator"] > 0.7 * recovered["denominator"]


@pytest.mark.parametrize("seed", [2, 6])
def test_one_seed_gives_one_history(open_world, seed):
    worlds = [open_world(seed=seed), open_world(seed=seed)]
    assert [world.run_lap(at_most_seconds=60) for world in worlds] == ["promoted", "promoted"]
    assert root_of(worlds[0]) == root_of(worlds[1])


def test_another_seed_gives_another_history(open_world):
    roots = set()
    for seed in (3, 4):
        world = open_world(seed=seed)
        world.run(until=lambda _: False, at_most_seconds=2)
        roots.add(root_of(world))
    assert len(roots) == 2


def test_source_that_is_fast_enough_changes_nothing(open_world):
    world = open_world(latency=fast)
    world.run(until=lambda _: False, at_most_seconds=24)
    snapshots = read_all(world, tables.snapshot, dimension="task_type", key=RESEARCH)
    assert sum(row["denominator"] for row in snapshots) > 80
    assert world.laps() == []
    assert read_all(world, tables.proposal) == []
    assert read_all(world, tables.parameter, name=TIMEOUT)[0]["version"] == 1
    assert {row["type"] for row in read_all(world, tables.event)} == {
        str(EventType.SNAPSHOT_TAKEN), str(EventType.TASK_AWARDED), str(EventType.RESULT_SUBMITTED),
        str(EventType.TASK_ENDED), str(EventType.CHECKPOINT_SIGNED),
    }  # fmt: skip
