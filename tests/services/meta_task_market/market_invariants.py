"""The product's own check of every invariant, as an assertion that may stand between any two acts."""

from services.operations import watchdog


def breaches(store, swept_at_us=None):
    """Return every breach that the rows show at one instant, as lines that begin with the invariant.

    `swept_at_us`: when expiry last ran, by default now; before that nothing is overdue.
    """
    with store.read() as tx:
        return [str(breach) for breach in watchdog.check_all(tx, seen_at_us=swept_at_us)]


def check(store, swept_at_us=None):
    """Raise AssertionError naming the invariants that do not hold."""
    found = breaches(store, swept_at_us)
    assert found == [], "\n".join(found[:20])
