"""The scenarios of `nacre simulate` at a small size: each ends, is sound, and tells what is true.

The long runs, with the figures that matter, are in `prove_scenarios.py`.
"""

import shutil
from dataclasses import replace

import pytest

from app.simulation.proposers import Idea
from app.simulation.report import is_sound
from app.simulation.runner import simulate_over
from app.simulation.scenarios import SCENARIOS
from tests.plugins.databases import url_of_file

SURE = Idea(effect=0.2, log_odds=2.2)
PROBATION = {"sandbox.probation_tasks": "800"}
SMALL_CAPS = {
    "null": 150,
    "stream": 250,
    "drift": 150,
    "slow-failure": 150,
    "unlike-agents": 200,
    "harm": 900,
}


def small(name, count=2):
    scenario = SCENARIOS[name].with_count(count)
    return replace(scenario, cap_tasks=SMALL_CAPS[name], values={**scenario.values, **PROBATION})


@pytest.fixture
def run_small(sqlite_template, tmp_path):
    """Return a function that runs a small scenario over a fresh, migrated SQLite file."""
    runs = []

    def run(name, *, seed=7, count=2, **changes):
        folder = tmp_path / f"run_{len(runs)}"
        folder.mkdir()
        shutil.copyfile(sqlite_template, folder / "nacre.db")
        scenario = replace(small(name, count), **changes)
        url = url_of_file(folder / "nacre.db")
        runs.append(simulate_over(url, folder, scenario, seed, is_migrated=True))
        return runs[-1]

    return run


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_ends_and_is_sound(run_small, name):
    report = run_small(name)
    assert is_sound(report), report
    experiments = report["experiments"]
    assert experiments["started"] >= 1
    assert experiments["started"] == report["proposals"]["filed"] == sum(experiments["states"].values())
    assert set(experiments["states"]) <= {"confirmed", "rolled_back", "aborted", "futile", "inconclusive"}
    assert experiments["provisional"] == experiments["confirmed"] + experiments["rolled_back"]
    assert report["ledger"]["by_type"]["EXPERIMENT_STARTED"] == experiments["started"]
    assert report["tasks"]["ended"] > experiments["trial_tasks_mean"] * experiments["started"] * 0.9
    if name == "null":
        assert report["laps"]["opened"] == sum(report["laps"]["ended"].values()) == 2
        assert "open" not in report["laps"]["ended"]


def test_harm_is_never_promoted_and_is_stopped(run_small):
    report = run_small("harm", count=3)
    assert report["experiments"]["provisional"] == 0
    assert set(report["experiments"]["states"]) <= {"aborted", "futile", "inconclusive"}
    assert report["truth"]["no_better"] == 3


def test_what_is_truly_better_is_found_and_confirmed(run_small):
    def cures(_rng, _bases):
        while True:
            yield SURE

    report = run_small("null", ideas=cures, cap_tasks=300)
    assert report["experiments"]["provisional"] == 2, report["experiments"]
    assert report["truth"]["power_confirmed"]["count"] == 2, report["experiments"]
    assert report["rates"]["false_provisional"]["of"] == 0


def test_one_seed_gives_one_root_and_another_seed_another(run_small):
    roots = [run_small("unlike-agents", seed=seed, count=1)["ledger"]["root"] for seed in (3, 3, 4)]
    assert roots[0] == roots[1] != roots[2]


def test_both_engines_give_the_same_root(run_small, migrated_postgresql_url, tmp_path):
    on_sqlite = run_small("unlike-agents", seed=3, count=1)
    folder = tmp_path / "postgresql"
    folder.mkdir()
    on_postgresql = simulate_over(
        migrated_postgresql_url, folder, small("unlike-agents", 1), 3, is_migrated=True
    )
    assert is_sound(on_postgresql)
    assert on_postgresql["ledger"]["root"] == on_sqlite["ledger"]["root"]
