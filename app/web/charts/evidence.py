"""Charts of votes and arms: success by arm, the tally.

Stand at the edge: pure functions from figures to inline SVG. They never look anything up.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from markupsafe import Markup

from app.web.charts.svg import WIDTH, Scale, label, line, picture, tag
from app.web.formats import percent

SEATS_DRAWN = 40


class Arm(NamedTuple):
    """One arm of an experiment: what it is, what it got, and the interval drawn around its rate."""

    label: str
    successes: float
    resolved: int
    lower: float
    upper: float


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
