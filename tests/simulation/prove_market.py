"""The simulated market in full, on the real platform: the table of rules and attacks, incentives, standing.

Run by `make prove`, or alone: `SEEDS=4 DOCUMENT=docs/evidence.md make prove ARGS="-k prove_market"`. SEEDS
(default 1) is how many worlds each row is the mean of, seed 0 the first; TASKS (default 4,000) how long each
runs. The cooled rule meets every attack, the others plain, returning and buying liars. With DOCUMENT the
tables are written into that file between their markers. Every run is held to the market's invariants, and the
rule to the figures that it is there for.
"""

import datetime as dt
import os
from pathlib import Path

import pytest

from app.simulation.market.demotion import JOBS, RATES, demoted
from app.simulation.market.figures import over_seeds
from app.simulation.market.incentives import DEVIATIONS, profits
from app.simulation.market.report import markdown, report_of, rows_of, shown
from app.simulation.market.runner import rehearse, run_setting
from app.simulation.market.settings import STAKE_PERCENT, Attack, Setting, rule_name
from services.domain.auction import AwardRule

SEEDS = range(int(os.environ.get("SEEDS", "1")))
TASKS = int(os.environ.get("TASKS", "4000"))
INCENTIVE_SEEDS = range(int(os.environ.get("INCENTIVE_SEEDS", "8")))
DEMOTED_AGENTS = 1_000
CHECK_EVERY = 1_000
COMPARED = (Attack.NONE, Attack.RETURN, Attack.BUY)
BEGIN = "<!-- simulated market: written by tests/simulation/prove_market.py, do not edit -->"
END = "<!-- simulated market: end -->"

SHOWN = ("table", "incentives", "standing", "checks", "breaches", "bare")
SECTIONS = {}


@pytest.fixture(scope="module", autouse=True)
def document():
    """Write what was measured into the document that was named, when all of it is there."""
    yield
    path = os.environ.get("DOCUMENT")
    if path and {"table", "incentives", "standing"} <= set(SECTIONS):
        write_block(Path(path), block())


@pytest.fixture(scope="module")
def runs():
    """Every run of the table, by (attack, rule)."""
    cells = [(attack, AwardRule.COOLED) for attack in Attack]
    cells += [(attack, rule) for attack in COMPARED for rule in AwardRule if rule is not AwardRule.COOLED]
    found = {}
    for attack, rule in cells:
        setting = Setting(attack, rule, TASKS)
        found[attack, rule] = [run_setting(setting, seed, check_every=CHECK_EVERY) for seed in SEEDS]
        print("\n" + markdown(rows_of(found[attack, rule])).splitlines()[-1], flush=True)
    return found


def test_table(runs):
    every = [run for group in runs.values() for run in group]
    report = report_of(every)
    effort = report["effort"]
    bare = [rehearse(Setting(tasks=TASKS, is_stake_in_ask=False), seed) for seed in SEEDS]
    SECTIONS["table"] = markdown(rows_of(every))
    SECTIONS["checks"] = sum(run.checks for run in every)
    SECTIONS["breaches"] = sum(len(run.breaches) for run in every)
    SECTIONS["speed"] = effort["tasks_per_cpu_second"], effort["bids_per_cpu_second"]
    SECTIONS["bare"] = shown("utility", over_seeds(bare)["utility"])
    print("\n" + SECTIONS["table"])
    print(f"{effort}; asks without the stake (rehearsed): {SECTIONS['bare']} % of the oracle")
    assert all(run.is_sound for run in every), [(run.setting, run.breaches[:3], run.refused) for run in every]


def mean_of(runs, attack, name, rule=AwardRule.COOLED):
    return over_seeds([run.figures for run in runs[attack, rule]])[name].mean


@pytest.mark.parametrize("attack", list(Attack))
def test_rule_holds_under_attack(runs, attack):
    """A single world lies within some five points of the mean of many."""
    assert mean_of(runs, attack, "utility") >= 0.70
    assert mean_of(runs, attack, "liars_jobs") <= 0.06
    assert mean_of(runs, attack, "liars_profit") < 0
    assert mean_of(runs, attack, "driven_out") <= 0.02


