"""A platform killed anywhere in an experiment goes on where it was (`prove_killed_experiments`: more)."""

from tests.services.ab_sandbox.surviving import survive

KILLS = 8


def test_an_experiment_survives_kills_at_any_point(migrated_database_url, tmp_path):
    killed_in = survive(migrated_database_url, tmp_path, kills=KILLS, seed=5)
    assert {"running", "probation"} <= set(killed_in), "kills in both legs"
