"""What stands between an agent and the next rung, up or down: jobs still needed, failures still allowed.

Stands in the market (L4) over `reputation`. It only says what the fold of outcomes would do
next; it never moves a standing.
"""

import math
from typing import NamedTuple

from services.domain.reputation import FULL_AFTER_VERIFIED, PROBATION_AFTER_VERIFIED, AgentCounts, log_e
from services.domain.states import Standing
from services.domain.track_record import SUSPENSION_LOG_E

E_VALUE_HIGHEST = 1e300
"""Evidence is shown up to here; beyond it a float says no more."""
LADDER = (Standing.SHADOW, Standing.PROBATION, Standing.FULL)


class NextStep(NamedTuple):
    """The next rung up and how many verified jobs it still takes."""

    standing: Standing
    verified_jobs: int


def e_value(counts: AgentCounts) -> float:
    """Return the evidence against succeeding 60 % of the time; 1 says nothing, 100 suspends."""
    return min(math.exp(min(counts.log_e, math.log(E_VALUE_HIGHEST))), E_VALUE_HIGHEST)


def failures_left(successes: int, failures: int) -> int:
    """Return how many failures in a row would suspend an agent with these counts; 0 when it has happened.

    The evidence grows with every failure, so that doubling and halving find the first that is too many.
    """
    if log_e(successes, failures) >= SUSPENSION_LOG_E:
        return 0
    low, high = 0, 1
    while log_e(successes, failures + high) < SUSPENSION_LOG_E:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        if log_e(successes, failures + middle) < SUSPENSION_LOG_E:
            low = middle
        else:
            high = middle
    return high


def next_step(counts: AgentCounts) -> NextStep | None:
    """Return the next rung up; None for an agent that is full already, or suspended.

    Only verified work leads up, so that at least one more verified job is needed.
    """
    if counts.standing is Standing.SHADOW:
        return NextStep(Standing.PROBATION, max(1, PROBATION_AFTER_VERIFIED - counts.verified_jobs))
    if counts.standing is Standing.PROBATION:
        return NextStep(Standing.FULL, max(1, FULL_AFTER_VERIFIED - counts.verified_jobs))
    return None
