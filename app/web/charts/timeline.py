"""The chart of a time: one lane for each kind of event, one mark for each.

Stands at the edge: pure functions from figures to inline SVG. They never look anything up.
"""

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from app.web.charts.svg import WIDTH, Scale, label, line, picture, tag
from services.domain.clock import DAY_US, MINUTE_US, to_datetime

NAMES_WIDTH = 82
ROW = 34
TOP = 18
LONG_WORDS = 150.0
"""Room that a mark's words take; marks closer than that stay without words."""
LONG_US = 3 * DAY_US


class Mark(NamedTuple):
    """One event: when (µs since the epoch), its lane, and what it was in words."""

    at_us: int
    lane: str
    words: str


def timeline(marks: Sequence[Mark], *, title: str) -> Markup:
    """Draw marks from left to right in time, a lane for each kind in the order of their first mark."""
    lanes = list(dict.fromkeys(mark.lane for mark in marks))
    times = [mark.at_us for mark in marks]
    across = Scale(min(times), max(times), NAMES_WIDTH + 12, WIDTH - 24)
    bottom = TOP + ROW * len(lanes)
    parts: list[Markup] = []
    for number, lane in enumerate(lanes):
        y = TOP + ROW * number + ROW / 2
        parts += [
            line(NAMES_WIDTH, y, WIDTH - 12, y, "grid"),
            label(NAMES_WIDTH - 8, y + 5, lane, "label strong", "end"),
        ]
        parts += _lane([mark for mark in marks if mark.lane == lane], across, y)
    parts += _ends(times, bottom)
    text = "; ".join(f"{to_datetime(mark.at_us):%Y-%m-%d %H:%M:%S} {mark.words}" for mark in marks[:40])
    return picture("timeline", (0, 0, WIDTH, bottom + 30), title, text + ".", *parts)


def _lane(marks: Sequence[Mark], across: Scale, y: float) -> list[Markup]:
    parts: list[Markup] = []
    free = 0.0
    for place, mark in enumerate(marks):
        x = across(mark.at_us)
        is_last = place == len(marks) - 1
        parts.append(tag("circle", class_="end", cx=x, cy=y, r=4.5))
        is_late = x > WIDTH - LONG_WORDS
        room = LONG_WORDS if is_last else across(marks[place + 1].at_us) - x
        is_free = x - LONG_WORDS >= free if is_late else x >= free
        if is_free and room >= LONG_WORDS:
            parts.append(
                label(x - 8 if is_late else x + 8, y - 6, mark.words, "label", "end" if is_late else "start")
            )
            free = x + LONG_WORDS
    return parts


def _ends(times: Sequence[int], bottom: float) -> list[Markup]:
    first, last = to_datetime(min(times)), to_datetime(max(times))
    span_us = max(times) - min(times)
    form = "%Y-%m-%d" if span_us > LONG_US else "%Y-%m-%d %H:%M" if span_us > MINUTE_US else "%H:%M:%S"
    return [
        label(NAMES_WIDTH, bottom + 20, first.strftime(form), "label"),
        label(WIDTH - 12, bottom + 20, last.strftime(form), "label", "end"),
    ]
