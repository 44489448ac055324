"""How soon agents lose their standing: the platform's own fold over made-up outcomes of a known rate.

Stands beside the runs of the simulated market. Agents at 70 % or more should stay, at 50 % or less should go
(the line is 60 %). It folds outcomes and nothing else.
"""

import random
from dataclasses import dataclass

import numpy as np

from services.domain.parameters import PLATFORM_PARAMETERS
from services.domain.reputation import (
    AgentCounts,
    Outcome,
    Record,
    StandingRules,
    first_counts,
    fold_step,
)
from services.domain.states import OutcomeKind, Standing

RATES = (0.9, 0.8, 0.7, 0.5, 0.3, 0.1)
JOBS = 300
KIND = "work"


@dataclass(frozen=True, slots=True)
class Demoted:
    """Of `agents` with a true success rate: how many were suspended within `JOBS` jobs, after how many."""

    rate: float
    agents: int
    suspended: int
    median_jobs: float | None

    @property
    def share(self) -> float:
        """Return the share that was suspended."""
        return self.suspended / self.agents


def standing_rules() -> StandingRules:
    """Return the registered limits of the fold."""
    found = {item.name: float(item.default) for item in PLATFORM_PARAMETERS if item.is_number}
    return StandingRules(
        int(found["market.crash_limit"]), found["market.counterparty_jobs"], int(found["market.entry_jobs"])
    )


def demoted(rate: float, agents: int, seed: int) -> Demoted:
    """Fold up to `JOBS` outcomes of each of so many agents, until it is suspended."""
    rng = random.Random(seed)
    rules = standing_rules()
    ends = [_jobs_until_suspended(rate, rng, rules) for _ in range(agents)]
    gone = [jobs for jobs in ends if jobs is not None]
    return Demoted(rate, agents, len(gone), float(np.median(gone)) if gone else None)


def _jobs_until_suspended(rate: float, rng: random.Random, rules: StandingRules) -> int | None:
    counts: AgentCounts = first_counts(is_vouched=False)
    record: Record | None = None
    for job in range(1, JOBS + 1):
        kind = OutcomeKind.VERIFIED if rng.random() < rate else OutcomeKind.FAILED
        counts, record, _ = fold_step(counts, record, None, Outcome(kind, KIND), rules)
        if counts.standing is Standing.SUSPENDED:
            return job
    return None
