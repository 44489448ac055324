"""Queries of the budgets: budgets locked with their accounts, limits, holds, and the recount from transfers.

Stands under the budget governor. A budget's three accounts are locked together, always in the order of the
budgets' ids. It never moves an amount.
"""

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, String, bindparam, cast, func, literal, select

from services.domain.budget import BudgetKey, BudgetLine, BudgetScope, Resource
from services.domain.states import BudgetHoldState, EscrowState
from services.store import sql
from services.store.sql import Row
from services.store.tables import account, budget, budget_hold, budget_limit, escrow, task, transfer
from services.store.tx import Tx

FREE = "free"
RESERVED = "reserved"
SPENT = "spent"
PARTS = (FREE, RESERVED, SPENT)
"""What each budget has an account for."""

ISSUER = "budget:issuer:"
"""Owner prefix of the accounts that caps come from, one per resource; they alone may be overdrawn."""

_NUMBER = cast(budget.c.id, String)
_PARTS: dict[str, FromClause] = {part: account.alias(f"{part}_account") for part in PARTS}


def owner_of(budget_id: int, part: str) -> str:
    """Return the owner name of one of a budget's accounts."""
    return f"budget:{budget_id}:{part}"


def issuer_of(resource: Resource) -> str:
    """Return the owner name of the account that a resource's caps come from."""
    return f"{ISSUER}{resource}"


def name_of(key: BudgetKey, resource: Resource, period: str) -> str:
    """Return the one name of a budget."""
    return f"{resource} {period} {key}"


def _with_accounts() -> Select[Any]:
    """Return the select of budgets, each with id and balance of its three accounts."""
    columns: list[ColumnElement[object]] = []
    for part, alias in _PARTS.items():
        columns += [alias.c.id.label(f"{part}_id"), alias.c.balance.label(part)]
    joined: Select[Any] = select(budget, *columns)
    for part, alias in _PARTS.items():
        joined = joined.join(alias, alias.c.owner == literal("budget:") + _NUMBER + literal(f":{part}"))
    return joined.order_by(budget.c.id)


WITH_ACCOUNTS = _with_accounts()
BY_NAME = WITH_ACCOUNTS.where(budget.c.name.in_(bindparam("names", expanding=True)))
LOCKED_BY_NAME = BY_NAME.with_for_update(key_share=True)
LOCKED_OF_SOURCES = WITH_ACCOUNTS.where(
    _PARTS[FREE].c.id.in_(bindparam("source_ids", expanding=True))
).with_for_update(key_share=True)
KNOWN = select(budget.c.name).where(budget.c.name.in_(bindparam("names", expanding=True)))
LIMIT = (
    select(budget_limit.c.amount)
    .where(
        budget_limit.c.scope == bindparam("of_scope"),
        budget_limit.c.subject == bindparam("of_subject"),
        budget_limit.c.resource == bindparam("of_resource"),
    )
    .order_by(budget_limit.c.id.desc())
    .limit(1)
)
DUE = (
    select(budget_hold.c.id)
    .where(budget_hold.c.state == BudgetHoldState.HELD, budget_hold.c.expires_at_us <= bindparam("now_us"))
    .order_by(budget_hold.c.expires_at_us, budget_hold.c.id)
    .limit(bindparam("most"))
)
RESOLVE = (
    budget_hold.update()
    .where(budget_hold.c.id == bindparam("hold_id"), budget_hold.c.state == BudgetHoldState.HELD)
    .values(
        state=bindparam("new_state"),
        settled_amount=bindparam("settled"),
        resolved_at_us=bindparam("at_us"),
    )
)
HAS_POSTED = (
    select(task.c.id)
    .where(task.c.workflow == bindparam("of_workflow"), task.c.requester_id == bindparam("of_agent"))
    .limit(1)
)
ESCROW_OF_HOLDS = select(escrow).where(
    escrow.c.budget_hold_id.in_(bindparam("hold_ids", expanding=True)), escrow.c.state == EscrowState.HELD
)


def known_names(tx: Tx, names: Collection[str]) -> set[str]:
    """Return those of the budgets that are open."""
    return {row["name"] for row in sql.listed(tx, KNOWN, names=list(names))}


def locked(tx: Tx, names: Collection[str]) -> list[Row]:
    """Return these budgets with their accounts, in the order of their ids, held until the end."""
    return sql.listed(tx, LOCKED_BY_NAME, names=list(names))


