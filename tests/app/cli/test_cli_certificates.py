"""`nacre experiment export`, `verify` and `plot`: what holds, what does not, and what is no certificate."""

import json
from xml.etree import ElementTree as ET

import pytest

from services.domain.clock import WallClock
from services.store import sql, tables
from services.store.tx import Store

ENDS = {
    "confirmed": "confirmed",
    "rolled_back": "rolled back",
    "ranked": "confirmed",
    "taken_back_by_a_person": "rolled back",
    "futile": "futile",
    "aborted": "aborted",
    "probation": "probation",
    "placebo": "placebo: inconclusive",
}
SHADES = {"confirmed": 2, "rolled_back": 2, "ranked": 2, "probation": 2, "taken_back_by_a_person": 1}
"""Grounds of the probation by experiment: the ground itself where it had a task, and its legend."""
SVG = "{http://www.w3.org/2000/svg}svg"


@pytest.fixture
def in_history(kept_history, monkeypatch, nacre):
    """Run `nacre` on the kept history."""
    monkeypatch.setenv("NACRE_VAR", str(kept_history.folder))
    return lambda *words: nacre(*words, "--database", kept_history.url)


@pytest.mark.parametrize("name", ENDS)
def test_every_experiment_with_a_verdict_verifies_by_its_number(in_history, kept_history, name):
    ran = in_history("experiment", "verify", kept_history.ids[name])
    assert ran.code == 0, ran.err
    first, *legs = ran.out.splitlines()
    assert first == f"OK: experiment {kept_history.ids[name]} ({ENDS[name]}), signature not checked"
    assert legs[0].startswith("trial: ")
    assert len(legs) == (2 if name in ("confirmed", "rolled_back", "ranked") else 1)


def test_a_file_verifies_without_a_database_and_with_the_key_of_the_log(
    in_history, nacre, kept_history, monkeypatch, tmp_path
):
    file = tmp_path / "certificate.json"
    key = in_history_key(nacre)
    ran = in_history("experiment", "export", kept_history.ids["confirmed"], "--out", file)
    assert (ran.code, ran.out) == (0, "")
    monkeypatch.setenv("NACRE_VAR", str(tmp_path / "elsewhere"))
    found = nacre("experiment", "verify", file, "--key", key, "--json").json
    assert (found["ok"], found["outcome"], found["signature"]) == (True, "confirmed", "valid")
    assert [leg["leg"] for leg in found["legs"]] == ["trial", "probation"]
    assert float(found["legs"][1]["e"]) >= found["legs"][1]["threshold"] > 20
    stranger = nacre("ledger", "key").out.strip()
    refused = nacre("experiment", "verify", file, "--key", stranger)
    assert (refused.code, refused.out) == (1, "")
    assert "not signed with this key" in refused.err


def in_history_key(nacre):
    return nacre("ledger", "key").out.strip()


def test_a_changed_record_is_named_with_both_figures(in_history, nacre, kept_history, tmp_path):
    certificate = json.loads(in_history("experiment", "export", kept_history.ids["confirmed"]).out)
    claim = certificate["legs"][0]["claims"][17]
    claim["log_e"] = repr(float(claim["log_e"]) + 0.01)
    file = tmp_path / "changed.json"
    file.write_text(json.dumps(certificate))
    ran = nacre("experiment", "verify", file)
    assert ran.code == 1
    assert f"record 17: log E is {float(claim['log_e']):.7g}, the records give " in ran.err
    told = nacre("experiment", "verify", file, "--json")
    assert told.code == 1
    assert json.loads(told.out)["difference"].startswith("trial: record 17: log E is ")
    drawn = nacre("experiment", "plot", file, "--out", tmp_path / "no.svg")
    assert (drawn.code, (tmp_path / "no.svg").exists()) == (1, False)
    assert "nothing is drawn" in drawn.err


