"""Charts of the market: what the last hour ended, and how sure a rate is.

Stand at the edge: pure functions from figures to inline SVG. They never look anything up.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from app.web.charts.svg import WIDTH, Scale, label, line, picture, tag
from app.web.formats import percent

HEIGHT = 150
FLOOR = 112
GAP = 5


class Ended(NamedTuple):
    """What ended within one window of time: how many in all, and how many of them verified and paid."""

    at: str
    settled: int
    ended: int


def endings_bars(windows: Sequence[Ended], *, title: str) -> Markup:
    """Draw the endings of each window as a bar: verified work from the floor, everything else on top."""
    highest = max((window.ended for window in windows), default=0)
    up = Scale(0, max(1, highest), FLOOR, 24)
    width = (WIDTH - 40) / max(1, len(windows))
    parts = [line(20, FLOOR, WIDTH - 20, FLOOR, "grid")]
    for number, window in enumerate(windows):
        left = 20 + number * width + GAP / 2
        bars = (("treatment", 0, window.settled), ("lost", window.settled, window.ended))
        parts += [
            tag(
                "rect",
                class_=f"bar {kind}",
                x=left,
                y=up(end),
                width=width - GAP,
                height=up(start) - up(end),
            )
            for kind, start, end in bars
            if end > start
        ]
        if number % 3 == 0:
            parts.append(label(left, HEIGHT - 14, window.at, "label"))
    if highest:
        parts.append(label(20, 14, f"{highest:,} in five minutes at most", "label"))
    settled, ended = sum(window.settled for window in windows), sum(window.ended for window in windows)
    text = f"{ended} tasks ended, {settled} of them verified and paid."
    return picture("endings", (0, 0, WIDTH, HEIGHT), title, text, *parts)


def rate_interval(rate: float, low: float, high: float, *, title: str) -> Markup:
    """Draw a rate with its interval on a small axis from 0 to 100 %."""
    across = Scale(0, 1, 4, 176)
    text = f"{percent(rate)}, from {percent(low)} to {percent(high)}."
    return picture(
        "span",
        (0, 0, 180, 24),
        title,
        text,
        tag("rect", class_="rail", x=4, y=9, width=172, height=6, rx=3),
        tag("rect", class_="bar old", x=across(low), y=9, width=across(high) - across(low), height=6, rx=3),
        tag("circle", class_="end", cx=across(rate), cy=12, r=5),
    )


def evidence_meter(e_value: float, suspends_at: float, *, title: str) -> Markup:
    """Draw the evidence against an agent on a log axis: from 1 in `suspends_at` over 1 to `suspends_at`."""
    across = Scale(-math.log(suspends_at), math.log(suspends_at), 20, WIDTH - 60)
    here = across(max(across.low, min(across.high, math.log(max(e_value, 1e-300)))))
    rail = {"x": across.start, "y": 26, "height": 14, "rx": 7}
    parts = [
        tag("rect", class_="rail", width=across.end - across.start, **rail),
        tag("rect", class_="bar old", width=here - across.start, **rail),
        line(across(0), 20, across(0), 46, "grid zero"),
        line(across.end, 16, across.end, 50, "threshold"),
        tag("circle", class_="end", cx=here, cy=33, r=7),
        label(20, 66, "for it", "label"),
        label(across(0), 66, "says nothing", "label", "middle"),
        label(across.end + 50, 66, f"{suspends_at:g}: suspended", "label", "end"),
    ]
    text = f"E is {e_value:.3g}; at {suspends_at:g} the agent is suspended."
    return picture("meter", (0, 0, WIDTH, 76), title, text, *parts)
