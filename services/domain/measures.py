"""The measures: every metric that the observatory publishes, as one table.

Stands under layer 1, the watchdog and the pages. A window of a metric keeps a numerator and a denominator,
never only a ratio, both exact integers: successes of attempts (proportion), how many (count, denominator 1),
the sum of values and their number (gauge, duration, amount). It never holds a value.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class MetricKind(StrEnum):
    """What a window's numerator and denominator mean, and which detector reads them."""

    PROPORTION = "proportion"
    """Good ones of all; a window without any is no evidence. Read by the beta-binomial scan."""
    COUNT = "count"
    """How many in the window (denominator 1); zero is a value. Read by the negative binomial scan."""
    GAUGE = "gauge"
    """Sum of the values seen and how many were seen. Read by the robust scores."""
    DURATION = "duration"
    """Sum of microseconds and how many; with squares and a histogram. Read by the robust scores, on logs."""
    AMOUNT = "amount"
    """Sum of microcredits and how many; read like a duration."""


class Grain(StrEnum):
    """How long the windows of a series are."""

    WINDOW = "window"
    """As they were counted, about an hour each."""
    DAY = "day"
    """The windows of an old day, merged."""


class Dimension(StrEnum):
    """What a series is of."""

    PLATFORM = "platform"
    TASK_TYPE = "task_type"
    AGENT = "agent"
    MODEL = "model"
    JOB = "job"


class Bad(StrEnum):
    """Which way a metric goes wrong."""

    FALL = "fall"
    RISE = "rise"
    EITHER = "either"


class Family(StrEnum):
    """Metrics that one incident moves together; while one has an open episode the others open none."""

    TASKS = "tasks"
    BUS = "bus"
    CRON = "cron"
    LOOP = "loop"


TASK_CUTS: Final = (Dimension.PLATFORM, Dimension.TASK_TYPE, Dimension.AGENT, Dimension.MODEL)
WHOLE: Final = (Dimension.PLATFORM,)
ALL: Final = "all"
"""The key of the platform's own series."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One metric. `watched` are the dimensions whose series open episodes; the others are only published."""

    name: str
    kind: MetricKind
    unit: str
    family: Family
    bad: Bad
    dimensions: tuple[Dimension, ...]
    watched: tuple[Dimension, ...]
    summary: str
    least_step: float = 0.0
    """Differences of a gauge that are no news, in its unit."""


_BY_TYPE = (Dimension.TASK_TYPE, Dimension.PLATFORM)
MEASURES: Final[tuple[Measure, ...]] = (
    Measure("task_success", MetricKind.PROPORTION, "tasks", Family.TASKS, Bad.FALL, TASK_CUTS, _BY_TYPE,
            "Users' tasks whose result was verified, of all that were settled, failed or expired."),
    Measure("tasks_timed_out", MetricKind.PROPORTION, "tasks", Family.TASKS, Bad.RISE, TASK_CUTS, (),
            "Users' tasks that ran out of time, of all that were settled, failed or expired."),
    Measure("tasks_posted", MetricKind.COUNT, "tasks", Family.TASKS, Bad.EITHER,
            (Dimension.PLATFORM, Dimension.TASK_TYPE), WHOLE, "Users' tasks that were posted."),
    Measure("tasks_ended", MetricKind.COUNT, "tasks", Family.TASKS, Bad.FALL, TASK_CUTS, _BY_TYPE,
            "Users' tasks that were settled, failed or expired."),
    Measure("task_duration", MetricKind.DURATION, "microseconds", Family.TASKS, Bad.RISE, TASK_CUTS,
            (Dimension.TASK_TYPE,), "From award to end of users' tasks that were settled or failed."),
    Measure("task_wait", MetricKind.DURATION, "microseconds", Family.TASKS, Bad.RISE,
            (Dimension.PLATFORM, Dimension.TASK_TYPE), WHOLE, "From posting to award of users' tasks."),
    Measure("task_cost", MetricKind.AMOUNT, "microcredits", Family.TASKS, Bad.RISE, TASK_CUTS,
            (Dimension.TASK_TYPE,), "What was paid for users' tasks that were settled."),
    Measure("open_tasks", MetricKind.GAUGE, "tasks", Family.TASKS, Bad.RISE, WHOLE, WHOLE,
            "Tasks that had not ended at the end of the window.", 10),
    Measure("active_agents", MetricKind.GAUGE, "agents", Family.TASKS, Bad.FALL, WHOLE, WHOLE,
            "Agents that acted in the quarter of an hour before the end of the window.", 1),
    Measure("pending_deliveries", MetricKind.GAUGE, "deliveries", Family.BUS, Bad.RISE, WHOLE, WHOLE,
            "Deliveries of events that were still to be made at the end of the window.", 100),
    Measure("bus_lag", MetricKind.GAUGE, "microseconds", Family.BUS, Bad.RISE, WHOLE, WHOLE,
            "Age of the oldest delivery still to be made at the end of the window.", 60_000_000),
    Measure("cron_on_time", MetricKind.PROPORTION, "ticks", Family.CRON, Bad.FALL,
            (Dimension.PLATFORM, Dimension.JOB), WHOLE,
            "Ticks of jobs that ended well within their budget, of all that ended or were missed."),
    Measure("health_score", MetricKind.GAUGE, "points", Family.CRON, Bad.FALL, WHOLE, (),
            "The platform's health at the end of the window, 0 to 100."),
    Measure("time_to_detect", MetricKind.DURATION, "microseconds", Family.LOOP, Bad.RISE, WHOLE, (),
            "From the first window of a fall to its episode."),
    Measure("time_to_propose", MetricKind.DURATION, "microseconds", Family.LOOP, Bad.RISE, WHOLE, (),
            "From an episode to the first proposal of its lap."),
    Measure("time_to_promote", MetricKind.DURATION, "microseconds", Family.LOOP, Bad.RISE, WHOLE, (),
            "From an episode to the promotion of its lap's change."),
    Measure("time_to_recover", MetricKind.DURATION, "microseconds", Family.LOOP, Bad.RISE, WHOLE, (),
            "From the first window of a fall to the end of its episode by recovery."),
)  # fmt: skip
BY_NAME: Final[Mapping[str, Measure]] = {measure.name: measure for measure in MEASURES}
