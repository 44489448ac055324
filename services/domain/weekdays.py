"""How the days of the week differ: what a Saturday is usually worth against a Monday, and how surely.

Stands under the detectors of counts and gauges: an office week is no departure. One factor per weekday, not
168 hours of their own (too thin), shrunk to its kind of day (Monday to Friday, Saturday and Sunday) as far as
the weekdays of a kind do not differ by more than chance. It never reads windows and never alarms.
"""

import math
from dataclasses import dataclass
from statistics import fmean
from typing import Final

import numpy as np
from numpy.typing import NDArray

DAYS: Final = 7
WEEKS: Final = 3
"""How many weeks of windows the weekdays are learnt from."""
KINDS: Final[tuple[tuple[int, ...], ...]] = ((0, 1, 2, 3, 4), (5, 6))
UNSEEN_FALL: Final = 20.0
"""A kind of day that was never seen may hold this many times less than the other and is no departure."""
UNSEEN_RISE: Final = 50.0
"""... or this many times more: the usual level of a quiet weekend is known less surely."""
LEAST_VISIT_HOURS: Final = 6  # a shorter piece of a day says nothing about the day
LEAST_KIND_HOURS: Final = 12  # of a kind of day before it counts as seen
PRIOR_VARIANCE: Final = 0.04  # of a day's logarithm: a fifth more or less, until days repeat
PRIOR_FREEDOM: Final = 3.0
MARGIN: Final = 1.0  # standard errors by which a measured variance is raised
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Weekdays:
    """Logarithms of what each weekday (Monday 0) is worth, their predictive variances, which are known."""

    logs: Array
    variances: Array
    is_known: NDArray[np.bool_]

    @property
    def factors(self) -> Array:
        """Return what each weekday is worth, 1 for a day as usual."""
        return np.exp(self.logs)


NO_WEEK: Final = Weekdays(np.zeros(DAYS), np.zeros(DAYS), np.ones(DAYS, dtype=np.bool_))
"""All days are alike and known: for windows that do not tell their weekday."""


def visits_of(days: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each window, oldest first, the number of the visit to a weekday that it belongs to."""
    if not len(days):
        return np.zeros(0, dtype=np.int64)
    return np.concatenate(([0], np.cumsum(np.diff(days) != 0))).astype(np.int64)


def fit_weekdays(days: NDArray[np.int64], ratios: Array, chances: Array, hours: Array) -> Weekdays:
    """Fit what weekdays are worth; one element per visit to a day, oldest first.

    ratios: logarithm of the day's level over what its hours of the day usually hold; chances: variance of it
    by counting alone; hours: how long the visit was. With means d̄ of a weekday (n visits) and k̄ of its kind,
    τ² = Σ(r − d̄)²/df − chance (at least three degrees of freedom: a fifth squared stands in for each that is
    missing), ω² = Var(d̄ in kinds) − v/n, v = τ² + chance: the log factor is k̄ + B(d̄ − k̄) with
    B = ω²/(ω² + v/n), its predictive variance τ² + B v/n + (1 − B) v/N, and ω² more for a weekday never
    seen. τ² and ω² are raised by one standard error. A kind seen for under 12 hours is not known.
    """
    visits = list(zip(days.tolist(), ratios.tolist(), chances.tolist(), hours.tolist(), strict=True))
    whole = [visit for visit in visits if visit[3] >= LEAST_VISIT_HOURS]
    by_day: list[list[float]] = [[] for _ in range(DAYS)]
    for day, ratio, _, _ in whole:
        by_day[day].append(ratio)
    means = [fmean(held) if held else 0.0 for held in by_day]
    chance = fmean(visit[2] for visit in whole) if whole else 0.0
    freedom = float(len(whole) - sum(1 for held in by_day if held))
    missing = max(0.0, PRIOR_FREEDOM - freedom)
    strays = math.fsum((visit[1] - means[visit[0]]) ** 2 for visit in whole)
    freedom, strays = freedom + missing, strays + missing * (PRIOR_VARIANCE + chance)
    lasting = max(0.0, _raised(strays, freedom) - chance)
    between = _between(by_day, means, lasting)
    logs, variances, is_known = np.zeros(DAYS), np.zeros(DAYS), np.zeros(DAYS, dtype=np.bool_)
    for kind in KINDS:
        inside = [visit for visit in whole if visit[0] in kind]
        if not inside or math.fsum(visit[3] for visit in visits if visit[0] in kind) < LEAST_KIND_HOURS:
            continue
        is_known[list(kind)] = True
        centre = fmean(visit[1] for visit in inside)
        one = lasting + fmean(visit[2] for visit in inside)
        for day in kind:
            number = len(by_day[day])
            own = one / number if number else 0.0
            trust = between / (between + own) if number and between else 0.0
            logs[day] = centre + trust * (means[day] - centre)
            variances[day] = lasting + trust * own + (1.0 - trust) * one / len(inside)
            variances[day] += 0.0 if number else between
    return Weekdays(logs, variances, is_known)


def _raised(squares: float, freedom: float) -> float:
    return squares / freedom * (1.0 + MARGIN * math.sqrt(2.0 / freedom))


def _between(by_day: list[list[float]], means: list[float], lasting: float) -> float:
    """Return ω²: by how much weekdays of one kind differ beyond what their visits differ."""
    squares = freedom = 0.0
    for kind in KINDS:
        seen = [means[day] for day in kind if by_day[day]]
        if len(seen) > 1:
            centre = fmean(seen)
            squares += math.fsum((mean - centre) ** 2 for mean in seen)
            freedom += len(seen) - 1.0
    if not freedom:
        return 0.0
    noise = lasting * fmean(1.0 / len(held) for held in by_day if held)
    return max(0.0, _raised(squares, freedom) - noise)