@pytest.mark.parametrize(
    ("name", "value"), [("root", "00" * 32), ("size", 7), ("origin", "other"), ("origin", None)]
)
def test_a_checkpoint_that_is_not_its_notes_is_named(in_history, nacre, kept_history, tmp_path, name, value):
    certificate = json.loads(in_history("experiment", "export", kept_history.ids["futile"]).out)
    true = certificate["checkpoint"][name]
    certificate["checkpoint"][name] = value
    file = tmp_path / "changed.json"
    file.write_text(json.dumps(certificate))
    ran = nacre("experiment", "verify", file)
    assert (ran.code, ran.out) == (1, "")
    assert f"checkpoint: {name} is {value!r}, its note says {true!r}" in ran.err


@pytest.mark.parametrize("place", [(), ("checkpoint",)])
def test_a_field_that_nothing_checks_is_refused(in_history, nacre, kept_history, tmp_path, place):
    certificate = json.loads(in_history("experiment", "export", kept_history.ids["futile"]).out)
    holder = certificate
    for name in place:
        holder = holder[name]
    holder["verdict"] = "win"
    file = tmp_path / "more.json"
    file.write_text(json.dumps(certificate))
    ran = nacre("experiment", "verify", file)
    assert (ran.code, ran.out) == (2, "")
    assert f"the field {'.'.join((*place, ''))}'verdict' is not one of " in ran.err
    del holder["verdict"]
    file.write_text(json.dumps(certificate))
    assert nacre("experiment", "verify", file).code == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is not JSON"),
        ("[1, 2]", "does not say format"),
        ('{"format": "nacre-certificate/1"}', "'experiment_id' is missing"),
        ('{"format": "nacre-certificate/1", "experiment_id": "1", "kind": "change"}', "not an integer"),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_what_is_no_certificate_is_wrong_input(nacre, tmp_path, content, said):
    file = tmp_path / "other.json"
    file.write_text(content)
    for command in ("verify", "plot"):
        ran = nacre("experiment", command, file)
        assert (ran.code, ran.out) == (2, "")
        assert said in ran.err
        assert "not_a_certificate" in ran.err


def test_an_unknown_number_a_missing_verdict_and_a_missing_file_are_wrong_input(
    in_history, nacre, kept_history, tmp_path
):
    unknown = in_history("experiment", "verify", 999)
    assert (unknown.code, "there is no experiment 999" in unknown.err) == (2, True)
    early = in_history("experiment", "verify", kept_history.ids["running"])
    assert early.code == 2
    assert "its trial has no verdict in the ledger yet" in early.err
    assert in_history("experiment", "export", kept_history.ids["running"]).code == 1
    missing = nacre("experiment", "verify", tmp_path / "none.json")
    assert (missing.code, "cannot be read" in missing.err) == (2, True)


def test_a_plot_stands_alone_and_says_what_it_shows(in_history, nacre, kept_history, tmp_path):
    for name, number in kept_history.ids.items():
        file = tmp_path / f"{name}.svg"
        assert in_history("experiment", "plot", number, "--out", file).code == 0, name
        tree = ET.fromstring(file.read_text())
        assert tree.tag == SVG
        kinds = [element.get("class") for element in tree.iter()]
        assert kinds.count("band probation") == SHADES.get(name, 0), name
        assert kinds.count("path") == 2, "the path and its legend"
        assert f"Experiment {number}: " in tree[0].text


def test_a_plot_of_the_certificate_draws_the_same_paths_as_that_of_the_number(
    in_history, nacre, kept_history, tmp_path
):
    number = kept_history.ids["ranked"]
    file = tmp_path / "certificate.json"
    assert in_history("experiment", "export", number, "--out", file).code == 0
    of_file, of_number = (
        ET.fromstring(text)
        for text in (
            nacre("experiment", "plot", file).out,
            in_history("experiment", "plot", number).out,
        )
    )
    lines = [
        [element.get("points") for element in tree.iter() if element.tag.endswith("polyline")]
        for tree in (of_file, of_number)
    ]
    assert lines[0] == lines[1] != []


