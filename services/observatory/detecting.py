"""Detecting: a series' windows, what of them counts as normal, and whether the newest leave their band.

Stands between the snapshots and the episodes. Windows of earlier episodes and gaps are no history; a lasting
shift freezes the baseline before it until a ledger entry accepts it. It never opens an episode.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Generic, TypeVar

from services.domain.anomaly import WINDOWS, Detection, Sample, detect_proportion, proportion_band
from services.domain.clock import DAY_US, HOUR_US
from services.domain.counts import CountWindow, count_band, detect_count
from services.domain.gauge_windows import GaugeWindow, detect_gauge, gauge_band, gauge_level
from services.domain.measures import ALL, Dimension, Measure, MetricKind
from services.domain.shapes import Departure, is_in
from services.domain.states import EpisodeState
from services.domain.tallies import Series
from services.observatory import snapshots
from services.operations import production_config
from services.store import observations, series, sql, tables
from services.store.sql import Row
from services.store.tx import Tx

BASELINE_US: Final = 7 * DAY_US
KEPT_US: Final = 35 * DAY_US
ROWS_READ: Final = 600
"""Newest windows of a series that are looked at: three weeks of hours, the newest day, and some to spare."""
NEWS: Final = max(WINDOWS)
MOVED_BY_CHANGES: Final = ("task_duration", "task_wait", "task_cost")
"""Metrics that a promoted setting of a task type is expected to move: their baseline starts anew with it."""
SWITCHES: Final = {
    MetricKind.COUNT: "observatory.watch_counts",
    MetricKind.GAUGE: "observatory.watch_gauges",
    MetricKind.DURATION: "observatory.watch_gauges",
    MetricKind.AMOUNT: "observatory.watch_gauges",
}

WindowT = TypeVar("WindowT")


@dataclass(frozen=True, slots=True)
class Look:
    """One look at everything: the settings in force, and how many series share the budget."""

    tx: Tx
    metrics: int = 1

    def number(self, name: str) -> float:
        """Return a setting of the observatory."""
        return production_config.number(self.tx, f"observatory.{name}")

    def is_watched(self, measure: Measure) -> bool:
        """Tell whether a measure opens episodes."""
        switch = SWITCHES.get(measure.kind)
        is_on = switch is None or production_config.number(self.tx, switch) > 0
        return bool(measure.watched) and is_on


@dataclass(frozen=True, slots=True)
class Reading(Generic[WindowT]):
    """How windows of one kind are read, judged and compared with their past."""

    read: Callable[[Row, bool], WindowT]
    detect: Callable[[Sequence[WindowT], Measure, Look], Detection | None]
    band: Callable[[Sequence[WindowT], Sequence[WindowT], Measure], tuple[float, float]]
    observed: Callable[[Sequence[WindowT], Measure], float]


def _sample(row: Row, is_excluded: bool) -> Sample:  # noqa: FBT001 (one of a table of functions)
    return Sample(row["numerator"], row["denominator"], is_excluded)


def _rate(pool: Sequence[Sample]) -> float:
    attempts = sum(sample.denominator for sample in pool)
    return sum(sample.numerator for sample in pool) / attempts if attempts else 0.0


def _detect_share(history: Sequence[Sample], measure: Measure, look: Look) -> Detection | None:
    is_success = measure.name == snapshots.METRIC
    return detect_proportion(
        history,
        line=look.number("success_line_percent") / 100 if is_success else None,
        line_minimum=int(look.number("line_minimum_tasks")),
        budget_per_week=look.number("weekly_false_alarms"),
        metrics=look.metrics,
        bad=measure.bad,
    )


def _count(row: Row, is_excluded: bool) -> CountWindow:  # noqa: FBT001 (one of a table of functions)
    length_us = row["window_end_us"] - row["window_start_us"]
    return CountWindow(row["numerator"], length_us, _hour(row), is_excluded, _weekday(row))


def _hour(row: Row) -> int:
    """Return the hour of the day (UTC) in which the middle of a window lies."""
    middle_us: int = (row["window_start_us"] + row["window_end_us"]) // 2
    return middle_us % DAY_US // HOUR_US


def _weekday(row: Row) -> int:
    """Return the day of the week (UTC, Monday 0) in which the middle of a window lies; 1970 began on 3."""
    middle_us: int = (row["window_start_us"] + row["window_end_us"]) // 2
    return (middle_us // DAY_US + 3) % 7


def _detect_number(history: Sequence[CountWindow], measure: Measure, look: Look) -> Detection | None:
    budget = look.number("weekly_false_alarms")
    return detect_count(history, bad=measure.bad, budget_per_week=budget, metrics=look.metrics)


def _gauge(row: Row, is_excluded: bool) -> GaugeWindow:  # noqa: FBT001 (one of a table of functions)
    number = row["denominator"]
    mean = row["numerator"] / number if number else 0.0
    return GaugeWindow(mean, 0.0, number, _hour(row), is_excluded, _weekday(row))


def _spread(row: Row, is_excluded: bool) -> GaugeWindow:  # noqa: FBT001 (one of a table of functions)
    """Read a window of a duration or an amount: what they are does not follow the weekday."""
    number = row["denominator"]
    mean = max(1.0, row["numerator"] / number) if number else 1.0
    squares = row["squares"]
    variance = 0.0 if squares is None or not number else max(0.0, squares / number - mean * mean)
    return GaugeWindow(mean, math.sqrt(variance), number, _hour(row), is_excluded)


def _is_log(measure: Measure) -> bool:
    return measure.kind is not MetricKind.GAUGE


def _detect_level(history: Sequence[GaugeWindow], measure: Measure, look: Look) -> Detection | None:
    return detect_gauge(
        history,
        bad=measure.bad,
        is_log=_is_log(measure),
        least_step=measure.least_step,
        budget_per_week=look.number("weekly_false_alarms"),
        metrics=look.metrics,
    )


def _level_band(
    past: Sequence[GaugeWindow], pool: Sequence[GaugeWindow], measure: Measure
) -> tuple[float, float]:
    return gauge_band(past, pool, is_log=_is_log(measure), least_step=measure.least_step)


SHARE: Final[Reading[Any]] = Reading(
    _sample, _detect_share, lambda past, pool, _: proportion_band(past, pool), lambda pool, _: _rate(pool)
)
NUMBER: Final[Reading[Any]] = Reading(
    _count,
    _detect_number,
    lambda past, pool, _: count_band(past, pool),
    lambda pool, _: float(sum(window.count for window in pool)),
)
LEVEL: Final[Reading[Any]] = Reading(
    _gauge,
    _detect_level,
    _level_band,
    lambda pool, measure: gauge_level(pool, is_log=_is_log(measure)),
)
SPREAD: Final[Reading[Any]] = replace(LEVEL, read=_spread)
READINGS: Final = {
    MetricKind.PROPORTION: SHARE,
    MetricKind.COUNT: NUMBER,
    MetricKind.GAUGE: LEVEL,
    MetricKind.DURATION: SPREAD,
    MetricKind.AMOUNT: SPREAD,
}


def reading_of(measure: Measure) -> Reading[Any]:
    """Return how windows of a measure are read."""
    return READINGS[measure.kind]


def detect(look: Look, measure: Measure, name: Series) -> tuple[Detection, list[Row]] | None:
    """Return what the newest windows of a series show, with the windows that show it, or None.

    A series that has no row for the newest window is idle, a count of zero apart: old windows are no news.
    """
    rows = _rows(look.tx, measure, name)
    if not rows or rows[-1]["window_end_us"] != observations.last_window_end(look.tx, snapshots.METRIC):
        return None
    kept = _clean(look.tx, measure, name, rows)
    reading = reading_of(measure)
    found = reading.detect([reading.read(row, is_excluded) for row, is_excluded in kept], measure, look)
    return None if found is None else (found, [row for row, _ in kept[-found.window :]])


def is_inside(look: Look, measure: Measure, episode: Row, pool: Sequence[Row]) -> bool:
    """Tell whether windows after an alarm, pooled, lie in the band that held before it."""
    reading = reading_of(measure)
    name = Series(episode["metric"], episode["dimension"], episode["key"])
    past = _past(look.tx, measure, name, episode["evidence"]["window_start_us"])
    if not past or not pool:
        return False
    history = [reading.read(row, is_excluded) for row, is_excluded in past]
    windows = [reading.read(row, False) for row in pool]  # noqa: FBT003 (one of a table of functions)
    band = reading.band(history, windows, measure)
    return is_in(reading.observed(windows, measure), band, measure.bad)


def observed(measure: Measure, rows: Sequence[Row]) -> float:
    """Return what windows hold together, in the unit of a detection's `observed`."""
    reading = reading_of(measure)
    return reading.observed([reading.read(row, False) for row in rows], measure)  # noqa: FBT003 (as above)


