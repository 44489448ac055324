"""Layer 4, the market: post, bid, award, lease, verify, settle; one market for users' tasks and meta-tasks.

Stands between the observatory, which posts investigations, and the agents, who do the work over HTTP. Each
verb takes a batch and answers each item with its result or its refusal: load, decide by a pure rule, write
guarded by the state it expects, publish. A single call is a batch of one that raises. Text from agents never
decides an award or a settlement.
"""

from services.meta_task_market.awards import award_due
from services.meta_task_market.bidding import NewBid, place_bid, place_bids, work_for
from services.meta_task_market.cancelling import cancel_task
from services.meta_task_market.expiry import expire_due
from services.meta_task_market.leases import (
    Claim,
    Lease,
    Renewal,
    heartbeat,
    renew_leases,
    take_lease,
    take_leases,
)
from services.meta_task_market.posting import TaskTerms, post_task, post_tasks
from services.meta_task_market.settlement import Verdict, close_investigation, settle, settle_all
from services.meta_task_market.submission import (
    NewResult,
    SubmittedOutcome,
    keep_late_result,
    submit_result,
    submit_results,
)

__all__ = [
    "Claim",
    "Lease",
    "NewBid",
    "NewResult",
    "Renewal",
    "SubmittedOutcome",
    "TaskTerms",
    "Verdict",
    "award_due",
    "cancel_task",
    "close_investigation",
    "expire_due",
    "heartbeat",
    "keep_late_result",
    "place_bid",
    "place_bids",
    "post_task",
    "post_tasks",
    "renew_leases",
    "settle",
    "settle_all",
    "submit_result",
    "submit_results",
    "take_lease",
    "take_leases",
    "work_for",
]
