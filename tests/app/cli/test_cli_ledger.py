"""`nacre ledger config` and `verify`: past configs, what was demanded, and files that are no export."""

import base64
import json

import pytest

from app.cli.actions import auditing
from services.domain.canonical import canonical_bytes
from services.domain.hash_chain import EMPTY_ROOT, checkpoint_body
from services.domain.ledger_schema import EntryType
from tests.services.domain.ledger_history import Step, honest_steps, write

ORIGIN = "nacre.test/ledger"


@pytest.fixture
def old_ledger():
    """A ledger of the second format that was raised to the third by its last entry."""
    steps = honest_steps()
    return write([*steps, Step("format", EntryType.FORMAT, {"format": 3}, steps[-1].at_us)])


def exported(leaves, root, blobs):
    """An export with those of the blobs that its entries name."""
    named = b"".join(leaves)
    blobs = {name: content for name, content in blobs.items() if not leaves or name.encode() in named}
    note = checkpoint_body(ORIGIN, len(leaves), root).decode() + "\n\u2014 nobody AAAA\n"
    claim = {"kind": "checkpoint", "origin": ORIGIN, "size": len(leaves), "root": root.hex(), "note": note}
    rows = [
        {"kind": "blob", "sha256": name, "content": base64.b64encode(content).decode()}
        for name, content in sorted(blobs.items())
    ]
    return b"".join(line + b"\n" for line in (canonical_bytes(claim), *leaves, *map(canonical_bytes, rows)))


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


def test_an_export_is_read_line_by_line_and_none_too_long(in_lap, nacre, tmp_path, monkeypatch):
    file = tmp_path / "ledger.ndjson"
    in_lap("ledger", "export", file)
    told = nacre("ledger", "verify", file, "--json").json
    assert (told["ok"], told["format"], told["raised"], told["not_demanded"]) == (
        True,
        told["format"],
        [],
        [],
    )
    longest = max(map(len, file.read_bytes().splitlines(keepends=True)))
    monkeypatch.setattr(auditing, "LINE_LIMIT", longest)
    assert nacre("ledger", "verify", file).code == 0
    with file.open("ab") as stream:
        stream.write(b"0" * 4 * longest)
    monkeypatch.delattr("pathlib.Path.read_bytes")
    for words in (("ledger", "verify", file), ("ledger", "config", "--file", file)):
        refused = nacre(*words)
        assert (refused.out, "line_too_long" in refused.err) == ("", True), refused.err
    (tmp_path / "none").write_bytes(b"")
    assert "the file is empty" in nacre("ledger", "verify", tmp_path / "none").err
    assert "file_unreadable" in nacre("ledger", "verify", tmp_path / "nowhere").err


def test_verify_says_what_an_older_format_did_not_demand(nacre, tmp_path, old_ledger):
    file = tmp_path / "old.ndjson"
    file.write_bytes(exported(old_ledger.leaves, old_ledger.root, old_ledger.blobs))
    told = nacre("ledger", "verify", file, "--json").json
    place = len(old_ledger.leaves) - 1
    assert (told["ok"], told["format"], told["raised"]) == (True, 2, [{"index": place, "format": 3}])
    (sentence,) = told["not_demanded"]
    assert f"only behind entry {place}; demanded before: no units" in sentence
    shown = nacre("ledger", "verify", file)
    assert ("of format 2 then 3" in shown.out, sentence in shown.err) == (True, True)


def test_a_blob_of_other_bytes_is_named_by_its_line_wherever_it_stands(nacre, tmp_path, old_ledger):
    file = tmp_path / "forged.ndjson"
    file.write_bytes(exported([], EMPTY_ROOT, {"ab" * 32: b"anything"}))
    assert "line 2 is not the blob it is called" in nacre("ledger", "verify", file).err
    remark = {"corrects": 0, "reason": "a remark", "x_sha256": "ab" * 32}
    forged = write([*honest_steps(), Step("remark", EntryType.CORRECTION, remark, honest_steps()[-1].at_us)])
    file.write_bytes(exported(forged.leaves, forged.root, {**forged.blobs, "ab" * 32: b"anything"}))
    refused = json.loads(nacre("ledger", "verify", file, "--json").out)
    assert (refused["first_error_index"], "x_sha256" in refused["reason"]) == (len(forged.leaves) - 1, True)
