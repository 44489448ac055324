"""Dispatchers killed in a process of their own: started, waited for, and their report read."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.services import killed_dispatchers

ROOT = Path(__file__).resolve().parents[2]
LIMIT_SECONDS = 3_600


def killed_dispatchers_of(url, *, kills, seed):
    """Let so many dispatchers over the database be killed; return the report, fail with what went wrong."""
    script = [sys.executable, "-W", "ignore", killed_dispatchers.__file__, url, str(kills), str(seed)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        script,
        check=False,
        cwd=ROOT,
        env=environment,
        timeout=LIMIT_SECONDS,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)
