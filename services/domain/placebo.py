"""Do placebos win more often than they may: an e-process over the ends of A/A experiments, and an interval.

Stands beside the stream as the check of the whole instrument. It never sees a record, only wins and ends.
"""

import math
from typing import Final, NamedTuple

from scipy.special import betaincinv

from services.domain.bet_refusals import require

FREEZE_EVIDENCE: Final = 100.0
"""E at which promotion is frozen: a sound instrument is frozen with probability at most 1 %, ever."""
LONGEST_DAYS: Final = 30
"""A placebo that has too little traffic ends after this long."""
ALTERNATIVES: Final = (0.1, 0.2, 0.5)
"""Win rates that the evidence is weighed against, evenly."""


class Interval(NamedTuple):
    """A rate with its exact limits."""

    rate: float | None
    lower: float
    upper: float


def excess_evidence(wins: int, ended: int, alpha: float) -> float:
    """Return E against "each placebo wins with probability at most α": a mean of likelihood ratios.

    (q/α)^w ((1 − q)/(1 − α))^(n − w) for each q above α; by Ville P(sup E ≥ 100) ≤ 0.01 however often it
    is looked at. Raises PlanRefusedError for counts that cannot be.
    """
    require("alpha", 0.0 < alpha < 1.0, "must lie strictly between 0 and 1")
    require("wins", 0 <= wins <= ended, "must lie in 0..ended")
    rates = [q for q in ALTERNATIVES if q > alpha]
    if not rates:
        return 1.0
    losses = ended - wins
    ratios = [
        math.exp(wins * math.log(q / alpha) + losses * math.log((1.0 - q) / (1.0 - alpha))) for q in rates
    ]
    return sum(ratios) / len(ratios)


def exact_interval(wins: int, ended: int, error: float = 0.05) -> Interval:
    """Return the Clopper–Pearson interval of a rate at level 1 − error; [0, 1] before the first end."""
    require("wins", 0 <= wins <= ended, "must lie in 0..ended")
    if not ended:
        return Interval(None, 0.0, 1.0)
    lower = 0.0 if not wins else float(betaincinv(wins, ended - wins + 1, error / 2))
    upper = 1.0 if wins == ended else float(betaincinv(wins + 1, ended - wins, 1.0 - error / 2))
    return Interval(wins / ended, lower, upper)
