"""A platform killed at random instants loses nothing it acknowledged (`prove_sieges`: thousands of kills)."""

import pytest

from tests.proofs.sieges import besieged

KILLS, CRASHES = 5, 2

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("target", ["server", "worker"])
def test_a_market_survives_the_death_of_any_process(migrated_database_url, tmp_path, target):
    report = besieged(migrated_database_url, tmp_path, target, kills=KILLS, seed=3)
    assert report["acknowledged"] > 0
    assert sum(report["ended"].values()) > 0


def test_a_market_survives_the_death_of_everything_that_has_its_file_open(migrated_sqlite_url, tmp_path):
    report = besieged(migrated_sqlite_url, tmp_path, "database", kills=CRASHES, seed=3)
    assert report["acknowledged"] > 0


def test_a_market_survives_the_crash_of_its_database_server(postgresql_server, tmp_path):
    report = besieged(None, tmp_path, "database", kills=CRASHES, seed=3)
    assert report["acknowledged"] > 0
