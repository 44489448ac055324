"""The chart of the evidence: the wealth of the bet through trial and probation, and both arms beneath.

Stands at the edge: pure functions from figures to SVG; pages show the inline form, `poster` makes one that
stands alone. They never look anything up.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from markupsafe import Markup

from app.web.charts.svg import LEFT, RIGHT, WIDTH, Scale, label, line, picture, polyline, tag
from app.web.formats import significant

DRAWN_POINTS: Final = 800
RUG_TASKS: Final = 260
RUG_HEIGHT: Final = 46.0
HARM_LINE: Final = math.log10(20)
HARM_LINE_APART: Final = 0.01
"""log10 E that the line of harm keeps from the one that decides, to be drawn beside it."""
LOWEST: Final = -6.0
"""log10 E below which the scale does not reach: the path runs along the floor, the line of harm breaks."""
LARGEST_POWER: Final = 300.0
LABEL_WIDTH: Final = 110.0
"""Room that a line's label takes."""
SETTLED_TASKS: Final = 5
"""Tasks of an arm before its running mean counts for the height of the lower panel."""


class PathPoint(NamedTuple):
    """The bet after one task: ordinal (from 0), ln E, arm (0 control, 1 treatment), outcome, ln E of harm."""

    ordinal: int
    log_e: float
    arm: int
    outcome: float
    harm_log: float | None = None


class WealthLeg(NamedTuple):
    """One leg: its path, the line (natural log) that decides it, its name, how many tasks its ramp had."""

    path: Sequence[PathPoint]
    threshold_log_e: float
    name: str = ""
    ramp_tasks: int = 0
    is_shaded: bool = False


class Panels(NamedTuple):
    """Where things are drawn: both ends, the wealth's top and bottom, the arms', and the task numbers."""

    left: float
    right: float
    top: float
    bottom: float
    arms_top: float
    arms_bottom: float
    numbers: float


INLINE: Final = Panels(LEFT, WIDTH - RIGHT, 16, 210, 232, 288, 316)


def wealth_path(path: Sequence[PathPoint], threshold_log_e: float, *, title: str) -> Markup:
    """Draw one leg: log10 E task by task, the line at 1/alpha, and each task's outcome beneath.

    `log_e` and `threshold_log_e` are natural logarithms. The first point drawn is E = 1 before any task.
    """
    return wealth_legs([WealthLeg(path, threshold_log_e)], title=title)


def wealth_legs(legs: Sequence[WealthLeg], *, title: str, is_share: bool = True) -> Markup:
    """Draw the legs one after the other, each with its own line; the wealth goes on from leg to leg.

    Beneath it, what the arms came to: shares of 100 %, or (not `is_share`) means of a raw measure.
    """
    box = (0, 0, WIDTH, 326)
    return picture("wealth", box, title, in_words(legs), *panels(legs, INLINE, is_share=is_share))


def in_words(legs: Sequence[WealthLeg]) -> str:
    """Return in words what the chart shows."""
    said = []
    for leg in legs:
        last = leg.path[-1].log_e if leg.path else 0.0
        name, noun = f"{leg.name}: " if leg.name else "", "task" if len(leg.path) == 1 else "tasks"
        said.append(
            f"{name}{len(leg.path)} {noun} folded; E ended at {_e_text(last)}, "
            f"the line that decides stands at {_e_text(leg.threshold_log_e)}."
        )
    return " ".join(said)


def panels(legs: Sequence[WealthLeg], at: Panels, *, is_share: bool) -> list[Markup]:
    """Return both panels: the wealth, and what the arms came to."""
    tasks = max(1, sum(len(leg.path) for leg in legs))
    across = Scale(0, tasks, at.left, at.right)
    up = _heights(legs, at)
    bands = [part for leg, start in _placed(legs) for part in _bands(leg, start, across, at)]
    drawn = [part for leg, start in _placed(legs) for part in _leg(leg, start, across, up, at)]
    ends = _ends(legs, across, up)
    below = _rug(legs, across, at) if has_rug(legs, is_share=is_share) else _means(legs, across, at, is_share)
    return [*bands, *_powers_of_ten(up, at), *drawn, *ends, *below, *_numbers(across, tasks, at)]


def has_rug(legs: Sequence[WealthLeg], *, is_share: bool) -> bool:
    """Tell whether each task is drawn by itself (else each arm's mean so far is)."""
    return is_share and sum(len(leg.path) for leg in legs) <= RUG_TASKS


def _placed(legs: Sequence[WealthLeg]) -> Iterator[tuple[WealthLeg, int]]:
    """Yield each leg with the number of tasks before it."""
    start = 0
    for leg in legs:
        yield leg, start
        start += len(leg.path)


