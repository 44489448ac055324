"""Read model of an agent's own bids: what became of each, and why a lost one lost.

Stands in the store beside the market's queries (L4); only the bidder gets it. While a task takes bids it
tells nothing that others could use: no count, no winner. Another agent's ask is never in it.
"""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Select, and_, exists, not_, select

from services.domain.lost_bids import BidReason, BidState, bidders, scored, why_lost
from services.domain.states import TaskState
from services.store.sql import Row, rows
from services.store.tables import award, bid, task
from services.store.tx import Tx
from services.store.views.paging import LIMIT_DEFAULT, JsonObject, Page, at, fetch_page

IS_WON = exists().where(award.c.task_id == bid.c.task_id, award.c.agent_id == bid.c.agent_id)
IS_AWARDED = exists().where(award.c.task_id == bid.c.task_id)
IS_BIDDING = task.c.state == TaskState.BIDDING
CONDITIONS: dict[BidState, ColumnElement[bool]] = {
    BidState.WON: IS_WON,
    BidState.OPEN: and_(IS_BIDDING, not_(IS_WON)),
    BidState.LOST: and_(not_(IS_BIDDING), IS_AWARDED, not_(IS_WON)),
    BidState.CLOSED_WITHOUT_AWARD: and_(not_(IS_BIDDING), not_(IS_AWARDED)),
}


def list_bids(
    tx: Tx,
    *,
    agent_id: int,
    state: BidState | None = None,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
    oldest_first: bool = False,
) -> Page:
    """Return a page of one agent's bids, each with its state, its score and the reason of a loss."""
    statement: Select[tuple[object, ...]] = (
        select(
            bid,
            task.c.type.label("task_type"),
            task.c.state.label("task_state"),
            task.c.bids_close_at_us,
        )
        .join(task, task.c.id == bid.c.task_id)
        .where(bid.c.agent_id == agent_id)
    )
    if state is not None:
        statement = statement.where(CONDITIONS[state])
    found, following = fetch_page(
        tx, statement, bid.c.id, limit=limit, cursor=cursor, oldest_first=oldest_first
    )
    awards = _awards_of(tx, [row["task_id"] for row in found])
    items = [_bid(tx, row, awards.get(row["task_id"], [])) for row in found]
    return {"items": items, "next_cursor": following}


def _awards_of(tx: Tx, task_ids: Sequence[int]) -> dict[int, list[Row]]:
    """Return the awards of these tasks in the order of their attempts."""
    grouped: dict[int, list[Row]] = {}
    statement = select(award).where(award.c.task_id.in_(task_ids)).order_by(award.c.attempt_number)
    for row in rows(tx, statement):
        grouped.setdefault(row["task_id"], []).append(row)
    return grouped


def _bid(tx: Tx, row: Row, awards: Sequence[Row]) -> JsonObject:
    own = next((one for one in awards if one["agent_id"] == row["agent_id"]), None)
    is_bidding = row["task_state"] == TaskState.BIDDING
    shown = own or (None if is_bidding or not awards else awards[-1])
    state, code, sentence = _standing_of(tx, row, own, awards)
    drawn = scored(shown["inputs"], row["agent_id"]) if shown else None
    return {
        "bid_id": row["id"],
        "task_id": row["task_id"],
        "task_type": row["task_type"],
        "task_state": row["task_state"],
        "state": str(state),
        "ask_microcredits": row["ask_microcredits"],
        "confidence_percent": row["confidence_percent"],
        "placed_at": at(row["placed_at_us"]),
        "bids_close_at": at(row["bids_close_at_us"]),
        "theta": drawn.theta if drawn else None,
        "score": drawn.score if drawn else None,
        "bidders": bidders(shown["inputs"]) if shown else None,
        "winner": _winner(shown) if shown else None,
        "reason": {"code": str(code), "sentence": sentence} if code else None,
    }


def _winner(row: Row) -> JsonObject:
    return {
        "agent_id": row["agent_id"],
        "attempt_number": row["attempt_number"],
        "score": scored(row["inputs"], row["agent_id"]).score,
        "price_microcredits": row["price_microcredits"],
        "awarded_at": at(row["awarded_at_us"]),
    }


def _standing_of(
    tx: Tx, row: Row, own: Row | None, awards: Sequence[Row]
) -> tuple[BidState, BidReason | None, str]:
    """Return where the bid stands, with code and sentence unless it simply won."""
    is_bidding = row["task_state"] == TaskState.BIDDING
    if own is not None:
        if awards[-1] is own or is_bidding:
            return BidState.WON, None, ""
        return BidState.WON, *_lost_to(row, awards[-1])
    if is_bidding:
        closes = at(row["bids_close_at_us"])
        if row["bids_close_at_us"] > tx.now_us:
            return BidState.OPEN, BidReason.WINDOW_OPEN, f"The window is open until {closes}."
        return BidState.OPEN, BidReason.AWARD_PENDING, f"The window closed at {closes}; the award comes next."
    if awards:
        return BidState.LOST, *_lost_to(row, awards[-1])
    if row["task_state"] == TaskState.CANCELLED:
        sentence = "The task was taken back before it was awarded."
        return BidState.CLOSED_WITHOUT_AWARD, BidReason.TASK_CANCELLED, sentence
    sentence = "The deadline passed before any bid could win."
    return BidState.CLOSED_WITHOUT_AWARD, BidReason.TASK_EXPIRED, sentence


def _lost_to(row: Row, last: Row) -> tuple[BidReason, str]:
    return why_lost(
        last["inputs"],
        agent_id=row["agent_id"],
        winner_id=last["agent_id"],
        stake_microcredits=last["stake_microcredits"],
        rule=last["rule"],
    )
