"""What all promotions together are worth: the success of the tasks held out against that of the rest.

Stands beside the stream: confirmations are judged one by one, and their estimates are optimistic (the
winner's curse); the holdout, a random share of tasks on an epoch's starting config, measures their sum. It
never sees a record, only counts by task type.

Sources: Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas 2024, "Time-uniform central limit theory and asymptotic
confidence sequences" (Annals of Statistics 52(6); arXiv 2103.06476), Theorem 2.2 with the optimal ρ of its
appendix; Agresti & Coull 1998 for the rate inside the variance.
"""

import math
from collections.abc import Iterable
from typing import Final, NamedTuple

from services.domain.bet_refusals import require

TUNED_TASKS: Final = 10_000
"""Number of tasks at which the limits are tightest; elsewhere they stay valid and are a little wider."""
PSEUDO_SUCCESSES: Final = 2.0
PSEUDO_TASKS: Final = 4.0
"""Added to the counts in the variance: 100 % success in a small holdout is no certainty."""


class Stratum(NamedTuple):
    """Ended tasks of one type: how many were held out and how many not, and how many of each succeeded."""

    name: str
    held_tasks: int
    held_successes: int
    other_tasks: int
    other_successes: int


class Difference(NamedTuple):
    """Success of the rest minus success of the holdout, with its limits in [−1, 1]; None without both."""

    difference: float | None
    lower: float
    upper: float


def promotions_effect(strata: Iterable[Stratum], alpha: float = 0.05) -> Difference:
    """Return what the promotions since the epoch's start changed in success rate, stratified by task type.

    With w_s the share of type s among all n tasks, π_s its share held out, p and q the success of the rest
    and of the holdout: Δ = Σ w_s(p_s − q_s), V = Σ w_s[p_s(1 − p_s)/(1 − π_s) + q_s(1 − q_s)/π_s], limits Δ ±
    √V · √(2(nρ² + 1)/(n²ρ²) · ln(√(nρ² + 1)/α)), ρ² = (2 ln(1/α) + ln(1 + 2 ln(1/α)))/10,000: an asymptotic
    confidence sequence, valid at all looks at once while the counts grow. A type without a task on one of the
    sides says nothing and is left out. Raises PlanRefusedError for counts that cannot be.
    """
    require("alpha", 0.0 < alpha < 1.0, "must lie strictly between 0 and 1")
    told = [_checked(stratum) for stratum in strata]
    both = [stratum for stratum in told if stratum.held_tasks and stratum.other_tasks]
    n = sum(stratum.held_tasks + stratum.other_tasks for stratum in both)
    if not n:
        return Difference(None, -1.0, 1.0)
    gap = variance = 0.0
    for stratum in both:
        tasks = stratum.held_tasks + stratum.other_tasks
        share = stratum.held_tasks / tasks
        rest, held = (
            stratum.other_successes / stratum.other_tasks,
            stratum.held_successes / stratum.held_tasks,
        )
        gap += tasks / n * (rest - held)
        spread = _spread(stratum.other_successes, stratum.other_tasks) / (1.0 - share)
        spread += _spread(stratum.held_successes, stratum.held_tasks) / share
        variance += tasks / n * spread
    half = math.sqrt(variance) * boundary(n, alpha)
    return Difference(gap, max(-1.0, gap - half), min(1.0, gap + half))


def boundary(n: int, alpha: float) -> float:
    """Return √(2(nρ² + 1)/(n²ρ²) · ln(√(nρ² + 1)/α)), the half width per unit of standard deviation."""
    scale = 2.0 * math.log(1.0 / alpha)
    rho = (scale + math.log(1.0 + scale)) / TUNED_TASKS
    reach = n * rho + 1.0
    return math.sqrt(2.0 * reach / (n * n * rho) * math.log(math.sqrt(reach) / alpha))


def _spread(successes: int, tasks: int) -> float:
    rate = (successes + PSEUDO_SUCCESSES) / (tasks + PSEUDO_TASKS)
    return rate * (1.0 - rate)


def _checked(stratum: Stratum) -> Stratum:
    for tasks, successes in (
        (stratum.held_tasks, stratum.held_successes),
        (stratum.other_tasks, stratum.other_successes),
    ):
        require("successes", 0 <= successes <= tasks, "must lie in 0..tasks")
    return stratum
