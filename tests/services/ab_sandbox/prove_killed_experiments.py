"""Many kills: `KILLS=400 pytest --override-ini='python_files=prove_*.py' tests/services/ab_sandbox`.

KILLS (default 200) is the number on each engine; each twenty get an experiment and a database of their own.
"""

import math
import os

import pytest

from tests.services.ab_sandbox.surviving import survive

EACH = 20
WORLDS = math.ceil(int(os.environ.get("KILLS", "200")) / EACH)


@pytest.mark.parametrize("seed", range(WORLDS))
def test_experiments_survive_kills_at_any_point(migrated_database_url, tmp_path, seed):
    killed_in = survive(migrated_database_url, tmp_path, kills=EACH, seed=seed)
    print(f"seed {seed}: {len(killed_in)} kills at work, {killed_in.count('probation')} of them in probation")
    assert len(killed_in) >= EACH // 4
