"""Backups are tested by restoring: from a lived-in platform, on each engine and across; the loop goes on."""

import re
import threading
import zipfile

import pytest

from app.backup import archive, content
from services import evolution_ledger
from services.domain.errors import ConflictError, InvalidValueError
from services.domain.ledger_schema import EntryType
from services.operations import accounts, audit_log
from services.store import migrate, sql, tables
from services.store.views.money_audit import audit_money
from tests.app.backup.conftest import backed_up, everything, file_of, opened, restored
from tests.plugins.databases import url_of_file
from tests.plugins.platforms import Market, platform_over
from tests.services.laboratory import OTHER_TYPE, Laboratory

PROOFS = ["rows", "ledger", "head", "config", "triggers", "money", "market"]
PLANTED = ["market"]
"""What fails of a laboratory: its tasks were planted, not traded."""


def test_every_row_comes_back_and_what_is_restored_is_the_same_backup_again(lived_in, empty_url, tmp_path):
    made = backed_up(lived_in, tmp_path / "a.backup")
    assert made.ledger_fault is None
    assert made.manifest.rows > 5_000
    done = restored(made.path, empty_url)
    assert [(proof.name, proof.ok) for proof in done.proofs] == [(name, True) for name in PROOFS]
    before, after = everything(lived_in), everything(empty_url)
    assert before.keys() == after.keys()
    for name, rows in before.items():
        assert after[name] == rows, name
    again = backed_up(empty_url, tmp_path / "b.backup")
    parts = [{table.name: (table.part, table.rows) for table in one.manifest.tables} for one in (made, again)]
    assert parts[0] == parts[1]
    assert migrate.current_revision(empty_url) == migrate.newest_revision()
    migrate.check_drift(empty_url)


@pytest.fixture
def crossed_url(platform, request):
    """URL of an empty database of the engine that `platform` is not on."""
    other = "postgresql_url" if platform.store.engine.dialect.name == "sqlite" else "sqlite_url"
    return str(request.getfixturevalue(other))


def test_the_loop_goes_on_across_engines(lab, crossed_url, tmp_path):
    won = lab.won()
    made = backed_up(lab.platform.settings.database_url, tmp_path / "a.backup")
    done = restored(made.path, crossed_url, is_unproven_kept=True)
    assert [proof.name for proof in done.proofs if not proof.ok] == PLANTED
    platform = platform_over(crossed_url, tmp_path / "var", seed=8)
    platform.store.clock.advance(lab.now_us - platform.store.clock.now_us())
    moved = Laboratory(platform, lab.proposer, lab.voters, lab.names)
    market = Market(platform, iter(range(1_000, 2_000)))
    try:
        moved.deliver()
        assert (moved.value().value, moved.value().source) == (won["treatment_value"], "promoted")
        change = moved.other_type()
        how = {"parameter": change["parameter"], "type_": OTHER_TYPE}
        assert moved.run_experiment(moved.running(**change), **how)["verdict"] == "win"
        moved.deliver()
        newest = max(row["id"] for row in moved.rows(tables.task))
        task_id = market.done(market.agent(), market.agent())
        assert task_id > newest
        assert market.task(task_id)["state"] == "settled"
        assert moved.types().count("PROMOTED") == 2
        assert moved.audit().ok
        with moved.read() as tx:
            assert audit_money(tx)["ok"]
    finally:
        platform.close()


def test_a_backup_made_while_writers_write_is_of_one_instant(platform, worker, crossed_url, tmp_path):
    paid = accounts.agent_account(worker)
    stopped, written = threading.Event(), threading.Event()

    def write():
        while not stopped.is_set():
            with platform.store.write(actor="operator") as tx:
                accounts.move(tx, kind="grant", debit=accounts.TREASURY, credit=paid, amount_microcredits=1)
                audit_log.append(tx, EntryType.OVERRIDE, {"act": "test", "reason": "while a backup is made"})
            written.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert written.wait(30)
        made = [backed_up(platform.settings.database_url, tmp_path / f"{n}.backup") for n in range(3)]
    finally:
        stopped.set()
        writer.join()
    sizes = [one.manifest.ledger.size for one in made]
    assert all(one.ledger_fault is None for one in made)
    assert sizes == sorted(sizes)
    assert all(proof.ok for proof in restored(made[-1].path, crossed_url).proofs)


