"""The witness: checkpoints go to a second place, and a ledger that departs from one holds promotions."""

import json
import os

import pytest

from app.checkpoint_folder import CheckpointFolder
from app.keys import CheckpointSigner
from services import evolution_ledger
from services.domain.checks import Status
from services.domain.hash_chain import checkpoint_body, parse_checkpoint
from services.operations import health
from services.store import sql, tables


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "notes"
    path.mkdir()
    return CheckpointFolder(path)


def run(lab, keeper, notary=None):
    with lab.write("system:checkpoint_export") as tx:
        return evolution_ledger.export_checkpoint(tx, notary or lab.platform.signer, keeper)


def hold(lab):
    with lab.read() as tx:
        return health.promotion_hold(tx)


def test_the_head_is_signed_as_it_grows_kept_twice_and_published(lab, folder):
    first = run(lab, folder)
    assert (first["status"], first["signed"]) == (Status.PASS, 1)
    assert run(lab, folder)["signed"] == 0
    lab.file()
    second = run(lab, folder)
    assert second["size"] > first["size"]
    kept = {row["size"]: row["note"] for row in lab.rows(tables.checkpoint)}
    names = {file.name: file.read_text() for file in folder.path.iterdir()}
    assert names == {
        f"{first['size']}.note": kept[first["size"]],
        f"{second['size']}.note": kept[second["size"]],
        "latest.note": kept[second["size"]],
    }
    told = [row["payload"] for row in lab.rows(tables.event, type="CheckpointSigned")]
    assert [(one["size"], one["note"]) for one in told] == sorted(kept.items())
    report = evolution_ledger.verify_export(lab.export(), trusted_notes=list(kept.values()))
    assert report.ok, report


def forgeries(lab, note, tmp_path):
    """Return notes that the ledger must not pass with, by what is said of them."""
    signer = lab.platform.signer
    origin, size, root = parse_checkpoint(note)
    stranger = CheckpointSigner.from_directory(tmp_path / "stranger")
    return {
        "rewritten": signer.sign_note(checkpoint_body(origin, size, bytes(32))),
        f"covers {size + 9} entries": signer.sign_note(checkpoint_body(origin, size + 9, root)),
        "not signed with this": stranger.sign_note(checkpoint_body(origin, size, root)),
        "is of the ledger 'other'": signer.sign_note(checkpoint_body("other", size, root)),
        "is not one": "no note\n",
    }


def test_a_note_that_the_ledger_does_not_extend_fails_and_is_not_overwritten(lab, folder, tmp_path):
    run(lab, folder)
    assert hold(lab) is None
    honest = (folder.path / "latest.note").read_text()
    lab.file()
    for said, forged in forgeries(lab, honest, tmp_path).items():
        (folder.path / "latest.note").write_text(forged)
        found = run(lab, folder)
        assert (found["status"], found["signed"]) == (Status.FAIL, 0), said
        assert said in (hold(lab) or ""), said
        assert (folder.path / "latest.note").read_text() == forged
    (folder.path / "latest.note").write_text(honest)
    assert run(lab, folder)["status"] == Status.PASS
    assert hold(lab) is None


def test_what_is_planted_among_the_notes_hides_none_and_is_written_through_by_none(lab, folder, tmp_path):
    run(lab, folder)
    kept = dict(sorted((file.name, file.read_text()) for file in folder.path.iterdir()))
    honest = kept.pop("latest.note")
    ((name, _),) = kept.items()
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (folder.path / "007.note").write_text(honest)
    (folder.path / "99.note").mkdir()
    (folder.path / "98.note").symlink_to(victim)
    os.mkfifo(folder.path / "97.note")
    (folder.path / "\u0663\u0663.note").write_text("no note")
    lab.file()
    for note in ("latest", lab.row(tables.ledger_head)["size"]):
        (folder.path / f".{note}.note.{os.getpid()}").symlink_to(victim)
    assert run(lab, folder)["status"] == Status.PASS
    assert victim.read_text() == "mine"
    assert (folder.path / "latest.note").read_text() != honest
    for planted, text, said in (
        (name, honest.replace("\n", "\n\n", 1), "is not one"),
        ("5000.note", "no note", "5000.note: a kept checkpoint is not one"),
        ("5000.note", honest, "5000.note: a kept checkpoint of"),
        ("latest.note", honest[:-9] + "AAAAAAA=\n", "latest.note: "),
    ):
        file = folder.path / planted
        before = file.read_text() if file.exists() else None
        file.write_text(text)
        if planted != name:  # the newest of the notes with a size
            assert (run(lab, folder)["status"], said in (hold(lab) or "")) == (Status.FAIL, True), hold(lab)
        file.unlink() if before is None else file.write_text(before)
    assert run(lab, folder)["status"] == Status.PASS
    (folder.path / "latest.note").unlink()
    (folder.path / "latest.note").symlink_to(victim)
    assert (run(lab, folder)["status"], victim.read_text()) == (Status.PASS, "mine")
    assert not (folder.path / "latest.note").is_symlink()


def test_a_ledger_that_was_cut_back_is_seen_from_the_second_place(lab, folder):
    lab.file()
    run(lab, folder)
    head = lab.row(tables.ledger_head)
    with lab.write("intruder") as tx:
        sql.update(tx, tables.ledger_head, {"id": 1}, size=1, root=json.loads(
            lab.row(tables.ledger_entry, index=1)["leaf"])["previous_root"])  # fmt: skip
    assert run(lab, folder)["status"] == Status.FAIL
    assert f"covers {head['size']} entries, the ledger has 1 now" in (hold(lab) or "")


def test_a_folder_that_is_gone_is_a_warning_and_nothing_is_lost(lab, folder):
    run(lab, folder)
    away = folder.path.rename(folder.path.with_name("away"))
    lab.file()
    found = run(lab, folder)
    assert (found["status"], found["signed"], hold(lab)) == (Status.WARN, 1, None)
    away.rename(folder.path)
    assert run(lab, folder)["status"] == Status.PASS
    assert (folder.path / f"{found['size']}.note").read_text() == (folder.path / "latest.note").read_text()
    for file in folder.path.iterdir():
        file.unlink()
    assert run(lab, folder)["status"] == Status.WARN
    assert run(lab, folder)["status"] == Status.PASS
    assert run(lab, None)["status"] == Status.PASS
