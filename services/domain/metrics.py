"""What an experiment may be decided on: task success as it is, duration and cost by their rank.

Stands under the bet and its guardrails. A heavy tail makes a mean useless (a confidence sequence on the raw
mean finds a cost of × 0.8 in 15 % of runs, ranks in over 99 %), so durations and costs decide by their
mid-rank among the outcomes before them, an exact sequential Wilcoxon test. It never sees an arm.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

RANK_VARIANCE: Final = 1.0 / 12.0  # of a uniform rank in (0, 1)


class Metric(StrEnum):
    """A measure of one task; the unit of its effect is in each line."""

    SUCCESS = "task_success"
    """1 when the verifier agreed in time, else 0; higher is better. Effect: gain in success rate."""
    DURATION = "task_duration"
    """Seconds from award to end; lower is better. Effect: P(a treated task is quicker) − ½."""
    COST = "task_cost"
    """Microcredits paid; lower is better. Effect: P(a treated task is cheaper) − ½."""

    @property
    def is_ranked(self) -> bool:
        """Whether the bet is on the rank among past outcomes (lower is better) and not on the value."""
        return self is not Metric.SUCCESS


def mid_rank(past: Sequence[float], value: float) -> float:
    """Return the rank of `value` among `past` (ascending) in (0, 1), 1 when it is lower than all of them.

    (number larger + (number equal + 1) / 2) / (n + 1): under the null a task's arm says nothing about it,
    whatever the distribution. One half when nothing came before.
    """
    low, high = bisect_left(past, value), bisect_right(past, value)
    return (len(past) - high + (high - low + 1) / 2.0) / (len(past) + 1)


def winsorised(value: float, ceiling: float) -> float:
    """Return a duration or cost as a score in [0, 1]: 1 − min(value, ceiling) / ceiling, higher is better."""
    return 1.0 - min(value, ceiling) / ceiling
