"""Which settings are worth an investigation, and which knowledge has gone stale: rankings of patterns.

Stands under the nightly consolidation. What it says of values that were not in force at the same time is
observation, not experiment: it tells a diagnostician where to look first, and nothing is changed for it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from services.domain.parameters import Parameter, Risk
from services.domain.patterns import Entry, bucket_of, weighed
from services.domain.states import EndReason

LEAST_TASKS: Final = 30.0
"""Weighed tasks under a value below which nothing is said about it."""
LEAST_PASSED: Final = 8.0
"""Weighed tasks that ran past the limit in force, under longer ones, from which their fate is believed."""
LEAST_SCORE: Final = 0.02
STANDARD_ERRORS: Final = 2.0
PER_TYPE: Final = 5
LONG_AGO_DAYS: Final = 42
"""Evidence of a promoted value is old after six weeks."""
MOVED_P_VALUE: Final = 0.001
LEAST_COMPARED: Final = 50


@dataclass(frozen=True, slots=True)
class Tried:
    """A change that was proposed or tried: its value, how it ended, when (microseconds)."""

    value: str
    how: str
    at_us: int | None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A setting to look at, in which direction, with what is to be gained (share of tasks) and why."""

    task_type: str
    parameter: str
    direction: str
    value: str
    to: str | None
    score: float
    basis: str
    evidence: dict[str, float] = field(default_factory=dict)


def is_time_limit(parameter: Parameter) -> bool:
    """Tell whether a parameter is the time that tasks of its type are allowed."""
    return parameter.unit == "seconds" and parameter.name.partition(".")[2].startswith("timeout")


def rank(
    task_type: str,
    parameters: Sequence[Parameter],
    in_force: Mapping[str, str],
    days: Mapping[tuple[str, str], Mapping[str, Entry]],
    today: int,
) -> list[Candidate]:
    """Return what is worth a look for one type, the largest gain first, at most five.

    `days` are the days of each (parameter, value) that was in force.
    """
    found = []
    for parameter in parameters:
        value = in_force.get(parameter.name)
        if parameter.risk is Risk.FIXED or not parameter.is_number or value is None:
            continue
        under = {
            other: weighed(entries, today)
            for (name, other), entries in days.items()
            if name == parameter.name
        }
        if value not in under:
            continue
        one = (
            _of_limit(task_type, parameter, value, under)
            if is_time_limit(parameter)
            else _of_values(task_type, parameter, value, under, days)
        )
        if one is not None and one.score >= LEAST_SCORE:
            found.append(one)
    return sorted(found, key=lambda one: (-one.score, one.parameter))[:PER_TYPE]


