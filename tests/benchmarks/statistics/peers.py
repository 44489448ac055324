"""What others do with the same tasks: each peer's verdict after every task, from the totals of both arms.

Each function takes a `Batch` and returns, per experiment, the number of tasks (both arms) at which it
promotes, `NEVER` if it does not. A two-sided rule that first declares treatment worse has stopped and does
not promote. Closed forms are written over whole columns, since the packages look at one pair of totals at a
time; `agreement` holds them to the packages' own answers where those are installed.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from tests.benchmarks.statistics.data import Batch

NEVER = 0
ALPHA = 0.05
GROWTHBOOK_TUNING = 5_000.0
ONE_SIDED_TUNING = 1_000.0
MSPRT_TAU = 0.1
SAFE_PRIOR = 0.18


@dataclass(frozen=True, slots=True)
class Totals:
    """Tasks, sums and sums of squares per arm after every task (shape: runs × tasks each)."""

    n0: np.ndarray
    s0: np.ndarray
    q0: np.ndarray
    n1: np.ndarray
    s1: np.ndarray
    q1: np.ndarray


def totals_of(batch: Batch) -> Totals:
    """Return the running totals of a batch."""
    treated, y = batch.arms, batch.outcomes
    control, squares = 1.0 - treated, y * y
    columns = (control, control * y, control * squares, treated, treated * y, treated * squares)
    return Totals(*[np.cumsum(column, axis=1) for column in columns])


def first(hit: np.ndarray) -> np.ndarray:
    """Return the number of tasks at which each row is first true, NEVER where it is not (shape: runs)."""
    return np.where(hit.any(axis=1), hit.argmax(axis=1) + 1, NEVER)


def promoted(stops: np.ndarray, is_better: np.ndarray) -> np.ndarray:
    """Return when each row first stops, NEVER where it does not or stops with treatment not ahead."""
    at = first(stops)
    ahead = np.take_along_axis(is_better, np.maximum(at - 1, 0)[:, None], axis=1)[:, 0]
    return np.where((at != NEVER) & ahead, at, NEVER)


def _safe(top: np.ndarray, bottom: np.ndarray, otherwise: float = 0.0) -> np.ndarray:
    return np.divide(top, bottom, out=np.full_like(top, otherwise), where=bottom > 0.0)


def pooled_z(totals: Totals) -> np.ndarray:
    """Return the two-sample z of proportions with pooled variance, 0 where it is undefined."""
    rate0, rate1 = _safe(totals.s0, totals.n0), _safe(totals.s1, totals.n1)
    pooled = (totals.s0 + totals.s1) / (totals.n0 + totals.n1)
    is_defined = (totals.n0 > 0) & (totals.n1 > 0)
    variance = (
        pooled
        * (1.0 - pooled)
        * np.where(is_defined, _safe(totals.n0 + totals.n1, totals.n0 * totals.n1), 0.0)
    )
    return _safe(rate1 - rate0, np.sqrt(variance))


def naive(totals: Totals) -> np.ndarray:
    """Peek at a two-sided z-test, p < 0.05, after every task."""
    z = pooled_z(totals)
    return promoted(np.abs(z) > ndtri(1.0 - ALPHA / 2.0), z > 0.0)


def bayes(totals: Totals) -> np.ndarray:
    """Peek at a flat-prior P(treatment better) > 95 % (its normal form: one-sided z) after every task."""
    return first(pooled_z(totals) > ndtri(1.0 - ALPHA))


def growthbook_interval(totals: Totals) -> tuple[np.ndarray, np.ndarray]:
    """Return estimate and half-width of GrowthBook's sequential interval (relative difference, tuning 5,000).

    Waudby-Smith et al., arXiv 2103.06476, equations 9 and 161; variance of the
    ratio by the delta method with p(1 − p) per arm. Infinitely wide where GrowthBook answers "no result":
    control at 0 %, or either arm without variance.
    """
    rate0, rate1 = _safe(totals.s0, totals.n0), _safe(totals.s1, totals.n1)
    spread0, spread1 = rate0 * (1.0 - rate0), rate1 * (1.0 - rate1)
    tasks = totals.n0 + totals.n1
    variance = _safe(spread1, rate0**2 * totals.n1) + _safe(spread0 * rate1**2, rate0**4 * totals.n0)
    log_alpha = -2.0 * math.log(ALPHA)
    rho2 = (log_alpha + math.log(log_alpha + 1.0)) / GROWTHBOOK_TUNING
    growth = tasks * rho2 + 1.0
    width = np.sqrt(variance * tasks * 2.0 * growth * np.log(np.sqrt(growth) / ALPHA) / (tasks**2 * rho2))
    has_result = (spread0 > 0.0) & (spread1 > 0.0)
    return _safe(rate1 - rate0, rate0), np.where(has_result, width, np.inf)


def growthbook(totals: Totals) -> np.ndarray:
    """GrowthBook's sequential frequentist engine as shipped, looked at after every task."""
    estimate, width = growthbook_interval(totals)
    return promoted(np.abs(estimate) > width, estimate > 0.0)


