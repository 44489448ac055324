"""Charts of a metric's windows: the small one of the board, the large one of a series.

Stand at the edge: pure functions from figures to inline SVG. A window without evidence, and time that no
window covers, leave a gap, never a zero. They never look anything up.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from markupsafe import Markup

from app.web.charts.svg import WIDTH, Scale, attribute, label, line, picture, polyline, tag

SIDE: Final = 10.0
TOP, FLOOR = 46.0, 226.0
HEIGHT: Final = 262.0
SLACK_SECONDS: Final = 1.5
"""Two windows further apart than this do not touch."""
HEADROOM: Final = 1.08
SHORT_SPAN_SECONDS: Final = 7200.0
"""Under this the ends of a chart are told to the second."""

Words = Callable[[float], str]


class SeriesPoint(NamedTuple):
    """One window: from when to when (seconds), its value, its 95th percentile if it has one, how it came."""

    start_seconds: float
    end_seconds: float
    value: float | None
    high: float | None = None
    is_gap: bool = False
    corrections: int = 0


class SeriesFrame(NamedTuple):
    """How a series is drawn: its highest value if it has one, how values are said, what was expected."""

    in_words: Words
    top: float | None = None
    expected: tuple[float, float] | None = None
    marks: Sequence[tuple[float, str]] = ()


def series_spark(points: Sequence[SeriesPoint], *, top: float | None, in_words: Words, title: str) -> Markup:
    """Draw the values of windows from zero upwards, small; `top` is the highest possible value, if any."""
    across, up = _across(points, 4, 176), Scale(0, top or _highest(points), 44, 4)
    parts = [line(0, 44, 180, 44, "grid"), *_lines(points, across, up)]
    seen = _seen(points)
    if seen:
        parts.append(tag("circle", class_="end", cx=across(seen[-1].end_seconds), cy=up(_of(seen[-1])), r=3))
    return picture("spark", (0, 0, 180, 48), title, _told(points, in_words), *parts)


def series_history(points: Sequence[SeriesPoint], frame: SeriesFrame, *, title: str) -> Markup:
    """Draw the windows of a series, large: values as a line, up to the 95th percentile shaded.

    Gaps are shaded, corrected windows ringed; `frame.expected` is what was expected (low, high) and
    `frame.marks` are named instants.
    """
    bounds = [point.high for point in points if point.high is not None]
    limits = [bound for bound in (frame.expected or ()) if bound < float("inf")]
    highest = frame.top or max([_highest(points), *(HEADROOM * one for one in (*bounds, *limits))])
    across, up = _across(points, SIDE, WIDTH - SIDE), Scale(0, highest, FLOOR, TOP)
    parts = [*_gaps(points, across), *_expected(frame.expected, up, highest)]
    levels = [(up(share * highest), share * highest) for share in (0.0, 0.5, 1.0)]
    parts += [line(SIDE, y, WIDTH - SIDE, y, "grid") for y, _ in levels]
    parts += [*_bands(points, across, up), *_lines(points, across, up), *_rings(points, across, up)]
    parts += [label(SIDE, y - 5, frame.in_words(value), "label over") for y, value in levels]
    parts += _marks(points, frame.marks, across)
    if points:
        first, last = points[0].start_seconds, points[-1].end_seconds
        parts += [
            label(SIDE, HEIGHT - 10, _moment(first, last - first)),
            label(WIDTH - SIDE, HEIGHT - 10, _moment(last, last - first), "label", "end"),
        ]
    return picture("series", (0, 0, WIDTH, HEIGHT), title, _told(points, frame.in_words), *parts)


def _of(point: SeriesPoint) -> float:
    return point.value or 0.0


def _seen(points: Sequence[SeriesPoint]) -> list[SeriesPoint]:
    return [point for point in points if point.value is not None]


def _highest(points: Sequence[SeriesPoint]) -> float:
    return HEADROOM * max([_of(point) for point in points], default=0.0) or 1.0


def _across(points: Sequence[SeriesPoint], start: float, end: float) -> Scale:
    low = min((point.start_seconds for point in points), default=0.0)
    return Scale(low, max((point.end_seconds for point in points), default=0.0), start, end)


def _runs(points: Sequence[SeriesPoint]) -> list[list[SeriesPoint]]:
    """Return the stretches of windows that touch and have a value; a gap stands in none."""
    runs: list[list[SeriesPoint]] = []
    before: SeriesPoint | None = None
    for point in points:
        if point.value is None or point.is_gap:
            before = None
            continue
        if before is None or point.start_seconds - before.end_seconds > SLACK_SECONDS:
            runs.append([])
        runs[-1].append(point)
        before = point
    return runs


def _lines(points: Sequence[SeriesPoint], across: Scale, up: Scale) -> list[Markup]:
    parts = []
    for run in _runs(points):
        drawn = [(across(point.end_seconds), up(_of(point))) for point in run]
        if len(drawn) == 1:
            [(x, y)] = drawn
            parts.append(tag("circle", class_="point", cx=x, cy=y, r=2))
        else:
            parts.append(polyline(drawn, "path"))
    return parts


def _bands(points: Sequence[SeriesPoint], across: Scale, up: Scale) -> list[Markup]:
    """Return the area between value and 95th percentile of each stretch."""
    parts = []
    for run in _runs(points):
        edge = [(across(p.end_seconds), up(p.high)) for p in run if p.high is not None]
        floor = [(across(p.end_seconds), up(_of(p))) for p in reversed(run) if p.high is not None]
        if len(edge) > 1:
            corners = " ".join(f"{attribute(x)},{attribute(y)}" for x, y in (*edge, *floor))
            parts.append(tag("polygon", class_="spread", points=corners))
    return parts


def _gaps(points: Sequence[SeriesPoint], across: Scale) -> list[Markup]:
    """Return windows that are gaps as shaded columns."""
    parts = []
    for point in points:
        if point.is_gap:
            left, right = across(point.start_seconds), across(point.end_seconds)
            parts.append(tag("rect", class_="gap", x=left, y=TOP, width=right - left, height=FLOOR - TOP))
    return parts


def _rings(points: Sequence[SeriesPoint], across: Scale, up: Scale) -> list[Markup]:
    return [
        tag("circle", class_="ring", cx=across(point.end_seconds), cy=up(_of(point)), r=5)
        for point in _seen(points)
        if point.corrections
    ]


def _expected(expected: tuple[float, float] | None, up: Scale, highest: float) -> list[Markup]:
    if expected is None:
        return []
    low, high = max(0.0, expected[0]), min(highest, expected[1])
    ends = [line(SIDE, up(one), WIDTH - SIDE, up(one), "limit") for one in (low, high) if 0 < one < highest]
    rect = {"x": SIDE, "y": up(high), "width": WIDTH - 2 * SIDE, "height": up(low) - up(high)}
    return [tag("rect", class_="expected", **rect), *ends] if high > low else ends


def _marks(points: Sequence[SeriesPoint], marks: Sequence[tuple[float, str]], across: Scale) -> list[Markup]:
    """Return named instants inside the drawing as lines, their names in two rows above it."""
    parts = []
    inside = [mark for mark in marks if points and across.low <= mark[0] <= across.high]
    for number, (at, name) in enumerate(sorted(inside)):
        x = across(at)
        anchor = "end" if x > WIDTH * 0.6 else "start"
        parts += [line(x, TOP - 18, x, FLOOR, "mark"), label(x, (14, 32)[number % 2], name, "label", anchor)]
    return parts


def _moment(seconds: float, span_seconds: float) -> str:
    form = "%H:%M:%S" if span_seconds < SHORT_SPAN_SECONDS else "%m-%d %H:%M"
    return datetime.fromtimestamp(seconds, UTC).strftime(form)


def _told(points: Sequence[SeriesPoint], in_words: Words) -> str:
    seen = _seen(points)
    if not seen:
        return "No window has anything to count."
    values = [_of(point) for point in seen]
    gaps, mended = sum(point.is_gap for point in points), sum(point.corrections > 0 for point in points)
    ends = f"From {in_words(values[0])} to {in_words(values[-1])} over {len(seen)} windows"
    span = f"lowest {in_words(min(values))}, highest {in_words(max(values))}"
    return f"{ends}; {span}; {gaps} gaps, {mended} corrected."
