"""The published metrics, recounted from primary rows.

Stands beside the observatory (L1), under the metric watchdog. It counts by other code than the observatory:
one fold over the rows of a window, exact integers throughout, buckets from powers instead of logarithms. A
difference is a `Breach` that names its class, the metric, the series, the window, what is published and what
is recounted. It never reads what the observatory has noted and never mends a figure.
"""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, NamedTuple

from services.domain.clock import to_rfc3339
from services.domain.market_invariants import Breach, Row
from services.domain.measures import ALL, BY_NAME, MEASURES, Dimension, MetricKind
from services.domain.states import EndReason, TaskState

SQUARES_ERROR: Final = 1e-9
"""Relative error at which two sums of squares count as the same: they are kept as floats."""


class Identity(StrEnum):
    """The classes of what is checked; W1 are the open bids that the books keep of each agent."""

    PROPORTION = "W2"
    """Successes and timeouts of tasks, and of how many."""
    COUNT = "W3"
    """How many tasks were posted and ended."""
    TOTAL = "W4"
    """Sums of durations, waits and costs, and of how many."""
    SPREAD = "W5"
    """Squares, lowest, highest and histograms of durations, waits and costs."""
    GAUGE = "W6"
    """What was open or pending at the end of a window; bounds for what no row remembers."""
    TICKS = "W7"
    """Ticks of jobs that ended on time, of all."""
    STEPS = "W8"
    """How long laps took to be detected, proposed, promoted and recovered."""
    SERIES = "W9"
    """Every series that has a row is published, some of the platform's always, and no other is."""
    PARTS = "W10"
    """What is published of task types and jobs adds up to the platform's."""
    POSSIBLE = "W11"
    """Figures that can be: no more good ones than there are, as many in the histogram as were counted."""
    WINDOWS = "W12"
    """Each window begins where the one before ended, for every series."""
    CORRECTIONS = "W13"
    """Each window was corrected as often as there are corrections, and none of more than it holds."""
    DAYS = "W14"
    """A day, merged from its windows, is what its rows add up to."""
    FLOW = "W15"
    """Open tasks at the end are those at the start, and what was posted, without what ended."""


WHAT: Final[Mapping[str, Identity]] = {
    "task_success": Identity.PROPORTION,
    "tasks_timed_out": Identity.PROPORTION,
    "tasks_posted": Identity.COUNT,
    "tasks_ended": Identity.COUNT,
    "task_duration": Identity.TOTAL,
    "task_wait": Identity.TOTAL,
    "task_cost": Identity.TOTAL,
    "cron_on_time": Identity.TICKS,
    "time_to_detect": Identity.STEPS,
    "time_to_propose": Identity.STEPS,
    "time_to_promote": Identity.STEPS,
    "time_to_recover": Identity.STEPS,
}
"""The class of each metric that is recounted row by row; the others are gauges."""
GAUGES: Final = tuple(measure.name for measure in MEASURES if measure.kind is MetricKind.GAUGE)
ALWAYS: Final = ("task_success", "tasks_posted", "tasks_ended")
"""Metrics whose platform's series has a row in every window, idle ones too."""
SPREADING: Final = (MetricKind.DURATION, MetricKind.AMOUNT)
ENDS: Final = frozenset({TaskState.SETTLED, TaskState.FAILED, TaskState.EXPIRED})
OUT_OF_TIME: Final = frozenset({EndReason.TIMED_OUT, EndReason.DEADLINE_PASSED})


class Series(NamedTuple):
    """The name of a series."""

    metric: str
    dimension: str
    key: str

    def __str__(self) -> str:
        """Return it as it is named in a breach."""
        return f"{self.metric} of {self.dimension} {self.key}"


