"""Read models of money: accounts, and an account's statement with the balance after every transfer.

Stand in the store beside the accounts. A statement is made from the transfers alone, so that it can be held
against the balance that is kept. They never move anything.
"""

from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select

from services.domain.errors import InvalidValueError
from services.store.sql import Row, find, rows
from services.store.tables import account, agent, transfer
from services.store.tx import Tx
from services.store.views.paging import (
    LIMIT_DEFAULT,
    JsonObject,
    Page,
    at,
    check_limit,
    fetch_page,
    read_cursor,
    write_cursor,
)

OF_BUDGETS = "budget:"
NAME_LENGTH = 80


def list_accounts(
    tx: Tx,
    *,
    budgets: bool = False,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
    oldest_first: bool = False,
) -> Page:
    """Return a page of accounts with their balances: those of money, or those of the budgets."""
    is_budget = account.c.owner.startswith(OF_BUDGETS)
    statement = select(account).where(is_budget if budgets else ~is_budget)
    found, following = fetch_page(
        tx, statement, account.c.id, limit=limit, cursor=cursor, oldest_first=oldest_first
    )
    return {"items": [_account(row) for row in found], "next_cursor": following}


def _account(row: Row) -> JsonObject:
    return {
        "account_id": row["id"],
        "account": row["owner"],
        "unit": row["unit"],
        "balance": row["balance"],
        "floor": None if row["is_overdraft_allowed"] else 0,
    }


def find_account(tx: Tx, text: str) -> str | None:
    """Return the account that a person means: treasury, escrow, agent:7, 7, or an agent's name."""
    if text.isascii() and text.isdigit() and len(text) < NAME_LENGTH - len("agent:"):
        text = f"agent:{int(text)}"
    found = find(tx, account, owner=text) if len(text) <= NAME_LENGTH else None
    if found is not None:
        return None if text.startswith(OF_BUDGETS) else text
    named = find(tx, agent, name=text)
    return None if named is None else f"agent:{named['id']}"


def statement(
    tx: Tx,
    owner: str,
    *,
    from_us: int | None = None,
    to_us: int | None = None,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
    oldest_first: bool = False,
) -> JsonObject | None:
    """Return an account's statement from one instant up to (not including) another; None without account.

    Opening balance, totals by kind, closing balance, and a page of transfers, each with the balance after it.
    Amounts are signed: what comes in is positive. Raises InvalidValueError for an end before the beginning.
    """
    kept = find(tx, account, owner=owner)
    if kept is None:
        return None
    if from_us is not None and to_us is not None and to_us < from_us:
        msg = "a statement ends after it begins: `to` lies before `from`"
        raise InvalidValueError(msg, field="query.to")
    mine = or_(transfer.c.debit_account_id == kept["id"], transfer.c.credit_account_id == kept["id"])
    within = [mine]
    opening = 0
    if from_us is not None:
        opening = _net(tx, kept["id"], and_(mine, transfer.c.created_at_us < from_us))
        within.append(transfer.c.created_at_us >= from_us)
    if to_us is not None:
        within.append(transfer.c.created_at_us < to_us)
    period = and_(*within)
    totals = _totals(tx, kept["id"], period)
    items, following = _items(
        tx, kept["id"], period, opening, limit=limit, cursor=cursor, oldest_first=oldest_first
    )
    return {
        "account": owner,
        "from": at(from_us),
        "to": at(to_us),
        "opening_balance_microcredits": opening,
        "closing_balance_microcredits": opening + sum(row["net_microcredits"] for row in totals),
        "live_balance_microcredits": kept["balance"],
        "totals": totals,
        "items": items,
        "next_cursor": following,
    }


def _signed(account_id: int) -> ColumnElement[int]:
    """Return a transfer's amount as the account sees it."""
    return case((transfer.c.credit_account_id == account_id, transfer.c.amount), else_=-transfer.c.amount)


def _net(tx: Tx, account_id: int, where: ColumnElement[bool]) -> int:
    total = func.coalesce(func.sum(_signed(account_id)), 0).label("total")
    return int(rows(tx, select(total).where(where))[0]["total"])


def _totals(tx: Tx, account_id: int, where: ColumnElement[bool]) -> list[JsonObject]:
    """Return how many transfers there are of each kind, what they brought and what they took."""
    is_in = transfer.c.credit_account_id == account_id
    grouped = (
        select(
            transfer.c.kind,
            func.count().label("transfers"),
            func.sum(case((is_in, transfer.c.amount), else_=0)).label("received"),
            func.sum(case((is_in, 0), else_=transfer.c.amount)).label("paid"),
        )
        .where(where)
        .group_by(transfer.c.kind)
        .order_by(transfer.c.kind)
    )
    return [
        {
            "kind": row["kind"],
            "transfers": row["transfers"],
            "received_microcredits": int(row["received"]),
            "paid_microcredits": int(row["paid"]),
            "net_microcredits": int(row["received"]) - int(row["paid"]),
        }
        for row in rows(tx, grouped)
    ]


def _items(
    tx: Tx,
    account_id: int,
    period: ColumnElement[bool],
    opening: int,
    *,
    limit: int,
    cursor: str | None,
    oldest_first: bool,
) -> tuple[list[JsonObject], str | None]:
    """Return a page of the period's transfers and the cursor of what follows.

    The balance after the page's earliest transfer is summed in the database; the others follow from it.
    """
    check_limit(limit)
    asked = _with_counterparty(account_id).where(period)
    if cursor is not None:
        last = read_cursor(cursor, oldest_first=oldest_first)
        asked = asked.where(transfer.c.id > last if oldest_first else transfer.c.id < last)
    order = transfer.c.id.asc() if oldest_first else transfer.c.id.desc()
    found = rows(tx, asked.order_by(order).limit(limit + 1))
    kept = found[:limit]
    if not kept:
        return [], None
    in_order = kept if oldest_first else kept[::-1]
    balance = opening + _net(tx, account_id, and_(period, transfer.c.id < in_order[0]["id"]))
    items = []
    for row in in_order:
        balance += row["signed"]
        items.append(_item(row, balance))
    following = write_cursor(kept[-1]["id"], oldest_first=oldest_first) if len(found) > limit else None
    return (items if oldest_first else items[::-1]), following


def _with_counterparty(account_id: int) -> Select[*tuple[object, ...]]:
    is_in = transfer.c.credit_account_id == account_id
    other = case((is_in, transfer.c.debit_account_id), else_=transfer.c.credit_account_id)
    columns = (
        transfer.c.id,
        transfer.c.created_at_us,
        transfer.c.kind,
        transfer.c.task_id,
        account.c.owner.label("counterparty"),
        _signed(account_id).label("signed"),
    )
    joined: Select[*tuple[object, ...]] = select(*columns).join(account, account.c.id == other)
    return joined


def _item(row: Row, balance_microcredits: int) -> JsonObject:
    return {
        "transfer_id": row["id"],
        "at": at(row["created_at_us"]),
        "kind": row["kind"],
        "task_id": row["task_id"],
        "counterparty": row["counterparty"],
        "amount_microcredits": row["signed"],
        "balance_microcredits": balance_microcredits,
    }
