"""`nacre backup` and `nacre restore` as an operator uses them, keys and the dated folder included."""

import json
import stat

from tests.plugins.databases import url_of_file


def test_a_backup_is_made_verified_and_restored_with_its_keys(nacre, database, opened, tmp_path, monkeypatch):
    opened(database, tmp_path)
    file, target = tmp_path / "a.backup", tmp_path / "restored.db"
    (tmp_path / "checkpoint.key").unlink(missing_ok=True)
    made = nacre("backup", file, *database, "--json")
    assert made.json["keys"] == []
    assert made.json["is_signed"] is False
    assert "not in it: operator.key" in made.err
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    refused = nacre("backup", file, *database)
    assert (refused.code, "--force" in refused.err) == (1, True)
    assert nacre("ledger", "key").code == 0
    loud = nacre("backup", "make", file, *database, "--force", "--with-keys", "--json")
    assert "checkpoint.key" in loud.json["keys"]
    assert loud.json["is_signed"] is True
    assert "ATTENTION" in loud.err
    assert nacre("backup", "verify", file).out.startswith("OK: ")
    key = (tmp_path / "checkpoint.key").read_bytes()
    monkeypatch.setenv("NACRE_VAR", str(tmp_path / "elsewhere"))
    done = nacre("restore", file, "--database", url_of_file(target), "--json")
    assert done.json["ok"] is True
    assert (tmp_path / "elsewhere" / "checkpoint.key").read_bytes() == key
    assert nacre("ledger", "checkpoint", "--database", url_of_file(target)).out.startswith("nacre/")
    again = nacre("restore", file, "--database", url_of_file(target))
    assert (again.code, "holds data already" in again.err) == (1, True)
    file.write_bytes(file.read_bytes()[:-1])
    assert nacre("backup", "verify", file).code == 2
    assert nacre("restore", tmp_path / "none", "--database", url_of_file(target)).code == 2


def test_dated_backups_are_thinned(nacre, sqlite_database, opened, tmp_path, monkeypatch):
    opened(sqlite_database, tmp_path)
    assert nacre("backup", *sqlite_database).code == 2
    folder = tmp_path / "backups"
    folder.mkdir()
    monkeypatch.setenv("NACRE_BACKUP_FOLDER", str(folder))
    names = [f"nacre-2026010{day}T000000Z.backup" for day in range(1, 5)]
    for name in (*names, "other.backup", f".{names[0]}.partial-999999999"):
        (folder / name).write_bytes(b"")
    made = nacre("backup", "--keep", "3", *sqlite_database, "--json")
    assert len(json.loads(made.out)["removed"]) == 3
    left = sorted(path.name for path in folder.iterdir())
    assert left[:2] == names[2:]
    assert (len(left), left[-1]) == (4, "other.backup")
    assert nacre("backup", folder / "x", "--keep", "3", *sqlite_database).code == 2
