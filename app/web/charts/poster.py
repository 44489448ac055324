"""The evidence as a picture that stands alone: an SVG file with its fonts and colours inside, light and dark.

Stands at the edge beside the inline charts, whose panels it frames with a title, a legend and axes in words.
It carries no script and asks for nothing. It never looks anything up.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from markupsafe import Markup

from app.web.charts.svg import attribute, label, line, tag
from app.web.charts.wealth import Panels, WealthLeg, has_harm_line, has_rug, in_words, panels

WIDTH: Final = 960.0
HEIGHT: Final = 640.0
PLACES: Final = Panels(84, 926, 152, 430, 472, 566, 592)
LETTER: Final = 7.0
"""Mean width of a letter in the legend's size."""

STYLE: Final = """
:root { color-scheme: light dark; }
svg { --paper: #faf9f7; --ink: #1d222c; --soft: #5b6271; --line: #e3e0da; --new: #1f8388; --old: #7c72b6;
  --harm: #b34a6c; --mark: #a06a10; --ramp: #f6edd8; --probation: #e6f1f0;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif;
  font-variant-numeric: tabular-nums lining-nums; }
@media (prefers-color-scheme: dark) {
  svg { --paper: #11151b; --ink: #e4e7ec; --soft: #9ca5b4; --line: #2b323e; --new: #5bbcc0; --old: #a59ddb;
    --harm: #d67d9f; --mark: #e3b565; --ramp: #241f13; --probation: #142226; } }
text { font-size: 15px; fill: var(--ink); }
.paper { fill: var(--paper); }
.heading { font-size: 23px; font-weight: 640; }
.lead { font-size: 15.5px; fill: var(--soft); }
.label, .axis { fill: var(--soft); }
.axis { font-size: 14px; }
.label.strong { fill: var(--ink); font-weight: 560; paint-order: stroke; stroke: var(--paper);
  stroke-width: 4px; stroke-linejoin: round; }
.grid { stroke: var(--line); }
.grid.zero { stroke: var(--soft); stroke-dasharray: 1 4; stroke-linecap: round; }
.band.ramp { fill: var(--ramp); } .band.probation { fill: var(--probation); }
.path { fill: none; stroke: var(--new); stroke-width: 2.8; stroke-linejoin: round; stroke-linecap: round; }
.path.harm { stroke: var(--harm); stroke-width: 1.5; stroke-dasharray: 5 4; }
.end { fill: var(--new); stroke: var(--paper); stroke-width: 2; }
.threshold { stroke: var(--mark); stroke-width: 2; stroke-dasharray: 7 5; }
.limit { stroke: var(--harm); stroke-width: 1.2; stroke-dasharray: 2 4; }
.tick { stroke-width: 2.6; } .tick.treatment { stroke: var(--new); } .tick.control { stroke: var(--old); }
.tick.failure { stroke: var(--harm); }
.mean { fill: none; stroke-width: 2.4; stroke-linejoin: round; }
.mean.treatment { stroke: var(--new); } .mean.control { stroke: var(--old); }
"""


class Poster(NamedTuple):
    """What the picture says: its heading, a sentence beneath, the legs, and what the lower panel shows."""

    heading: str
    lead: str
    legs: Sequence[WealthLeg]
    arms_label: str
    is_share: bool


def poster(shown: Poster) -> Markup:
    """Return the whole SVG document."""
    at = PLACES
    is_rug = has_rug(shown.legs, is_share=shown.is_share)
    words = "each task: tall when it succeeded, low when it failed" if is_rug else shown.arms_label
    parts = [
        tag("title", shown.heading),
        tag("desc", f"{shown.lead} {in_words(shown.legs)}"),
        tag("style", Markup(STYLE)),  # noqa: S704 (the module's own constant)
        tag("rect", class_="paper", x=0, y=0, width=WIDTH, height=HEIGHT, rx=14),
        label(36, 50, shown.heading, "heading"),
        label(36, 78, shown.lead, "lead"),
        *_legend(shown),
        *panels(shown.legs, at, is_share=shown.is_share),
        label(at.left, at.top - 11, "evidence E, logarithmic", "axis"),
        label(at.left + 8, at.arms_top - 9, words, "axis"),
        label(
            (at.left + at.right) / 2,
            at.numbers + 28,
            "tasks, in the order they were assigned",
            "axis",
            "middle",
        ),
    ]
    head = Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="img">'
    )
    return head.format(attribute(WIDTH), attribute(HEIGHT)) + Markup("").join(parts) + Markup("</svg>\n")


def _legend(shown: Poster) -> list[Markup]:
    """Return what each stroke and ground means, for those that are drawn."""
    legs = shown.legs
    entries = [("path", "E of better")]
    if any(point.harm_log is not None for leg in legs for point in leg.path):
        entries.append(("path harm", "E of harm"))
    entries += [("limit", "harm line, 20")] if any(has_harm_line(leg) for leg in legs) else []
    entries += [
        ("threshold", "deciding line"),
        ("mean treatment", "new value"),
        ("mean control", "old value"),
    ]
    grounds = [("band ramp", "ramp")] if any(leg.ramp_tasks for leg in legs) else []
    grounds += [("band probation", "probation")] if any(leg.is_shaded for leg in legs) else []
    parts, x, y = [], 36.0, 112.0
    for kind, words in (*entries, *grounds):
        is_ground = kind.startswith("band")
        parts.append(
            tag("rect", class_=kind, x=x, y=y - 13, width=22, height=16, rx=3)
            if is_ground
            else line(x, y - 5, x + 22, y - 5, kind)
        )
        parts.append(label(x + 28, y, words, "axis"))
        x += 28 + LETTER * len(words) + 18
    return parts
