"""Many writes: `WRITES=10000 make prove` sends so many, three times each, on each engine (the default)."""

import os

from tests.proofs.thrice_runs import compared

WRITES = int(os.environ.get("WRITES", "10000"))


def test_many_writes_sent_three_times_end_as_if_sent_once(migrated_pair, tmp_path):
    report = compared(migrated_pair, tmp_path, writes=WRITES)
    print(report)
    assert report["writes"] >= WRITES
    assert report["sent"] >= 3 * WRITES