def _heights(legs: Sequence[WealthLeg], at: Panels) -> Scale:
    """Return the scale of log10 E: all paths and lines fit, down to 10 to the power of LOWEST."""
    logs = [0.0, *(_power(point.log_e) for leg in legs for point in leg.path)]
    logs += [_power(leg.threshold_log_e) for leg in legs]
    harms = [_power(point.harm_log) for leg in legs for point in leg.path if point.harm_log is not None]
    if harms:
        logs += [HARM_LINE, min(harms), max(harms)]
    low, high = max(LOWEST, min(*logs, -0.3)), max(logs)
    margin = 0.08 * (high - low)
    return Scale(low - margin, high + margin, at.bottom, at.top)


def _power(natural_log: float) -> float:
    return max(-LARGEST_POWER, min(LARGEST_POWER, natural_log / math.log(10)))


def _e_text(natural_log: float) -> str:
    return significant(10 ** _power(natural_log))


def _bands(leg: WealthLeg, start: int, across: Scale, at: Panels) -> list[Markup]:
    """Return the grounds that tell a ramp and a probation from the rest."""
    parts = []
    for first, tasks, kind in (
        (start, len(leg.path) if leg.is_shaded else 0, "probation"),
        (start, min(leg.ramp_tasks, len(leg.path)), "ramp"),
    ):
        if tasks:
            x, width = across(first), across(first + tasks) - across(first)
            height = at.arms_bottom - at.top
            parts.append(tag("rect", class_=f"band {kind}", x=x, y=at.top, width=width, height=height))
    return parts


def _leg(leg: WealthLeg, start: int, across: Scale, up: Scale, at: Panels) -> list[Markup]:
    """Return one leg's line and paths; it starts where the one before it ended."""
    threshold = _power(leg.threshold_log_e)
    first, last = across(start), across(start + max(1, len(leg.path)))
    is_late = _is_freer_at_its_end(leg, first, last, at)
    words = f"1/α = {_e_text(leg.threshold_log_e)}"
    parts = [
        line(first, up(threshold), last, up(threshold), "threshold"),
        label(last - 8 if is_late else first + 8, up(threshold) - 7, words, "label strong", _anchor(is_late)),
    ]
    harm = [
        (across(start + n + 1), max(up.end, up(_power(point.harm_log))))
        for n, point in enumerate(leg.path)
        if point.harm_log is not None
    ]
    if harm:
        if has_harm_line(leg):
            parts.insert(0, line(first, up(HARM_LINE), last, up(HARM_LINE), "limit"))
        parts += [polyline(thinned(run), "path harm") for run in _above([(first, up(0.0)), *harm], up.start)]
    return parts


def has_harm_line(leg: WealthLeg) -> bool:
    """Tell whether harm has a line of its own, apart from the one that decides."""
    has_harm = any(point.harm_log is not None for point in leg.path)
    return has_harm and _power(leg.threshold_log_e) > HARM_LINE + HARM_LINE_APART


def _above(points: Sequence[tuple[float, float]], floor: float) -> list[list[tuple[float, float]]]:
    """Return the stretches of a line that are above a floor, each drawn down to it where it leaves."""
    runs: list[list[tuple[float, float]]] = []
    was_above = False
    for (x, y), (_, after) in zip(points, [*points[1:], points[-1]], strict=True):
        is_above = y <= floor
        if is_above or was_above or after <= floor:
            if not (is_above or was_above) or not runs:
                runs.append([])
            runs[-1].append((x, min(y, floor)))
        was_above = is_above
    return [run for run in runs if len(run) > 1]


def _is_freer_at_its_end(leg: WealthLeg, first: float, last: float, at: Panels) -> bool:
    """Tell whether a label on the line keeps further from the path at the leg's end than at its start."""
    tasks = len(leg.path)
    spanned = math.ceil(tasks * LABEL_WIDTH / max(1.0, last - first))
    if spanned >= tasks:
        return last - LABEL_WIDTH > at.left and _leaves_the_panel(first, at)
    ends = (leg.path[:spanned], leg.path[-spanned:])
    nearest = [min(abs(point.log_e - leg.threshold_log_e) for point in points) for points in ends]
    return nearest[1] > nearest[0]


def _leaves_the_panel(first: float, at: Panels) -> bool:
    """Tell whether a label that begins here would leave the panel."""
    return first + LABEL_WIDTH > at.right


def _anchor(is_late: bool) -> str:  # noqa: FBT001 (which end of the text stands at the point)
    return "end" if is_late else "start"


def _ends(legs: Sequence[WealthLeg], across: Scale, up: Scale) -> list[Markup]:
    """Return the path of the wealth through all legs, with a dot where it stands now."""
    logs = [point.log_e for leg in legs for point in leg.path]
    points = [(across(0), up(0.0))]
    points += [(across(n + 1), min(up.start, up(_power(log)))) for n, log in enumerate(logs)]
    drawn = thinned(points)
    return [polyline(drawn, "path"), tag("circle", class_="end", cx=drawn[-1][0], cy=drawn[-1][1], r=5)]


