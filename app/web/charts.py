"""Every chart of Nacre: pure functions from figures to inline SVG, so that screen and report cannot disagree.

Colours, fonts and dark mode come from the style sheet through classes; no chart carries a style attribute or a
script. Each has a title and a description in words. Stands at the edge, and never looks anything up.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from markupsafe import Markup, escape

from app.web.formats import percent, significant, visible
from services.store.views import StageState

WIDTH = 640
LEFT, RIGHT = 64, 20
DRAWN_POINTS = 800
RUG_TASKS = 260
SEATS_DRAWN = 40


class Stage(NamedTuple):
    """One stage of the loop as drawn."""

    name: str
    state: str


class PathPoint(NamedTuple):
    """Wealth after one task: its ordinal (from 1), ln E, arm (0 control, 1 treatment), outcome in [0, 1]."""

    ordinal: int
    log_e: float
    arm: int
    outcome: float


class Arm(NamedTuple):
    """One arm of an experiment: what it is, what it got, and the interval drawn around its rate."""

    label: str
    successes: float
    resolved: int
    lower: float
    upper: float


class RatePoint(NamedTuple):
    """A window's count: when it ended in seconds, successes, tasks."""

    at_seconds: float
    numerator: int
    denominator: int


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear map from data to drawing: `low` is drawn at `start`, `high` at `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return where `value` is drawn."""
        width = self.high - self.low
        return self.start + (self.end - self.start) * ((value - self.low) / width if width else 0.5)


def tag(name: str, *children: str, **attributes: str | float) -> Markup:
    """Return an SVG element; plain text is escaped, `class_` and `text_anchor` become `class`, `text-anchor`."""
    pairs = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_attribute(value))}"' for key, value in attributes.items()
    )
    inner = Markup("").join(child if isinstance(child, Markup) else escape(visible(child)) for child in children)
    return Markup(f"<{name}{pairs}>") + inner + Markup(f"</{name}>")


def _attribute(value: str | float) -> str:
    return visible(value) if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")


def _picture(kind: str, box: tuple[float, float, float, float], title: str, text: str, *parts: str) -> Markup:
    head = (tag("title", title), tag("desc", text))
    view_box = " ".join(_attribute(side) for side in box)
    return tag("svg", *head, *parts, class_=f"chart {kind}", viewBox=view_box, role="img")


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    return tag("line", class_=kind, x1=x1, y1=y1, x2=x2, y2=y2)


def _label(x: float, y: float, text: str, kind: str = "label", anchor: str = "start") -> Markup:
    return tag("text", text, class_=kind, x=x, y=y, text_anchor=anchor)


def _polyline(points: Iterable[tuple[float, float]], kind: str) -> Markup:
    return tag("polyline", class_=kind, points=" ".join(f"{_attribute(x)},{_attribute(y)}" for x, y in points))


# --- the wealth of the bet ---------------------------------------------------------------------------------------


def wealth_path(path: Sequence[PathPoint], threshold_log_e: float, *, title: str) -> Markup:
    """Draw log10 E against the task's ordinal, the line at 1/alpha, and each task's outcome beneath.

    `log_e` and `threshold_log_e` are natural logarithms. The first point drawn is E = 1 before any task.
    """
    logs = [0.0, *(point.log_e / math.log(10) for point in path)]
    threshold = threshold_log_e / math.log(10)
    last = path[-1].ordinal if path else 1
    across = Scale(0, last, LEFT, WIDTH - RIGHT)
    margin = 0.08 * (max(*logs, threshold) - min(*logs, -0.3))
    up = Scale(min(*logs, -0.3) - margin, max(*logs, threshold) + margin, 214, 16)
    drawn = _thinned([(across(0), up(0.0)), *((across(p.ordinal), up(y)) for p, y in zip(path, logs[1:], strict=True))])
    text = (
        f"{last if path else 0} tasks folded; E ended at {significant(10 ** min(logs[-1], 300))}, "
        f"the line that decides stands at {significant(10 ** min(threshold, 300))}."
    )
    return _picture(
        "wealth", (0, 0, WIDTH, 300), title, text,
        *_powers_of_ten(up),
        _line(LEFT, up(threshold), WIDTH - RIGHT, up(threshold), "threshold"),
        _label(LEFT + 8, up(threshold) - 7, f"1/α = {significant(10 ** min(threshold, 300))}", "label strong"),
        _polyline(drawn, "path"),
        tag("circle", class_="end", cx=drawn[-1][0], cy=drawn[-1][1], r=5),
        *_rug(path, across),
        *_ordinals(across, last),
    )


def _powers_of_ten(up: Scale) -> list[Markup]:
    """Return one grid line and label per whole power of ten, fewer when there are many."""
    first, last = math.ceil(up.low), math.floor(up.high)
    step = max(1, math.ceil((last - first + 1) / 6))
    parts = []
    for power in (power for power in range(first, last + 1) if power % step == 0):
        name = f"{10.0**power:g}" if -3 <= power <= 4 else f"1e{power}"  # noqa: PLR2004 (readable span of %g)
        parts += [_line(LEFT, up(power), WIDTH - RIGHT, up(power), "grid" if power else "grid zero"),
                  _label(LEFT - 8, up(power) + 5, name, "label", "end")]
    return parts


def _rug(path: Sequence[PathPoint], across: Scale) -> list[Markup]:
    """Return a tick per task: one row per arm, tall for success, a low cross-tick for failure."""
    if len(path) > RUG_TASKS:
        return []
    rows = {1: (242.0, "treatment", "new"), 0: (264.0, "control", "old")}
    parts = [_label(LEFT - 8, y + 4, name, "label", "end") for y, _, name in rows.values()]
    for point in path:
        y, arm, _ = rows[1 if point.arm else 0]
        x = across(point.ordinal)
        won = point.outcome >= 0.5  # noqa: PLR2004 (outcomes are 0 or 1; graded ones are drawn by halves)
        parts.append(_line(x, y - 8, x, y + 6, f"tick {arm}") if won else _line(x, y, x, y + 6, "tick failure"))
    return parts


def _ordinals(across: Scale, last: int) -> list[Markup]:
    step = _round_step(last, 5)
    marks = [_label(across(n), 290, str(n), "label", "middle") for n in range(step, last + 1, step)]
    return [*marks, _label(LEFT, 290, "task 0", "label", "middle")]


def _round_step(span: float, wanted: int) -> int:
    """Return a step of 1, 2 or 5 times a power of ten that divides `span` into about `wanted` parts."""
    raw = max(1.0, span / wanted)
    power = 10 ** math.floor(math.log10(raw))
    return int(next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw))


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Keep at most about DRAWN_POINTS points: each stretch's lowest and highest, in order, and both ends."""
    if len(points) <= DRAWN_POINTS:
        return points
    stretch = math.ceil(2 * len(points) / DRAWN_POINTS)
    kept = {0, len(points) - 1}
    for start in range(0, len(points), stretch):
        span = range(start, min(start + stretch, len(points)))
        kept |= {min(span, key=lambda i: points[i][1]), max(span, key=lambda i: points[i][1])}
    return [points[i] for i in sorted(kept)]


# --- success by arm ----------------------------------------------------------------------------------------------


def arms_bar(arms: Sequence[Arm], *, title: str) -> Markup:
    """Draw each arm's share of verified successes with its interval on one axis from 0 to 100 %."""
    across = Scale(0, 1, 20, WIDTH - 28)
    height = 74 * len(arms) + 34
    parts: list[Markup] = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        parts += [_line(across(share), 30, across(share), height - 30, "grid"),
                  _label(across(share), height - 8, f"{share:.0%}".replace("%", " %"), "label", "middle")]
    for row, arm in enumerate(arms):
        parts += _arm_row(arm, across, 74.0 * row, "control" if row == 0 else "treatment")
    text = "; ".join(f"{arm.label}: {arm.successes:g} of {arm.resolved} succeeded" for arm in arms)
    return _picture("arms", (0, 0, WIDTH, height), title, text + ".", *parts)


def _arm_row(arm: Arm, across: Scale, top: float, kind: str) -> list[Markup]:
    share = arm.successes / arm.resolved if arm.resolved else None
    figure = f"{percent(share)}  ({arm.successes:g} of {arm.resolved})"
    parts = [_label(across(0), top + 20, arm.label, "label strong"),
             _label(across(1), top + 20, figure, "label strong", "end"),
             tag("rect", class_="rail", x=across(0), y=top + 30, width=across(1) - across(0), height=26, rx=5)]
    if share is None:
        return parts
    y = top + 43
    return [*parts,
            tag("rect", class_=f"bar {kind}", x=across(0), y=top + 30, width=across(share) - across(0), height=26, rx=5),
            _line(across(arm.lower), y, across(arm.upper), y, "interval"),
            _line(across(arm.lower), y - 7, across(arm.lower), y + 7, "interval"),
            _line(across(arm.upper), y - 7, across(arm.upper), y + 7, "interval")]


# --- votes -------------------------------------------------------------------------------------------------------


def tally_bar(yes: int, no: int, abstain: int, electorate: int, *, threshold_percent: int, title: str) -> Markup:
    """Draw every seat of the electorate, and the share for / (for + against) against the line that carries."""
    across = Scale(0, 1, 20, WIDTH - 20)
    cast, line = yes + no, threshold_percent / 100
    share = yes / cast if cast else None
    silent = max(0, electorate - cast - abstain)
    said = f"{yes} for, {no} against, {abstain} abstain, {silent} silent"
    parts = [_label(20, 18, f"Electorate of {electorate}: {said}", "label strong"),
             *_seats(((yes, "for"), (no, "against"), (abstain, "abstain"), (silent, "silent")), across),
             _label(20, 88, f"Of votes cast: {percent(share)} for", "label strong"),
             tag("rect", class_="rail", x=across(0), y=98, width=across(1) - across(0), height=26, rx=5)]
    if share is not None:
        parts += [tag("rect", class_="bar against", x=across(0), y=98, width=across(1) - across(0), height=26, rx=5),
                  tag("rect", class_="bar for", x=across(0), y=98, width=across(share) - across(0), height=26, rx=5)]
    parts += [_line(across(line), 92, across(line), 132, "threshold"),
              _label(across(line), 150, f"{threshold_percent} % carries", "label strong", "middle")]
    return _picture("tally", (0, 0, WIDTH, 160), title, said + f"; {percent(share)} of votes cast are for.", *parts)


def _seats(groups: Iterable[tuple[int, str]], across: Scale) -> list[Markup]:
    """Return one cell per seat while they can be told apart, else one bar per choice."""
    counts = list(groups)
    total = max(1, sum(count for count, _ in counts))
    width, parts, seat = (across(1) - across(0)) / total, [], 0
    for count, kind in counts:
        if total > SEATS_DRAWN:
            parts.append(tag("rect", class_=f"seat {kind}", x=across(0) + seat * width, y=28, width=count * width, height=26))
        else:
            parts += [tag("rect", class_=f"seat {kind}", x=across(0) + (seat + n) * width + 2, y=28,
                          width=width - 4, height=26, rx=5) for n in range(count)]
        seat += count
    return parts


# --- success over time -------------------------------------------------------------------------------------------


def sparkline(points: Sequence[RatePoint], *, line_share: float | None, title: str) -> Markup:
    """Draw success from 0 to 100 % over time, small; windows without a task leave a gap, never a zero."""
    across, up = _over(points, 4, 176), Scale(0, 1, 44, 4)
    parts = [_line(0, up(line_share), 180, up(line_share), "limit")] if line_share is not None else []
    return _picture("spark", (0, 0, 180, 48), title, _in_words(points), *parts, *_runs(points, across, up, 3))


def rate_history(
    points: Sequence[RatePoint], *, line_share: float | None, marks: Sequence[tuple[float, str]], title: str
) -> Markup:
    """Draw success from 0 to 100 % over time with named instants (`marks`: seconds, label) as vertical lines."""
    inside = [mark for mark in marks if points and points[0].at_seconds <= mark[0] <= points[-1].at_seconds]
    across, up = _over(points, LEFT, WIDTH - RIGHT), Scale(0, 1, 214, 44)
    parts: list[Markup] = []
    for share in (0, 0.5, 1):
        parts += [_line(LEFT, up(share), WIDTH - RIGHT, up(share), "grid"),
                  _label(LEFT - 8, up(share) + 5, f"{100 * share:.0f} %", "label", "end")]
    if line_share is not None:
        parts += [_line(LEFT, up(line_share), WIDTH - RIGHT, up(line_share), "limit"),
                  _label(LEFT - 8, up(line_share) + 5, f"{100 * line_share:.0f} %", "label strong", "end")]
    for number, (at, name) in enumerate(inside):
        x, late = across(at), across(at) > WIDTH * 0.7
        parts += [_line(x, 38, x, 214, "mark"),
                  _label(x, 32 if number % 2 else 8, name, "label", "end" if late else "start")]
    parts += _runs(points, across, up, 5)
    if points:
        span = points[-1].at_seconds - points[0].at_seconds
        parts += [_label(LEFT, 240, "start"), _label(WIDTH - RIGHT, 240, f"+{span:,.0f} s", "label", "end")]
    return _picture("history", (0, -12, WIDTH, 262), title, _in_words(points), *parts)


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
    lines = [_polyline(run, "path") for run in filled]
    dots = [tag("circle", class_="point", cx=x, cy=y, r=2) for run in filled for x, y in run if len(run) == 1]
    end = [tag("circle", class_="end", cx=filled[-1][-1][0], cy=filled[-1][-1][1], r=radius)] if filled else []
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


# --- the loop ----------------------------------------------------------------------------------------------------

_INNER, _FIRST, _LAST = 0.4, 122.0, 190.0
_MARKS: dict[str, str] = {
    StageState.DONE: "M-6 0 L-2 4.5 L6.5 -5",
    StageState.FAILED: "M-5 -5 L5 5 M5 -5 L-5 5",
    StageState.RUNNING: "M-6 0 L-5.9 0 M0 0 L0.1 0 M6 0 L6.1 0",
    StageState.WAITING: "M-3 0 L3 0",
}


def loop_ring(stages: Sequence[Stage], *, centre: tuple[str, str], title: str) -> Markup:
    """Draw the loop as the seven chambers of a shell, each a little wider than the last, with its state."""
    parts: list[Markup] = []
    for number, stage in enumerate(stages):
        start, end = number / len(stages), (number + 1) / len(stages)
        x, y = _spiral((start + end) / 2, (1 + _INNER) / 2 + 0.03)
        parts += [tag("path", class_=f"chamber {stage.state} hue{number % 7}", d=_chamber(start + 0.006, end - 0.006)),
                  tag("path", class_=f"sign {stage.state}", d=_MARKS.get(stage.state, ""),
                      transform=f"translate({x:.1f} {y - 9:.1f})"),
                  _label(x, y + 14, stage.name, f"stage {stage.state}", "middle")]
    middle = [_label(0, -2, centre[0], "centre", "middle"), _label(0, 15, centre[1], "centre small", "middle")]
    return _picture("ring", (-186, -194, 350, 376), title, _stages_in_words(stages), *parts, *middle)


def loop_strip(stages: Sequence[Stage], *, title: str) -> Markup:
    """Draw the seven stages as a row of small chambers with their state."""
    parts = []
    for number, stage in enumerate(stages):
        parts += [tag("rect", class_=f"chamber {stage.state} hue{number % 7}", x=24 * number + 1.5, y=1.5, width=21, height=19, rx=6),
                  tag("path", class_=f"sign {stage.state}", d=_MARKS.get(stage.state, ""),
                      transform=f"translate({24 * number + 12} 11) scale(0.8)")]
    return _picture("strip", (0, 0, 24 * len(stages), 22), title, _stages_in_words(stages), *parts)


def _spiral(turn: float, share: float) -> tuple[float, float]:
    """Return the point at `turn` (0..1 clockwise from the top) and `share` of the outer radius there."""
    radius = share * _FIRST * (_LAST / _FIRST) ** turn
    angle = 2 * math.pi * turn - math.pi / 2
    return radius * math.cos(angle), radius * math.sin(angle)


def _chamber(start: float, end: float) -> str:
    steps = [start + (end - start) * n / 12 for n in range(13)]
    outline = [_spiral(turn, 1) for turn in steps] + [_spiral(turn, _INNER) for turn in reversed(steps)]
    return "M" + " L".join(f"{x:.2f} {y:.2f}" for x, y in outline) + " Z"


def _stages_in_words(stages: Sequence[Stage]) -> str:
    return ", ".join(f"{stage.name}: {stage.state}" for stage in stages) + "."
