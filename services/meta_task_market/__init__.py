"""Layer 4, the market: post, bid, award, lease, verify, settle; one market for users' tasks and meta-tasks.

Stands between the observatory, which posts investigations, and the agents, who do the work over HTTP. Each
verb is one transaction: load, decide by a pure rule, write guarded by the state it expects, publish. Text
from agents never decides an award or a settlement.
"""

from services.meta_task_market.awards import award_due
from services.meta_task_market.bidding import MarketRules, place_bid, work_for
from services.meta_task_market.leases import Lease, expire_due, heartbeat, take_lease
from services.meta_task_market.posting import TaskTerms, cancel_task, post_task
from services.meta_task_market.settlement import close_investigation, settle
from services.meta_task_market.submission import SubmittedOutcome, keep_late_result, submit_result

__all__ = [
    "Lease",
    "MarketRules",
    "SubmittedOutcome",
    "TaskTerms",
    "award_due",
    "cancel_task",
    "close_investigation",
    "expire_due",
    "heartbeat",
    "keep_late_result",
    "place_bid",
    "post_task",
    "settle",
    "submit_result",
    "take_lease",
    "work_for",
]
