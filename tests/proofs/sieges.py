"""A siege in a process of its own: started, waited for, and its report read."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.proofs import siege

ROOT = Path(__file__).resolve().parents[2]
LIMIT_SECONDS = 6 * 3600


def besieged(url, folder, target, *, kills, seed):
    """Kill so often under load and return the report; fail with what did not hold.

    `url` None means a PostgreSQL of the siege's own, which is killed as well.
    """
    asked = {"url": url, "folder": str(folder), "target": target, "kills": kills, "seed": seed}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", siege.__file__, json.dumps(asked)],
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=LIMIT_SECONDS,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)
