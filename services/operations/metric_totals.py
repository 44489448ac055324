"""Totals of the published metrics, kept beside the windows: what counters show, whatever is pruned.

Stand beside the observatory; the metric watchdog's job rolls new windows in, the page `/metrics` reads them
with what is newer. A total never falls. They never write a window.
"""

from typing import Any, Final

from services.domain.measures import Dimension
from services.domain.metric_totals import Totals
from services.store import exposition
from services.store.tx import Tx

COUNTED: Final = (Dimension.TASK_TYPE, Dimension.JOB)
WINDOWS_AT_ONCE: Final = 200


def roll(tx: Tx) -> int:
    """Add the windows and corrections that are new to the kept totals; return how many windows."""
    before = exposition.kept(tx)
    totals, marks, windows = _up_to_date(tx, before, WINDOWS_AT_ONCE)
    if before is None or marks != {name: before[name] for name in marks}:
        exposition.keep(tx, {**marks, "totals": totals.to_payload()}, is_first=before is None)
    return windows


def now(tx: Tx) -> Totals:
    """Return the totals of this instant: the kept ones, newer windows and corrections, and what waits."""
    totals, _, _ = _up_to_date(tx, exposition.kept(tx), None)
    totals.add_waiting(exposition.waiting(tx))
    return totals


def _up_to_date(
    tx: Tx, before: dict[str, Any] | None, limit: int | None
) -> tuple[Totals, dict[str, int], int]:
    """Return totals with all that is newer, how far they reach, and how many windows were added."""
    kept = before or {"end_us": 0, "correction_id": 0, "totals": {}}
    totals, end_us = Totals.from_payload(kept["totals"]), int(kept["end_us"])
    totals.add_windows(exposition.corrections(tx, kept["correction_id"], end_us))
    windows = 0
    while limit is None or windows < limit:
        later_us = exposition.next_end(tx, end_us)
        if later_us is None:
            break
        end_us, windows = later_us, windows + 1
        totals.add_windows(exposition.of_window(tx, end_us, COUNTED))
    return totals, {"end_us": end_us, "correction_id": exposition.newest_correction(tx)}, windows
