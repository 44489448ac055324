"""The operator's acts go through the services: keys, escrow, roll-backs, replays, schemas."""

import io
import json
import shutil
import sys

import pytest

from services.domain.states import DeliveryState, Scope, Standing
from services.operations import accounts, agent_registry, review_queue
from services.store import sql, tables, views
from tests.plugins.databases import url_of_file

PI = {"model": {"name": "pi_integral"}, "samples": 20_000, "seed": 7}
TIMEOUT = "research_synthesis.timeout_seconds"


def test_an_agent_is_registered_and_its_key_is_the_only_thing_on_standard_output(
    nacre, database, opened, tmp_path
):
    ran = nacre("agent", "register", "ada", "--scope", "bid", "--scope", "vote", "--vouched", *database)
    assert ran.code == 0
    assert "ada" in ran.err
    key = ran.out.strip()
    assert key.startswith("nac_")
    with opened(database, tmp_path).store.read() as tx:
        principal = agent_registry.authenticate(tx, agent_registry.key_hash(key))
    assert principal is not None
    assert (principal.name, principal.scopes) == ("ada", {Scope.BID, Scope.VOTE})
    assert principal.standing is Standing.PROBATION
    assert key not in nacre("agent", "show", principal.agent_id, "--json", *database).out


def test_a_registered_agent_as_json_has_the_shape_of_the_api(nacre, sqlite_database):
    words = ("agent", "register", "bob", "--scope", "bid", "--owner", "acme", "--json")
    told = nacre(*words, *sqlite_database).json
    assert set(told) == {"agent_id", "name", "api_key"}
    shown = nacre("agent", "show", told["agent_id"], "--json", *sqlite_database).json
    assert (shown["owner"], shown["standing"], shown["vouched"]) == ("acme", "shadow", False)
    again = nacre(*words, *sqlite_database)
    assert (again.code, again.out) == (1, "")
    assert "name_taken" in again.err


def test_a_suspended_agent_is_reinstated_once_with_its_reason_in_the_ledger(
    nacre, database, opened, tmp_path
):
    agent = nacre("agent", "register", "ada", "--scope", "bid", "--json", *database).json["agent_id"]
    words = ("agent", "reinstate", agent, "--reason", "its tool is mended")
    assert nacre(*words, *database).code == 1
    with opened(database, tmp_path).store.write(actor="test") as tx:
        sql.update(tx, tables.agent, {"id": agent}, standing=Standing.SUSPENDED)
    assert nacre(*words, "--json", *database).json == {"agent_id": agent, "standing": "probation"}
    (entry,) = nacre("ledger", "list", "--limit", 1, "--json", *database).json["items"]
    assert (entry["type"], entry["actor"]) == ("STANDING", "operator")
    assert entry["payload"]["reason"] == "its tool is mended"


def test_tasks_are_posted_by_one_operator_agent_whose_money_is_held(nacre, database, opened, tmp_path):
    first = nacre("task", "post", "monte_carlo", "--payload", json.dumps(PI), "--json", *database).json
    words = ("--reserve-price", 123_456, "--deadline", 7_200)
    second = nacre("task", "post", "monte_carlo", json.dumps(PI), *words, "--json", *database).json
    assert first["requester_id"] == second["requester_id"]
    assert second["reserve_price_microcredits"] == 123_456
    default = nacre("parameter", "show", "monte_carlo.reserve_price_microcredits", "--json", *database).json
    assert first["reserve_price_microcredits"] == int(default["value"])
    agents = nacre("agent", "list", "--json", *database).json["items"]
    assert [(one["name"], one["vouched"], one["scopes"]) for one in agents] == [("operator", True, ["post"])]
    held = first["reserve_price_microcredits"] + 123_456
    assert agents[0]["balance_microcredits"] == agent_registry.VOUCHED_GRANT_MICROCREDITS - held
    with opened(database, tmp_path).store.read() as tx:
        assert accounts.balance_microcredits(tx, accounts.ESCROW) == held


