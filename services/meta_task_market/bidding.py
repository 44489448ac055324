"""Bidding and the agent's view: sealed bids inside the window, and one call that says what there is to do.

Stands in layer 4 between posting and the award. It never shows one agent another's bid.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.domain.clock import to_rfc3339
from services.domain.errors import (
    ConflictError,
    ForbiddenError,
    InvalidValueError,
    NacreError,
    NotFoundError,
)
from services.domain.states import Standing, TaskState
from services.meta_task_market.rules import only, rules_now
from services.store import market, sql, tables
from services.store.sql import Row
from services.store.tx import Tx

WORK_LIMIT = 100


@dataclass(frozen=True, slots=True)
class NewBid:
    """A sealed bid. The claimed confidence is scored and shown, never used for the award."""

    agent_id: int
    task_id: int
    ask_microcredits: int
    confidence_percent: int | None = None


def place_bid(
    tx: Tx, *, agent_id: int, task_id: int, ask_microcredits: int, confidence_percent: int | None
) -> int:
    """Place a sealed bid and return its id.

    Raises ConflictError when the window is closed or the agent has bid already, InvalidValueError for an ask
    outside 0 < ask ≤ reserve, ForbiddenError for own tasks and suspended agents.
    """
    return only(place_bids(tx, [NewBid(agent_id, task_id, ask_microcredits, confidence_percent)]))


def place_bids(tx: Tx, bids: Sequence[NewBid]) -> list[int | NacreError]:
    """Place sealed bids; answer each with its id or its refusal.

    The tasks are held against their award, but not against other bidders.
    """
    limit = rules_now(tx).whole("open_bids_per_agent")
    tasks = market.tasks_for_bids(tx, {bid.task_id for bid in bids})
    agents = market.locked_agents(tx, {bid.agent_id for bid in bids})
    open_bids = {number: row["open_bids"] for number, row in agents.items()}
    placed: list[NewBid] = []
    refusals: dict[int, NacreError] = {}
    for place, bid in enumerate(bids):
        refusal = refusal_of(bid, tasks.get(bid.task_id), agents.get(bid.agent_id), tx.now_us)
        if refusal is None and open_bids[bid.agent_id] >= limit:
            refusal = ConflictError(
                f"an agent may have {limit} open bids at a time", code="too_many_open_bids"
            )
        if refusal is None:
            open_bids[bid.agent_id] += 1
            placed.append(bid)
        else:
            refusals[place] = refusal
    written = iter(_write(tx, placed))
    answers: list[int | NacreError] = []
    for place, bid in enumerate(bids):
        number = None if place in refusals else next(written)
        if number is None and place not in refusals:
            open_bids[bid.agent_id] -= 1
        answers.append(refusals.get(place) or number or _already_bid(bid))
    _count(tx, agents, open_bids)
    return answers


def refusal_of(bid: NewBid, task: Row | None, agent: Row | None, now_us: int) -> NacreError | None:
    """Return why this bid cannot be taken, or None; one that is there already is found when it is written."""
    if task is None:
        return NotFoundError(f"there is no task {bid.task_id}", field="task_id")
    if agent is None:
        return NotFoundError(f"there is no agent {bid.agent_id}", field="agent_id")
    reserve = task["reserve_price_microcredits"]
    is_again = task["awarded_at_us"] is not None  # the others' asks were open while it was at work
    if is_again or task["state"] != TaskState.BIDDING or task["bids_close_at_us"] <= now_us:
        msg = f"task {bid.task_id} takes no more bids: it is {task['state']}, and its window closed at "
        msg += to_rfc3339(min(task["bids_close_at_us"], task["awarded_at_us"] or task["bids_close_at_us"]))
        return ConflictError(msg, field="task_id", code="bids_closed", state=task["state"])
    if task["requester_id"] == bid.agent_id:
        return ForbiddenError("an agent cannot bid on its own task", field="task_id")
    if not 1 <= bid.ask_microcredits <= reserve:
        msg = f"the ask must be 1 to {reserve} micro-credits, the reserve price of task {bid.task_id}"
        return InvalidValueError(msg, field="body.ask_microcredits", code="ask_out_of_bounds")
    if bid.confidence_percent is not None and not 0 <= bid.confidence_percent <= 100:  # noqa: PLR2004 (per cent)
        return InvalidValueError("the confidence must be 0 to 100 per cent", field="body.confidence_percent")
    if agent["standing"] == Standing.SUSPENDED:
        msg = "a suspended agent cannot bid; an operator, or a new stake after a while, reinstates it"
        return ForbiddenError(msg, code="suspended")
    return None


def _already_bid(bid: NewBid) -> ConflictError:
    return ConflictError(
        f"this agent has already bid on task {bid.task_id}", field="task_id", code="already_bid"
    )


def _write(tx: Tx, bids: Sequence[NewBid]) -> list[int | None]:
    """Insert the bids and return their ids, None for those that were there already."""
    rows = [
        {
            "id": number,
            "task_id": bid.task_id,
            "agent_id": bid.agent_id,
            "ask_microcredits": bid.ask_microcredits,
            "confidence_percent": bid.confidence_percent,
            "placed_at_us": tx.now_us,
        }
        for number, bid in zip(sql.reserve_ids(tx, tables.bid, len(bids)), bids, strict=True)
    ]
    are_new = sql.insert_many_unique(tx, tables.bid, rows, ("task_id", "agent_id"))
    return [int(str(row["id"])) if is_new else None for row, is_new in zip(rows, are_new, strict=True)]


def _count(tx: Tx, agents: dict[int, Row], open_bids: dict[int, int]) -> None:
    changed = [
        {"id": number, "open_bids": count}
        for number, count in sorted(open_bids.items())
        if count != agents[number]["open_bids"]
    ]
    sql.update_many(tx, tables.agent, ("id",), changed)


def move_open_bids(tx: Tx, moved: Mapping[int, int]) -> None:
    """Add to, or take from, what each agent has on tasks that take bids."""
    agents = market.locked_agents(tx, moved)
    _count(tx, agents, {number: row["open_bids"] + moved[number] for number, row in agents.items()})


def work_for(
    tx: Tx, *, agent_id: int, types: Sequence[str] | None, limit: int, after: int = 0
) -> dict[str, object]:
    """Return what the agent can do now: its awards, open tasks without its bid, ballots it may still cast.

    Open tasks come oldest first, from behind the task `after`; `next_after` asks for those that follow, and
    is None where none do.
    """
    count = min(limit, WORK_LIMIT)
    found = market.open_for(tx, agent_id, types, count + 1, after)
    shown = found[:count]
    return {
        "awards": [_summary(row) for row in market.awarded_to(tx, agent_id, count)],
        "open": [{**_summary(row), "bids_close_at": to_rfc3339(row["bids_close_at_us"])} for row in shown],
        "next_after": shown[-1]["id"] if len(found) > count else None,
        "proposals": [{"proposal_id": number} for number in market.ballots_open_to(tx, agent_id)],
    }


def _summary(task: Row) -> dict[str, object]:
    return {
        "task_id": task["id"],
        "type": task["type"],
        "kind": task["kind"],
        "payload": task["public"],
        "reserve_price_microcredits": task["reserve_price_microcredits"],
        "deadline_at": to_rfc3339(task["deadline_at_us"]),
    }
