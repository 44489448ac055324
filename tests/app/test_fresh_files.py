"""A draft is a new file under a name that nobody foresees: nothing planted in the folder is written to."""

import os

import pytest

from app.backup import archive
from app.fresh_files import open_beside


def test_a_planted_link_is_not_written_through(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    folder = tmp_path / "backups"
    folder.mkdir()
    planted = folder / f".x.backup.partial-{os.getpid()}"
    planted.symlink_to(victim)
    path = folder / "x.backup"
    opened, draft = open_beside(path, 0o600)
    os.close(opened)
    assert draft.name.endswith(f"-{os.getpid()}")  # by which a dead process's draft is known
    assert draft.stat().st_mode & 0o777 == 0o600
    draft.unlink()
    with pytest.raises(KeyboardInterrupt), archive.written(path, is_replacing=False):
        raise KeyboardInterrupt
    assert victim.read_text() == "mine"
    assert list(folder.iterdir()) == [planted]
