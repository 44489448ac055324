"""The long runs of the scenarios: where nothing is true little is promoted, and what is true is found.

Run by `make prove`, some minutes each. Every figure is printed; a bar is held to by the exact interval of
what was counted, so that a run fails when its promotions cannot be chance at the declared rate.
"""

from dataclasses import replace

import pytest

from app.simulation.report import Rate, is_sound
from app.simulation.runner import simulate
from app.simulation.scenario_world import ScenarioWorld
from app.simulation.scenarios import SCENARIOS
from services.ab_sandbox import evaluation, plans
from services.store import sql, tables

SEED = 7
COUNTS = {"null": 100, "drift": 60, "slow-failure": 40, "unlike-agents": 60, "harm": 40, "stream": 200}


def run(name, count, **changes):
    report = simulate(replace(SCENARIOS[name].with_count(count), **changes), SEED)
    experiments, rates, time = report["experiments"], report["rates"], report["time"]
    print(
        f"\n{name}, seed {SEED}: {experiments['started']} experiments, {experiments['states']}; "
        f"false provisional {rates['false_provisional']}, false confirmed {rates['false_confirmed']}; "
        f"truth {report['truth']}; {time['tasks_per_second']:.0f} tasks/s, root {report['ledger']['root']}"
    )
    return report


@pytest.mark.parametrize("name", ["null", "drift", "slow-failure", "unlike-agents", "harm"])
def test_where_nothing_is_better_promotions_keep_to_the_declared_rate(name):
    report = run(name, COUNTS[name])
    assert is_sound(report)
    rates = report["rates"]
    assert rates["false_provisional"]["of"] >= 0.8 * COUNTS[name]
    assert rates["is_within_declared"], rates
    assert rates["false_confirmed"]["share"] <= rates["declared"]


def test_harm_is_stopped_soon():
    report = run("harm", COUNTS["harm"])
    assert report["experiments"]["provisional"] == 0
    assert report["experiments"]["trial_tasks_mean"] <= 200


def test_stream_finds_what_is_better_and_confirms_little_else():
    report = run("stream", COUNTS["stream"])
    assert is_sound(report)
    truth = report["truth"]
    assert truth["power_provisional"]["count"] >= 5
    assert truth["false_share_of_confirmed"]["lower"] <= report["rates"]["declared"]
    assert truth["power_confirmed"]["upper"] >= 0.6


def test_instrument_sees_a_platform_that_promotes_too_easily(monkeypatch):
    honest = plans.plan_of

    def too_easy(tx, proposal, task_type):
        return replace(honest(tx, proposal, task_type), alpha=0.5)

    monkeypatch.setattr(plans, "plan_of", too_easy)
    report = run("null", 36)
    assert not report["rates"]["is_within_declared"], report["rates"]


def test_counting_in_completion_order_would_promote_what_cures_nothing(
    monkeypatch, migrated_sqlite_url, tmp_path
):
    def as_they_end(units, **_rule):
        resolved = (unit for unit in units if all(row["outcome"] is not None for row in unit))
        return sorted(resolved, key=lambda unit: unit[0]["resolved_at_us"])

    monkeypatch.setattr(evaluation, "released", as_they_end)
    world = ScenarioWorld(SCENARIOS["slow-failure"].with_count(8), SEED, migrated_sqlite_url, tmp_path)
    for _ in range(180):
        world.step()
    with world.stage.platform.store.read() as tx:
        verdicts = [row["verdict"] for row in sql.find_all(tx, tables.experiment, kind="change")]
    world.close()
    print(f"\nslow-failure in completion order, seed {SEED}: {verdicts}")
    assert Rate(verdicts.count("win"), len(verdicts)).interval[0] > 0.05, verdicts