def locked_sources(tx: Tx, account_ids: Collection[int]) -> list[Row]:
    """Return the budgets whose free accounts these are, held until the end."""
    return sql.listed(tx, LOCKED_OF_SOURCES, source_ids=list(account_ids))


def standing(tx: Tx, names: Collection[str]) -> list[BudgetLine]:
    """Return these budgets as they stand; those never opened are left out."""
    return [line_of(row) for row in sql.listed(tx, BY_NAME, names=list(names))]


def all_lines(tx: Tx, *, period: str | None = None) -> list[BudgetLine]:
    """Return every budget that was ever opened (of a period), as it stands, in the order of opening."""
    statement = WITH_ACCOUNTS if period is None else WITH_ACCOUNTS.where(budget.c.period == period)
    return [line_of(row) for row in sql.rows(tx, statement)]


def line_of(row: Row) -> BudgetLine:
    """Return a budget's row with its accounts as a line."""
    return BudgetLine(
        BudgetKey(BudgetScope(row["scope"]), row["subject"]),
        Resource(row["resource"]),
        row["period"],
        row["limit_amount"],
        row["cap"],
        row[RESERVED],
        row[SPENT],
    )


def newest_limit(tx: Tx, key: BudgetKey, resource: Resource) -> int | None:
    """Return what an operator last set, None when nobody ever did."""
    found: int | None = sql.value(tx, LIMIT, of_scope=key.scope, of_subject=key.subject, of_resource=resource)
    return found


def has_posted(tx: Tx, agent_id: int, workflow: str) -> bool:
    """Tell whether an agent has posted a task under a workflow's name."""
    return sql.value(tx, HAS_POSTED, of_workflow=workflow, of_agent=agent_id) is not None


def due_holds(tx: Tx, most: int) -> list[int]:
    """Return ids of holds whose time limit has passed, the oldest first."""
    return [row["id"] for row in sql.listed(tx, DUE, now_us=tx.now_us, most=most)]


def resolve(tx: Tx, hold_id: int, state: BudgetHoldState, settled_amount: int) -> bool:
    """Move a hold on, once; tell whether it was still held."""
    return bool(
        sql.change(tx, RESOLVE, hold_id=hold_id, new_state=state, settled=settled_amount, at_us=tx.now_us)
    )


def open_escrow(tx: Tx, hold_ids: Collection[int]) -> list[Row]:
    """Return the parts of these holds, one for each budget that they draw on."""
    return sql.listed(tx, ESCROW_OF_HOLDS, hold_ids=list(hold_ids))


def recounted(tx: Tx) -> list[BudgetLine]:
    """Return every budget as its transfers alone say: cap, reserved and spent summed anew."""
    into = _sum_by(tx, into=True)
    out = _sum_by(tx, into=False)
    lines = []
    for row in sql.rows(tx, WITH_ACCOUNTS):
        net = {part: into.get(row[f"{part}_id"], 0) - out.get(row[f"{part}_id"], 0) for part in PARTS}
        kept = line_of(row)
        lines.append(
            BudgetLine(
                kept.key,
                kept.resource,
                kept.period,
                kept.limit,
                sum(net.values()),
                net[RESERVED],
                net[SPENT],
            )
        )
    return lines


def held_by_budget(tx: Tx) -> list[int]:
    """Return what the open holds on each budget add up to, in the order of the budgets' ids."""
    total = func.sum(escrow.c.amount).label("total")
    statement = (
        select(escrow.c.source_account_id, total)
        .where(escrow.c.budget_hold_id.is_not(None), escrow.c.state == EscrowState.HELD)
        .group_by(escrow.c.source_account_id)
    )
    held = {row["source_account_id"]: int(row["total"]) for row in sql.rows(tx, statement)}
    return [held.get(row[f"{FREE}_id"], 0) for row in sql.rows(tx, WITH_ACCOUNTS)]


def _sum_by(tx: Tx, *, into: bool) -> dict[int, int]:
    """Return the sums of all transfers into (or out of) each account of a budget."""
    side = transfer.c.credit_account_id if into else transfer.c.debit_account_id
    statement = (
        select(side.label("account_id"), func.sum(transfer.c.amount).label("total"))
        .join(account, account.c.id == side)
        .where(account.c.owner.startswith("budget:"))
        .group_by(side)
    )
    return {row["account_id"]: int(row["total"]) for row in sql.rows(tx, statement)}