@dataclass(slots=True)
class Figures:
    """What a window says of one series: numerator, denominator, the spread of durations and amounts."""

    numerator: int = 0
    denominator: int = 0
    squares: float | int = 0
    lowest: int | None = None
    highest: int | None = None
    histogram: Counter[int] = field(default_factory=Counter)

    def add(self, other: "Figures") -> None:
        """Add what another series, or another window, says."""
        self.numerator += other.numerator
        self.denominator += other.denominator
        self.squares += other.squares
        self.lowest = _extreme(min, self.lowest, other.lowest)
        self.highest = _extreme(max, self.highest, other.highest)
        self.histogram.update(other.histogram)

    def take(self, value: int) -> None:
        """Count one duration or amount."""
        self.numerator += value
        self.denominator += 1
        self.squares += value * value
        self.lowest = value if self.lowest is None else min(self.lowest, value)
        self.highest = value if self.highest is None else max(self.highest, value)
        self.histogram[bucket_of(value)] += 1


@dataclass(frozen=True, slots=True)
class Primary:
    """The primary rows of one window.

    ended: users' tasks that ended, each with its newest award (id, type, state, end_reason, posted_at_us,
    model, agent_id, price_microcredits, awarded_at_us). worked: attempts of these with a result in (task_id,
    number, leased_at_us, submitted_at_us). posted: (type, tasks). ticks: (job, is_on_time). steps: (metric,
    duration in microseconds) of laps.
    """

    ended: Sequence[Row] = ()
    worked: Sequence[Row] = ()
    posted: Sequence[Row] = ()
    ticks: Sequence[Row] = ()
    steps: Sequence[tuple[str, int]] = ()


@dataclass(frozen=True, slots=True)
class Window:
    """One published window: its rows, and the ends of it."""

    start_us: int
    end_us: int
    rows: Sequence[Row]

    def __str__(self) -> str:
        """Return the bounds in words."""
        return f"{to_rfc3339(self.start_us)} to {to_rfc3339(self.end_us)}"


def bucket_of(value: int) -> int:
    """Return floor(8 log2(value)), exactly: the highest power of two in the eighth power."""
    return int(max(1, value) ** 8).bit_length() - 1


def recount(primary: Primary) -> dict[Series, Figures]:
    """Return the figures of every series with a row in the window, and of the platform's in `ALWAYS`."""
    found: dict[Series, Figures] = {}
    for metric in ALWAYS:
        _add(found, metric, {}, numerator=0)
    newest: dict[int, Row] = {}
    for row in primary.worked:
        if row["task_id"] not in newest or newest[row["task_id"]]["number"] < row["number"]:
            newest[row["task_id"]] = row
    for row in primary.ended:
        if row["state"] in ENDS:
            _count_end(found, row, newest.get(row["id"]))
    for row in primary.posted:
        _add(found, "tasks_posted", {Dimension.TASK_TYPE: row["type"]}, numerator=row["tasks"])
    for row in primary.ticks:
        keys = {Dimension.JOB: row["job"]}
        _add(found, "cron_on_time", keys, numerator=int(row["is_on_time"]), denominator=1)
    for metric, duration_us in primary.steps:
        _take(found, metric, {}, duration_us)
    return found


def _count_end(found: dict[Series, Figures], task: Row, work: Row | None) -> None:
    """Count one task that was settled, failed or expired."""
    is_expired = task["state"] == TaskState.EXPIRED
    agent_id = None if is_expired else task["agent_id"]
    keys = {Dimension.TASK_TYPE: task["type"]}
    if agent_id is not None:
        keys[Dimension.AGENT] = str(agent_id)
    if task["model"] is not None:
        keys[Dimension.MODEL] = task["model"]
    is_settled = task["state"] == TaskState.SETTLED
    _add(found, "task_success", keys, numerator=int(is_settled), denominator=1)
    is_late = task["end_reason"] in OUT_OF_TIME
    _add(found, "tasks_timed_out", keys, numerator=int(is_late), denominator=1)
    _add(found, "tasks_ended", keys, numerator=1)
    if work is not None and not is_expired:
        _take(found, "task_duration", keys, work["submitted_at_us"] - work["leased_at_us"])
    if task["awarded_at_us"] is not None:
        _take(found, "task_wait", keys, task["awarded_at_us"] - task["posted_at_us"])
    if is_settled and task["price_microcredits"] is not None:
        _take(found, "task_cost", keys, task["price_microcredits"])


