"""Whether work went better under a former value of a setting, and not for another reason.

Pure. Former values were not in force beside the present one, so this is observation: it names a change to
test, never a result. A value under which work went well when it was new is left alone, whatever happened
later: it is not what made the work fail.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from app.agents.evidence import ParameterFact, TaskFact
from app.agents.memory import Remembered

LEAST_NOW = 8
LEAST_REMEMBERED = 30
STANDARD_ERRORS = 2.5


@dataclass(frozen=True, slots=True)
class Former:
    """A former value and how work went under it; `gain` is in success rate, over the tasks looked at."""

    value: float
    success_rate: float
    tasks: int
    rate_now: float
    gain: float


def better_value(
    of_type: Sequence[TaskFact],
    parameter: ParameterFact,
    remembered: Sequence[Remembered],
    refused: Sequence[float],
    least_gain: float,
) -> Former | None:
    """The former value that promises most, 2.5 standard errors away, or None.

    `refused` are values that were tried in vain. What is too far for one change is brought as near as one
    change may.
    """
    now = [fact for fact in of_type if fact.values.get(parameter.name, parameter.value) == parameter.value]
    if len(now) < LEAST_NOW:
        return None
    rate_now = sum(not fact.is_failure for fact in now) / len(now)
    mine = next((one for one in remembered if one.value == parameter.value), None)
    found = []
    for one in remembered:
        if one.value == parameter.value or one.tasks < LEAST_REMEMBERED or one.value in refused:
            continue
        gain = one.success_rate - rate_now
        error = math.sqrt(_variance(rate_now, len(now)) + _variance(one.success_rate, one.tasks))
        if gain < max(least_gain, STANDARD_ERRORS * error):
            continue
        if mine is not None and mine.tasks >= LEAST_REMEMBERED and mine.first_rate > rate_now + gain / 2:
            continue
        found.append(Former(_reachable(one.value, parameter), one.success_rate, one.tasks, rate_now, gain))
    return max(found, key=lambda former: (former.gain, former.value), default=None)


def _reachable(value: float, parameter: ParameterFact) -> float:
    lowest = max(parameter.low, parameter.value / parameter.step_max)
    highest = min(parameter.high, parameter.value * parameter.step_max)
    return min(max(value, lowest), highest)


def _variance(rate: float, tasks: int) -> float:
    near = (rate * tasks + 2.0) / (tasks + 4.0)
    return near * (1.0 - near) / (tasks + 4.0)
