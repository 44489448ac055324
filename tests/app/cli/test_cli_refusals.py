"""Whatever a user gets wrong is one line that says what would be right, and the exit code that fits."""

import pytest

from app.cli.refusals import explain
from tests.plugins.databases import url_of_file

TOO_LARGE = 2**63
WRONG_INPUT = [
    ("nonsense", "No such command"),
    ("task", "Missing command"),
    ("task show", "Missing argument"),
    ("task show x", "valid integer"),
    ("task show 0", "ID"),
    (f"task show {TOO_LARGE}", "ID"),
    ("task show -1", "-1"),
    ("task list --limit 0", "--limit"),
    ("task list --limit 501", "--limit"),
    ("task list --state settling", "settled"),
    ("task list --kind both", "meta"),
    ("task list --cursor nonsense", "next_cursor"),
    ("task list --colour", "No such option"),
    ("ledger list --type promoted", "--type"),
    ("ledger show -1", "-1"),
    ("agent register", "Missing argument"),
    ("agent register ada", "--scope"),
    ("agent register ada --scope fly", "propose"),
    ("parameter rollback x.y", "--reason"),
    ("task post", "Missing argument"),
    ("task post monte_carlo", "@FILE"),
    ("task post no_such_type {}", "there are ml_training"),
    ("task post monte_carlo {}", "payload"),
    ("task post monte_carlo [1]", "JSON object"),
    ("task post monte_carlo {", "not JSON"),
    ('task post monte_carlo {"samples":NaN}', "payload"),
    ('task post monte_carlo {"samples":1,"samples":2}', "payload"),
    ("task post monte_carlo @no/such/file", "No such file"),
    ("task post monte_carlo {} --payload {}", "once"),
    ("task post monte_carlo {} --reserve-price 0", "--reserve-price"),
    ("task post monte_carlo {} --deadline 0", "--deadline"),
    ("ledger export a --out b", "once"),
    ("ledger verify", "Missing argument"),
    ("ledger verify no/such/file", "No such file"),
    ("up --port 70000", "--port"),
    ("lap --source slow", "stuck"),
    ("lap --seconds 0", "--seconds"),
]
REFUSED = [
    ("task show 99", "there is no task 99"),
    ("task cancel 99", "there is no task 99"),
    ("agent show 99", "there is no agent 99"),
    ("proposal show 99", "there is no proposal 99"),
    ("experiment show 99", "there is no experiment 99"),
    ("laps show 99", "there is no lap 99"),
    ("ledger show 99", "there is no ledger entry 99"),
    ("parameter show no.such", "there is no parameter"),
    ("parameter rollback no.such --reason x", "there is no parameter"),
    ("parameter rollback monte_carlo.timeout_seconds --reason x", "never promoted"),
    ("dead-letter replay 99", "there is no delivery 99"),
    ("review close 99", "not open"),
    ("task-type show no_such_type", "there are ml_training"),
]
WITHOUT_DATABASE = ("nonsense", "task-type", "up ", "lap ", "ledger verify")


def one_line(ran, code):
    assert ran.code == code, (ran.out, ran.err)
    assert ran.out == ""
    assert ran.err.startswith("nacre: ")
    assert ran.err.endswith(")\n")
    assert ran.err.count("\n") == 1
    assert "Traceback" not in ran.err
    return ran.err


@pytest.mark.parametrize(("words", "said"), WRONG_INPUT)
def test_wrong_input_ends_with_2(nacre, sqlite_database, words, said):
    named = () if words.startswith(WITHOUT_DATABASE) or words == "task" else sqlite_database
    assert said in one_line(nacre(*words.split(), *named), 2)


@pytest.mark.parametrize(("words", "said"), REFUSED)
def test_a_refusal_ends_with_1(nacre, sqlite_database, words, said):
    named = () if words.startswith(WITHOUT_DATABASE) else sqlite_database
    assert said in one_line(nacre(*words.split(), *named), 1)


@pytest.mark.parametrize("name", ["", "   ", "a\x1b[31mb", "a\nb", "x" * 81], ids=ascii)
def test_a_name_that_cannot_be_is_refused_in_words(nacre, sqlite_database, name):
    ran = nacre("agent", "register", name, "--scope", "bid", *sqlite_database)
    assert "1 to 80 visible characters" in one_line(ran, 2)
    assert "\x1b" not in ran.err


def test_arguments_that_are_not_text_are_refused(nacre):
    assert "not UTF-8" in one_line(nacre("task", "list", "--type", "a\udcffb"), 2)


def test_a_rollback_needs_more_than_blanks(nacre, sqlite_database):
    words = ("parameter", "rollback", "monte_carlo.timeout_seconds", "--reason", " ")
    assert "reason_missing" in one_line(nacre(*words, *sqlite_database), 2)


@pytest.mark.parametrize(
    ("url", "code", "said"),
    [
        ("nonsense", 2, "sqlite:///FILE"),
        ("sqlite://", 2, "in memory"),
        ("sqlite:///:memory:", 2, "in memory"),
        ("mysql://x/y", 2, "mysql"),
        ("postgresql+nodriver://x/y", 2, "postgresql://USER"),
        ("postgresql://x:notaport/y", 2, "postgresql://USER"),
        ("sqlite:///no/such/file.db", 1, "there is no database at no/such/file.db"),
        ("postgresql://nobody@127.0.0.1:1/none", 1, "database_unavailable"),
    ],
)
@pytest.mark.parametrize("words", ["task list", "agent register x --scope bid", "db current"])
def test_a_database_that_cannot_be_used_is_one_line_too(nacre, words, url, code, said):
    assert said in one_line(nacre(*words.split(), "--database", url), code)


def test_a_file_that_is_no_database_is_said_to_be_none(nacre, tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("not a database " * 100)
    assert "file is not a database" in one_line(nacre("task", "list", "--database", url_of_file(file)), 1)


def test_a_mistyped_name_makes_no_database(nacre, tmp_path):
    for words in ("task list", "agent register x --scope bid", "task post monte_carlo {}", "cron list"):
        assert nacre(*words.split(), "--database", url_of_file(tmp_path / "typo.db")).code == 1
    assert not list(tmp_path.glob("typo*"))


def test_the_newest_lap_is_named_where_there_is_one(nacre, tmp_path):
    (tmp_path / "laps").mkdir()
    (tmp_path / "laps" / "lap-1.db").touch()
    assert "lap-1.db" in one_line(nacre("task", "list", "--database", "sqlite:///no.db"), 1)


def test_settings_that_cannot_be_read_name_their_variable(nacre, monkeypatch):
    monkeypatch.setenv("NACRE_PORT", "many")
    assert "NACRE_PORT" in one_line(nacre("task", "list"), 2)


def test_a_password_is_never_printed(nacre):
    ran = nacre("task", "list", "--database", "postgresql://nobody:hunter2@127.0.0.1:1/none")
    assert "hunter2" not in ran.err + ran.out


def test_what_nobody_expected_keeps_its_traceback():
    assert explain(RuntimeError("a fault of ours")) is None
    assert explain(KeyError("field")) is None
