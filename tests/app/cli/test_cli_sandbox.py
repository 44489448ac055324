"""`nacre sandbox`: the state of the instrument in words, and the two acts that go into the ledger."""

import json

import pytest

from services.domain.clock import WallClock
from services.operations import health
from services.store import sql, tables
from services.store.tx import Store


@pytest.fixture
def in_history(history, monkeypatch, nacre):
    """Run `nacre` on the test's own copy of the history."""
    monkeypatch.setenv("NACRE_VAR", str(history.folder))
    return lambda *words: nacre(*words, "--database", history.url)


def freeze(history):
    store = Store(history.url, WallClock())
    with store.write(actor="test") as tx:
        sql.insert(tx, tables.freeze, reason="5 of 12 won", ledger_index=3, frozen_at_us=tx.now_us)
    store.close()


def test_status_says_each_part_in_a_sentence(in_history, history):
    facts = dict(line.split("\t", 1) for line in in_history("sandbox", "status").out.splitlines()[:4])
    assert facts["promotion"] == "goes on"
    assert "8 started, 2 confirmed" in facts["stream"]
    assert facts["placebos"].startswith("0 of 1 won (0 %, between 0 % and 97.5 %; at most 5 % may)")
    assert facts["holdout"].startswith("3 % of tasks since 2026-01-01 (epoch 1)")
    layers = in_history("sandbox", "status").out.split("experiments\n")[1].splitlines()
    assert [line.split("\t")[0] for line in layers[1:]] == ["placebo"] + ["research_synthesis"] * 2


def test_a_hold_is_shown_while_a_check_fails(in_history, history):
    store = Store(history.url, WallClock())
    with store.write(actor="system:probes") as tx:
        health.report(tx, "correct", "ledger", "newest_entries", "fail", output="entry 7 is wrong")
    store.close()
    told = "check ledger:newest_entries fails: entry 7 is wrong"
    assert f"HELD: {told}" in in_history("sandbox", "status").out
    assert in_history("sandbox", "status", "--json").json["hold"] == told


def test_a_freeze_is_shown_lifted_with_a_reason_and_written_down(in_history, history):
    nothing = in_history("sandbox", "unfreeze", "--reason", "why not")
    assert (nothing.code, "not_frozen" in nothing.err) == (1, True)
    freeze(history)
    assert "FROZEN since " in in_history("sandbox", "status").out
    assert in_history("sandbox", "unfreeze", "--reason", " ").code == 2
    index = in_history("sandbox", "unfreeze", "--reason", "the verifier was wrong", "--json").json[
        "ledger_index"
    ]
    entry = in_history("ledger", "show", index, "--json").json
    assert (entry["type"], entry["actor"]) == ("UNFROZEN", "operator")
    assert entry["payload"]["reason"] == "the verifier was wrong"
    assert in_history("sandbox", "status", "--json").json["freeze"] is None


def test_the_holdout_is_renewed_with_a_reason_and_reveals_the_old_salt(in_history, history):
    assert in_history("sandbox", "renew-holdout", "--reason", "").code == 2
    before = in_history("sandbox", "status", "--json").json["holdout"]
    made = in_history("sandbox", "renew-holdout", "--reason", "a quarter has passed", "--json").json
    after = in_history("sandbox", "status", "--json").json["holdout"]
    assert (before["epoch_id"], after["epoch_id"]) == (1, made["epoch_id"]) == (1, 2)
    epoch = json.loads(in_history("ledger", "list", "--type", "EPOCH", "--json").out)["items"][0]
    assert len(epoch["payload"]["previous_salt"]) == 64


def test_placebos_are_listed_by_themselves(in_history, history):
    rows = in_history("sandbox", "placebos").rows
    assert {row["kind"] for row in rows} == {"placebo"}
    assert str(history.ids["placebo"]) in {row["experiment_id"] for row in rows}
    listed = in_history("sandbox", "placebos", "--json").json["items"]
    assert [item["experiment_id"] for item in listed] == [int(row["experiment_id"]) for row in rows]
