"""Standing and records as folds of verified outcomes.

Stands in the market (L4). An agent's record per task type is a pair of decayed weights (half-life 60 jobs);
its standing moves up with verified work and down by an e-process against "succeeds at least 60 % of the time"
at α = 0.01, a bet on failure: e ·= 1 + λ(0.6 − y), λ = 1 (Waudby-Smith & Ramdas 2024, eq. 22 with a fixed λ).
It never looks at what an agent says of itself.
"""

import math
from dataclasses import dataclass

from services.domain.states import Standing

HALF_LIFE_JOBS = 60
DECAY = 0.5 ** (1 / HALF_LIFE_JOBS)
SURVIVAL_RATE = 0.6
SURVIVAL_ALPHA = 0.01
BET = 1.0
FULL_AFTER_VERIFIED = 20
PROBATION_AFTER_VERIFIED = 3


@dataclass(frozen=True, slots=True)
class Record:
    """Decayed weights of verified successes and failures, with plain counts beside them."""

    success_weight: float = 0.0
    failure_weight: float = 0.0
    jobs: int = 0
    verified: int = 0

    def with_outcome(self, *, is_verified: bool) -> "Record":
        """Return the record after one more job."""
        return Record(
            self.success_weight * DECAY + (1.0 if is_verified else 0.0),
            self.failure_weight * DECAY + (0.0 if is_verified else 1.0),
            self.jobs + 1,
            self.verified + int(is_verified),
        )


def fold_log_e(log_e: float, *, is_verified: bool) -> float:
    """Return the log of the demotion e-process after one more job; it starts at 0."""
    outcome = 1.0 if is_verified else 0.0
    return log_e + math.log1p(BET * (SURVIVAL_RATE - outcome))


def next_standing(current: Standing, *, verified_jobs: int, log_e: float) -> Standing:
    """Return the standing after a job: suspension by the e-process, else up the ladder by verified work."""
    if current is Standing.SUSPENDED or log_e >= math.log(1 / SURVIVAL_ALPHA):
        return Standing.SUSPENDED
    if verified_jobs >= FULL_AFTER_VERIFIED:
        return Standing.FULL
    if verified_jobs >= PROBATION_AFTER_VERIFIED and current is Standing.SHADOW:
        return Standing.PROBATION
    return current
