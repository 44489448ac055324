"""The product's own check of every invariant, as an assertion that may stand between any two acts."""

from services.operations import watchdog


def breaches(store):
    """Return every breach that the rows show at one instant, as lines that begin with the invariant."""
    with store.read() as tx:
        return [str(breach) for breach in watchdog.check_all(tx)]


def check(store):
    """Raise AssertionError naming the invariants that do not hold."""
    found = breaches(store)
    assert found == [], "\n".join(found[:20])