def test_a_cancelled_task_returns_its_money(nacre, database):
    task = nacre("task", "post", "monte_carlo", json.dumps(PI), "--json", *database).json
    assert nacre("task", "cancel", task["task_id"], "--json", *database).json == {"state": "cancelled"}
    agent = nacre("agent", "show", task["requester_id"], "--json", *database).json
    assert agent["balance_microcredits"] == agent_registry.VOUCHED_GRANT_MICROCREDITS
    again = nacre("task", "cancel", task["task_id"], *database)
    assert (again.code, again.out) == (1, "")
    assert "is cancelled" in again.err


def test_a_payload_comes_from_a_file_or_from_standard_input(nacre, sqlite_database, tmp_path, monkeypatch):
    file = tmp_path / "payload.json"
    file.write_text(json.dumps(PI))
    from_file = nacre("task", "post", "monte_carlo", f"@{file}", "--json", *sqlite_database).json
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(PI).encode())))
    from_input = nacre("task", "post", "monte_carlo", "--payload", "-", "--json", *sqlite_database).json
    assert from_file["payload"] == from_input["payload"]
    assert from_file["payload"]["samples"] == 20_000


def test_what_a_type_holds_back_is_not_printed(nacre, sqlite_database):
    example = nacre("task-type", "show", "ml_training", "--json").json["example"]
    ran = nacre("task", "post", "ml_training", json.dumps(example), "--json", *sqlite_database)
    assert "private" not in ran.json


def test_the_examples_of_every_task_type_can_be_posted(nacre, sqlite_database):
    for kind in nacre("task-type", "list", "--json").json["items"]:
        ran = nacre("task", "post", kind["name"], json.dumps(kind["example"]), *sqlite_database)
        assert ran.code == 0, ran.err


def test_somebody_else_s_agent_called_operator_never_pays(nacre, sqlite_database):
    nacre("agent", "register", "operator", "--scope", "post", "--owner", "mallory", *sqlite_database)
    ran = nacre("task", "post", "monte_carlo", json.dumps(PI), *sqlite_database)
    assert ran.code == 1
    assert "not the operator's own" in ran.err
    assert nacre("task", "list", "--json", *sqlite_database).json["items"] == []


def test_a_dead_letter_is_put_back_in_line_once(nacre, database, opened, tmp_path):
    store = opened(database, tmp_path).store
    task = nacre("task", "post", "monte_carlo", json.dumps(PI), "--json", *database).json
    nacre("task", "cancel", task["task_id"], *database)
    with store.write(actor="test") as tx:
        delivery = sql.find_all(tx, tables.delivery)[0]["id"]
        sql.update(tx, tables.delivery, {"id": delivery}, state=DeliveryState.DEAD, attempts=8)
    (dead,) = nacre("dead-letter", "list", "--json", *database).json["items"]
    assert dead["delivery_id"] == delivery
    ran = nacre("dead-letter", "replay", delivery, "--json", *database)
    assert (ran.json["delivery_ids"], ran.json["state"]) == ([delivery], "pending")
    with store.read() as tx:
        row = sql.find(tx, tables.delivery, id=delivery)
    assert (row["state"], row["attempts"]) == (DeliveryState.PENDING, 0)
    assert nacre("dead-letter", "replay", delivery, *database).code == 1


def test_what_waits_for_a_person_is_closed_once(nacre, sqlite_database, opened, tmp_path):
    with opened(sqlite_database, tmp_path).store.write(actor="test") as tx:
        item = review_queue.open_item(tx, kind="agent_crashes", subject="w\x1b[2J1", context={"crashes": 12})
    (row,) = nacre("review", "list", "--open", *sqlite_database).rows
    assert (row["kind"], row["subject"]) == ("agent_crashes", "w1")
    assert nacre("review", "close", item, "--json", *sqlite_database).json["state"] == "closed"
    assert nacre("review", "list", "--open", *sqlite_database).rows == []
    assert nacre("review", "close", item, *sqlite_database).code == 1


