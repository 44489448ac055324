"""Charts of success over time: the small one in tables, the large one of a lap.

Stand at the edge: pure functions from figures to inline SVG. They never look anything up.
"""

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from app.web.charts.svg import LEFT, RIGHT, WIDTH, Scale, label, line, picture, polyline, tag
from app.web.formats import percent


class RatePoint(NamedTuple):
    """A window's count: when it ended in seconds, successes, tasks."""

    at_seconds: float
    numerator: int
    denominator: int


def sparkline(points: Sequence[RatePoint], *, line_share: float | None, title: str) -> Markup:
    """Draw success from 0 to 100 % over time, small; windows without a task leave a gap, never a zero."""
    across, up = _over(points, 4, 176), Scale(0, 1, 44, 4)
    parts = [line(0, up(line_share), 180, up(line_share), "limit")] if line_share is not None else []
    return picture("spark", (0, 0, 180, 48), title, _in_words(points), *parts, *_runs(points, across, up, 3))


def rate_history(
    points: Sequence[RatePoint], *, line_share: float | None, marks: Sequence[tuple[float, str]], title: str
) -> Markup:
    """Draw success from 0 to 100 % over time with named instants (`marks`: seconds, label) as lines."""
    inside = [mark for mark in marks if points and points[0].at_seconds <= mark[0] <= points[-1].at_seconds]
    across, up = _over(points, LEFT, WIDTH - RIGHT), Scale(0, 1, 214, 44)
    parts: list[Markup] = []
    for share in (0, 0.5, 1):
        parts += [
            line(LEFT, up(share), WIDTH - RIGHT, up(share), "grid"),
            label(LEFT - 8, up(share) + 5, f"{100 * share:.0f} %", "label", "end"),
        ]
    if line_share is not None:
        parts += [
            line(LEFT, up(line_share), WIDTH - RIGHT, up(line_share), "limit"),
            label(LEFT - 8, up(line_share) + 5, f"{100 * line_share:.0f} %", "label strong", "end"),
        ]
    for number, (at, name) in enumerate(inside):
        x, late = across(at), across(at) > WIDTH * 0.7
        parts += [
            line(x, 38, x, 214, "mark"),
            label(x, (-14, 9, 32)[number % 3], name, "label", "end" if late else "start"),
        ]
    parts += _runs(points, across, up, 5)
    if points:
        span = points[-1].at_seconds - points[0].at_seconds
        parts += [label(LEFT, 240, "start"), label(WIDTH - RIGHT, 240, f"+{span:,.0f} s", "label", "end")]
    return picture("history", (0, -34, WIDTH, 284), title, _in_words(points), *parts)


def _over(points: Sequence[RatePoint], start: float, end: float) -> Scale:
    times = [point.at_seconds for point in points] or [0.0]
    return Scale(min(times), max(times), start, end)


def _runs(points: Sequence[RatePoint], across: Scale, up: Scale, radius: float) -> list[Markup]:
    """Return the line, broken where a window had no tasks, and a dot on the latest window that had some."""
    runs: list[list[tuple[float, float]]] = [[]]
    for point in points:
        if point.denominator:
            runs[-1].append((across(point.at_seconds), up(point.numerator / point.denominator)))
        elif runs[-1]:
            runs.append([])
    filled = [run for run in runs if run]
    lines = [polyline(run, "path") for run in filled]
    dots = [tag("circle", class_="point", cx=x, cy=y, r=2) for run in filled for x, y in run if len(run) == 1]
    end = (
        [tag("circle", class_="end", cx=filled[-1][-1][0], cy=filled[-1][-1][1], r=radius)] if filled else []
    )
    return [*lines, *dots, *end]


def _in_words(points: Sequence[RatePoint]) -> str:
    seen = [point for point in points if point.denominator]
    if not seen:
        return "No ended task in this time."
    first, last = seen[0], seen[-1]
    return (
        f"From {percent(first.numerator / first.denominator)} ({first.numerator} of {first.denominator}) "
        f"to {percent(last.numerator / last.denominator)} ({last.numerator} of {last.denominator})."
    )