def departure(measure: Measure, found: Detection) -> Departure:
    """Return how far a detection is out, for one window of it."""
    windows = found.window if measure.kind is MetricKind.COUNT else 1
    return Departure(found.observed / windows, found.expected / windows)


def windows_after(tx: Tx, measure: Measure, name: Series, after_us: int) -> list[Row]:
    """Return the windows of a series that began at an instant or later, idle ones and gaps left out."""
    expected_us = snapshots.window_us(tx)
    return [
        row
        for row in _rows(tx, measure, name, since_us=after_us)
        if row["window_start_us"] >= after_us
        and row["denominator"]
        and not snapshots.is_gap(row, expected_us)
    ]


def _rows(
    tx: Tx, measure: Measure, name: Series, *, since_us: int | None = None, until_us: int | None = None
) -> list[Row]:
    """Return the newest windows of a series; a count has one for every window since its first."""
    since = tx.now_us - KEPT_US if since_us is None else since_us
    found = series.newest(tx, name, since, ROWS_READ, until_us)
    if measure.kind is not MetricKind.COUNT or name.dimension == Dimension.PLATFORM or not found:
        return found
    whole = series.newest(
        tx, Series(measure.name, Dimension.PLATFORM, ALL), found[0]["window_end_us"], ROWS_READ, until_us
    )
    known = {row["window_end_us"]: row for row in found}
    return [known.get(row["window_end_us"]) or {**row, "numerator": 0} for row in whole]


