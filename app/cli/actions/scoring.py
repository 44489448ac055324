"""`nacre observatory score`: the gauge detector over a series of one's own, point by point.

Stands outside the loop, over `services.domain.gauges`: no database, no settings. Rows are scored as they are
read, so a file of any length takes the memory of a week of points. It never sorts, fills or changes a value.
"""

import csv
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import IO, Any

from app.cli.actions.screen import counted, say_json, say_note
from app.cli.actions.series_file import Row, Table, is_absent, open_table
from app.cli.actions.timestamps import Kind, Spacing, TimestampRefusedError, Timestamps, span, written
from services.domain.errors import InvalidValueError
from services.domain.gauges import LEAST_POINTS, SILENCE_US, THRESHOLD_Z, GaugeDetector

TIMES = ("timestamp", "time", "datetime", "date", "ts", "at")
VALUES = ("value", "values", "y", "metric")
HEADER = ("timestamp", "value", "anomaly_score", "alert")
HOUR_US = 3_600_000_000
NOTED = 5
LISTED_ALERTS = 1_000
WHY_LOW = f"less than 3 days of history, or fewer than {LEAST_POINTS} points within 7 days"
VALUE_RULE = "must be a finite number, or empty where nothing was measured"


@dataclass(slots=True)
class Summary:
    """What came of a series; `alerts` lists the first thousand."""

    points: int = 0
    without_value: int = 0
    same_instant: int = 0
    first_same_line: int | None = None
    alert_count: int = 0
    alerts: list[dict[str, Any]] = field(default_factory=list)
    low_confidence: int = 0
    spent_seconds: float = 0.0
    first_us: int | None = None
    last_us: int | None = None


def score_file(file: str, asked: Mapping[str, Any], out: str | None, *, as_json: bool) -> int:
    """Score a CSV file, writing each row as it is read, and say on standard error what came of it.

    asked: timestamp and value (names of columns or None), threshold_z and silence_hours (or None for the
    detector's own). out: a file for the rows; None is standard output, or nowhere with `as_json`, which
    prints the summary as JSON instead. Raises InvalidValueError for an option that cannot be meant, and for
    the first place in the file that cannot be scored.
    """
    detector = _detector(asked)
    summary, spacing, kinds = Summary(), Spacing(), Timestamps()
    wanted = [name for name in (asked["timestamp"], asked["value"]) if name] or [*TIMES, *VALUES]
    with open_table(file, wanted) as table:
        places = _places(table, asked)
        with _output(out, file, is_silent=as_json) as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(HEADER)
            for scored in _scored(table, places, detector, kinds, spacing, summary):
                writer.writerow(scored)
            if summary.points == summary.without_value:
                said = f"column {table.columns[places[1]]} of {table.name} has no value in any row"
                raise InvalidValueError(said, field="value", code="file_empty")
    spacing.settle()
    if as_json:
        return say_json(_as_object(summary, spacing))
    for note in _notes(summary, spacing, kinds):
        say_note(note)
    return 0


def _scored(
    table: Table,
    places: tuple[int, int],
    detector: GaugeDetector,
    kinds: Timestamps,
    spacing: Spacing,
    summary: Summary,
) -> Iterator[tuple[str, str, str, int]]:
    """Yield the rows as they are written, and count."""
    time_place, value_place = places
    for row in table.rows:
        at_us = _instant(table, row, time_place, kinds, summary.last_us)
        summary.points += 1
        if summary.last_us is None:
            summary.first_us = at_us
        elif at_us == summary.last_us:
            summary.same_instant += 1
            summary.first_same_line = summary.first_same_line or row.line
        else:
            spacing.add(row.line, summary.last_us, at_us)
        summary.last_us = at_us
        time_text, value_text = row.cells[time_place].strip(), row.cells[value_place].strip()
        if is_absent(value_text):
            summary.without_value += 1
            yield time_text, "", "", 0
            continue
        value = table.number(row, value_place, VALUE_RULE)
        begun = time.perf_counter()
        score = detector.update(at_us, value)
        summary.spent_seconds += time.perf_counter() - begun
        summary.low_confidence += score.is_low_confidence
        if score.alert:
            summary.alert_count += 1
            if len(summary.alerts) < LISTED_ALERTS:
                found = {"timestamp": time_text, "value": value, "anomaly_score": score.anomaly_score}
                summary.alerts.append({"line": row.line, **found, "z": score.z, "p_value": score.p_value})
        yield time_text, value_text, f"{score.anomaly_score:.6f}", int(score.alert)


def _instant(table: Table, row: Row, place: int, kinds: Timestamps, last_us: int | None) -> int:
    """Return the instant of a row; refuse one that is before the row above."""
    try:
        at_us = kinds.read(row.cells[place])
    except TimestampRefusedError as error:
        table.blame(row, place, str(error))
    if last_us is not None and at_us < last_us:
        hint = "; clocks that were set back need a zone" if kinds.kind is Kind.LOCAL else ""
        said = f"is before the row above ({written(last_us)}); sort the rows by time{hint}"
        table.blame(row, place, said)
    return at_us


def _detector(asked: Mapping[str, Any]) -> GaugeDetector:
    threshold, hours = asked["threshold_z"], asked["silence_hours"]
    if threshold is not None and not (threshold > 0.0 and isfinite(threshold)):
        said = f"--threshold: must be a positive number, got {threshold:g}"
        raise InvalidValueError(said, field="threshold", code="option_refused")
    if hours is not None and not (hours >= 0.0 and isfinite(hours)):
        said = f"--silence-hours: must be a number from 0, got {hours:g}"
        raise InvalidValueError(said, field="silence_hours", code="option_refused")
    silence_us = SILENCE_US if hours is None else round(hours * HOUR_US)
    return GaugeDetector(threshold_z=THRESHOLD_Z if threshold is None else threshold, silence_us=silence_us)


