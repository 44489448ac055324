"""Layer 6, the A/B sandbox: half of the tasks get the new value, and a bet decides what the evidence says.

Stands between the vote and the ledger. A trial that wins is provisional; once the ledger has promoted the
value, probation keeps a share of tasks on the old one until the win is confirmed at its level of the stream.
Outcomes are released in assignment order; every assigned task counts for the arm it was assigned to, and one
that does not resolve in time counts as a failure in both arms. A verdict is written once and never changes.
It never promotes.
"""

from services.ab_sandbox.evaluation import evaluate, evaluate_running
from services.ab_sandbox.outcomes import record_outcome, record_outcomes
from services.ab_sandbox.placebos import start_placebo
from services.ab_sandbox.probation import start_probation, watch_promotions
from services.ab_sandbox.starting import start_experiment, start_waiting

__all__ = [
    "evaluate",
    "evaluate_running",
    "record_outcome",
    "record_outcomes",
    "start_experiment",
    "start_placebo",
    "start_probation",
    "start_waiting",
    "watch_promotions",
]
