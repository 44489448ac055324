"""`nacre simulate`: its report as JSON and as text, the database it keeps, and what it refuses."""

import json
import sqlite3
from contextlib import closing

import pytest

from app.cli.actions.simulating import MARKET, lasting
from app.cli.simulate import AttackName, RuleName, ScenarioName
from app.simulation.market.settings import ALL, Attack, rule_name
from app.simulation.scenarios import SCENARIOS
from services.domain.auction import AwardRule

RUN = ("simulate", "harm", "--proposals", "1", "--seed", "3")
KEYS = {
    "scenario", "summary", "seed", "counted", "asked", "is_complete", "laps", "proposals", "experiments",
    "rates", "truth", "levels", "placebos", "tasks", "time", "ledger", "lost",
}  # fmt: skip
RATE = {"count", "of", "share", "lower", "upper"}


def test_command_names_the_scenarios_there_are():
    assert [str(name) for name in ScenarioName] == [*SCENARIOS, MARKET]
    assert [str(name) for name in AttackName] == [*Attack, ALL]
    assert [str(name) for name in RuleName] == [*map(rule_name, AwardRule), ALL]


def test_help_says_what_each_scenario_is_and_its_default_count(nacre):
    said = [" ".join(part.split()) for part in nacre("simulate", "--help").out.split("\n\n")]
    for name, scenario in SCENARIOS.items():
        (part,) = [part for part in said if part.startswith(f"{name}: ")]
        assert part.endswith(f"({scenario.count:,} {scenario.counted})")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(12, "12 s"), (1_200, "20 min"), (3_599, "1 h 0 min"), (11_100, "3 h 5 min"), (1_051_200, "12 d 4 h"),
     (8_640_000, "100 d")],
)  # fmt: skip
def test_virtual_time_is_told_as_a_duration(seconds, said):
    assert lasting(seconds) == said


def test_report_as_json_and_the_database_it_speaks_of(nacre, tmp_path):
    kept = tmp_path / "kept.db"
    ran = nacre(*RUN, "--json", "--keep", kept)
    report = ran.json
    assert ran.err == ""
    assert set(report) == KEYS
    assert (report["scenario"], report["seed"], report["counted"], report["asked"]) == (
        "harm", 3, "proposals", 1,
    )  # fmt: skip
    assert set(report["rates"]["false_provisional"]) == set(report["truth"]["power_confirmed"]) == RATE
    assert report["time"]["tasks_per_second"] > 0
    assert report["ledger"]["is_verified"] is True
    with closing(sqlite3.connect(kept)) as database:
        [(root, size)] = database.execute("SELECT root, size FROM ledger_head").fetchall()
        [(tasks,)] = database.execute("SELECT count(*) FROM task").fetchall()
    assert (root, size, tasks) == (
        report["ledger"]["root"],
        report["ledger"]["entries"],
        report["tasks"]["posted"],
    )


def test_kept_database_is_read_by_the_other_commands(nacre, tmp_path):
    kept = tmp_path / "kept.db"
    assert nacre(*RUN, "--keep", kept).code == 0
    listed = nacre("proposal", "list", "--json", "--database", f"sqlite:///{kept}")
    assert [item["state"] for item in listed.json["items"]] == ["refused"]


def test_report_as_text(nacre):
    ran = nacre(*RUN)
    assert ran.code == 0, ran.err
    facts = dict(line.split("\t", 1) for line in ran.out.splitlines() if "\t" in line)
    assert facts["scenario"].startswith("harm: ")
    assert facts["promoted"] == "0 provisionally, 0 confirmed, 0 rolled back"
    assert "simulated tasks per second" in facts["speed"]
    assert facts["ledger"].endswith("verified offline")
    assert len(facts["root"]) == 64


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "SCENARIO"),
        ("nothing", "slow-failure"),
        ("null --laps 0", "--laps"),
        ("null --laps -3", "--laps"),
        ("null --laps many", "--laps"),
        ("harm --proposals 0", "--proposals"),
        ("null --proposals 5", "give --laps"),
        ("stream --laps 5", "give --proposals"),
        ("null --seed -1", "--seed"),
        ("null --seed x", "--seed"),
        ("null --keep no/such/folder/file.db", "new file"),
        ("null --workers 2", "No such option"),
        ("null --tasks 400", "give --laps"),
        ("null --rule greedy", "belongs to the scenario market"),
        ("market --tasks 100", "--tasks"),
        ("market --laps 4", "give --tasks"),
        ("market --rule auction", "--rule"),
        ("market --attack bribe", "--attack"),
        ("market --rule all --keep new.db", "choose one rule"),
    ],
)
def test_wrong_input_is_refused(nacre, words, said):
    ran = nacre("simulate", *words.split())
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert len(ran.err.splitlines()) == 1


def test_existing_file_is_not_overwritten(nacre, tmp_path):
    kept = tmp_path / "mine.db"
    kept.write_text("mine")
    ran = nacre("simulate", "harm", "--keep", kept)
    assert ran.code == 2
    assert kept.read_text() == "mine"


def test_market_reports_its_table_and_keeps_its_database(nacre, tmp_path):
    kept = tmp_path / "market.db"
    ran = nacre(
        "simulate",
        "market",
        "--tasks",
        "200",
        "--rule",
        "greedy",
        "--attack",
        "buy",
        "--keep",
        kept,
        "--json",
    )
    assert ran.code == 0, ran.err
    (run,) = ran.json["runs"]
    assert (run["attack"], run["rule"], run["tasks"]) == ("buy", "greedy", 200)
    assert run["invariants"] == {"checks": 1, "breaches": []}
    assert run["ledger"]["is_verified"] is True
    with closing(sqlite3.connect(kept)) as database:
        [(posted,)] = database.execute("SELECT count(*) FROM task").fetchall()
        [(rules,)] = database.execute("SELECT group_concat(DISTINCT rule) FROM award").fetchall()
    assert (posted, rules) == (run["effort"]["posted"], "greedy-first-price")


def test_market_as_text_has_a_row_per_rule(nacre):
    ran = nacre("simulate", "market", "--tasks", "200", "--rule", "all")
    assert ran.code == 0, ran.err
    assert "0 breaches" in ran.out
    rows = [line.split("\t") for line in ran.out.splitlines() if line.startswith("plain\t")]
    assert [row[1] for row in rows] == [rule_name(rule) for rule in AwardRule]


def test_run_that_is_not_sound_says_so(nacre, monkeypatch):
    def unsound(*_arguments, **_options):
        return json.loads(UNSOUND)

    monkeypatch.setattr("app.simulation.runner.simulate", unsound)
    ran = nacre(*RUN, "--json")
    assert ran.code == 1
    assert "2 dead letters; the ledger does not verify: entry 3 is not canonical" in ran.err


UNSOUND = """{"is_complete": true, "lost": {"dead_letters": 2, "failed_ticks": 0},
 "ledger": {"is_verified": false, "reason": "entry 3 is not canonical"}}"""