def _of_limit(
    task_type: str, parameter: Parameter, value: str, under: Mapping[str, Entry]
) -> Candidate | None:
    """Say what more time would gain: seen under longer limits, else by the fall from half the limit to it."""
    now = under[value]
    limit_us = int(Decimal(value) * 1_000_000)
    cut = now["reasons"].get(EndReason.TIMED_OUT, 0.0)
    if now["tasks"] < LEAST_TASKS or not cut:
        return None
    share = cut / now["tasks"]
    near = sum(count for bucket, count in now["histogram"].items() if int(bucket) >= bucket_of(limit_us // 2))
    finished, still_cut, longest = _past(limit_us, under)
    passed = finished + still_cut
    if passed >= LEAST_PASSED:
        reach, basis = finished / passed, "seen"
    else:
        reach, basis = near / (near + cut), "tail"
    evidence = {
        "tasks": now["tasks"],
        "timed_out_share": share,
        "ended_from_half_the_limit_share": near / now["tasks"],
        "passed_under_longer_limits": passed,
        "finished_under_longer_limits": finished,
        "longest_limit_seconds": longest,
    }
    return Candidate(task_type, parameter.name, "up", value, None, share * reach, basis, _rounded(evidence))


def _past(limit_us: int, under: Mapping[str, Entry]) -> tuple[float, float, float]:
    """Return what ran past a limit under longer ones: finished, cut off at theirs; and the longest (s)."""
    finished = still_cut = longest = 0.0
    for other, entry in under.items():
        other_us = int(Decimal(other) * 1_000_000)
        if other_us <= limit_us:
            continue
        past = sum(count for bucket, count in entry["histogram"].items() if int(bucket) > bucket_of(limit_us))
        finished += past
        still_cut += entry["reasons"].get(EndReason.TIMED_OUT, 0.0)
        longest = max(longest, other_us / 1e6)
    return finished, still_cut, longest


def _of_values(
    task_type: str,
    parameter: Parameter,
    value: str,
    under: Mapping[str, Entry],
    days: Mapping[tuple[str, str], Mapping[str, Entry]],
) -> Candidate | None:
    """Say which other value tasks went better under: the surest lower bound of the gain, two errors away.

    A value under which tasks went well when it was new is not what made them fail: it is left alone.
    """
    now = under[value]
    if now["tasks"] < LEAST_TASKS:
        return None
    mine = 1.0 - now["failures"] / now["tasks"]
    began = _first_rate(days[parameter.name, value])
    best: Candidate | None = None
    for other in sorted(set(under) - {value}):
        entry = under[other]
        if entry["tasks"] < LEAST_TASKS:
            continue
        theirs = 1.0 - entry["failures"] / entry["tasks"]
        error = math.sqrt(_variance(mine, now["tasks"]) + _variance(theirs, entry["tasks"]))
        gain = theirs - mine - STANDARD_ERRORS * error
        if gain <= (best.score if best else 0.0) or theirs - began < (theirs - mine) / 2:
            continue
        evidence = {
            "tasks": now["tasks"], "success_rate": mine, "other_tasks": entry["tasks"],
            "other_success_rate": theirs, "success_rate_at_first": began,
        }  # fmt: skip
        direction = "up" if Decimal(other) > Decimal(value) else "down"
        best = Candidate(
            task_type, parameter.name, direction, value, other, gain, "values", _rounded(evidence)
        )
    return best


def _first_rate(days: Mapping[str, Entry]) -> float:
    """Return the success rate of a value's first days, up to the first 30 tasks."""
    tasks = failures = 0
    for day in sorted(days, key=int):
        tasks += days[day]["tasks"]
        failures += days[day]["failures"]
        if tasks >= LEAST_TASKS:
            break
    return 1.0 - failures / tasks if tasks else 0.0


def _variance(rate: float, tasks: float) -> float:
    """Return the variance of an observed rate, with two successes and two failures more: never zero."""
    near = (rate * tasks + 2.0) / (tasks + 4.0)
    return near * (1.0 - near) / (tasks + 4.0)


def moved(then: Entry, now: Entry) -> str | None:
    """Say whether success or durations are other than they were: `success`, `durations`, or None.

    Success by two proportions (normal approximation), durations by the largest distance of the two
    distributions (Kolmogorov-Smirnov over the buckets), both at p < 0.001.
    """
    if min(then["tasks"], now["tasks"]) < LEAST_COMPARED:
        return None
    rates = [1.0 - entry["failures"] / entry["tasks"] for entry in (then, now)]
    error = math.sqrt(_variance(rates[0], then["tasks"]) + _variance(rates[1], now["tasks"]))
    if math.erfc(abs(rates[0] - rates[1]) / error / math.sqrt(2.0)) < MOVED_P_VALUE:
        return "success"
    sizes = [sum(entry["histogram"].values()) for entry in (then, now)]
    if min(sizes) < LEAST_COMPARED:
        return None
    distance = _distance(then["histogram"], now["histogram"], sizes)
    effective = math.sqrt(sizes[0] * sizes[1] / (sizes[0] + sizes[1]))
    p_value = min(1.0, 2.0 * math.exp(-2.0 * (effective * distance) ** 2))
    return "durations" if p_value < MOVED_P_VALUE else None


def _distance(first: Mapping[str, int], second: Mapping[str, int], sizes: Sequence[float]) -> float:
    below = [0.0, 0.0]
    distance = 0.0
    for bucket in sorted({*first, *second}, key=int):
        below[0] += first.get(bucket, 0) / sizes[0]
        below[1] += second.get(bucket, 0) / sizes[1]
        distance = max(distance, abs(below[0] - below[1]))
    return distance


def _rounded(evidence: Mapping[str, Any]) -> dict[str, float]:
    return {name: round(float(value), 4) for name, value in evidence.items()}
