"""The platform's own jobs: the scan of agents, the night's consolidation, the pruning of old rows.

Stand beside the layers, run by the cron registry. They only look, summarise and tidy up; what needs a
decision goes to the review queue.
"""

from services.domain.clock import DAY_US, MINUTE_US
from services.store import housekeeping
from services.store.tx import Tx

ACTIVE_WITHIN_US = 15 * MINUTE_US
TICKS_KEPT_US = 14 * DAY_US
KEYS_KEPT_US = 7 * DAY_US
EVENTS_KEPT_US = 14 * DAY_US
PATTERNS_KEPT = 100
RECURRING = 3


def scan_agents(tx: Tx) -> dict[str, int]:
    """Count active, silent and suspended agents."""
    return housekeeping.activity(tx, tx.now_us - ACTIVE_WITHIN_US)


def consolidate(tx: Tx) -> dict[str, object]:
    """Consolidate the last day: how tasks ended by type, agent and reason; what recurs comes first.

    The answer is kept with the tick, where diagnosticians read it over the API.
    """
    found = housekeeping.patterns(tx, tx.now_us - DAY_US, tx.now_us)
    recurring = [row for row in found if row["tasks"] >= RECURRING]
    return {
        "groups": len(found),
        "patterns": [
            {
                "type": row["type"],
                "agent_id": row["awarded_agent_id"],
                "end_reason": row["end_reason"],
                "tasks": row["tasks"],
                "mean_duration_seconds": None
                if row["mean_duration_us"] is None
                else round(float(row["mean_duration_us"]) / 1e6, 3),
            }
            for row in recurring[:PATTERNS_KEPT]
        ],
    }


def prune(tx: Tx) -> dict[str, int]:
    """Delete ticks and delivered events older than 14 days, and idempotency keys older than 7 days."""
    return housekeeping.prune(
        tx,
        ticks_before_us=tx.now_us - TICKS_KEPT_US,
        keys_before_us=tx.now_us - KEYS_KEPT_US,
        events_before_us=tx.now_us - EVENTS_KEPT_US,
    )