def test_what_is_there_is_never_overwritten(lived_in, tmp_path):
    made = backed_up(lived_in, tmp_path / "a.backup")
    with pytest.raises(ConflictError, match="there already"):
        backed_up(lived_in, made.path)
    with pytest.raises(ConflictError, match=r"holds data already.*nothing was touched"):
        restored(made.path, lived_in)
    if file_of(lived_in) is None:
        with pytest.raises(ConflictError, match=r"data are never overwritten"):
            restored(made.path, lived_in, is_replacing=True)
        return
    copy = tmp_path / "copy.db"
    restored(made.path, url_of_file(copy))
    with opened(url_of_file(copy)) as store:
        with store.write(actor="operator") as tx:
            audit_log.append(tx, EntryType.OVERRIDE, {"act": "test", "reason": "after the backup"})
        with store.read() as tx:
            audit_log.size(tx)
            with pytest.raises(ConflictError, match="open in another process"):
                restored(made.path, url_of_file(copy), is_replacing=True)
    done = restored(made.path, url_of_file(copy), is_replacing=True)
    with opened(url_of_file(done.put_away)) as store, store.read() as tx:
        assert audit_log.size(tx) == made.manifest.ledger.size + 1
    assert everything(url_of_file(copy)) == everything(lived_in)
    copy.write_bytes(b"no database any more")
    restored(made.path, url_of_file(copy), is_replacing=True)
    assert len(list(tmp_path.glob("copy.db.*"))) == 2
    assert not list(tmp_path.glob(".*"))


def test_an_older_schema_is_built_loaded_and_brought_up_to_date(empty_url, sqlite_url, tmp_path):
    source = f"{sqlite_url}.older"
    migrate.upgrade(source, "0008")
    with opened(source) as store, store.write(actor="test") as tx:
        sql.insert(tx, tables.deployment, key="origin", value="nacre/older")
    made = backed_up(source, tmp_path / "a.backup")
    done = restored(made.path, empty_url)
    assert (made.manifest.revision, done.revision) == ("0008", migrate.newest_revision())
    assert migrate.current_revision(empty_url) == migrate.newest_revision()
    with opened(empty_url) as store, store.read() as tx:
        assert sql.find(tx, tables.deployment, key="origin")["value"] == "nacre/older"


def test_a_kept_checkpoint_shows_that_the_ledger_would_be_cut_or_is_another(lab, crossed_url, tmp_path):
    notes = tmp_path / "notes"
    notes.mkdir()
    with lab.read() as tx:
        (notes / "early.note").write_text(evolution_ledger.checkpoint(tx, lab.platform.signer)["note"])
    url = lab.platform.settings.database_url
    made = backed_up(url, tmp_path / "a.backup")
    with lab.write("operator") as tx:
        audit_log.append(tx, EntryType.OVERRIDE, {"act": "test", "reason": "after the backup"})
    kept = content.kept_notes(notes)
    with pytest.raises(ConflictError, match="does not prove itself"):
        restored(made.path, crossed_url, notes=kept)
    restored(made.path, crossed_url, notes=kept, is_unproven_kept=True)
    with lab.read() as tx:
        (notes / "late.note").write_text(evolution_ledger.checkpoint(tx, lab.platform.signer)["note"])
    (notes / "README").write_text("no checkpoint")
    size = made.manifest.ledger.size
    target = url_of_file(tmp_path / "never.db")
    with pytest.raises(ConflictError, match=f"late.note.*entries {size} to {size} would be lost"):
        restored(made.path, target, notes=content.kept_notes(notes))
    other = (notes / "early.note").read_text().splitlines()
    (notes / "late.note").write_text("\n".join([other[0], other[1], "A" * 43 + "=", "", *other[4:]]) + "\n")
    with pytest.raises(ConflictError, match="another root"):
        restored(made.path, target, notes=content.kept_notes(notes))
    assert file_of(target).exists() is False


