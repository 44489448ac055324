"""The platform's own jobs: the scan of agents, the pruning of old rows.

Stand beside the layers, run by the cron registry. They only look and tidy up; what needs a
decision goes to the review queue.
"""

from services.domain.clock import DAY_US, MINUTE_US
from services.store import housekeeping, pruning
from services.store.tx import Tx

ACTIVE_WITHIN_US = 15 * MINUTE_US
TICKS_KEPT_US = 14 * DAY_US
KEYS_KEPT_US = 7 * DAY_US
EVENTS_KEPT_US = 14 * DAY_US
PRUNED_AT_ONCE = 5_000
"""Rows of a kind that one transaction deletes; the job repeats it while there is more."""


def scan_agents(tx: Tx) -> dict[str, int]:
    """Count active, silent and suspended agents."""
    return housekeeping.activity(tx, tx.now_us - ACTIVE_WITHIN_US)


def prune(tx: Tx) -> dict[str, int]:
    """Delete ticks and delivered events older than 14 days, and idempotency keys older than 7 days."""
    return pruning.prune(
        tx,
        ticks_before_us=tx.now_us - TICKS_KEPT_US,
        keys_before_us=tx.now_us - KEYS_KEPT_US,
        events_before_us=tx.now_us - EVENTS_KEPT_US,
        limit=PRUNED_AT_ONCE,
    )