def _places(table: Table, asked: Mapping[str, Any]) -> tuple[int, int]:
    """Return where the timestamp and the value stand: as asked, by their usual names, or what is left."""
    at, value = asked["timestamp"], asked["value"]
    known = [column.casefold() for column in table.columns]
    at = at or next((name for name in TIMES if name in known), "timestamp")
    time_place = table.place(at, "--timestamp")
    if value is None:
        value = next((name for name in VALUES if name in known), "value")
        others = [name for place, name in enumerate(table.columns) if place != time_place]
        if value not in known and len(others) == 1:
            value = others[0]
    value_place = table.place(value, "--value")
    if value_place == time_place:
        said = f"--value: is the column of the timestamps, {table.columns[time_place]}; name another"
        raise InvalidValueError(said, field="value", code="option_refused")
    return time_place, value_place


@contextmanager
def _output(out: str | None, file: str, *, is_silent: bool) -> Iterator[IO[str]]:
    """Open what the rows are written to; a file appears only once it is whole."""
    if out is None or out == "-":
        if is_silent:
            with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
                yield nowhere
        else:
            yield sys.stdout
        return
    path = Path(out)
    if file != "-" and path.exists() and path.samefile(file):
        said = f"--out: is {file} itself; write to another file"
        raise InvalidValueError(said, field="out", code="option_refused")
    if not path.parent.is_dir():
        said = f"--out: there is no folder {path.parent} for {path.name}; make it, or name another file"
        raise InvalidValueError(said, field="out", code="option_refused")
    if path.is_dir():
        raise InvalidValueError(f"--out: {out} is a folder; name a file", field="out", code="option_refused")
    part = path.with_name(path.name + ".part")
    try:
        with part.open("w", encoding="utf-8", newline="") as stream:
            yield stream
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _as_object(summary: Summary, spacing: Spacing) -> dict[str, Any]:
    scored = summary.points - summary.without_value
    gaps = [
        {"line": gap.line, "from": written(gap.from_us), "seconds": gap.length_us / 1e6}
        for gap in spacing.gaps
    ]
    usual = spacing.usual_us
    return {
        "points": summary.points,
        "without_value": summary.without_value,
        "alerts": summary.alert_count,
        "alert_share": summary.alert_count / scored,
        "low_confidence_share": summary.low_confidence / scored,
        "microseconds_per_point": 1e6 * summary.spent_seconds / scored,
        "first": None if summary.first_us is None else written(summary.first_us),
        "last": None if summary.last_us is None else written(summary.last_us),
        "usual_spacing_seconds": None if usual is None else usual / 1e6,
        "same_instant": summary.same_instant,
        "gaps": spacing.gap_count,
        "first_alerts": summary.alerts,
        "first_gaps": gaps,
    }


def _notes(summary: Summary, spacing: Spacing, kinds: Timestamps) -> Iterator[str]:
    """Yield the lines for standard error."""
    scored = summary.points - summary.without_value
    first, last = summary.first_us or 0, summary.last_us or 0
    every = "" if spacing.usual_us is None else f", one every {_every(spacing.usual_us)}"
    zone = " (no zone given: taken as UTC)" if kinds.kind is Kind.LOCAL else ""
    yield f"{counted(summary.points, 'point')} from {written(first)} to {written(last)}{every}{zone}"
    share = 100.0 * summary.alert_count / scored
    yield f"{counted(summary.alert_count, 'alert')}, {share:.3g} % of the points with a value"
    words = [
        f"{one['timestamp']}, line {one['line']}: {one['value']:g} (z {one['z']:.3g})"
        for one in summary.alerts
    ]
    yield from _listed(words, summary.alert_count, "alert")
    low = 100.0 * summary.low_confidence / scored
    yield f"{low:.3g} % of the scores have low confidence ({WHY_LOW})"
    if summary.low_confidence == scored and not summary.alert_count:
        yield (
            f"too short or too sparse for its silence to mean much: alerts need 12 h of history and "
            f"{LEAST_POINTS} points within 7 days, confidence 3 days"
        )
    if summary.without_value:
        yield f"{counted(summary.without_value, 'row')} without a value: no score, no alert"
    if summary.same_instant:
        rows = f"{counted(summary.same_instant, 'row')} with the timestamp of the row above"
        yield f"{rows} (first in line {summary.first_same_line}): each scored"
    if spacing.gap_count:
        longest = span(max(gap.length_us for gap in spacing.gaps))
        yield f"{counted(spacing.gap_count, 'gap')}, the longest of {longest}: nothing was filled in"
        words = [
            f"{span(gap.length_us)} from {written(gap.from_us)}, to line {gap.line}" for gap in spacing.gaps
        ]
        yield from _listed(words, spacing.gap_count, "gap")
    yield f"{1e6 * summary.spent_seconds / scored:.3g} µs per point"


def _every(spacing_us: float) -> str:
    """Return a spacing as it stands after "every": "5 min", "2 days", "day"."""
    return span(spacing_us).removeprefix("1 ") if span(spacing_us) == "1 day" else span(spacing_us)


def _listed(lines: Sequence[str], count: int, noun: str) -> Iterator[str]:
    for line in lines[:NOTED]:
        yield f"  {noun}: {line}"
    if count > NOTED:
        yield f"  and {count - NOTED:,} more"
