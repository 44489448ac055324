"""Many kills: `KILLS=1000 CRASHES=20 make prove`.

KILLS (default 1000) is the number on each engine, a quarter of it for workers and the rest for the platform's
own processes; CRASHES (default 20) counts whole databases.
"""

import os

import pytest

from tests.proofs.sieges import besieged

KILLS = int(os.environ.get("KILLS", "1000"))
CRASHES = int(os.environ.get("CRASHES", "20"))
SHARES = {"server": 0.75, "worker": 0.25}


@pytest.mark.parametrize("target", SHARES)
def test_many_deaths_of_processes(migrated_database_url, tmp_path, target):
    kills = max(1, round(KILLS * SHARES[target]))
    report = besieged(migrated_database_url, tmp_path, target, kills=kills, seed=11)
    print(f"{target}: {report}")
    assert report["acknowledged"] > kills


def test_many_crashes_of_everything_on_sqlite(migrated_sqlite_url, tmp_path):
    report = besieged(migrated_sqlite_url, tmp_path, "database", kills=CRASHES, seed=12)
    print(f"sqlite: {report}")
    assert report["acknowledged"] > CRASHES


def test_many_crashes_of_postgresql(postgresql_server, tmp_path):
    report = besieged(None, tmp_path, "database", kills=CRASHES, seed=12)
    print(f"postgresql: {report}")
    assert report["acknowledged"] > CRASHES