def test_rule_finds_the_star_and_recovers_from_the_drift(runs):
    assert mean_of(runs, Attack.NONE, "star_tasks") <= 500
    assert mean_of(runs, Attack.NONE, "after_drift") >= 0.80
    assert mean_of(runs, Attack.NONE, "last") >= 0.88


def test_speed_does_not_choose_the_winner(runs):
    assert mean_of(runs, Attack.NONE, "utility") > mean_of(runs, Attack.NONE, "utility", AwardRule.FIRST_COME)


def test_break_even_is_about_the_best_ask_under_the_second_score():
    """Over the pure rules: 8 seeds on the platform would be an hour."""
    rows = []
    best = {}
    for rule in (AwardRule.COOLED, AwardRule.FIRST_PRICE):
        found = profits(
            Setting(rule=rule), INCENTIVE_SEEDS, lambda setting, seed: rehearse(setting, 1_000 + seed)
        )
        rows.append(
            {"rule": rule_name(rule)}
            | {f"ask ×{at}": f"{found[at].mean:.0f} ±{found[at].error:.0f}" for at in DEVIATIONS}
        )
        best[rule] = max(found, key=lambda at: found[at].mean)
        if rule is AwardRule.COOLED:
            assert found[1.0].mean >= 0.8 * found[best[rule]].mean, found
    SECTIONS["incentives"] = markdown(rows)
    print("\n" + SECTIONS["incentives"])
    assert best[AwardRule.COOLED] <= 1.15
    assert best[AwardRule.FIRST_PRICE] >= 1.15


def test_standing_is_lost_by_evidence():
    found = {rate: demoted(rate, DEMOTED_AGENTS, seed=1) for rate in RATES}
    row = {"outcomes": f"share suspended within {JOBS} jobs (median jobs)"} | {
        f"true {rate}": f"{one.share:.3f}" + (f" ({one.median_jobs:.0f})" if one.suspended else "")
        for rate, one in found.items()
    }
    SECTIONS["standing"] = markdown([row])
    print("\n" + SECTIONS["standing"])
    assert all(found[rate].share <= 0.01 for rate in (0.9, 0.8, 0.7))
    assert found[0.3].share == found[0.1].share == 1.0
    assert found[0.3].median_jobs <= 35


def block():
    """Return the tables with what they are, between the markers."""
    tasks_a_second, bids_a_second = SECTIONS["speed"]
    return TEXT.format(
        begin=BEGIN,
        end=END,
        today=dt.datetime.now(tz=dt.UTC).date().isoformat(),
        seeds=len(SEEDS),
        tasks=TASKS,
        tasks_a_second=tasks_a_second,
        bids_a_second=bids_a_second,
        stake=STAKE_PERCENT,
        incentive_seeds=len(INCENTIVE_SEEDS),
        agents=DEMOTED_AGENTS,
        **{
            name: SECTIONS[name] for name in ("table", "incentives", "standing", "checks", "breaches", "bare")
        },
    )


TEXT = """{begin}

{today}, {seeds} worlds (seeds 0 and up), {tasks:,} tasks each with about 35 bids, on the real platform over
SQLite and a virtual clock: {tasks_a_second:,.0f} tasks and {bids_a_second:,.0f} bids per second of processor
time. All invariants of the market were recounted {checks} times over all rows: {breaches} breaches.
The stake is {stake} % of the reserve price. Honest agents ask their break-even, the stake that they expect to
lose included; asking cost over success as if there were no stake, the plain market under the rule reaches
{bare} % (over the pure rules).

{table}

Profit of the third best honest agent that asks a multiple of its break-even, 2,000 tasks, {incentive_seeds}
worlds, over the pure rules:

{incentives}

The platform's own fold of outcomes, {agents:,} agents each:

{standing}

{end}"""


def write_block(path, text):
    """Put the block between its markers in the document, or at its end where there are none yet."""
    before = path.read_text(encoding="utf-8")
    if BEGIN in before:
        head, rest = before.split(BEGIN, 1)
        after = head + text + rest.split(END, 1)[1]
    else:
        after = before.rstrip() + "\n\n## The simulated market\n\n" + text + "\n"
    path.write_text(after, encoding="utf-8")
