"""Clean cycles of the metrics: clocks five minutes apart, late and repeated events, crashes; no flag."""

from tests.proofs.metric_cycles import live

CYCLES = 60


def test_no_drift_is_flagged_in_clean_cycles(platform):
    told = live(platform.store, CYCLES, seed=5)
    assert told.breaches == []
    assert told.told["missed"] == 0
    assert told.told["planted"] > CYCLES // 2
    assert min(told.told["crashes"], told.told["late"], told.told["snapshots"]) > 0
