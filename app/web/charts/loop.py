"""The picture of the loop: seven chambers of a shell, each a little wider than the last; and a strip.

Stands at the edge: pure functions from stages to inline SVG. They never look anything up.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from app.web.charts.svg import label, picture, tag
from services.store.views import StageState

_INNER, _FIRST, _LAST = 0.4, 122.0, 190.0
_MARKS: dict[str, str] = {
    StageState.DONE: "M-6 0 L-2 4.5 L6.5 -5",
    StageState.FAILED: "M-5 -5 L5 5 M5 -5 L-5 5",
    StageState.RUNNING: "M-6 0 L-5.9 0 M0 0 L0.1 0 M6 0 L6.1 0",
    StageState.WAITING: "M-3 0 L3 0",
}


class Stage(NamedTuple):
    """One stage of the loop as drawn."""

    name: str
    state: str


def loop_ring(stages: Sequence[Stage], *, centre: tuple[str, str], title: str) -> Markup:
    """Draw the loop as the seven chambers of a shell, each a little wider than the last, with its state."""
    parts: list[Markup] = []
    for number, stage in enumerate(stages):
        start, end = number / len(stages), (number + 1) / len(stages)
        x, y = _spiral((start + end) / 2, (1 + _INNER) / 2 + 0.03)
        parts += [
            tag(
                "path",
                class_=f"chamber {stage.state} hue{number % 7}",
                d=_chamber(start + 0.006, end - 0.006),
            ),
            tag(
                "path",
                class_=f"sign {stage.state}",
                d=_MARKS.get(stage.state, ""),
                transform=f"translate({x:.1f} {y - 9:.1f})",
            ),
            label(x, y + 14, stage.name, f"stage {stage.state}", "middle"),
        ]
    middle = [
        label(0, -2, centre[0], "centre", "middle"),
        label(0, 15, centre[1], "centre small", "middle"),
    ]
    return picture("ring", (-186, -194, 350, 376), title, _stages_in_words(stages), *parts, *middle)


def loop_strip(stages: Sequence[Stage], *, title: str) -> Markup:
    """Draw the seven stages as a row of small chambers with their state."""
    parts = []
    for number, stage in enumerate(stages):
        parts += [
            tag(
                "rect",
                class_=f"chamber {stage.state} hue{number % 7}",
                x=24 * number + 1.5,
                y=1.5,
                width=21,
                height=19,
                rx=6,
            ),
            tag(
                "path",
                class_=f"sign {stage.state}",
                d=_MARKS.get(stage.state, ""),
                transform=f"translate({24 * number + 12} 11) scale(0.8)",
            ),
        ]
    return picture("strip", (0, 0, 24 * len(stages), 22), title, _stages_in_words(stages), *parts)


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
