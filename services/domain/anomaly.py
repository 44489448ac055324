"""Is a share really falling (or rising), and has it recovered.

Stands in the observe stage of the loop: the observatory hands in hourly samples and publishes what comes
back. Proportions are tested against their own trailing week with a beta-binomial whose overdispersion is
fitted by moments (a plain binomial gives up to 125 false alarms per 1,000 hours, this one at most 2),
scanned over the last 1, 3, 6 and 24 samples, within one weekly false-alarm budget for all metrics. It never
keeps history, never decides what an episode is, and never reads an hour without attempts as 0 %.

Samples of open episodes and of gaps come marked as excluded: whatever else is passed counts as normal.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from scipy.special import bdtrc, betaincinv, betaln, gammaln

from services.domain.measures import Bad

WINDOWS: Final = (1, 3, 6, 24)  # samples (hours) that are pooled and tested together
BASELINE_SAMPLES: Final = 168  # one week of hours
MINIMUM_HISTORY: Final = 12  # samples without which nothing is tested against a baseline
LOW_CONFIDENCE_BEFORE: Final = 72  # three days of hours
HOURS_PER_WEEK: Final = 168
DISPERSION_MARGIN: Final = 1.0  # standard errors added to the fitted dispersion: short histories stay quiet
SCREEN: Final = 2.0  # drops under two standard deviations are not worth an exact tail
Band: TypeAlias = tuple[float, float]
"""Low and high, in the unit of what lies between them."""
BAND_OUTSIDE: Final = 0.01  # how often a quiet metric lies outside its band


class Sample(NamedTuple):
    """Successes and attempts of one interval; denominator 0 means nothing was seen, not 0 %.

    is_excluded: the interval lies in an open episode or is a gap; it is neither history nor news.
    """

    numerator: int
    denominator: int
    is_excluded: bool = False


class Rule(StrEnum):
    """Which rule raised a detection."""

    LINE = "line"  # the rate is under the fixed line
    BASELINE = "baseline"  # the rate is under what its own last week makes plausible


@dataclass(frozen=True, slots=True)
class Detection:
    """A departure that the budget allows to be reported, of a metric of any kind.

    numerator, denominator: the pooled evidence of the newest `window` samples (proportion: successes of
    attempts; count: events in windows; gauge, duration: rounded sum of the values and their number).
    observed, expected, interval: in the metric's own unit (proportion: rates; count: events in the whole
    window; gauge, duration: mean value); a quiet metric lies in [low, high] in 99 windows of 100.
    baseline_rate: what is normal (proportion: the fitted rate, or the line itself when there is no history
    to fit; count, gauge, duration: the same as `expected`). p_value: chance of a result this far out if
    nothing had changed (BASELINE) or if the rate stood exactly on the line (LINE). is_low_confidence: less
    than three days of history.
    """

    rule: Rule
    numerator: int
    denominator: int
    baseline_rate: float
    p_value: float
    window: int
    observed: float
    expected: float
    interval: Band
    is_low_confidence: bool = False


def threshold_of(budget_per_week: float, metrics: int) -> float:
    """Return the p-value under which one window of one metric may be reported: one budget for all metrics.

    budget_per_week: false alarms a week on the whole platform, looked at hourly. Raises ValueError naming a
    bad argument.
    """
    if not 0.0 < budget_per_week < math.inf:
        raise ValueError(f"budget_per_week must be positive, got {budget_per_week!r}")
    if metrics < 1:
        raise ValueError(f"metrics must be at least 1, got {metrics!r}")
    return budget_per_week / (metrics * HOURS_PER_WEEK * len(WINDOWS))


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
    for numerator, denominator, is_excluded in history:
        if denominator and not is_excluded:
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
    line: float | None = 0.70,
    line_minimum: int = 24,
    budget_per_week: float = 1.0,
    metrics: int,
    minimum_history: int = MINIMUM_HISTORY,
    bad: Bad = Bad.FALL,
) -> Detection | None:
    """Return the strongest fall (or rise) in the newest samples, or None; history is oldest first.

    With at least `minimum_history` samples (that had attempts) before the window, both rules are tests at p
    < budget_per_week / (metrics · 168 · 4 windows): BASELINE against the fitted week, LINE against a rate
    of exactly `line`. Before that, LINE alone: the newest samples pooled to at least `line_minimum`
    attempts lie under `line`. `line` None: BASELINE alone. Where a rise is bad the line is one that the rate
    must not exceed, and has to be given (the default is one for falls). EITHER has no line and doubles the
    p-value. A newest sample without attempts, or excluded, is no evidence: None. Raises ValueError naming a
    bad argument.
    """
    _check_detection(line, line_minimum, minimum_history, history)
    threshold = threshold_of(budget_per_week, metrics)
    rules = _Rules(line, line_minimum, minimum_history, threshold)
    if bad is Bad.FALL:
        return _strongest_fall(history, rules)
    flipped = [Sample(s.denominator - s.numerator, s.denominator, s.is_excluded) for s in history]
    if bad is Bad.RISE:
        under = None if line is None else 1.0 - line
        return _flipped(_strongest_fall(flipped, rules._replace(line=under)))
    rules = rules._replace(line=None, threshold=threshold / 2.0)
    both = (_strongest_fall(history, rules), _flipped(_strongest_fall(flipped, rules)))
    found = min((hit for hit in both if hit), key=lambda hit: hit.p_value, default=None)
    return found and replace(found, p_value=min(1.0, 2.0 * found.p_value))


def proportion_band(history: Iterable[Sample], pool: Iterable[Sample]) -> Band:
    """Return the rates (low, high) between which pooled samples lie in 99 of 100 cases if nothing changed.

    history: what was normal, oldest first, excluded samples are left out; pool: the samples to be judged,
    of which only the attempts matter. No attempts in the pool: (0, 1). Raises ValueError for a history
    without attempts.
    """
    baseline = fit_baseline(history)
    sizes = [sample.denominator for sample in pool if not sample.is_excluded]
    n = sum(sizes)
    if not n:
        return 0.0, 1.0
    shared = _shared(baseline.correlation, n, sum(size * (size - 1) for size in sizes))
    return _band(n, baseline.rate, min(shared + baseline.uncertainty, 0.99))


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


class _Rules(NamedTuple):
    line: float | None
    line_minimum: int
    minimum_history: int
    threshold: float


def _strongest_fall(history: Sequence[Sample], rules: _Rules) -> Detection | None:
    """Return the strongest fall that the threshold lets through."""
    if not history or not history[-1].denominator or history[-1].is_excluded:
        return None
    guard = _guard(history, rules.minimum_history)
    if not guard:
        return None if rules.line is None else _cold_start(history, rules.line, rules.line_minimum)
    baseline = fit_baseline(history[-(BASELINE_SAMPLES + guard) : -guard])
    hits = _scan(history, baseline, guard, rules.line)
    found = [hit for hit in hits if hit.p_value < rules.threshold]
    best = min(found, key=lambda hit: (hit.rule is Rule.LINE, hit.p_value), default=None)
    return best and replace(
        best, interval=proportion_band(history[-(BASELINE_SAMPLES + guard) : -guard], history[-best.window :])
    )


def _flipped(found: Detection | None) -> Detection | None:
    """Return a fall of the complement as the rise that it is."""
    return found and replace(
        found,
        numerator=found.denominator - found.numerator,
        baseline_rate=1.0 - found.baseline_rate,
        observed=1.0 - found.observed,
        expected=1.0 - found.expected,
        interval=(1.0 - found.interval[1], 1.0 - found.interval[0]),
    )


def _band(n: int, rate: float, correlation: float) -> Band:
    """Return the 99 % band of a beta-binomial rate by the beta distribution of the same mean and variance.

    Var(X/n) = rate(1 − rate)(1 + (n − 1)ρ)/n, so a + b = 1/ρ' − 1 with ρ' = (1 + (n − 1)ρ)/n. The beta of
    n attempts lies a little inside the discrete tails, hence the one count that is added on either side.
    """
    effective = min((1.0 + (n - 1.0) * correlation) / n, 0.999)
    strength = max(1.0 / effective - 1.0, 1e-3)
    a, b = rate * strength, (1.0 - rate) * strength
    low, high = (float(betaincinv(a, b, q)) for q in (BAND_OUTSIDE / 2.0, 1.0 - BAND_OUTSIDE / 2.0))
    return max(0.0, low - 0.5 / n), min(1.0, high + 0.5 / n)


def _shared(correlation: float, n: int, pairs: int) -> float:
    """Return the correlation of two attempts of a pool: ρ where they share a sample (`pairs`), else 0."""
    return correlation * pairs / (n * (n - 1.0)) if n > 1 else 0.0


def _guard(history: Sequence[Sample], minimum_history: int) -> int:
    """Return how many newest samples to keep out of the baseline: the widest window that leaves enough,
    else 0.
    """
    for window in reversed(WINDOWS):
        past = history[-(BASELINE_SAMPLES + window) : -window]
        if len(past) < minimum_history:
            continue
        if sum(1 for s in past if s.denominator and not s.is_excluded) >= minimum_history:
            return window
    return 0


def _scan(
    history: Sequence[Sample], baseline: Baseline, guard: int, line: float | None
) -> Iterator[Detection]:
    """Yield one detection per window and rule whose drop is worth an exact tail, with its p-value."""
    is_low_confidence = baseline.samples < LOW_CONFIDENCE_BEFORE
    for window in WINDOWS:
        if window > guard:
            return
        x = n = pairs = 0
        for numerator, denominator, is_excluded in history[-window:]:
            if not is_excluded:
                x += numerator
                n += denominator
                pairs += denominator * (denominator - 1)
        shared = _shared(baseline.correlation, n, pairs)
        tests = [(Rule.BASELINE, baseline.rate, shared + baseline.uncertainty)]
        if line is not None:
            tests.append((Rule.LINE, line, shared + 1e-9))
        for rule, rate, correlation in tests:
            if 0.0 < rate < 1.0 and n * rate - x >= SCREEN * _deviation(n, rate, correlation):
                p_value = lower_tail(x, n, rate, min(correlation, 0.99))
                yield Detection(
                    rule,
                    x,
                    n,
                    baseline.rate,
                    p_value,
                    window,
                    x / n,
                    baseline.rate,
                    (0.0, 1.0),
                    is_low_confidence,
                )


def _cold_start(history: Sequence[Sample], line: float, line_minimum: int) -> Detection | None:
    """Pool the newest samples (at most a day of them) up to `line_minimum` attempts and hold them to the
    line.
    """
    x = n = window = 0
    for numerator, denominator, is_excluded in reversed(history[-max(WINDOWS) :]):
        window += 1
        if not is_excluded:
            x, n = x + numerator, n + denominator
        if n >= line_minimum:
            break
    if n < line_minimum or x >= line * n:
        return None
    p_value = lower_tail(x, n, min(line, 1.0 - 1e-9), 1e-9)
    return Detection(Rule.LINE, x, n, line, p_value, window, x / n, line, (line, 1.0), is_low_confidence=True)


def _deviation(n: int, rate: float, correlation: float) -> float:
    """Return the standard deviation of the beta-binomial count."""
    return math.sqrt(n * rate * (1.0 - rate) * (1.0 + (n - 1) * correlation))


def _require_share(name: str, share: float) -> None:
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"{name} must lie in [0, 1], got {share!r}")


def _check_detection(
    line: float | None, line_minimum: int, minimum_history: int, history: Sequence[Sample]
) -> None:
    if line is not None:
        _require_share("line", line)
    for name, value, least in (("line_minimum", line_minimum, 1), ("minimum_history", minimum_history, 2)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value!r}")
    for numerator, denominator, _ in history:
        if not 0 <= numerator <= denominator:
            raise ValueError(f"history must hold successes of attempts, got {numerator!r} of {denominator!r}")
