"""Layer 1, the observatory: snapshots, baselines, episodes, evidence, recovery.

Stands at the start of the loop and at its end: it counts what happened into windows, sees a metric leave its
band and come back, and hands an investigator what is needed. Numerator and denominator are stored, never
only a ratio; a window without tasks is no evidence, never 0 %. Meta-tasks do not count. It never proposes a
cause of its own.
"""

from services.observatory.checks import report_failing, report_healthy
from services.observatory.episodes import (
    NOT_RECOVERED,
    RECOVERY_WINDOWS,
    accept_shift,
    attach_investigation,
    get_episode,
    observe,
)
from services.observatory.evidence import gather_evidence
from services.observatory.laps import close_lap, give_up
from services.observatory.retention import prune_series
from services.observatory.snapshots import METRIC, take_snapshot

__all__ = [
    "METRIC",
    "NOT_RECOVERED",
    "RECOVERY_WINDOWS",
    "accept_shift",
    "attach_investigation",
    "close_lap",
    "gather_evidence",
    "get_episode",
    "give_up",
    "observe",
    "prune_series",
    "report_failing",
    "report_healthy",
    "take_snapshot",
]
