"""Charts of votes and evidence: the wealth of the bet, success by arm, the tally.

Stand at the edge: pure functions from figures to inline SVG. They never look anything up.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from markupsafe import Markup

from app.web.charts.svg import LEFT, RIGHT, WIDTH, Scale, label, line, picture, polyline, tag
from app.web.formats import percent, significant

DRAWN_POINTS = 800
RUG_TASKS = 260
SEATS_DRAWN = 40


class PathPoint(NamedTuple):
    """Wealth after one task: its ordinal (from 0), ln E, arm (0 control, 1 treatment), outcome in [0, 1]."""

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


# --- the wealth of the bet


def wealth_path(path: Sequence[PathPoint], threshold_log_e: float, *, title: str) -> Markup:
    """Draw log10 E against the task's ordinal, the line at 1/alpha, and each task's outcome beneath.

    `log_e` and `threshold_log_e` are natural logarithms. The first point drawn is E = 1 before any task.
    """
    logs = [0.0, *(point.log_e / math.log(10) for point in path)]
    threshold = threshold_log_e / math.log(10)
    last = path[-1].ordinal + 1 if path else 1
    across = Scale(0, last, LEFT, WIDTH - RIGHT)
    margin = 0.08 * (max(*logs, threshold) - min(*logs, -0.3))
    up = Scale(min(*logs, -0.3) - margin, max(*logs, threshold) + margin, 214, 16)
    drawn = _thinned(
        [(across(0), up(0.0)), *((across(p.ordinal + 1), up(y)) for p, y in zip(path, logs[1:], strict=True))]
    )
    text = (
        f"{len(path)} tasks folded; E ended at {significant(10 ** min(logs[-1], 300))}, "
        f"the line that decides stands at {significant(10 ** min(threshold, 300))}."
    )
    return picture(
        "wealth",
        (0, 0, WIDTH, 300),
        title,
        text,
        *_powers_of_ten(up),
        line(LEFT, up(threshold), WIDTH - RIGHT, up(threshold), "threshold"),
        label(LEFT + 8, up(threshold) - 7, f"1/α = {significant(10 ** min(threshold, 300))}", "label strong"),
        polyline(drawn, "path"),
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
        parts += [
            line(LEFT, up(power), WIDTH - RIGHT, up(power), "grid" if power else "grid zero"),
            label(LEFT - 8, up(power) + 5, name, "label", "end"),
        ]
    return parts


def _rug(path: Sequence[PathPoint], across: Scale) -> list[Markup]:
    """Return a tick per task: one row per arm, tall for success, a low cross-tick for failure."""
    if len(path) > RUG_TASKS:
        return []
    rows = {1: (242.0, "treatment", "new"), 0: (264.0, "control", "old")}
    parts = [label(LEFT - 8, y + 4, name, "label", "end") for y, _, name in rows.values()]
    for point in path:
        y, arm, _ = rows[1 if point.arm else 0]
        x = across(point.ordinal + 1)
        won = point.outcome >= 0.5  # noqa: PLR2004 (outcomes are 0 or 1; graded ones are drawn by halves)
        parts.append(line(x, y - 8, x, y + 6, f"tick {arm}") if won else line(x, y, x, y + 6, "tick failure"))
    return parts


def _ordinals(across: Scale, last: int) -> list[Markup]:
    step = _round_step(last, 5)
    marks = [label(across(n), 290, str(n), "label", "middle") for n in range(step, last + 1, step)]
    return [*marks, label(LEFT, 290, "task 0", "label", "middle")]


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


# --- success by arm


def arms_bar(arms: Sequence[Arm], *, title: str) -> Markup:
    """Draw each arm's share of verified successes with its interval on one axis from 0 to 100 %."""
    across = Scale(0, 1, 20, WIDTH - 28)
    height = 74 * len(arms) + 34
    parts: list[Markup] = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        parts += [
            line(across(share), 30, across(share), height - 30, "grid"),
            label(across(share), height - 8, f"{share:.0%}".replace("%", " %"), "label", "middle"),
        ]
    for row, arm in enumerate(arms):
        parts += _arm_row(arm, across, 74.0 * row, "control" if row == 0 else "treatment")
    text = "; ".join(f"{arm.label}: {arm.successes:g} of {arm.resolved} succeeded" for arm in arms)
    return picture("arms", (0, 0, WIDTH, height), title, text + ".", *parts)