@pytest.fixture
def promoted(lap, tmp_path):
    """A copy of the closed lap that may be changed."""
    copy = tmp_path / "copy.db"
    shutil.copyfile(lap.folder / "lap.db", copy)
    for suffix in ("-wal", "-shm"):
        if (log := lap.folder / f"lap.db{suffix}").exists():
            shutil.copyfile(log, f"{copy}{suffix}")
    return "--database", url_of_file(copy)


def test_a_roll_back_restores_the_value_reads_it_back_and_stands_in_the_ledger(nacre, promoted, tmp_path):
    before = nacre("parameter", "show", TIMEOUT, "--json", *promoted).json
    words = ("parameter", "rollback", TIMEOUT, "--reason", "costs doubled")
    told = nacre(*words, "--json", *promoted).json
    after = nacre("parameter", "show", TIMEOUT, "--json", *promoted).json
    assert told == {
        "name": TIMEOUT,
        "value": after["value"],
        "version": before["version"] + 1,
        "read_back": after["value"],
    }
    assert after["value"] == before["history"][-1]["value"] != before["value"]
    (entry,) = nacre("ledger", "list", "--limit", 1, "--json", *promoted).json["items"]
    assert (entry["type"], entry["actor"]) == ("ROLLED_BACK", "operator")
    assert entry["payload"]["reason"] == "costs doubled"
    again = nacre(*words, *promoted)
    assert (again.code, "version_changed" in again.err) == (1, True)
    nacre("ledger", "export", tmp_path / "l.ndjson", *promoted)
    assert nacre("ledger", "verify", tmp_path / "l.ndjson").code == 0


def test_an_operator_corrects_and_erases_and_the_export_verifies(nacre, promoted, tmp_path):
    written = nacre("ledger", "correct", 1, "--reason", "a remark", "--json", *promoted).json["ledger_index"]
    shown = nacre("ledger", "list", "--subject", "entry:1", "--json", *promoted).json["items"]
    assert [entry["index"] for entry in shown] == [written]
    assert "a remark" in nacre("ledger", "show", 1, *promoted).out
    (filed,) = nacre("ledger", "list", "--type", "PROPOSAL", "--json", *promoted).json["items"]
    words = ("ledger", "erase", filed["payload"]["root_cause_sha256"], "--reason", "it named a person")
    (gone,) = nacre(*words, "--json", *promoted).json["erased"]
    assert (gone["kind"], gone["ledger_index"]) == ("root_cause", written + 1)
    assert "already_erased" in nacre(*words, *promoted).err
    assert nacre("ledger", "checkpoints", *promoted).code == 0
    nacre("ledger", "export", tmp_path / "l.ndjson", *promoted)
    assert nacre("ledger", "verify", tmp_path / "l.ndjson").code == 0


def test_the_schema_is_brought_up_once_and_then_stays(nacre, database_url):
    database = ("--database", database_url)
    is_file = database_url.startswith("sqlite")
    early = nacre("task", "list", *database)
    assert early.code == 1
    assert ("there is no database" if is_file else "db upgrade") in early.err
    first = nacre("db", "upgrade", "--json", *database).json
    assert first["is_newest"]
    assert first["current"] == first["newest"]
    assert nacre("db", "upgrade", "--json", *database).json == first
    assert nacre("db", "current", "--json", *database).json == first
    assert nacre("task", "list", *database).rows == []


def test_an_act_on_an_empty_database_says_what_to_run(nacre, tmp_path):
    empty = tmp_path / "empty.db"
    empty.touch()
    ran = nacre("agent", "register", "x", "--scope", "bid", "--database", url_of_file(empty))
    assert ran.code == 1
    assert "nacre db upgrade" in ran.err
    assert empty.stat().st_size == 0 or nacre("db", "current", "--database", url_of_file(empty)).code == 0


def test_reading_writes_nothing(nacre, sqlite_database, opened, tmp_path):
    store = opened(sqlite_database, tmp_path).store
    with store.read() as tx:
        before = views.pulse(tx)["ledger_root"]
    for words in ("task list", "parameter list", "laps list", "ledger list", "db current"):
        assert nacre(*words.split(), *sqlite_database).code == 0
    with store.read() as tx:
        assert views.pulse(tx)["ledger_root"] == before
