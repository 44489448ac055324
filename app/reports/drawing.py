"""The charts of a report, drawn by the module that draws for the operator pages.

Stands between the report model and the renderers, so that screen and paper cannot disagree. It computes
nothing.
"""

from typing import cast

from markupsafe import Markup

from app.web import charts
from services.domain.report_model import ArmDrawn, Chart, LegDrawn, MarkDrawn


def drawn(chart: Chart) -> Markup:
    """Return a chart as inline SVG with its title and description."""
    first = chart.drawn[0]
    if isinstance(first, ArmDrawn):
        arms = cast("tuple[ArmDrawn, ...]", chart.drawn)
        shown = [charts.Arm(a.label, a.successes, a.tasks, a.lower, a.upper) for a in arms]
        return charts.arms_bar(shown, title=chart.title)
    if isinstance(first, LegDrawn):
        legs = cast("tuple[LegDrawn, ...]", chart.drawn)
        shown_legs = [_leg(leg) for leg in legs]
        return charts.wealth_legs(shown_legs, title=chart.title, is_share=first.is_share)
    marks = cast("tuple[MarkDrawn, ...]", chart.drawn)
    return charts.timeline([charts.Mark(m.at_us, m.lane, m.label) for m in marks], title=chart.title)


def _leg(leg: LegDrawn) -> charts.WealthLeg:
    path = [charts.PathPoint(*point) for point in leg.path]
    return charts.WealthLeg(path, leg.threshold_log_e, leg.name, leg.ramp_tasks, leg.is_shaded)
