"""`nacre ledger config`: past configs, with the database and from an export alone."""


def test_a_past_config_is_the_same_from_the_database_and_from_a_file(in_lap, nacre, tmp_path):
    file = tmp_path / "ledger.ndjson"
    assert in_lap("ledger", "export", file).code == 0
    first = in_lap("ledger", "config", "--size", 1, "--json").json
    assert first["config"] == in_lap("ledger", "show", 0, "--json").json["payload"]["config"]
    assert nacre("ledger", "config", "--file", file, "--size", 1, "--json").json == first
    last = in_lap("ledger", "config", "--json").json
    assert nacre("ledger", "config", "--file", file, "--at", last["at"], "--json").json == last
    assert last["config"] != first["config"]
    table = in_lap("ledger", "config", "--size", 1)
    assert (table.code, first["config_sha256"] in table.out) == (0, True)
    assert "size_or_at" in in_lap("ledger", "config", "--size", 1, "--at", last["at"]).err
    file.write_bytes(file.read_bytes().replace(b'"lap":1', b'"lap":2', 1))
    refused = nacre("ledger", "config", "--file", file)
    assert (refused.out, "entry " in refused.err) == ("", True)