def _arm_row(arm: Arm, across: Scale, top: float, kind: str) -> list[Markup]:
    share = arm.successes / arm.resolved if arm.resolved else None
    figure = f"{percent(share)}  ({arm.successes:g} of {arm.resolved})"
    parts = [
        label(across(0), top + 20, arm.label, "label strong"),
        label(across(1), top + 20, figure, "label strong", "end"),
        tag("rect", class_="rail", x=across(0), y=top + 30, width=across(1) - across(0), height=26, rx=5),
    ]
    if share is None:
        return parts
    y = top + 43
    return [
        *parts,
        tag(
            "rect",
            class_=f"bar {kind}",
            x=across(0),
            y=top + 30,
            width=across(share) - across(0),
            height=26,
            rx=5,
        ),
        line(across(arm.lower), y, across(arm.upper), y, "interval"),
        line(across(arm.lower), y - 7, across(arm.lower), y + 7, "interval"),
        line(across(arm.upper), y - 7, across(arm.upper), y + 7, "interval"),
    ]


# --- votes


def tally_bar(
    yes: int, no: int, abstain: int, electorate: int, *, threshold_percent: int, title: str
) -> Markup:
    """Draw every seat of the electorate, and for / (for + against) against the line that carries."""
    across = Scale(0, 1, 20, WIDTH - 20)
    cast, carries = yes + no, threshold_percent / 100
    share = yes / cast if cast else None
    silent = max(0, electorate - cast - abstain)
    said = f"{yes} for, {no} against, {abstain} abstain, {silent} silent"
    parts = [
        label(20, 18, f"Electorate of {electorate}: {said}", "label strong"),
        *_seats(((yes, "for"), (no, "against"), (abstain, "abstain"), (silent, "silent")), across),
        label(20, 88, f"Of votes cast: {percent(share)} for", "label strong"),
        tag("rect", class_="rail", x=across(0), y=98, width=across(1) - across(0), height=26, rx=5),
    ]
    if share is not None:
        parts += [
            tag(
                "rect", class_="bar against", x=across(0), y=98, width=across(1) - across(0), height=26, rx=5
            ),
            tag(
                "rect", class_="bar for", x=across(0), y=98, width=across(share) - across(0), height=26, rx=5
            ),
        ]
    parts += [
        line(across(carries), 92, across(carries), 132, "threshold"),
        label(across(carries), 150, f"{threshold_percent} % carries", "label strong", "middle"),
    ]
    return picture(
        "tally", (0, 0, WIDTH, 160), title, said + f"; {percent(share)} of votes cast are for.", *parts
    )


def _seats(groups: Iterable[tuple[int, str]], across: Scale) -> list[Markup]:
    """Return one cell per seat while they can be told apart, else one bar per choice."""
    counts = list(groups)
    total = max(1, sum(count for count, _ in counts))
    width, parts, seat = (across(1) - across(0)) / total, [], 0
    for count, kind in counts:
        if total > SEATS_DRAWN:
            parts.append(
                tag(
                    "rect",
                    class_=f"seat {kind}",
                    x=across(0) + seat * width,
                    y=28,
                    width=count * width,
                    height=26,
                )
            )
        else:
            parts += [
                tag(
                    "rect",
                    class_=f"seat {kind}",
                    x=across(0) + (seat + n) * width + 2,
                    y=28,
                    width=width - 4,
                    height=26,
                    rx=5,
                )
                for n in range(count)
            ]
        seat += count
    return parts