def _powers_of_ten(up: Scale, at: Panels) -> list[Markup]:
    """Return one grid line and label per whole power of ten, fewer when there are many."""
    first, last = math.ceil(up.low), math.floor(up.high)
    step = max(1, math.ceil((last - first + 1) / 6))
    parts = []
    for power in (power for power in range(first, last + 1) if power % step == 0):
        name = f"{10.0**power:g}" if -3 <= power <= 4 else f"1e{power}"  # noqa: PLR2004 (readable span of %g)
        parts += [
            line(at.left, up(power), at.right, up(power), "grid" if power else "grid zero"),
            label(at.left - 8, up(power) + 5, name, "label", "end"),
        ]
    return parts


def _rug(legs: Sequence[WealthLeg], across: Scale, at: Panels) -> list[Markup]:
    """Return a tick per task: one row per arm, tall for success, a low cross-tick for failure."""
    height = at.arms_bottom - at.arms_top
    upper, lower, scale = at.arms_top + height / 4, at.arms_bottom - height / 4, min(1.7, height / RUG_HEIGHT)
    rows = {1: (upper, "treatment", "new"), 0: (lower, "control", "old")}
    parts = [label(at.left - 8, y + 4, name, "label", "end") for y, _, name in rows.values()]
    for leg, start in _placed(legs):
        for n, point in enumerate(leg.path):
            y, arm, _ = rows[1 if point.arm else 0]
            x = across(start + n + 1)
            won = point.outcome >= 0.5  # noqa: PLR2004 (outcomes are 0 or 1; graded ones are drawn by halves)
            parts.append(
                line(x, y - 8 * scale, x, y + 6 * scale, f"tick {arm}")
                if won
                else line(x, y, x, y + 6 * scale, "tick failure")
            )
    return parts


def _means(legs: Sequence[WealthLeg], across: Scale, at: Panels, is_share: bool) -> list[Markup]:  # noqa: FBT001 (what the height means)
    """Return each arm's mean so far, leg by leg: a share of 100 %, or a raw measure from 0 to its highest."""
    found = [(start, _running(leg)) for leg, start in _placed(legs)]
    settled = [mean for _, arms in found for arm in arms for n, _, mean in arm if n >= SETTLED_TASKS]
    highest = 1.0 if is_share else max(settled, default=1.0) * 1.1 or 1.0
    up = Scale(0.0, highest, at.arms_bottom, at.arms_top)
    parts: list[Markup] = []
    for share in (0.0, highest):
        name = f"{100 * share:.0f} %" if is_share else significant(share)
        parts += [
            line(at.left, up(share), at.right, up(share), "grid"),
            label(at.left - 8, up(share) + 5, name, "label", "end"),
        ]
    for start, arms in found:
        for arm, kind in zip(arms, ("control", "treatment"), strict=True):
            points = [(across(start + place), max(at.arms_top, up(mean))) for _, place, mean in arm]
            if len(points) > 1:
                parts.append(polyline(thinned(points), f"mean {kind}"))
    return parts


def _running(leg: WealthLeg) -> tuple[list[tuple[int, int, float]], list[tuple[int, int, float]]]:
    """Return per arm (tasks so far, place in the leg, mean outcome so far) after each of its tasks."""
    arms: tuple[list[tuple[int, int, float]], list[tuple[int, int, float]]] = ([], [])
    totals = [0.0, 0.0]
    for place, point in enumerate(leg.path):
        arm = 1 if point.arm else 0
        totals[arm] += point.outcome
        tasks = len(arms[arm]) + 1
        arms[arm].append((tasks, place + 1, totals[arm] / tasks))
    return arms


def _numbers(across: Scale, last: int, at: Panels) -> list[Markup]:
    step = _round_step(last, 5)
    marks = [label(across(n), at.numbers, f"{n:,}", "label", "middle") for n in range(step, last + 1, step)]
    return [*marks, label(at.left, at.numbers, "task 0", "label", "middle")]


def _round_step(span: float, wanted: int) -> int:
    """Return a step of 1, 2 or 5 times a power of ten that divides `span` into about `wanted` parts."""
    raw = max(1.0, span / wanted)
    power = 10 ** math.floor(math.log10(raw))
    return int(next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw))


def thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Keep at most about DRAWN_POINTS points: each stretch's lowest and highest, in order, and both ends."""
    if len(points) <= DRAWN_POINTS:
        return points
    stretch = math.ceil(2 * len(points) / DRAWN_POINTS)
    kept = {0, len(points) - 1}
    for start in range(0, len(points), stretch):
        span = range(start, min(start + stretch, len(points)))
        kept |= {min(span, key=lambda i: points[i][1]), max(span, key=lambda i: points[i][1])}
    return [points[i] for i in sorted(kept)]
