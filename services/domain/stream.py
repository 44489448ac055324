"""The stream of experiments: which level α_j an experiment is confirmed at, fixed when it starts.

Stands between the sandbox's trial (provisional at E ≥ 20) and the confirmation (E ≥ 1/α_j). Testing each
experiment at 0.05 by itself makes 30 % of the confirmed changes of a stream false when one in ten is truly
better; these rules bound that share over an endless stream. A level depends only on decisions that were
known at the start, is written to the ledger, and never changes. It never looks at evidence.

Sources: Javanmard & Montanari 2018 and Ramdas, Yang, Wainwright & Jordan 2017 (LORD++); Zrnic, Ramdas &
Jordan 2021 (asynchronous testing, LORD*); Xu & Ramdas 2024 (e-LOND, arXiv 2311.06412).
"""

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from services.domain.bet_refusals import require

GAMMA_OFFSET: Final = 20  # experiments over which the weights hardly fall
GAMMA_SUM: Final = math.pi**2 / 6 - sum(n**-2 for n in range(1, GAMMA_OFFSET + 1))  # Σ 1/(j + 20)²
INITIAL_WEALTH_SHARE: Final = 0.5  # W₀ / α


class StreamRule(StrEnum):
    """How levels are drawn."""

    LORD = "lord"
    """Asynchronous LORD++: more power; each experiment must be valid given the others' outcomes."""
    E_LOND = "e_lond"
    """e-LOND: valid under any dependence, for experiments that share tasks."""


def gamma(position: int) -> float:
    """Return γ_j = 1/(j + 20)², scaled to sum to 1, for j = 1, 2, …; 0 for j < 1.

    Falling, as LORD++ asks. What a confirmation gives back is spent on the next tens of experiments, not on
    thousands: the sequence that is usual for p-values spends an eighth of it on the next twenty.
    """
    return 0.0 if position < 1 else 1.0 / ((position + GAMMA_OFFSET) ** 2 * GAMMA_SUM)


def next_level(rule: StreamRule, alpha: float, position: int, known: Sequence[int]) -> float:
    """Return α_j of the experiment that starts as number `position` (from 1).

    alpha: bound on the expected false share of confirmed changes, in (0, 1). known: for each confirmation
    that is known now, in order, how many experiments had started when it became known (so 1 ≤ r < position).
    LORD++: W₀γ_j + (α − W₀)γ_{j − r₁} + α Σ_{k ≥ 2} γ_{j − r_k}; e-LOND: αγ_j(R + 1). Raises
    PlanRefusedError.
    """
    require("alpha", 0.0 < alpha < 1.0, "must lie strictly between 0 and 1")
    require("position", position >= 1, "counts from 1")
    require("known", all(1 <= r < position for r in known), "a confirmation is known before the start")
    if rule is StreamRule.E_LOND:
        return alpha * gamma(position) * (len(known) + 1)
    initial = alpha * INITIAL_WEALTH_SHARE
    level = initial * gamma(position)
    for place, started in enumerate(sorted(known)):
        level += (alpha if place else alpha - initial) * gamma(position - started)
    return level