@pytest.fixture(scope="module")
def small(tmp_path_factory, sqlite_template):
    """A backup of an almost empty platform."""
    folder = tmp_path_factory.mktemp("small")
    url = url_of_file(folder / "nacre.db")
    (folder / "nacre.db").write_bytes(sqlite_template.read_bytes())
    platform_over(url, folder).close()
    return backed_up(url, folder / "a.backup").path


def resealed(path, change):
    """Rewrite a backup's members by `change(name, content)` → (name, content) pairs, and seal it rightly."""
    with zipfile.ZipFile(path) as source:
        members = [(name, source.read(name)) for name in source.namelist()]
    with path.with_suffix(".changed").open("w+b") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as target:
            for name, data in members:
                for new_name, new_data in change(name, data):
                    target.writestr(new_name, new_data)
            target.comment = archive.SEAL + b"0" * archive.DIGEST_LENGTH
        archive._seal(file)
    return path.with_suffix(".changed")


def test_any_changed_cut_or_added_byte_is_found(small, tmp_path):
    whole = small.read_bytes()
    target = url_of_file(tmp_path / "never.db")
    bad = tmp_path / "bad.backup"
    places = {*range(0, len(whole), max(1, len(whole) // 400)), *range(len(whole) - 120, len(whole))}
    for place in places:
        bad.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(
            InvalidValueError, match=r"bad.backup is no sound backup.*nothing was touched"
        ) as told:
            restored(bad, target)
        assert told.value.code == "backup_damaged"
    for content_ in (b"", whole[:-1], whole[: len(whole) // 2], whole + b"\n", whole[1:], b"x" * 1_000):
        bad.write_bytes(content_)
        with pytest.raises(InvalidValueError, match="no sound backup"):
            restored(bad, target)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.backup"]


def in_member(part, change):
    """Change the content of the members whose name has this part."""
    return lambda name, data: [(name, change(data) if part in name else data)]


def beside_manifest(name):
    """Add a member."""
    return lambda found, data: [(found, data), *([(name, b"x")] if found == "manifest.json" else [])]


REFUSED = {
    "'tables/agent.ndjson' is missing": lambda name, data: [] if "/agent.n" in name else [(name, data)],
    "'x' does not belong": beside_manifest("x"),
    "'../../evil' does not belong": beside_manifest("../../evil"),
    "ndjson goes beyond": in_member("tables/task.n", lambda _: b'["' + b"0" * 50_000_000),
    "json goes beyond": in_member("manifest", lambda data: b" " * 9_000_000 + data),
    "not what the manifest says": in_member("parameter.n", lambda data: data.replace(b"monte", b"carlo")),
    "not one of this format": in_member("manifest", lambda data: data.replace(b"backup/1", b"backup/9")),
    "Expected `str` matching regex": in_member("manifest", lambda data: data.replace(b'"agent"', b'"../x"')),
}


def test_what_a_stranger_packed_is_refused_by_name(small, tmp_path):
    target = url_of_file(tmp_path / "never.db")
    for said, change in REFUSED.items():
        with pytest.raises(InvalidValueError, match=re.escape(said)) as told:
            restored(resealed(small, change), target)
        assert told.value.code == "backup_damaged"
    newest = b'"revision": "%s"' % migrate.newest_revision().encode()
    newer = in_member("manifest", lambda data: data.replace(newest, b'"revision": "9999"'))
    with pytest.raises(ConflictError, match="revision 9999, this Nacre knows up to"):
        restored(resealed(small, newer), target)
    assert list(tmp_path.iterdir()) == []
