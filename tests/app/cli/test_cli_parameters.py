"""`nacre parameter`: set, history, diff, of-task; exports that come back; files of own parameters."""

import json
import tomllib

from tests.app.test_own_parameters import OWN, section

COOLING, STAKE, PROMPT = "market.cooling", "market.stake_percent", "research_synthesis.prompt"
PI = {"model": {"name": "pi_integral"}, "samples": 20_000, "seed": 7}


def test_a_value_is_set_by_hand_and_found_at_any_time_and_for_any_task(nacre, database):
    done = nacre(
        "parameter", "set", COOLING, "16.0", "--reason", "too few new agents", "--json", *database
    ).json
    assert (done["before"], done["value"], done["version"], done["read_back"]) == ("4", "16", 2, "16")
    size = done["ledger_index"] + 1
    late = nacre("parameter", "set", COOLING, "8", "--expected-version", 1, "--reason", "x", *database)
    assert (late.code, "version_changed" in late.err) == (1, True)
    assert nacre("parameter", "set", STAKE, "0", "--reason", "an emergency", *database).code == 0
    first = nacre("parameter", "history", COOLING, *database).rows[0]
    assert (first["value"], first["actor"], first["reason"]) == ("16", "operator", "too few new agents")
    then = nacre("parameter", "history", COOLING, "--at", size - 1, "--json", *database).json
    assert (then["value"], then["version"]) == ("4", 1)
    diff = nacre("parameter", "diff", "--from", size - 1, "--to", size + 1, "--json", *database).json
    assert [(one["parameter"], one["from"], one["to"]) for one in diff["changes"]] == [
        (COOLING, "4", "16"), (STAKE, "20", "0"),
    ]  # fmt: skip
    by_time = nacre(
        "parameter", "diff", "--from", then["changed_at"], "--to", size + 1, "--json", *database
    ).json
    assert by_time["changes"] == diff["changes"]
    assert (
        by_time["to"]["config_sha256"]
        == nacre("parameter", "export", "--format", "json", *database).json["config_sha256"]
    )
    for words in (
        ("history", COOLING, "--at", "soon"),
        ("diff", "--from", "0", "--to", "1"),
        ("history", "no.such"),
    ):
        assert nacre("parameter", *words, *database).code in (1, 2), words
    task = nacre("task", "post", "monte_carlo", json.dumps(PI), "--json", *database).json["task_id"]
    told = nacre("parameter", "of-task", task, "--json", *database).json
    assert (told["is_fixed"], "drawn at its award" in told["note"]) == (False, True)
    assert {"monte_carlo.timeout_seconds"} <= {one["name"] for one in told["parameters"]}


def test_an_export_comes_back_all_or_nothing(nacre, sqlite_database, tmp_path, monkeypatch):
    own, file = tmp_path / "own.toml", tmp_path / "config.toml"
    own.write_text(OWN)
    monkeypatch.setenv("NACRE_PARAMETERS", str(own))
    said = 'One\n"two"\\ \t<b>ü🦪</b>'
    assert nacre("parameter", "set", PROMPT, said, "--reason", "clearer", *sqlite_database).code == 0
    exported = nacre("parameter", "export", *sqlite_database).out
    found = tomllib.loads(exported)
    assert found["parameters"][PROMPT] == {"value": said, "version": 2}
    assert found == nacre("parameter", "export", "--format", "json", *sqlite_database).json | {
        "exported_at": found["exported_at"]
    }
    file.write_text(exported)
    words = ("parameter", "import", file, "--reason", "as exported")
    assert "nothing differs" in nacre(*words, *sqlite_database).out

    nacre("parameter", "set", COOLING, "16", "--reason", "x", *sqlite_database)
    stale = nacre(*words, *sqlite_database)
    assert (stale.code, "version_changed" in stale.err, COOLING in stale.err) == (1, True, True)
    file.write_text(
        nacre("parameter", "export", "--no-versions", *sqlite_database)
        .out.replace('"16"', '"7.50"')
        .replace(said[:3], "Uno")
    )
    dry = nacre(*words, "--dry-run", "--json", *sqlite_database).json
    assert (dry["changes"][0]["parameter"], dry["changes"][0]["to"]) == (COOLING, "7.5")
    assert nacre("parameter", "show", COOLING, "--json", *sqlite_database).json["value"] == "16"
    assert nacre(*words, "--json", *sqlite_database).json == dry | {"dry_run": False}

    size = nacre("parameter", "export", "--format", "json", *sqlite_database).json["ledger_size"]
    table = "[parameters]\n"
    for content, why in (
        (f'{table}"{COOLING}" = "8"\n"market.unknown" = "1"', "market.unknown"),
        (f'{table}"{COOLING}" = "8"\n"{STAKE}" = "51"', STAKE),
        (f'{table}"{COOLING}" = 8', "must be a value in quotes"),
        (f'{table}"{COOLING}" = {{value = "8", version = 0}}', "version"),
        (f'{table}"{COOLING}" = {{value = "8", source = "x"}}', COOLING),
        (f'{table}"{COOLING}" = "8"\n"{COOLING}" = "9"', "neither TOML nor JSON"),
        (f'{{"parameters": {{"{COOLING}": "8", "{COOLING}": "9"}}}}', "named twice"),
        ('color = "red"\n[parameters]', "color"),
        ("[parameters]", "no table of parameters"),
        ("]", "neither TOML nor JSON"),
    ):
        file.write_text(content)
        ran = nacre(*words, *sqlite_database)
        assert (ran.code in (1, 2), why in ran.err) == (True, True), (content, ran.err)
    assert nacre("parameter", "export", "--format", "json", *sqlite_database).json["ledger_size"] == size

    monkeypatch.delenv("NACRE_PARAMETERS")
    ran = nacre("parameter", "set", PROMPT, "Again", "--reason", "x", *sqlite_database)
    assert (ran.code, "parameter_retired" in ran.err) == (1, True)


def test_a_file_of_own_parameters_is_checked_without_a_database(nacre, tmp_path):
    file = tmp_path / "own.toml"
    file.write_text(OWN + section())
    ran = nacre("parameter", "check", file, "--json")
    assert [one["kind"] for one in ran.json["parameters"]] == [
        "text",
        "choice",
        "duration",
        "number",
        "number",
    ]
    assert "no task type is called my_type" in ran.err
    file.write_text(section("research_synthesis.timeout_seconds"))
    ran = nacre("parameter", "check", file)
    assert ran.code in (1, 2)
    assert f"{file}: [research_synthesis.timeout_seconds]" in ran.err
