"""What the offline audit of a whole long history costs, in processor time; it must pass, and within its bar.

`make bench` prints the figures.
"""

import time

from tests.services.domain.ledger_history import write
from tests.services.domain.test_ledger_audit import many_steps

ENTRIES = 100_000
BAR_SECONDS = 5.0


def test_a_hundred_thousand_entries():
    ledger = write(list(many_steps(ENTRIES)))
    started = time.process_time()
    report = ledger.audit(claimed=(ENTRIES, ledger.root))
    seconds = time.process_time() - started
    assert report.ok, report.reason
    print(f"\n  audit of {report.size:,} entries: {seconds:.2f} s of processor time", end="")
    assert seconds < BAR_SECONDS
