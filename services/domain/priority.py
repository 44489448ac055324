"""How urgent a job is: by its table when the platform is well, by its role when its health falls.

Stands under the cron runner (L3), which asks before every tick. It only computes: it never reads the health,
the time or a job's history, and it never runs or holds anything back itself.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from services.domain.clock import HOUR_US, SECOND_US

HEALTHY_FROM: Final = 80
"""Points of health (0 to 100) from which everything runs by its table."""

ELEVATION: Final = 100
"""Diagnostic jobs run so many priorities earlier while health is low, housekeeping so many later."""

SHORTEST_INTERVAL_US: Final = 15 * SECOND_US
"""A diagnostic job never comes round more often than this because health is low."""

DIVISORS: Final = (4, 3, 2)
"""By what a diagnostic job's interval may be divided while health is low, the largest that fits."""

HELD_AT_MOST_US: Final = 6 * HOUR_US
"""Housekeeping that has not run for so long runs, however low the health."""


class Role(StrEnum):
    """What a job is for, which decides what becomes of it while the platform's health is low."""

    ESSENTIAL = "essential"
    """The market and the loop stand still without it: always runs by its table."""
    DIAGNOSTIC = "diagnostic"
    """Finds out what is wrong: runs first and more often while health is low."""
    HOUSEKEEPING = "housekeeping"
    """Can wait: held back while health is low, for six hours at most."""


class Misfire(StrEnum):
    """What becomes of ticks that were due while nobody could run them."""

    RUN_ONCE = "run_once"
    """The newest of them runs, late; the others are noted as missed."""
    SKIP = "skip"
    """None of them runs; the next one in time does."""
    CATCH_UP = "catch_up"
    """Each of them runs, the oldest first, up to a bound; those before it are noted as missed."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a tick stands: its effective priority (lower runs first), whether it waits, and why.

    `reason` is None when the tick runs by its table.
    """

    priority: int
    is_held_back: bool = False
    reason: str | None = None


def is_well(health_points: int | None) -> bool:
    """Tell whether everything runs by its table; a health that nobody knows holds nothing back."""
    return health_points is None or health_points >= HEALTHY_FROM


def effective(
    priority: int, role: Role, health_points: int | None, *, waited_us: int | None = None
) -> Placement:
    """Return where a tick stands while the health is `health_points` (0 to 100, None when unknown).

    `waited_us` is how long ago the job last ran, in microseconds; None when it never did. Only housekeeping
    that ran within the last six hours is held back.
    """
    if is_well(health_points) or role is Role.ESSENTIAL:
        return Placement(priority)
    low = f"health is {health_points} of 100, below {HEALTHY_FROM}"
    if role is Role.DIAGNOSTIC:
        return Placement(priority - ELEVATION, reason=f"{low}: diagnostic jobs run first and more often")
    if waited_us is not None and waited_us < HELD_AT_MOST_US:
        return Placement(priority + ELEVATION, is_held_back=True, reason=f"{low}: housekeeping waits")
    hours = HELD_AT_MOST_US // HOUR_US
    return Placement(priority + ELEVATION, reason=f"{low}, but this has waited for {hours} h: it runs last")


def divisor(role: Role, interval_us: int, budget_us: int) -> int:
    """Return how many times as often a job runs while health is low: 1 unless it is diagnostic.

    The instants of the divided interval hold those of the table's; two of them lie at least two budgets and
    SHORTEST_INTERVAL_US apart.
    """
    if role is not Role.DIAGNOSTIC:
        return 1
    shortest_us = max(SHORTEST_INTERVAL_US, 2 * budget_us)
    fitting = (by for by in DIVISORS if interval_us % by == 0 and interval_us // by >= shortest_us)
    return next(fitting, 1)
