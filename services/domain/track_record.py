"""Records and the demotion test: what an agent's verified outcomes say of it.

Stands in the market (L4), under `reputation`, which folds outcomes one by one. An agent's record is a pair of
decayed weights (half-life 60 jobs), per task type and over all types. What one counterparty alone vouches
for is capped, so that success cannot be bought from oneself. It never looks at what an agent says of itself.

The demotion test is an e-process against "succeeds at least 60 % of the time": the mean, over three bets λ,
of Π (1 + λ(0.6 − y)) with y = 1 for verified work and 0 for anything else (Waudby-Smith & Ramdas 2024, a
mixture of fixed bets). Under every rate of 0.6 or more each product is a supermartingale, so an agent that
deserves to stay is ever suspended with probability at most α = 0.01 (Ville).
"""

import math
from dataclasses import dataclass
from typing import Final

HALF_LIFE_JOBS: Final = 60
DECAY: Final = 0.5 ** (1 / HALF_LIFE_JOBS)
SURVIVAL_RATE: Final = 0.6
SURVIVAL_ALPHA: Final = 0.01
SUSPENSION_LOG_E: Final = math.log(1 / SURVIVAL_ALPHA)
BETS: Final = (0.3, 0.6, 0.9)
BET_LOGS: Final = tuple((math.log1p(b * (SURVIVAL_RATE - 1.0)), math.log1p(b * SURVIVAL_RATE)) for b in BETS)
"""What one verified and one failed job add to the log of each bet."""


@dataclass(frozen=True, slots=True)
class Record:
    """Decayed weights of verified successes and failures, with plain counts beside them."""

    success_weight: float = 0.0
    failure_weight: float = 0.0
    jobs: int = 0
    verified: int = 0

    def with_outcome(self, *, is_verified: bool, increment: float = 1.0, is_counted: bool = True) -> "Record":
        """Return the record after one more job, which weighs `increment` (0 to 1), and forgets by as much.

        What is not counted moves the weights alone.
        """
        decay = DECAY**increment
        return Record(
            self.success_weight * decay + (increment if is_verified else 0.0),
            self.failure_weight * decay + (0.0 if is_verified else increment),
            self.jobs + int(is_counted),
            self.verified + int(is_verified and is_counted),
        )


def counted(weight: float, jobs_since: int, cap: float) -> tuple[float, float]:
    """Return (increment, new weight) of one more outcome with a counterparty under the cap.

    `weight` is the evidence this counterparty stands for in the record of a type after its last outcome,
    `jobs_since` the jobs of that type that were counted since. The weight decays with them as the record
    does; the outcome fills it up to `cap` and weighs what it adds, between 0 and 1.
    """
    decayed = weight * DECAY**jobs_since
    increment = min(max(cap - decayed, 0.0), 1.0)
    return increment, decayed + increment


def log_e(successes: int, failures: int) -> float:
    """Return the log of the demotion e-process after so many outcomes of each kind since it began."""
    logs = [successes * won + failures * lost for won, lost in BET_LOGS]
    top = max(logs)
    return top + math.log(sum(math.exp(value - top) for value in logs) / len(BETS))
