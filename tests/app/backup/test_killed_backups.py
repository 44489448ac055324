"""Ended at any point, by SIGKILL or a full disk, neither a backup nor a restore leaves half of anything."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

from services.store import copying, migrate
from tests.app.backup import killed_backups
from tests.app.backup.conftest import backed_up, everything, file_of, opened, restored

ROOT = Path(__file__).resolve().parents[3]
LIMIT_SECONDS = 120
RESTORE_STEPS = (
    ("app.backup.content:check", 1),
    ("app.backup.restoring:_load", 1),
    ("services.store.copying:load", 20),
    ("services.store.copying:set_last_ids", 1),
    ("app.backup.proving:prove", 1),
    ("services.store.files:bring", 1),
)
MAKE_STEPS = (("services.store.copying:pages", 20), ("app.backup.archive:_seal", 1), ("os:link", 1))


def run(*words, **how):
    script = [sys.executable, "-W", "ignore", killed_backups.__file__, *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        script, check=False, cwd=ROOT, env=environment, timeout=LIMIT_SECONDS, capture_output=True, **how
    )


def is_empty(url):
    path = file_of(url)
    if path is not None and not path.exists():
        return True
    with opened(url) as store, store.read() as tx:
        return copying.filled(tx) == []


def test_a_killed_restore_leaves_the_target_empty_and_the_next_one_works(lived_in, empty_url, tmp_path):
    file = backed_up(lived_in, tmp_path / "a.backup").path
    for step, calls in RESTORE_STEPS:
        if file_of(empty_url) is None and step.startswith("services.store.files"):
            continue
        done = run("restore", file, empty_url, step, calls)
        assert done.returncode == -signal.SIGKILL, (step, done.stderr[-2_000:])
        assert is_empty(empty_url), step
    restored(file, empty_url)
    assert everything(empty_url) == everything(lived_in)
    assert migrate.current_revision(empty_url) == migrate.newest_revision()


def test_a_killed_backup_and_a_full_disk_leave_no_file_under_the_name(lived_in, tmp_path):
    file = tmp_path / "a.backup"
    for step, calls in MAKE_STEPS:
        done = run("make", file, lived_in, step, calls)
        assert done.returncode == -signal.SIGKILL, (step, done.stderr[-2_000:])
        assert not file.exists(), step
    for part in tmp_path.glob(".*"):
        part.unlink()

    def small_disk():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    done = run("make", file, lived_in, "os:getcwd", 10**9, preexec_fn=small_disk)
    assert done.returncode == 1
    assert b"cannot be written" in done.stderr
    assert b"nothing was left behind" in done.stderr
    assert list(tmp_path.iterdir()) == []
