"""Is a success rate really falling, and has it recovered.

Stands in the observe stage of the loop: the observatory hands in hourly samples and publishes what comes
back. Proportions are tested against their own trailing week with a beta-binomial whose overdispersion is
fitted by moments (a plain binomial gives up to 125 false alarms per 1,000 hours, this one at most 2),
scanned over the last 1, 3, 6 and 24 samples, within one weekly false-alarm budget for all metrics. It never
keeps history, never decides what an episode is, and never reads an hour without attempts as 0 %.

The caller leaves out samples of open episodes: whatever is passed as history counts as normal. For a share
where a rise is bad (dead letters, overruns) pass denominator − numerator.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

import numpy as np
from scipy.special import bdtrc, betaln, gammaln

WINDOWS: Final = (1, 3, 6, 24)  # samples (hours) that are pooled and tested together
BASELINE_SAMPLES: Final = 168  # one week of hours
LOW_CONFIDENCE_BEFORE: Final = 72  # three days of hours
HOURS_PER_WEEK: Final = 168
DISPERSION_MARGIN: Final = 1.0  # standard errors added to the fitted dispersion: short histories stay quiet
SCREEN: Final = 2.0  # drops under two standard deviations are not worth an exact tail


class Sample(NamedTuple):
    """Successes and attempts of one interval; denominator 0 means nothing was seen, not 0 %."""

    numerator: int
    denominator: int


class Rule(StrEnum):
    """Which rule raised a detection."""

    LINE = "line"  # the rate is under the fixed line
    BASELINE = "baseline"  # the rate is under what its own last week makes plausible


@dataclass(frozen=True, slots=True)
class Detection:
    """A fall that the budget allows to be reported.

    numerator, denominator: the pooled evidence of the newest `window` samples. baseline_rate: the fitted
    rate, or the line itself when there is no history to fit. p_value: chance of a result this low if
    nothing had changed (BASELINE) or if the rate stood exactly on the line (LINE). is_low_confidence: less
    than three days of history.
    """

    rule: Rule
    numerator: int
    denominator: int
    baseline_rate: float
    p_value: float
    window: int
    is_low_confidence: bool = False


@dataclass(frozen=True, slots=True)
class Baseline:
    """What is normal: success rate, intra-hour correlation ρ, relative variance of the rate itself, samples
    used.
    """

    rate: float
    correlation: float
    uncertainty: float
    samples: int


def fit_baseline(history: Iterable[Sample]) -> Baseline:
    """Fit rate and overdispersion by moments on samples that had attempts; raises ValueError when there are
    none.

    With p = Σx/Σn and S = Σ nᵢ(pᵢ − p)², E[S] = p(1 − p)[(k − 1) + ρ(Σ nᵢ(1 − nᵢ/N) − (k − 1))] (Kleinman
    1973). S is raised by one of its standard errors; the rate takes half a pseudo-success and half a
    pseudo-failure, so a week without a failure still leaves failures possible.
    """
    attempts = successes = squares = samples = 0
    ratios = 0.0
    for numerator, denominator in history:
        if denominator:
            samples += 1
            attempts += denominator
            successes += numerator
            squares += denominator * denominator
            ratios += numerator * numerator / denominator
    if not samples:
        raise ValueError("a baseline needs at least one sample with attempts")
    rate = (successes + 0.5) / (attempts + 1.0)
    freedom = samples - 1
    spare = attempts - squares / attempts - freedom
    correlation = 0.0
    if freedom and spare > 0.0:
        dispersion = (ratios - successes * successes / attempts) / (rate * (1.0 - rate))
        dispersion *= 1.0 + DISPERSION_MARGIN * math.sqrt(2.0 / freedom)
        correlation = min(max((dispersion - freedom) / spare, 0.0), 0.9)
    uncertainty = (1.0 + correlation * (squares / attempts - 1.0)) / attempts
    return Baseline(rate, correlation, uncertainty, samples)


def lower_tail(numerator: int, denominator: int, rate: float, correlation: float) -> float:
    """Return P(X ≤ numerator) for a beta-binomial of mean `rate` and intra-class correlation ρ in (0, 1).

    a = rate(1/ρ − 1), b = (1 − rate)(1/ρ − 1); the sum starts ten standard deviations below whichever
    is lower, `numerator` or the mean.
    """
    strength = 1.0 / correlation - 1.0
    a, b = rate * strength, (1.0 - rate) * strength
    deviation = _deviation(denominator, rate, correlation)
    lowest = math.floor(min(numerator, denominator * rate) - 10.0 * deviation) - 10
    k = np.arange(max(0, lowest), numerator + 1, dtype=np.float64)
    n = float(denominator)
    choose = gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0)
    return min(1.0, float(np.exp(choose + betaln(k + a, n - k + b) - betaln(a, b)).sum()))


def detect_proportion(
    history: Sequence[Sample],
    *,
    line: float = 0.70,
    line_minimum: int = 24,
    budget_per_week: float = 1.0,
    metrics: int,
    minimum_history: int = 12,
) -> Detection | None:
    """Return the strongest fall in the newest samples, or None; history is oldest first, its last sample is
    newest.

    With at least `minimum_history` samples (that had attempts) before the window, both rules are tests at p
    < budget_per_week / (metrics · 168 · 4 windows): BASELINE against the fitted week, LINE against a rate
    of exactly `line`. Before that, LINE alone: the newest samples pooled to at least `line_minimum`
    attempts lie under `line`. A newest sample without attempts is no evidence: None. Raises ValueError
    naming a bad argument.
    """
    _check_detection(line, line_minimum, budget_per_week, metrics, minimum_history)
    if not history or not history[-1].denominator:
        return None
    guard = _guard(history, minimum_history)
    if not guard:
        return _cold_start(history, line, line_minimum)
    baseline = fit_baseline(history[-(BASELINE_SAMPLES + guard) : -guard])
    threshold = budget_per_week / (metrics * HOURS_PER_WEEK * len(WINDOWS))
    found = [hit for hit in _scan(history, baseline, guard, line) if hit.p_value < threshold]
    return min(found, key=lambda hit: (hit.rule is Rule.LINE, hit.p_value), default=None)


def is_recovered(
    recent: Sequence[Sample], *, line: float, minimum: int, required_rate: float, significance: float = 0.05
) -> bool:
    """Return whether `recent` (the samples since the decision) shows the metric back.

    Needed: at least `minimum` attempts, a rate that reaches `line` and `required_rate`, and a count that a
    true rate of exactly `line` would reach with probability below `significance` (binomial upper tail): a
    metric that sits just under its line does not recover by luck. Too few attempts are no recovery.
    """
    attempts = sum(sample.denominator for sample in recent)
    successes = sum(sample.numerator for sample in recent)
    if attempts < max(1, minimum) or successes / attempts < max(line, required_rate):
        return False
    return float(bdtrc(successes - 1, attempts, line)) < significance


def _guard(history: Sequence[Sample], minimum_history: int) -> int:
    """Return how many newest samples to keep out of the baseline: the widest window that leaves enough,
    else 0.
    """
    for window in reversed(WINDOWS):
        past = history[-(BASELINE_SAMPLES + window) : -window]
        if len(past) >= minimum_history and sum(1 for s in past if s.denominator) >= minimum_history:
            return window
    return 0


def _scan(history: Sequence[Sample], baseline: Baseline, guard: int, line: float) -> Iterator[Detection]:
    """Yield one detection per window and rule whose drop is worth an exact tail, with its p-value."""
    is_low_confidence = baseline.samples < LOW_CONFIDENCE_BEFORE
    for window in WINDOWS:
        if window > guard:
            return
        x = n = pairs = 0
        for numerator, denominator in history[-window:]:
            x += numerator
            n += denominator
            pairs += denominator * (denominator - 1)
        shared = baseline.correlation * pairs / (n * (n - 1.0)) if n > 1 else 0.0
        tests = (
            (Rule.BASELINE, baseline.rate, shared + baseline.uncertainty),
            (Rule.LINE, line, shared + 1e-9),
        )
        for rule, rate, correlation in tests:
            if 0.0 < rate < 1.0 and n * rate - x >= SCREEN * _deviation(n, rate, correlation):
                p_value = lower_tail(x, n, rate, min(correlation, 0.99))
                yield Detection(rule, x, n, baseline.rate, p_value, window, is_low_confidence)


def _cold_start(history: Sequence[Sample], line: float, line_minimum: int) -> Detection | None:
    """Pool the newest samples (at most a day of them) up to `line_minimum` attempts and hold them to the
    line.
    """
    x = n = window = 0
    for numerator, denominator in reversed(history[-max(WINDOWS) :]):
        x, n, window = x + numerator, n + denominator, window + 1
        if n >= line_minimum:
            break
    if n < line_minimum or x >= line * n:
        return None
    p_value = lower_tail(x, n, min(line, 1.0 - 1e-9), 1e-9)
    return Detection(Rule.LINE, x, n, line, p_value, window, is_low_confidence=True)


def _deviation(n: int, rate: float, correlation: float) -> float:
    """Return the standard deviation of the beta-binomial count."""
    return math.sqrt(n * rate * (1.0 - rate) * (1.0 + (n - 1) * correlation))


def _require_share(name: str, share: float) -> None:
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"{name} must lie in [0, 1], got {share!r}")


def _check_detection(
    line: float, line_minimum: int, budget: float, metrics: int, minimum_history: int
) -> None:
    _require_share("line", line)
    for name, value, least in (
        ("line_minimum", line_minimum, 1),
        ("metrics", metrics, 1),
        ("minimum_history", minimum_history, 2),
    ):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value!r}")
    if not 0.0 < budget < math.inf:
        raise ValueError(f"budget_per_week must be positive, got {budget!r}")
