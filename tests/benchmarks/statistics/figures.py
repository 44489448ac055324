"""Figures from simulated arrays: a share, mean, median or gain, each with its 95 % Monte-Carlo interval."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import bdtr, betaincinv

from tests.benchmarks.statistics.peers import NEVER

Z = 1.959964


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value, the ends of its 95 % interval (equal to it if there is none), the runs behind it."""

    value: float
    low: float
    high: float
    runs: int


Measure = Callable[[dict[str, np.ndarray], str, int], Figure]
"""A cell's arrays, the rule's name in them and the cap in tasks → the figure."""


def promoted_percent(arrays: dict[str, np.ndarray], rule: str, cap: int) -> Figure:
    """Return the percentage of runs in which the rule stopped with its verdict within the cap."""
    at = arrays[rule]
    return share_of(int(((at != NEVER) & (at <= cap)).sum()), len(at))


def within_percent(tasks: int) -> Measure:
    """Return the measure "stopped within so many tasks", in percent."""

    def measure(arrays: dict[str, np.ndarray], rule: str, _cap: int) -> Figure:
        return promoted_percent(arrays, rule, tasks)

    return measure


def mean_tasks(arrays: dict[str, np.ndarray], rule: str, cap: int) -> Figure:
    """Return the mean tasks (both arms); a run that never got there counts as the cap."""
    return mean_of(np.where(arrays[rule] == NEVER, cap, arrays[rule]).astype(float))


def median_tasks(arrays: dict[str, np.ndarray], rule: str, cap: int) -> Figure:
    """Return the median tasks, its interval from order statistics; a run that never got there is the cap."""
    tasks = np.sort(np.where(arrays[rule] == NEVER, cap, arrays[rule]))
    number = len(tasks)
    below = int(np.searchsorted(bdtr(np.arange(number), number, 0.5), 0.025))
    low, high = tasks[max(0, below - 1)], tasks[min(number - 1, number - below)]
    return Figure(float(np.median(tasks)), float(low), float(high), number)


def mean_percent(arrays: dict[str, np.ndarray], rule: str, _cap: int) -> Figure:
    """Return the mean of shares (one per stream), in percent."""
    return mean_of(100.0 * arrays[rule])


def fewer_percent(reference: str) -> Measure:
    """Return the measure "how many per cent fewer mean tasks than `reference` on the same experiments"."""

    def measure(arrays: dict[str, np.ndarray], rule: str, cap: int) -> Figure:
        ours = np.where(arrays[rule] == NEVER, cap, arrays[rule]).astype(float)
        theirs = np.where(arrays[reference] == NEVER, cap, arrays[reference]).astype(float)
        ratio = float(ours.mean() / theirs.mean())
        error = float(np.std(ours - ratio * theirs) / (theirs.mean() * math.sqrt(len(ours))))  # delta method
        gain = 100.0 * (1.0 - ratio)
        return Figure(gain, gain - 100.0 * Z * error, gain + 100.0 * Z * error, len(ours))

    return measure


def share_of(hits: int, number: int) -> Figure:
    """Return hits of number in percent with the exact (Clopper–Pearson) interval."""
    low = 0.0 if hits == 0 else float(betaincinv(hits, number - hits + 1, 0.025))
    high = 1.0 if hits == number else float(betaincinv(hits + 1, number - hits, 0.975))
    return Figure(100.0 * hits / number, 100.0 * low, 100.0 * high, number)


def mean_of(values: np.ndarray) -> Figure:
    """Return the mean with its normal interval (none for a single value)."""
    mean, number = float(values.mean()), len(values)
    error = Z * float(np.std(values, ddof=1)) / math.sqrt(number) if number > 1 else 0.0
    return Figure(mean, mean - error, mean + error, number)
