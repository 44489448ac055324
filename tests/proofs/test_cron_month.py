"""Three processes fire each tick once while some are killed (`prove_cron_month`: a whole month)."""

from services.domain.states import TickState
from tests.proofs.cron_month import PROCESSES, Month


def test_each_tick_fires_once_though_processes_are_killed(migrated_database_url):
    report = Month(migrated_database_url, days=0.4, kills=12).run()
    assert report["duplicates"] == 0
    assert report["places"] == PROCESSES
    assert report["missed"] > 0, "while all were dead"
    assert report["states"][("clock", TickState.DONE)] > 400
