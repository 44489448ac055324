"""`nacre money` and `nacre budget`: text and JSON, exit codes, and what is said when something differs."""

import pytest
from sqlalchemy import text

from services.domain.budget import Resource
from services.operations import budget_governor
from services.operations.budget_governor import HoldTerms

GRANT = 100_000_000_000
PRICE = 200_000


@pytest.fixture
def world(nacre, database, opened, tmp_path):
    """A platform with a requester that has posted one task; returns (run, platform, agent id)."""
    registered = nacre("agent", "register", "ada", "--scope", "post", "--vouched", "--json", *database)
    agent_id = registered.json["agent_id"]
    platform = opened(database, tmp_path)
    return lambda *words: nacre(*words, *database), platform, agent_id


def hold(platform, agent_id, amount=100, used=None):
    with platform.store.write(actor="test") as tx:
        held = budget_governor.hold(tx, HoldTerms(agent_id, Resource.TOKENS, amount))
        if used is not None:
            budget_governor.settle(tx, held.hold_id, agent_id=agent_id, amount=used)


def facts(ran):
    """The facts of a text answer, up to the first blank line."""
    assert ran.code == 0, ran.err
    return dict(line.split("\t") for line in ran.out.split("\n\n")[0].splitlines())


def test_a_statement_in_words(world):
    run, _, agent_id = world
    ran = run("money", "statement", agent_id)
    told = facts(ran)
    assert told["account"] == f"agent:{agent_id}"
    assert told["closing_balance_microcredits"] == told["live_balance_microcredits"] == str(GRANT)
    _, totals, items = ran.out.split("\n\n")
    assert totals.splitlines()[2].split("\t") == ["grant", "1", str(GRANT), "0", str(GRANT)]
    head, line = items.splitlines()
    assert head.split("\t")[-2:] == ["amount_microcredits", "balance_microcredits"]
    assert line.split("\t")[2:] == ["grant", "-", "treasury", str(GRANT), str(GRANT)]


@pytest.mark.parametrize("name", ["ada", "treasury", "escrow"])
def test_a_statement_of_whoever_is_named(world, name):
    run, _, agent_id = world
    told = run("money", "statement", name, "--json").json
    assert told["account"] == {"ada": f"agent:{agent_id}"}.get(name, name)
    assert told["closing_balance_microcredits"] == told["live_balance_microcredits"]


def test_a_statement_of_a_period(world):
    run, _, _ = world
    told = run("money", "statement", "ada", "--from", "2000-01-01", "--to", "2000-02-01", "--json").json
    assert (told["opening_balance_microcredits"], told["items"]) == (0, [])
    later = run("money", "statement", "ada", "--from", "9000-01-01", "--json").json
    assert later["opening_balance_microcredits"] == GRANT


def test_what_cannot_be_stated_is_said(world):
    run, _, _ = world
    nobody = run("money", "statement", "nobody")
    assert nobody.code == 1
    assert "nacre money accounts" in nobody.err
    wrong = run("money", "statement", "ada", "--from", "last week")
    assert (wrong.code, "--from takes a UTC day" in wrong.err) == (2, True)


def test_accounts(world):
    run, platform, agent_id = world
    rows = run("money", "accounts", "--oldest").rows
    assert [row["account"] for row in rows] == ["treasury", "escrow", f"agent:{agent_id}"]
    assert [row["floor"] for row in rows] == ["-", "0", "0"]
    hold(platform, agent_id)
    told = run("money", "accounts", "--budgets", "--json").json["items"]
    assert {row["unit"] for row in told} == {"tokens"}
    assert sum(row["balance"] for row in told) == 0


def test_sound_books(world):
    run, platform, agent_id = world
    hold(platform, agent_id, used=40)
    ran = run("money", "audit")
    assert ran.code == 0
    *checks, verdict = ran.out.splitlines()
    assert [line.split()[:2] for line in checks] == [
        ["✔", name] for name in ("M1", "M2", "M3", "M4", "M5", "B1")
    ]
    assert verdict == "the books are sound"
    assert run("money", "audit", "--json").json["ok"] is True


def test_books_that_differ_are_named_and_exit_with_1(world):
    run, platform, agent_id = world
    hold(platform, agent_id, used=40)
    with platform.store.write(actor="test") as tx:
        tx.connection.execute(text(f"UPDATE account SET balance = -7 WHERE owner = 'agent:{agent_id}'"))
        tx.connection.execute(text("UPDATE budget SET cap = cap + 1 WHERE scope = 'day'"))
    ran = run("money", "audit")
    assert ran.code == 1
    marks = {line.split()[1]: line.split()[0] for line in ran.out.splitlines() if line[0] in "✔✘"}
    assert marks == {"M1": "✔", "M2": "✘", "M3": "✘", "M4": "✔", "M5": "✔", "B1": "✘"}
    assert f"agent:{agent_id} says -7, its transfers add up to {GRANT}" in ran.out
    assert "transfers add up to (2000000, 0, 40)" in ran.out
    assert ran.out.splitlines()[-1] == "the books differ: M2, M3, B1"
    as_json = run("money", "audit", "--json")
    assert as_json.code == 1
    assert '"ok": false' in as_json.out


def test_a_limit_is_set_and_shown(world):
    run, platform, agent_id = world
    hold(platform, agent_id)
    budget = f"agent:{agent_id}"
    told = facts(run("budget", "set", budget, "tokens", "500", "--reason", "it loops"))
    assert (told["budget"], told["limit"], told["cap"], told["reserved"], told["free"]) == (
        budget, "500", "500", "100", "400",
    )  # fmt: skip
    rows = run("budget", "show", budget, "day").rows
    assert [(row["budget"], row["resource"], row["cap"]) for row in rows][:2] == [
        (budget, "tokens", "500"),
        (budget, "milliseconds", "14400000"),
    ]
    assert len(rows) == 6
    [kept] = run("budget", "limits").rows
    assert (kept["actor"], kept["amount"], kept["reason"]) == ("operator", "500", "it loops")


def test_budgets_and_holds_are_listed(world):
    run, platform, agent_id = world
    hold(platform, agent_id)
    hold(platform, agent_id, used=40)
    rows = run("budget", "list", "--oldest").rows
    assert {(row["budget"], row["reserved"], row["spent"]) for row in rows} == {
        (f"agent:{agent_id}", "100", "40"),
        ("day", "100", "40"),
    }
    assert run("budget", "list", "--period", "life").rows == []
    [row] = run("budget", "holds", "--agent", agent_id, "--state", "settled").rows
    assert (row["amount"], row["settled"]) == ("100", "40")
    assert run("budget", "show").rows[0]["budget"] == "day"


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("set", "lap:1", "tokens", "5", "--reason", "x"), 2, "a budget is day, agent:ID"),
        (("set", "day", "wishes", "5", "--reason", "x"), 2, "wishes"),
        (("set", "day", "tokens", "-- -5", "--reason", "x"), 2, "-5"),
        (("set", "day", "tokens", "5"), 2, "--reason"),
        (("set", "day", "tokens", "5", "--reason", " "), 2, "reason"),
        (("set", "agent:999", "tokens", "5", "--reason", "x"), 1, "there is no agent 999"),
        (("show", "nobody"), 2, "a budget is day"),
    ],
)
def test_wrong_input_is_said(nacre, sqlite_database, opened, tmp_path, words, code, told):
    opened(sqlite_database, tmp_path)
    ran = nacre("budget", *words, *sqlite_database)
    assert (ran.code, told in ran.err) == (code, True), ran.err
