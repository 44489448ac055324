"""The naive rules, on the same windows: what a team writes first."""

from collections.abc import Sequence

import numpy as np
from scipy.special import bdtr, pdtr, pdtrc

from services.domain.anomaly import Sample
from services.domain.counts import CountWindow

P = 1e-3
LINE = 0.70
Z = 3.0
MAD_TO_SD = 1.4826


def is_under_line(history: Sequence[Sample]) -> bool:
    """Alarm when the newest share lies under 70 %."""
    x, n, _ = history[-1]
    return n > 0 and x / n < LINE


def is_far_from_median(history: Sequence[Sample]) -> bool:
    """Alarm when the newest share lies more than 3 median deviations from the week's median."""
    x, n, _ = history[-1]
    if not n:
        return False
    past = np.array([s.numerator / s.denominator for s in history[:-1] if s.denominator])
    middle = np.median(past)
    scale = MAD_TO_SD * float(np.median(np.abs(past - middle)))
    return bool(abs(x / n - middle) > Z * scale)


def is_rare_binomial(history: Sequence[Sample]) -> bool:
    """Alarm when a binomial of the week's share gives so few successes with p < 1e-3."""
    attempts = sum(s.denominator for s in history[:-1])
    x, n, _ = history[-1]
    return bool(n > 0 and bdtr(x, n, sum(s.numerator for s in history[:-1]) / attempts) < P)


def is_rare_poisson(windows: Sequence[CountWindow]) -> bool:
    """Alarm when a Poisson of the week's flat mean gives so few or so many with p < 1e-3, two-sided."""
    mean = sum(w.count for w in windows[:-1]) / (len(windows) - 1)
    newest = windows[-1].count
    return bool(2.0 * min(pdtr(newest, mean), pdtrc(newest - 1, mean) if newest else 1.0) < P)


def is_far_count(windows: Sequence[CountWindow]) -> bool:
    """Alarm when the newest count lies more than 3 median deviations from the week's median."""
    past = np.array([w.count for w in windows[:-1]])
    middle = np.median(past)
    scale = MAD_TO_SD * float(np.median(np.abs(past - middle)))
    return bool(abs(windows[-1].count - middle) > Z * scale)
