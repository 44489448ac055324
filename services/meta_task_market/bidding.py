"""Bidding and the agent's view: sealed bids inside the window, and one call that says what there is to do.

Stands in layer 4 between posting and the award. It never shows one agent another's bid.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from services.domain.clock import to_rfc3339
from services.domain.errors import ConflictError, ForbiddenError, InvalidValueError
from services.domain.states import Standing, TaskState
from services.meta_task_market import posting
from services.operations import agent_registry
from services.store import market, sql, tables
from services.store.sql import Row
from services.store.tx import Tx


@dataclass(frozen=True, slots=True)
class MarketRules:
    """Limits that keep one agent from crowding out others."""

    open_bids_per_agent: int = 500
    work_limit: int = 100


RULES = MarketRules()


def place_bid(
    tx: Tx, *, agent_id: int, task_id: int, ask_microcredits: int, confidence_percent: int | None
) -> int:
    """Place a sealed bid and return its id.

    Raises ConflictError when the window is closed or the agent has bid already, InvalidValueError for an ask
    outside 0 < ask ≤ reserve, ForbiddenError for own tasks and suspended agents.
    """
    task = posting.get_task(tx, task_id, lock=True)
    if task["state"] != TaskState.BIDDING or task["bids_close_at_us"] <= tx.now_us:
        msg = f"task {task_id} takes no more bids: it is {task['state']}, and its window closed at "
        msg += to_rfc3339(task["bids_close_at_us"])
        raise ConflictError(msg, field="task_id", code="bids_closed", state=task["state"])
    if task["requester_id"] == agent_id:
        msg = "an agent cannot bid on its own task"
        raise ForbiddenError(msg, field="task_id")
    reserve = task["reserve_price_microcredits"]
    if not 1 <= ask_microcredits <= reserve:
        msg = f"the ask must be 1 to {reserve} micro-credits, the reserve price of task {task_id}"
        raise InvalidValueError(msg, field="body.ask_microcredits", code="ask_out_of_bounds")
    if confidence_percent is not None and not 0 <= confidence_percent <= 100:  # noqa: PLR2004 (per cent)
        msg = "the confidence must be 0 to 100 per cent"
        raise InvalidValueError(msg, field="body.confidence_percent")
    bidder = market.bidder(tx, agent_id) or agent_registry.get(tx, agent_id)
    if bidder["standing"] == Standing.SUSPENDED:
        msg = "a suspended agent cannot bid; an operator can reinstate it"
        raise ForbiddenError(msg)
    if bidder["open_bids"] >= RULES.open_bids_per_agent:
        msg = f"an agent may have {RULES.open_bids_per_agent} open bids at a time"
        raise ConflictError(msg, code="too_many_open_bids")
    refusal = ConflictError(
        f"this agent has already bid on task {task_id}", field="task_id", code="already_bid"
    )
    return sql.insert_unique(
        tx,
        tables.bid,
        refusal,
        task_id=task_id,
        agent_id=agent_id,
        ask_microcredits=ask_microcredits,
        confidence_percent=confidence_percent,
        placed_at_us=tx.now_us,
    )


def work_for(tx: Tx, *, agent_id: int, types: Sequence[str] | None, limit: int) -> dict[str, object]:
    """Return what the agent can do now: its awards, open tasks without its bid, ballots it may still cast."""
    count = min(limit, RULES.work_limit)
    return {
        "awards": [_summary(row) for row in market.awarded_to(tx, agent_id, count)],
        "open": [
            {**_summary(row), "bids_close_at": to_rfc3339(row["bids_close_at_us"])}
            for row in market.open_for(tx, agent_id, types, count)
        ],
        "proposals": [{"proposal_id": number} for number in market.ballots_open_to(tx, agent_id)],
    }


def _summary(task: Row) -> dict[str, object]:
    return {
        "task_id": task["id"],
        "type": task["type"],
        "kind": task["kind"],
        "payload": task["public"],
        "reserve_price_microcredits": task["reserve_price_microcredits"],
    }