LEADS = {
    "confirmed": "Confirmed: better, and held in probation. Trial: ",
    "rolled_back": "Rolled back (",
    "taken_back_by_a_person": "Rolled back (taken back after its win). Trial: ",
    "futile": "No decision (the stated effect was refuted): the old value stays. Trial: ",
    "aborted": "Stopped (harm shown): the old value stays. Trial: ",
    "placebo": "A placebo, inconclusive (cap reached). Trial: ",
}


@pytest.mark.parametrize("name", LEADS)
def test_a_plot_says_the_reason_alike_from_the_number_and_the_file(
    in_history, nacre, kept_history, tmp_path, name
):
    number, file = kept_history.ids[name], tmp_path / "certificate.json"
    assert in_history("experiment", "export", number, "--out", file).code == 0
    plots = (nacre("experiment", "plot", file), in_history("experiment", "plot", number))
    said = [
        next(element.text for element in ET.fromstring(ran.out).iter() if element.get("class") == "lead")
        for ran in plots
    ]
    assert said[0].startswith(LEADS[name])
    if name != "taken_back_by_a_person":  # the certificate has no leg without a verdict
        assert said[0] == said[1]
    assert said[1].startswith(LEADS[name])


def test_a_listing_shows_the_leg_that_counts_now(in_history, kept_history):
    rows = {row["experiment_id"]: row for row in in_history("experiment", "list").rows}
    confirmed = rows[str(kept_history.ids["confirmed"])]
    assert (confirmed["state"], confirmed["leg"]) == ("confirmed", "probation")
    assert float(confirmed["e"]) >= float(confirmed["line"]) > 20
    assert rows[str(kept_history.ids["running"])]["leg"] == "trial"
    assert rows[str(kept_history.ids["ranked"])]["metric"] == "task_duration"
    assert str(kept_history.ids["placebo"]) not in rows


def test_a_show_has_both_legs_both_arms_and_the_guardrails(in_history, kept_history):
    said = in_history("experiment", "show", kept_history.ids["ranked"]).out
    for heading in ("\nlegs\n", "\narms\n", "\nguardrails\n", "\npath "):
        assert heading in said
    assert "probation\ttask_success" in said
    assert "confirm_threshold\t" in said


def test_a_figure_changed_in_the_database_is_named(history, nacre, monkeypatch):
    monkeypatch.setenv("NACRE_VAR", str(history.folder))
    number = history.ids["rolled_back"]
    store = Store(history.url, WallClock())
    with store.write(actor="test") as tx:
        folded = [row for row in sql.find_all(tx, tables.exposure, experiment_id=number) if row["is_folded"]]
        changed = sorted(folded, key=lambda row: row["ordinal"])[12]
        sql.update(tx, tables.exposure, {"id": changed["id"]}, log_e=changed["log_e"] + 0.5)
    store.close()
    ran = nacre("experiment", "verify", number, "--database", history.url)
    assert ran.code == 1
    assert ran.err.startswith(f"NOT OK: experiment {number}: trial: record 12: log E is ")
    store = Store(history.url, WallClock())
    with store.write(actor="test") as tx:
        sql.update(tx, tables.exposure, {"id": changed["id"]}, is_folded=False, log_e=changed["log_e"])
    store.close()
    gone = nacre("experiment", "verify", number, "--database", history.url)
    assert (gone.code, "trial: record 12: log E is " in gone.err) == (1, True)


def test_records_that_do_not_replay_any_more_are_a_broken_ledger(history, nacre, monkeypatch):
    monkeypatch.setenv("NACRE_VAR", str(history.folder))
    number = history.ids["futile"]
    store = Store(history.url, WallClock())
    with store.write(actor="test") as tx:
        digest = sql.find(tx, tables.experiment, id=number)["records_sha256"]
        content = bytes(sql.find(tx, tables.blob, sha256=digest)["content"])
        changed = content.replace(b'"1.0","agent:1"', b'"7.0","agent:1"', 1)
        assert changed != content
        sql.update(tx, tables.blob, {"sha256": digest}, content=changed)
    store.close()
    ran = nacre("experiment", "verify", number, "--database", history.url)
    assert (ran.code, ran.out) == (1, "")
    assert "do not replay: outcome: " in ran.err
