"""Ten thousand clean cycles of the metrics on either engine (CYCLES=): no flag, every planted drift found.

Two clocks five minutes apart, late and repeated events, crashes in the middle of snapshots. Prints what was
lived through.
"""

import os

from tests.proofs.metric_cycles import live

CYCLES = int(os.environ.get("CYCLES", "10000"))


def test_no_drift_is_flagged_in_ten_thousand_clean_cycles(platform):
    told = live(platform.store, CYCLES, seed=100)
    print(f"{platform.store.engine.dialect.name}: {CYCLES} cycles, {dict(told.told)}, {told.breaches[:3]}")
    assert told.breaches == []
    assert told.told["missed"] == 0
    assert told.told["planted"] > CYCLES // 2
