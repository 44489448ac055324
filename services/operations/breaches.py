"""Breaches told: what a watchdog found goes to the review queue, once.

Stands under the watchdogs. It never looks for a breach and never mends one.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from services.domain.market_invariants import Breach, Row
from services.operations import review_queue
from services.store import invariants
from services.store.tx import Tx

KIND: Final = "invariant_broken"
DETAILS_KEPT: Final = 20


def tell(tx: Tx, found: Sequence[Breach]) -> int:
    """Open a review item for each difference that was not told before; return how many.

    One item names one invariant and what it does not hold of. While it is open nothing more is opened about
    the same, and a closed one stays closed while it is the very same difference.
    """
    grouped: dict[str, list[Breach]] = defaultdict(list)
    for breach in found:
        grouped[f"{breach.invariant} {breach.subject}"[:120]].append(breach)
    known: dict[str, list[Row]] = defaultdict(list)
    for row in invariants.items_about(tx, KIND, list(grouped)) if grouped else ():
        known[row["subject"]].append(row)
    opened = 0
    for subject, breaches in sorted(grouped.items()):
        context = {
            "invariant": str(breaches[0].invariant),
            "subject": breaches[0].subject,
            "details": [breach.detail for breach in breaches[:DETAILS_KEPT]],
        }
        if not any(row["closed_at_us"] is None or row["context"] == context for row in known[subject]):
            review_queue.open_item(tx, kind=KIND, subject=subject, context=context)
            opened += 1
    return opened
