"""Simulated series for the detectors: nothing happens in them, or exactly what was planted.

Tuned to no public set: shares with correlated attempts, counts with and without a daily cycle, gauges shaped
like loads, latencies, queues and temperatures.
"""

from dataclasses import dataclass

import numpy as np

from services.domain.anomaly import Sample
from services.domain.clock import HOUR_US
from services.domain.counts import CountWindow
from services.domain.gauge_windows import GaugeWindow

DAY_HOURS = 24
DAY_SECONDS = 86_400
CYCLE = 0.5
"""By how much of its mean the volume swings over a day."""


def daily(hours: int, swing: float = CYCLE) -> np.ndarray:
    """Return the factor of each hour, mean 1 (shape: hours)."""
    return 1.0 + swing * np.sin(2.0 * np.pi * np.arange(hours) / DAY_HOURS)


def shares(
    rng: np.random.Generator, hours: int, volume: float, rate: float, correlation: float = 0.0
) -> list[Sample]:
    """Draw hourly beta-binomial successes over a daily volume cycle; `volume` attempts an hour on average."""
    attempts = rng.poisson(volume * daily(hours))
    rates = np.full(hours, rate)
    if correlation:
        strength = 1.0 / correlation - 1.0
        rates = rng.beta(rate * strength, (1.0 - rate) * strength, size=hours)
    successes = rng.binomial(attempts, rates)
    return [Sample(int(x), int(n)) for x, n in zip(successes, attempts, strict=True)]


def counts(
    rng: np.random.Generator, hours: int, mean: float, dispersion: float = 0.0, swing: float = CYCLE
) -> list[CountWindow]:
    """Draw hourly negative binomial counts of variance μ + dispersion · μ²."""
    means = mean * daily(hours, swing)
    if dispersion:
        means = means * rng.gamma(1.0 / dispersion, dispersion, hours)
    return [CountWindow(int(x), HOUR_US, at % DAY_HOURS) for at, x in enumerate(rng.poisson(means))]


def levels(rng: np.random.Generator, hours: int, mean: float, swing: float = CYCLE) -> list[GaugeWindow]:
    """Draw an hourly gauge of whole things (a queue's length) over a daily cycle."""
    values = rng.poisson(mean * daily(hours, swing))
    return [GaugeWindow(float(x), 0.0, 1, at % DAY_HOURS) for at, x in enumerate(values)]


def office_means(hours: int, weekday: float, weekend: float, start: int) -> list[tuple[float, int, int]]:
    """Return mean, hour of day and day of week of each hour; `start`: hours after Monday midnight."""
    return [
        (
            (weekday if at // DAY_HOURS % 7 < 5 else weekend)
            * (1.0 + CYCLE * float(np.sin(2.0 * np.pi * at / DAY_HOURS))),
            at % DAY_HOURS,
            at // DAY_HOURS % 7,
        )
        for at in range(start, start + hours)
    ]


def office_counts(
    rng: np.random.Generator, hours: int, weekday: float, weekend: float, start: int = 0
) -> list[CountWindow]:
    """Draw Poisson counts of an office week."""
    means = office_means(hours, weekday, weekend, start)
    return [CountWindow(int(rng.poisson(mean)), HOUR_US, hour, day_of_week=day) for mean, hour, day in means]


def office_levels(
    rng: np.random.Generator, hours: int, weekday: float, weekend: float, start: int = 0
) -> list[GaugeWindow]:
    """Draw an hourly gauge of whole things, at least one, that follows an office week."""
    means = office_means(hours, weekday, weekend, start)
    return [
        GaugeWindow(float(max(1, rng.poisson(mean))), 0.0, 1, hour, day_of_week=day)
        for mean, hour, day in means
    ]


def durations(
    rng: np.random.Generator, hours: int, volume: float, sigma: float = 0.8, swing: float = 0.3
) -> list[GaugeWindow]:
    """Draw hourly windows of log-normal durations (µs), `volume` of them an hour on average."""
    windows = []
    for at, number in enumerate(rng.poisson(volume * daily(hours))):
        middle = 16.0 + swing * np.sin(2.0 * np.pi * at / DAY_HOURS)
        values = np.exp(rng.normal(middle, sigma, number))
        mean, sd = (float(values.mean()), float(values.std())) if number else (0.0, 0.0)
        windows.append(GaugeWindow(mean, sd, int(number), at % DAY_HOURS))
    return windows


@dataclass(frozen=True, slots=True)
class Planted:
    """A series with what was planted in it: values, seconds between them, first point of each anomaly."""

    values: np.ndarray
    step_seconds: int
    starts: tuple[int, ...] = ()


SHAPES = ("load", "latency", "queue", "temperature", "flat", "noise")
KINDS = ("shift", "spike", "wider", "flatline", "ramp")


def gauge(rng: np.random.Generator, shape: str, points: int, step_seconds: int) -> np.ndarray:
    """Draw a gauge in which nothing happens (shape: points)."""
    day = np.sin(2.0 * np.pi * np.arange(points) * step_seconds / DAY_SECONDS)
    noise = rng.normal(size=points)
    if shape == "load":
        return np.clip(np.round(40.0 + 15.0 * day + 3.0 * noise, 3), 0.0, 100.0)
    if shape == "latency":
        return np.exp(3.0 + 0.3 * day + 0.25 * noise)
    if shape == "queue":
        return rng.poisson(20.0 + 10.0 * day).astype(float)
    if shape == "temperature":
        return 70.0 + 4.0 * day + 0.4 * noise
    if shape == "flat":  # few distinct values: the median deviation is 0
        return np.where(rng.random(points) < 0.02, 0.068, 0.066)
    return 50.0 + 5.0 * noise


def planted(rng: np.random.Generator, shape: str, kind: str, points: int, step_seconds: int) -> Planted:
    """Plant one anomaly of a kind somewhere after the fifth day, sized by the series' own spread."""
    values = gauge(rng, shape, points, step_seconds)
    day = DAY_SECONDS // step_seconds
    at = int(rng.integers(5 * day, points - 2 * day))
    spread = max(float(np.std(values)), 0.02 * abs(float(np.median(values))))
    hours = 3_600 // step_seconds
    if kind == "shift":
        values[at : at + 24 * hours] += 4.0 * spread
    elif kind == "spike":
        values[at : at + hours] += 12.0 * spread
    elif kind == "wider":
        values[at : at + 12 * hours] += 4.0 * spread * rng.normal(size=12 * hours)
    elif kind == "flatline":
        values[at : at + 12 * hours] = 0.0
    else:
        values[at : at + 12 * hours] += np.linspace(0.0, 8.0 * spread, 12 * hours)
    return Planted(values, step_seconds, (at,))
