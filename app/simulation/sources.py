"""Seeded sources of documents for the world: each maps a random generator to one latency in seconds.

They stand where the demonstration's local HTTP source stands. None of them knows a timeout.
"""

import random
from collections.abc import Callable

Source = Callable[[random.Random], float]

NEVER_SECONDS = 10_000.0
NEVER_ENDING_SHARE = 0.35
IN_TIME_SHARE = 0.65


def heavy(rng: random.Random) -> float:
    """Heavy tail (Pareto): about a third of the tasks take over 0.9 s, about 6 % over 1.8 s."""
    return float(0.573 * (1 - rng.random()) ** (-1 / 2.46))


def fast(rng: random.Random) -> float:
    """A source that is fast enough: nothing takes over 0.15 s."""
    return 0.05 + 0.1 * rng.random()


def cliff(rng: random.Random) -> float:
    """A third never ends, the rest within 0.9 s: it looks like a tail, and no time allowed can cure it."""
    return NEVER_SECONDS if rng.random() < NEVER_ENDING_SHARE else 0.3 + 0.6 * rng.random()


def stuck(rng: random.Random) -> float:
    """A third never ends, the rest at once: even the durations say that more time would not help."""
    return NEVER_SECONDS if rng.random() < NEVER_ENDING_SHARE else 0.1


def busy(rng: random.Random) -> float:
    """Mostly in time, with a few that take long: cutting the time allowed does harm."""
    return 0.5 + 0.35 * rng.random() if rng.random() < IN_TIME_SHARE else 1.2 + rng.random()
