"""Keys are made once, readable by their owner only; a checkpoint's signature holds for its bytes alone."""

import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from app import keys
from app.keys import (
    WEBHOOK_KEY_FILE,
    CheckpointSigner,
    is_signed_by,
    new_agent_key,
    new_operator_key,
    operator_key,
    webhook_key,
)
from services.domain.hash_chain import checkpoint_body, parse_checkpoint

BODY = checkpoint_body("nacre/test", 7, bytes(range(32)))


@pytest.fixture
def signer(tmp_path):
    return CheckpointSigner.from_directory(tmp_path)


def test_keys_are_long_and_never_twice_the_same():
    for make, prefix in ((new_operator_key, "nop_"), (new_agent_key, "nac_")):
        made = {make() for _ in range(100)}
        assert len(made) == 100
        assert all(key.startswith(prefix) and len(key) >= 4 + 43 for key in made)


def test_operator_key_is_made_once_and_private(tmp_path):
    folder = tmp_path / "a" / "var"
    first = operator_key(folder)
    assert operator_key(folder) == first
    assert [path.name for path in folder.iterdir()] == [keys.OPERATOR_KEY_FILE]
    assert stat.S_IMODE((folder / keys.OPERATOR_KEY_FILE).stat().st_mode) == 0o600


def test_the_key_of_webhooks_is_made_once_and_private(tmp_path):
    key = webhook_key(tmp_path)
    assert len(key) == 32
    assert webhook_key(tmp_path) == key
    assert (tmp_path / WEBHOOK_KEY_FILE).stat().st_mode & 0o777 == 0o600


def test_operator_key_may_be_written_by_hand(tmp_path):
    (tmp_path / keys.OPERATOR_KEY_FILE).write_text("nop_mine\n")
    assert operator_key(tmp_path) == "nop_mine"


def test_processes_that_start_at_once_agree_on_the_keys(tmp_path):
    with ThreadPoolExecutor(8) as threads:
        operators = list(threads.map(lambda _: operator_key(tmp_path), range(64)))
        signers = list(threads.map(lambda _: CheckpointSigner.from_directory(tmp_path), range(64)))
    assert len(set(operators)) == 1
    assert len({signer.verifier_key for signer in signers}) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        keys.CHECKPOINT_KEY_FILE,
        keys.OPERATOR_KEY_FILE,
    ]


def test_signer_is_the_same_after_a_restart(tmp_path, signer):
    again = CheckpointSigner.from_directory(tmp_path)
    assert again.verifier_key == signer.verifier_key
    assert is_signed_by(signer.sign_note(BODY), again.verifier_key)
    assert stat.S_IMODE((tmp_path / keys.CHECKPOINT_KEY_FILE).stat().st_mode) == 0o600


def test_note_carries_the_checkpoint_and_its_signature(signer):
    note = signer.sign_note(BODY)
    assert note.startswith(BODY.decode() + "\n\u2014 nacre ")
    assert note.endswith("\n")
    assert parse_checkpoint(note) == ("nacre/test", 7, bytes(range(32)))
    assert is_signed_by(note, signer.verifier_key)


def test_verifier_key_has_the_form_that_others_read(signer):
    name, key_id, encoded = signer.verifier_key.split("+", 2)
    assert name == "nacre"
    assert len(key_id) == 8
    assert len(encoded) == 44


def test_any_changed_character_of_the_body_breaks_the_signature(signer):
    note = signer.sign_note(BODY)
    for place in range(len(BODY)):
        other = "x" if note[place] != "x" else "y"
        changed = note[:place] + other + note[place + 1 :]
        assert not is_signed_by(changed, signer.verifier_key), place


def test_signature_of_another_key_or_body_does_not_hold(tmp_path, signer):
    stranger = CheckpointSigner.from_directory(tmp_path / "other")
    note = signer.sign_note(BODY)
    assert not is_signed_by(note, stranger.verifier_key)
    assert not is_signed_by(stranger.sign_note(BODY), signer.verifier_key)
    other = signer.sign_note(checkpoint_body("nacre/test", 8, bytes(range(32))))
    spliced = BODY.decode() + "\n" + other.partition("\n\n")[2]
    assert not is_signed_by(spliced, signer.verifier_key)


@pytest.mark.parametrize(
    "lines", ["", "\u2014 nacre", "\u2014 nacre !!!!\n", "\u2014 nacre AAAA\n", "\u2014 other {good}\n"]
)
def test_note_without_a_signature_of_this_name_does_not_hold(signer, lines):
    good = signer.sign_note(BODY).rpartition(" ")[2].strip()
    assert not is_signed_by(BODY.decode() + "\n" + lines.replace("{good}", good), signer.verifier_key)


def test_further_signatures_do_no_harm(signer):
    note = signer.sign_note(BODY)
    assert is_signed_by(note + "\u2014 witness AAAAAAAA\n", signer.verifier_key)
    body, _, line = note.partition("\n\n")
    assert is_signed_by(f"{body}\n\n\u2014 nacre AAAA\n{line}", signer.verifier_key)