def msprt(totals: Totals) -> np.ndarray:
    """Normal-mixture sequential ratio test, τ = 0.1, plug-in variance per arm (Johari et al. 2017).

    Λ = √(V/(V + τ²)) · exp(τ²d²/(2V(V + τ²))), stop at Λ ≥ 1/α in either direction; no stop while V = 0.
    """
    rate0, rate1 = _safe(totals.s0, totals.n0), _safe(totals.s1, totals.n1)
    variance = _safe(rate0 * (1.0 - rate0), totals.n0) + _safe(rate1 * (1.0 - rate1), totals.n1)
    tau2 = MSPRT_TAU**2
    difference = rate1 - rate0
    log_ratio = 0.5 * np.log(np.maximum(variance, 1e-300) / (variance + tau2)) + _safe(
        tau2 * difference**2, 2.0 * variance * (variance + tau2)
    )
    is_defined = (totals.n0 > 0) & (totals.n1 > 0) & (variance > 0.0)
    return promoted(is_defined & (log_ratio >= -math.log(ALPHA)), difference > 0.0)


def one_sided_sequence(totals: Totals) -> np.ndarray:
    """One-sided asymptotic confidence sequence of the difference in means, tuned to 1,000 tasks.

    Waudby-Smith et al., arXiv 2103.06476, with sample variances; promotes when its lower end passes 0.
    """
    mean0, mean1 = _safe(totals.s0, totals.n0), _safe(totals.s1, totals.n1)
    error = _safe(_safe(totals.q0, totals.n0) - mean0**2, totals.n0)
    error += _safe(_safe(totals.q1, totals.n1) - mean1**2, totals.n1)
    tasks = totals.n0 + totals.n1
    log_alpha = -2.0 * math.log(2.0 * ALPHA)
    rho2 = (log_alpha + math.log(log_alpha + 1.0)) / ONE_SIDED_TUNING
    growth = tasks * rho2 + 1.0
    edge = np.log(1.0 + np.sqrt(growth) / (2.0 * ALPHA))
    width = np.sqrt(np.maximum(error, 0.0) * tasks * 2.0 * growth * edge / (tasks**2 * rho2))
    return first((error > 0.0) & (totals.n0 > 1) & (totals.n1 > 1) & (mean1 - mean0 > width))


def naive_means(totals: Totals) -> np.ndarray:
    """Peek at a two-sided Welch test of means (normal limit), p < 0.05, from 5 tasks per arm on."""
    mean0, mean1 = _safe(totals.s0, totals.n0), _safe(totals.s1, totals.n1)
    error = _safe(totals.q0 - totals.n0 * mean0**2, totals.n0 * (totals.n0 - 1.0))
    error += _safe(totals.q1 - totals.n1 * mean1**2, totals.n1 * (totals.n1 - 1.0))
    z = _safe(mean1 - mean0, np.sqrt(np.maximum(error, 0.0)))
    is_enough = (totals.n0 >= 5) & (totals.n1 >= 5)
    return promoted(is_enough & (np.abs(z) > ndtri(1.0 - ALPHA / 2.0)), z > 0.0)


def _before(column: np.ndarray) -> np.ndarray:
    return np.concatenate((np.zeros_like(column[:, :1]), column[:, :-1]), axis=1)


def safe_two_by_two(batch: Batch, totals: Totals) -> np.ndarray:
    """One-sided 2×2 e-process with plug-in rates, Beta(0.18, 0.18) per arm (Turner, Ly & Grünwald 2024).

    e = p_arm(y)/p̄(y) with both rates from past tasks, p̄ = πp₁ + (1 − π)p₀; no bet while p₁ ≤ p₀.
    """
    rate0 = (SAFE_PRIOR + _before(totals.s0)) / (2.0 * SAFE_PRIOR + _before(totals.n0))
    rate1 = (SAFE_PRIOR + _before(totals.s1)) / (2.0 * SAFE_PRIOR + _before(totals.n1))
    return first(_known_rates_log(batch, rate0, rate1) >= -math.log(ALPHA))


def oracle(batch: Batch, control: float, treatment: float) -> np.ndarray:
    """The same e-process told both true rates: what no honest test can beat by much."""
    return first(_known_rates_log(batch, np.array(control), np.array(treatment)) >= -math.log(ALPHA))


def _known_rates_log(batch: Batch, rate0: np.ndarray, rate1: np.ndarray) -> np.ndarray:
    both = batch.shares * rate1 + (1.0 - batch.shares) * rate0
    own = np.where(batch.arms == 1.0, rate1, rate0)
    ratio = np.where(batch.outcomes == 1.0, own / both, (1.0 - own) / (1.0 - both))
    return np.cumsum(np.log(np.where(rate1 > rate0, ratio, 1.0)), axis=1)


def chi_square(totals: Totals) -> np.ndarray:
    """Peek at a chi-square test of equal shares, p < 0.01, after every task."""
    statistic = (totals.n1 - totals.n0) ** 2 / (totals.n1 + totals.n0)
    return first(statistic > ndtri(1.0 - 0.01 / 2.0) ** 2)


def information_bound(control: float, treatment: float) -> float:
    """Return ln(1/α)/JSD: mean tasks of the log-optimal e-value at equal shares, baseline unknown."""

    def entropy(p: float) -> float:
        return -p * math.log(p) - (1.0 - p) * math.log(1.0 - p)

    divergence = entropy((control + treatment) / 2.0) - (entropy(control) + entropy(treatment)) / 2.0
    return -math.log(ALPHA) / divergence
