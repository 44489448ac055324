"""Read models of budgets: how they stand, the holds on them, and the limits that operators set.

Stand in the store beside the budgets' queries. They never reserve anything.
"""

from sqlalchemy import select

from services.domain.budget import BudgetLine
from services.store import budgets
from services.store.sql import Row
from services.store.tables import budget, budget_hold, budget_limit
from services.store.tx import Tx
from services.store.views.paging import LIMIT_DEFAULT, JsonObject, Page, at, fetch_page


def show_budget(line: BudgetLine, now_us: int) -> JsonObject:
    """Return a budget as it is shown; amounts are in its resource's unit."""
    return {
        "budget": str(line.key),
        "scope": str(line.key.scope),
        "resource": str(line.resource),
        "period": line.period,
        "limit": line.limit,
        "cap": line.cap,
        "reserved": line.reserved,
        "spent": line.spent,
        "free": line.free,
        "renews_at": at(line.key.renews_at_us(now_us)),
    }


def list_budgets(
    tx: Tx,
    *,
    period: str | None = None,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
    oldest_first: bool = False,
) -> Page:
    """Return a page of the budgets that were ever opened (of a UTC day, or `life`), as they stand."""
    statement = budgets.WITH_ACCOUNTS.order_by(None)
    if period is not None:
        statement = statement.where(budget.c.period == period)
    found, following = fetch_page(
        tx, statement, budget.c.id, limit=limit, cursor=cursor, oldest_first=oldest_first
    )
    items = [show_budget(budgets.line_of(row), tx.now_us) for row in found]
    return {"items": items, "next_cursor": following}


def list_budget_holds(
    tx: Tx,
    *,
    agent_id: int | None = None,
    state: str | None = None,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
    oldest_first: bool = False,
) -> Page:
    """Return a page of holds, of one agent and in one state if asked for."""
    statement = select(budget_hold)
    if agent_id is not None:
        statement = statement.where(budget_hold.c.agent_id == agent_id)
    if state is not None:
        statement = statement.where(budget_hold.c.state == state)
    found, following = fetch_page(
        tx, statement, budget_hold.c.id, limit=limit, cursor=cursor, oldest_first=oldest_first
    )
    return {"items": [_hold(row) for row in found], "next_cursor": following}


def list_budget_limits(
    tx: Tx, *, limit: int = LIMIT_DEFAULT, cursor: str | None = None, oldest_first: bool = False
) -> Page:
    """Return a page of limits: who set what, when and why; of each budget the newest is in force."""
    found, following = fetch_page(
        tx, select(budget_limit), budget_limit.c.id, limit=limit, cursor=cursor, oldest_first=oldest_first
    )
    return {"items": [_limit(row) for row in found], "next_cursor": following}


def _hold(row: Row) -> JsonObject:
    return {
        "hold_id": row["id"],
        "agent_id": row["agent_id"],
        "resource": row["resource"],
        "amount": row["amount"],
        "state": row["state"],
        "settled": row["settled_amount"],
        "task_id": row["task_id"],
        "workflow": row["workflow"],
        "parent_hold_id": row["parent_hold_id"],
        "held_at": at(row["held_at_us"]),
        "expires_at": at(row["expires_at_us"]),
        "resolved_at": at(row["resolved_at_us"]),
    }


def _limit(row: Row) -> JsonObject:
    return {
        "limit_id": row["id"],
        "budget": f"{row['scope']}:{row['subject']}" if row["subject"] else row["scope"],
        "resource": row["resource"],
        "amount": row["amount"],
        "actor": row["actor"],
        "reason": row["reason"],
        "set_at": at(row["set_at_us"]),
    }
