"""`nacre ledger verify` needs the file alone, and names the first thing that is wrong in it."""

import base64
import json

import pytest

from app.cli.actions.auditing import check_key
from app.keys import CheckpointSigner
from services.domain.canonical import canonical_bytes
from services.domain.errors import InvalidValueError
from services.domain.ledger_schema import FORMAT


@pytest.fixture
def export(in_lap, tmp_path):
    """The lines of the closed lap's export, and a function that writes lines to a file."""
    file = tmp_path / "ledger.ndjson"
    assert in_lap("ledger", "export", file).code == 0

    def write(lines):
        file.write_bytes(b"".join(lines))
        return file

    return file.read_bytes().splitlines(keepends=True), write


@pytest.fixture
def verify(nacre, monkeypatch):
    """Verify with a database that cannot exist: it must not be asked."""

    def run(*words):
        monkeypatch.setenv("NACRE_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
        return nacre("ledger", "verify", *words)

    return run


@pytest.fixture
def key(in_lap, nacre):
    """The verifier key of the lap's deployment."""
    return nacre("ledger", "key").out.strip()


def leaves(lines):
    return [number for number, line in enumerate(lines) if line.startswith(b'{"actor"')]


def test_a_good_ledger_is_ok_with_size_and_root(lap, export, verify, key):
    lines, write = export
    head = lap.get("/ledger/checkpoint").json()
    ran = verify(write(lines))
    assert (ran.code, ran.err) == (0, "")
    assert (
        ran.out
        == f"OK: {head['size']} entries of format {FORMAT}, root {head['root']}, signature not checked\n"
    )
    assert "signature valid" in verify(write(lines), "--key", key).out
    told = verify(write(lines), "--key", key, "--json").json
    assert told == {
        "ok": True,
        "size": head["size"],
        "format": FORMAT,
        "raised": [],
        "not_demanded": [],
        "root": head["root"],
        "first_error_index": None,
        "reason": "",
        "signature": "valid",
    }


def test_a_changed_entry_is_named(export, verify):
    lines, write = export
    places = leaves(lines)
    number = places[len(places) // 2]
    lines[number] = lines[number].replace(b'"lap":1', b'"lap":2')
    ran = verify(write(lines))
    assert (ran.code, ran.out) == (1, "")
    assert f"entry {places.index(number)}" in ran.err
    told = json.loads(verify(write(lines), "--json").out)
    assert (told["ok"], told["first_error_index"]) == (False, places.index(number))


def test_a_cut_tail_shows_against_a_checkpoint_that_was_kept(in_lap, export, verify, tmp_path):
    lines, write = export
    kept = tmp_path / "kept.note"
    kept.write_text(in_lap("ledger", "checkpoint").out)
    assert verify(write(lines), "--checkpoint", kept).code == 0
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "20.note").write_text(kept.read_text())
    assert verify(write(lines), "--checkpoint", tmp_path / "kept").code == 0
    last = leaves(lines)[-1]
    ran = verify(write(lines[:last] + lines[last + 1 :]), "--checkpoint", kept)
    assert ran.code == 1
    assert "the ledger ends here" in ran.err
    (tmp_path / "kept" / "1.note").write_text(kept.read_text().replace("\n20\n", "\n1\n"))
    ran = verify(write(lines), "--checkpoint", tmp_path / "kept")
    assert (ran.code, "entry 0: the first 1 entries do not have the root" in ran.err) == (1, True)


def test_a_rewritten_ledger_with_a_fresh_claim_is_not_signed(export, verify, key):
    lines, write = export
    claim = json.loads(lines[0])
    stranger = CheckpointSigner.from_directory  # another deployment's key, over the same body
    body = claim["note"].partition("\n\n")[0].encode() + b"\n"
    folder = write(lines).parent / "stranger"
    claim["note"] = stranger(folder).sign_note(body)
    lines[0] = canonical_bytes(claim) + b"\n"
    assert verify(write(lines)).code == 0
    ran = verify(write(lines), "--key", key)
    assert (ran.code, "not signed with this key" in ran.err) == (1, True)


def test_a_note_that_speaks_of_another_ledger_is_found_without_a_key(export, verify):
    lines, write = export
    claim = json.loads(lines[0])
    origin, size, rest = claim["note"].split("\n", 2)
    claim["note"] = "\n".join([origin, str(int(size) + 1), rest])
    lines[0] = canonical_bytes(claim) + b"\n"
    ran = verify(write(lines))
    assert (ran.code, "another size or root" in ran.err) == (1, True)


def test_a_kept_note_of_somebody_else_does_not_pass_with_a_key(in_lap, export, verify, key, tmp_path):
    lines, write = export
    body = in_lap("ledger", "checkpoint").out.partition("\n\n")[0].encode() + b"\n"
    kept = tmp_path / "forged.note"
    kept.write_text(CheckpointSigner.from_directory(tmp_path / "stranger").sign_note(body))
    assert verify(write(lines), "--checkpoint", kept).code == 0
    assert verify(write(lines), "--checkpoint", kept, "--key", key).code == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"not json\n",
        b"[]\n",
        b"{}\n",
        b'{"size":1,"root":"zz"}\n',
        b'{"size":-1,"root":"' + b"00" * 32 + b'"}\n',
        b'{"size":1,"root":"00"}\n',
        b"\x00\xff\xfe" * 100,
        b"[" * 100_000,
    ],
    ids=["empty", "blank", "text", "list", "object", "root", "negative", "short", "binary", "deep"],
)
def test_a_file_that_is_no_export_is_wrong_input(nacre, tmp_path, content):
    file = tmp_path / "file"
    file.write_bytes(content)
    ran = nacre("ledger", "verify", file)
    assert (ran.code, ran.out) == (2, ""), ran
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize("key", ["", "nacre", "nacre+00000000+AQ==", "a+b+c+d", "nacre+zz+" + "A" * 44])
def test_a_malformed_key_is_wrong_input(key):
    with pytest.raises(InvalidValueError, match="nacre ledger key"):
        check_key(key)


def test_a_key_with_another_id_is_malformed(tmp_path):
    name, _, encoded = CheckpointSigner.from_directory(tmp_path).verifier_key.split("+", 2)
    raw = base64.b64decode(encoded)
    with pytest.raises(InvalidValueError):
        check_key(f"{name}+00000000+{base64.b64encode(raw).decode()}")


def test_a_file_that_is_no_checkpoint_is_wrong_input(nacre, tmp_path):
    (tmp_path / "export").write_bytes(b"{}\n")
    (tmp_path / "note").write_bytes(b"\xff\xfe")
    ran = nacre("ledger", "verify", tmp_path / "export", "--checkpoint", tmp_path / "note")
    assert (ran.code, "not_a_checkpoint" in ran.err) == (2, True)
