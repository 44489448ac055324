"""Every chart of Nacre: pure functions from figures to inline SVG, so that screen and report cannot disagree.

Colours, fonts and dark mode come from the style sheet through classes; no chart carries a style attribute or
a script. Each has a title and a description in words. Stands at the edge, and never looks anything up.
"""

from app.web.charts.evidence import Arm, PathPoint, arms_bar, tally_bar, wealth_path
from app.web.charts.history import RatePoint, rate_history, sparkline
from app.web.charts.loop import Stage, loop_ring, loop_strip

__all__ = [
    "Arm",
    "PathPoint",
    "RatePoint",
    "Stage",
    "arms_bar",
    "loop_ring",
    "loop_strip",
    "rate_history",
    "sparkline",
    "tally_bar",
    "wealth_path",
]
