"""How many tasks a proof costs, before the first one is spent: the information bound and what the bet needs.

Stands at admission, in `experiment plan` and in the power that voters weigh. E grows by at most the
Jensen–Shannon divergence of the two arms a task, so ln(1/α) needs ln(1/α)/JSD tasks whoever bets. The bet
with effect and base stated took 1.05 to 1.23 times that in simulation; 1.3 times is what is planned with.
It never looks at outcomes and never promises: the figures are expectations, not limits.

Source: Wald 1945; Turner, Ly & Grünwald 2024 (arXiv 2106.02693): growth rate of the optimal e-value.
"""

import math
from dataclasses import dataclass
from typing import Final

from services.domain.bet_refusals import PlanRefusedError, require
from services.domain.metrics import RANK_VARIANCE, Metric

OVERHEAD: Final = 1.3  # tasks the bet takes over the information bound
CONFIRM_ALPHA: Final = 0.002  # level of an experiment in a busy stream (0.001-0.003 measured)
CONFIRM_SHARE: Final = 0.85  # treatment share in probation
LARGEST_GAP: Final = 0.5  # of mean ranks: every treated task is better than every other
_LEAST_NATS: Final = 1e-15  # below this a proof takes more tasks than can be counted
_BISECTIONS: Final = 60
_ROUNDING: Final = 1e-12


@dataclass(frozen=True, slots=True)
class Cost:
    """What a proof costs: nats per task, tasks by the information bound, tasks to expect (both arms)."""

    information_nats: float
    bound_tasks: int
    tasks: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a true effect costs from the first task until it is confirmed.

    trial: until E ≥ 1/alpha. probation: the further tasks, mostly treated, until E ≥ 1/confirm_alpha; none
    when the trial proves that level already.
    """

    trial: Cost
    probation: Cost

    @property
    def tasks(self) -> int:
        """Tasks to expect until the change is confirmed."""
        return self.trial.tasks + self.probation.tasks

    @property
    def bound_tasks(self) -> int:
        """Tasks by the information bound until the change is confirmed."""
        return self.trial.bound_tasks + self.probation.bound_tasks


def information(base: float, effect: float, share: float = 0.5) -> float:
    """Return the nats per task that tell success rates base and base + effect apart at treatment share π.

    JSD_π = (1 − π)·KL(p, q) + π·KL(p + d, q) with q = p + πd, KL between Bernoullis: the growth rate of the
    best bet that does not know the common rate. Scores in [0, 1] vary less and carry at least as much. Raises
    PlanRefusedError when base + effect leaves [0, 1] or the share leaves (0, 1).
    """
    require("base", 0.0 <= base < 1.0, "must lie in [0, 1)")
    require("effect", effect > 0.0, f"must be positive, got {effect:g}")
    room = 1.0 - base
    said = f"{effect:g} is too large: a base of {base:g} leaves room for {room:.6g}"
    require("effect", effect <= room + _ROUNDING, said)
    _require_share(share)
    gap = min(effect, 1.0 - base)
    pooled = base + share * gap
    control, treatment = _divergence(pooled, -share * gap), _divergence(pooled, (1.0 - share) * gap)
    return (1.0 - share) * control + share * treatment


def rank_information(gap: float, share: float = 0.5) -> float:
    """Return the nats per task that a gap of mean ranks carries at treatment share π.

    gap = P(a treated task is better) − ½, in (0, ½]. π(1 − π)·gap²/(2 · 1/12): second order, with the
    variance 1/12 of a uniform rank. Raises PlanRefusedError outside those ranges.
    """
    require("effect", 0.0 < gap <= LARGEST_GAP, "must lie in (0, 0.5]: P(better) - 1/2")
    _require_share(share)
    return share * (1.0 - share) * gap**2 / (2.0 * RANK_VARIANCE)


def tasks_needed(base: float, effect: float, alpha: float, share: float = 0.5) -> int:
    """Return the tasks (both arms) to expect before a true `effect` over `base` is proved at level `alpha`.

    ceil(1.3 · ln(1/α) / JSD_π): the information bound with the measured overhead of the bet. Raises
    PlanRefusedError as `information` does, and for an alpha outside (0, 1).
    """
    return _cost(information(base, effect, share), evidence_nats(alpha)).tasks


def forecast(
    metric: Metric,
    base: float | None,
    effect: float,
    *,
    alpha: float = 0.05,
    share: float = 0.5,
    confirm_alpha: float = CONFIRM_ALPHA,
    confirm_share: float = CONFIRM_SHARE,
) -> Forecast:
    """Return what a true `effect` costs in the trial and in the probation that follows it.

    base: success rate now, None for a ranked metric. The wealth of the trial goes on in probation, so that
    only ln(1/confirm_alpha) − ln(1/alpha) is left to prove there. Raises PlanRefusedError.
    """
    _require_share(confirm_share, "confirm_share")
    rest = max(0.0, evidence_nats(confirm_alpha, "confirm_alpha") - evidence_nats(alpha))
    trial = _cost(metric_information(metric, base, effect, share), evidence_nats(alpha))
    return Forecast(trial, _cost(metric_information(metric, base, effect, confirm_share), rest))


def metric_information(metric: Metric, base: float | None, effect: float, share: float) -> float:
    """Return the nats per task of a metric: `information`, or `rank_information` where there is no base."""
    if metric.is_ranked:
        require("base", base is None, f"{metric} is decided by ranks, which have no base rate")
        return rank_information(effect, share)
    if base is None:
        raise PlanRefusedError("base", f"{metric} needs the rate now, in [0, 1)")
    return information(base, effect, share)


def smallest_effect(
    metric: Metric, base: float | None, alpha: float, tasks: int, share: float = 0.5
) -> float | None:
    """Return the smallest effect that `tasks` can be expected to prove at level `alpha`, None if none is.

    The tasks needed fall as the effect grows, so bisection between 0 and the largest effect is exact.
    """
    largest = LARGEST_GAP if base is None else 1.0 - base
    budget, evidence = float(tasks), evidence_nats(alpha)

    def fits(effect: float) -> bool:
        return OVERHEAD * evidence <= budget * metric_information(metric, base, effect, share)

    if not fits(largest):
        return None
    low, high = 0.0, largest
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2.0
        low, high = (low, middle) if middle > 0.0 and fits(middle) else (middle, high)
    return high


def evidence_nats(alpha: float, name: str = "alpha") -> float:
    """Return ln(1/α), the evidence that level α asks for; PlanRefusedError outside (0, 1)."""
    require(name, 0.0 < alpha < 1.0, "must lie strictly between 0 and 1")
    return -math.log(alpha)


def _cost(information_nats: float, evidence: float) -> Cost:
    require("effect", information_nats >= _LEAST_NATS, "is too small to be told from none")
    bound = evidence / information_nats
    return Cost(information_nats, math.ceil(bound), math.ceil(OVERHEAD * bound))


def _require_share(share: float, name: str = "share") -> None:
    require(name, 0.0 < share < 1.0, "must lie strictly between 0 and 1")


def _divergence(q: float, gap: float) -> float:
    """Return KL(Bernoulli(q + gap), Bernoulli(q)) in nats; exact for small gaps, where entropies cancel."""
    success, failure = q + gap, 1.0 - q - gap
    first = success * math.log1p(gap / q) if success > 0.0 else 0.0
    return first + (failure * math.log1p(-gap / (1.0 - q)) if failure > _ROUNDING else 0.0)