def _cells(found: dict[Series, Figures], metric: str, keys: Mapping[Dimension, str]) -> Iterator[Figures]:
    measure = BY_NAME[metric]
    given = {Dimension.PLATFORM: ALL, **keys}
    start = 1 if measure.kind is MetricKind.COUNT else 0
    for dimension in measure.dimensions:
        if dimension in given:
            yield found.setdefault(Series(metric, dimension, given[dimension]), Figures(0, start))


def _add(
    found: dict[Series, Figures],
    metric: str,
    keys: Mapping[Dimension, str],
    *,
    numerator: int,
    denominator: int = 0,
) -> None:
    for figures in _cells(found, metric, keys):
        figures.numerator += numerator
        figures.denominator += denominator


def _take(found: dict[Series, Figures], metric: str, keys: Mapping[Dimension, str], value: int) -> None:
    for figures in _cells(found, metric, keys):
        figures.take(value)


def published(rows: Iterable[Row]) -> dict[Series, Figures]:
    """Return what published rows say, by series."""
    return {
        Series(row["metric"], row["dimension"], row["key"]): Figures(
            row["numerator"],
            row["denominator"],
            row["squares"] or 0,
            row["lowest"],
            row["highest"],
            Counter({int(bucket): count for bucket, count in (row["histogram"] or {}).items()}),
        )
        for row in rows
    }


def compare(
    window: Window, expected: Mapping[Series, Figures], left_out: Collection[str] = ()
) -> list[Breach]:
    """W2 to W5, W7 to W9: what is published of a window is what its primary rows say.

    `left_out` are metrics whose primary rows are not there any more, or never were.
    """
    expected = {series: figures for series, figures in expected.items() if series.metric not in left_out}
    kept = {
        series: figures
        for series, figures in published(window.rows).items()
        if series.metric not in GAUGES and series.metric not in left_out
    }
    found = []
    for series in sorted({*kept, *expected}):
        if series not in expected:
            detail = f"{window}: published, though no row belongs to it"
            found.append(Breach(Identity.SERIES, str(series), detail))
        elif series not in kept:
            detail = f"{window}: not published, recounted {shown(expected[series])}"
            found.append(Breach(Identity.SERIES, str(series), detail))
        else:
            found += _unlike(window, series, kept[series], expected[series])
    return found


def _unlike(window: Window, series: Series, kept: Figures, expected: Figures) -> Iterator[Breach]:
    if pair(kept) != pair(expected):
        detail = f"{window}: published {shown(kept)}, recounted {shown(expected)}"
        yield Breach(WHAT[series.metric], str(series), detail)
    for name, given, wanted in spreads(kept, expected):
        if BY_NAME[series.metric].kind in SPREADING:
            detail = f"{window}: published {name} {given}, recounted {wanted}"
            yield Breach(Identity.SPREAD, str(series), detail)


def spreads(kept: Figures, expected: Figures) -> Iterator[tuple[str, object, object]]:
    """Yield (name, kept, expected) of what is not the same of two spreads."""
    if not math.isclose(kept.squares, expected.squares, rel_tol=SQUARES_ERROR):
        yield "squares", kept.squares, float(expected.squares)
    for name in ("lowest", "highest"):
        given, wanted = getattr(kept, name), getattr(expected, name)
        if given != wanted:
            yield name, given, wanted
    if +kept.histogram != +expected.histogram:
        unlike = (+kept.histogram - expected.histogram) | (+expected.histogram - kept.histogram)
        bucket = min(unlike)
        yield f"bucket {bucket} of the histogram", kept.histogram[bucket], expected.histogram[bucket]


def pair(figures: Figures) -> tuple[int, int]:
    """Return numerator and denominator."""
    return figures.numerator, figures.denominator


def shown(figures: Figures) -> str:
    """Return numerator and denominator in words."""
    return f"{figures.numerator} of {figures.denominator}"


def _extreme(choose: Any, one: int | None, other: int | None) -> int | None:
    given = [value for value in (one, other) if value is not None]
    return choose(given) if given else None
