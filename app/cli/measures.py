"""The kinds of outcome that the offline commands take, and the metric each one is decided by.

Stands beside the experiment commands; it loads nothing heavy. It never reads an outcome.
"""

from enum import StrEnum

from services.domain.metrics import Metric


class Measure(StrEnum):
    """What an outcome is."""

    SUCCESS = "success"
    """0 or 1, higher is better."""
    SCORE = "score"
    """From 0 to 1, higher is better."""
    DURATION = "duration"
    """From 0 in any unit, lower is better; decided by ranks."""
    COST = "cost"
    """From 0 in any unit, lower is better; decided by ranks."""

    @property
    def metric(self) -> Metric:
        """The metric that the platform would decide by."""
        if self is Measure.DURATION:
            return Metric.DURATION
        return Metric.COST if self is Measure.COST else Metric.SUCCESS
