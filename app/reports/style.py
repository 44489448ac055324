"""The colours and strokes of a report's charts and page, once for light, once for dark.

Stands beside the renderers: a page takes them as variables, a PDF as values. It never leaves a class of the
drawing module without a look.
"""

from typing import Final

LIGHT: Final = {
    "paper": "#fffefb", "panel": "#faf8f4", "ink": "#1d222c", "soft": "#5b6271", "line": "#e0dcd4",
    "rail": "#efede8", "new": "#1f8388", "old": "#7c72b6", "against": "#b34a6c", "mark": "#a06a10",
    "ramp": "#f6edd8", "probation": "#e6f1f0", "link": "#1d6f76", "good": "#17704a", "bad": "#a92d3f",
}  # fmt: skip
DARK: Final = {
    "paper": "#11151b", "panel": "#181d26", "ink": "#e4e7ec", "soft": "#9ca5b4", "line": "#2b323e",
    "rail": "#232a35", "new": "#5bbcc0", "old": "#a59ddb", "against": "#d67d9f", "mark": "#e3b565",
    "ramp": "#241f13", "probation": "#142226", "link": "#7ccdd0", "good": "#79d0a2", "bad": "#f0919d",
}  # fmt: skip

CHARTS: Final = """
.chart text { font-size: 14px; fill: $ink; }
.chart .label { fill: $soft; }
.chart .label.strong { fill: $ink; font-weight: 600; }
.chart .grid { stroke: $line; }
.chart .grid.zero { stroke: $soft; stroke-dasharray: 1 4; }
.chart .path { fill: none; stroke: $new; stroke-width: 2.4; stroke-linejoin: round; stroke-linecap: round; }
.chart .path.harm { stroke: $against; stroke-width: 1.5; stroke-dasharray: 5 4; }
.chart .end { fill: $new; stroke: $paper; stroke-width: 2; }
.chart .threshold { stroke: $mark; stroke-width: 2; stroke-dasharray: 7 5; }
.chart .limit { stroke: $against; stroke-width: 1.2; stroke-dasharray: 2 4; }
.chart .band.ramp { fill: $ramp; }
.chart .band.probation { fill: $probation; }
.chart .mean { fill: none; stroke-width: 2.2; stroke-linejoin: round; }
.chart .mean.control { stroke: $old; }
.chart .mean.treatment { stroke: $new; }
.chart .rail { fill: $rail; }
.chart .bar { stroke: none; }
.chart .bar.control { fill: $old; }
.chart .bar.treatment { fill: $new; }
.chart .interval { stroke: $ink; stroke-width: 2; }
.chart .tick { stroke-width: 2.6; }
.chart .tick.control { stroke: $old; }
.chart .tick.treatment { stroke: $new; }
.chart .tick.failure { stroke: $against; }
"""


def chart_style(colours: dict[str, str] | None = None) -> str:
    """Return the style of the charts, with variables or (given colours) with their values."""
    text = CHARTS
    for name in sorted(LIGHT, key=len, reverse=True):
        text = text.replace(f"${name}", colours[name] if colours else f"var(--{name})")
    return text.strip()


def variables(colours: dict[str, str]) -> str:
    """Return colours as the declarations of a style sheet."""
    return " ".join(f"--{name}: {value};" for name, value in colours.items())