def _past(tx: Tx, measure: Measure, name: Series, until_us: int) -> list[tuple[Row, bool]]:
    """Return the normal windows of a series up to an instant."""
    rows = _rows(tx, measure, name, until_us=until_us)
    return [(row, False) for row, is_excluded in _marked(tx, measure, name, rows) if not is_excluded]


def _clean(tx: Tx, measure: Measure, name: Series, rows: Sequence[Row]) -> list[tuple[Row, bool]]:
    """Return the windows that are normal, then the newest ones, each with whether it is left out.

    While a departure lasts that was given up and not accepted, only what came before it is normal.
    """
    since_us = _frozen_since(tx, name)
    news = _marked(tx, measure, name, rows[-NEWS:])
    if since_us is not None:
        return [*_past(tx, measure, name, since_us), *news]
    past = [pair for pair in _marked(tx, measure, name, rows[:-NEWS]) if not pair[1]]
    return [*past, *news]


def _marked(tx: Tx, measure: Measure, name: Series, rows: Sequence[Row]) -> list[tuple[Row, bool]]:
    """Return windows since the baseline began anew, each with whether an episode or a gap covers it."""
    began_us = _begins_anew(tx, measure, name)
    expected_us = snapshots.window_us(tx)
    spans = [
        (row["evidence"]["window_start_us"], row["evidence"].get("back_at_us", row["closed_at_us"]))
        for row in observations.closed_episodes(tx, *name, tx.now_us - KEPT_US)
        if row["accepted_ledger_index"] is None
    ]
    return [
        (
            row,
            snapshots.is_gap(row, expected_us)
            or any(start < row["window_end_us"] <= end for start, end in spans),
        )
        for row in rows
        if row["window_start_us"] >= began_us
    ]


def _begins_anew(tx: Tx, measure: Measure, name: Series) -> int:
    """Return since when windows are comparable: an accepted shift, or a change that moves the metric."""
    ended = observations.closed_episodes(tx, *name, tx.now_us - KEPT_US)
    accepted = [
        row["evidence"]["window_start_us"] for row in ended if row["accepted_ledger_index"] is not None
    ]
    changed: list[int] = []
    if measure.name in MOVED_BY_CHANGES and name.dimension == Dimension.TASK_TYPE:
        changes = observations.changes_since(tx, tx.now_us - KEPT_US, 100)
        changed = [row["changed_at_us"] for row in changes if row["name"].startswith(f"{name.key}.")]
    newest_us: int = max([0, *accepted, *changed])
    return newest_us


def _frozen_since(tx: Tx, name: Series) -> int | None:
    """Return since when a departure of the series lasts that was given up, however often, or None.

    It lasts until an episode of the series recovers, an operator accepts it, or the metric is back by itself.
    """
    since_us: int | None = None
    for row in _own_ended(tx, name):
        if row["state"] != EpisodeState.GIVEN_UP or row["accepted_ledger_index"] is not None:
            break
        if "back_at_us" in row["evidence"]:
            break
        since_us = row["evidence"]["window_start_us"]
    return since_us


def _own_ended(tx: Tx, name: Series) -> list[Row]:
    """Return the ended episodes of a series itself, newest first."""
    ended = observations.closed_episodes(tx, *name, tx.now_us - KEPT_US)
    own = [row for row in ended if (row["dimension"], row["key"]) == (name.dimension, name.key)]
    return sorted(own, key=lambda row: -row["id"])


def note_return(look: Look, measure: Measure, name: Series) -> None:
    """Note that a metric whose episode was given up is back: a day of windows lies in its former band."""
    if _frozen_since(look.tx, name) is None:
        return
    episode = _own_ended(look.tx, name)[0]
    since = windows_after(look.tx, measure, name, episode["closed_at_us"])[-NEWS:]
    if len(since) < NEWS or not is_inside(look, measure, episode, since):
        return
    evidence = {**episode["evidence"], "back_at_us": since[0]["window_start_us"]}
    sql.update(
        look.tx, tables.episode, {"id": episode["id"]}, evidence=evidence, updated_at_us=look.tx.now_us
    )
