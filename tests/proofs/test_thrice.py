"""A write that is sent three times acts once (`prove_thrice`: 10,000 writes)."""

from tests.proofs.thrice import play
from tests.proofs.thrice_runs import compared


def test_writes_sent_three_times_end_as_if_sent_once(migrated_pair, tmp_path):
    report = compared(migrated_pair, tmp_path, writes=120)
    assert report["sent"] >= 3 * report["writes"]


def test_a_copy_that_races_its_first_is_not_kept_as_late(migrated_postgresql_url, tmp_path):
    left, _ = play(migrated_postgresql_url, tmp_path, writes=120, copies=3)
    assert left["late_result"] == [], "every result was handed in by its holder, in time"
