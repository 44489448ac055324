"""Every chart of Nacre: pure functions from figures to inline SVG, so that screen and report cannot disagree.

Colours, fonts and dark mode come from the style sheet through classes; no chart carries a style attribute or
a script. Each has a title and a description in words. Stands at the edge, and never looks anything up.
"""

from app.web.charts.evidence import Arm, arms_bar, tally_bar
from app.web.charts.history import RatePoint, rate_history, sparkline
from app.web.charts.loop import Stage, loop_ring, loop_strip
from app.web.charts.market import Ended, endings_bars, evidence_meter, rate_interval
from app.web.charts.poster import Poster, poster
from app.web.charts.series import SeriesFrame, SeriesPoint, series_history, series_spark
from app.web.charts.timeline import Mark, timeline
from app.web.charts.wealth import PathPoint, WealthLeg, wealth_legs, wealth_path

__all__ = [
    "Arm",
    "Ended",
    "Mark",
    "PathPoint",
    "Poster",
    "RatePoint",
    "SeriesFrame",
    "SeriesPoint",
    "Stage",
    "WealthLeg",
    "arms_bar",
    "endings_bars",
    "evidence_meter",
    "loop_ring",
    "loop_strip",
    "poster",
    "rate_history",
    "rate_interval",
    "series_history",
    "series_spark",
    "sparkline",
    "tally_bar",
    "timeline",
    "wealth_legs",
    "wealth_path",
]
