"""Show statements and balances, and audit the books: `nacre money …`.

Stands behind the commands, over the read models of money. It never moves anything.
"""

from collections.abc import Mapping
from typing import Any

from app.cli.actions.opening import reading
from app.cli.actions.screen import say_item, say_json, say_line, say_page
from app.periods import instant_of
from services.domain.errors import NotFoundError
from services.store.views import money
from services.store.views.money_audit import audit_money

ACCOUNTS = ("account", "unit", "balance", "floor")
TOTALS = ("kind", "transfers", "received_microcredits", "paid_microcredits", "net_microcredits")
ITEMS = (
    "transfer_id", "at", "kind", "task_id", "counterparty", "amount_microcredits", "balance_microcredits",
)  # fmt: skip
GOOD, BAD = "✔", "✘"


def show_statement(
    database: str | None,
    account: str,
    period: tuple[str | None, str | None],
    page: Mapping[str, Any],
    *,
    as_json: bool,
) -> int:
    """Print an account's statement; raise NotFoundError when nobody has it."""
    begins, ends = period
    from_us, to_us = instant_of(begins, "--from"), instant_of(ends, "--to")
    with reading(database) as tx:
        owner = money.find_account(tx, account)
        told = owner and money.statement(tx, owner, from_us=from_us, to_us=to_us, **page)
    if not told:
        msg = f"there is no account of {account!r}; `nacre money accounts` lists those there are"
        raise NotFoundError(msg, field="account")
    if as_json:
        return say_json(told)
    facts = {name: value for name, value in told.items() if name not in ("items", "next_cursor")}
    say_item(facts, {"totals": TOTALS}, as_json=False)
    say_line("")
    return say_page(told, ITEMS, as_json=False)


def list_accounts(database: str | None, asked: Mapping[str, Any], *, as_json: bool) -> int:
    """Print a page of accounts."""
    with reading(database) as tx:
        page = money.list_accounts(tx, **asked)
    return say_page(page, ACCOUNTS, as_json=as_json)


def audit(database: str | None, *, as_json: bool) -> int:
    """Print every check of the books with what differs; return 1 when anything does."""
    with reading(database) as tx:
        told = audit_money(tx)
    if as_json:
        say_json(told)
        return 0 if told["ok"] else 1
    for check in told["checks"]:
        mark = GOOD if check["ok"] else BAD
        say_line(f"{mark} {check['invariant']}  {check['says']} ({check['checked']:,} checked)")
        for difference in check["differences"]:
            say_line(f"     {difference}")
        if check["differences_more"]:
            say_line(f"     and {check['differences_more']:,} more")
    broken = [check["invariant"] for check in told["checks"] if not check["ok"]]
    say_line(f"the books differ: {', '.join(broken)}" if broken else "the books are sound")
    return 1 if broken else 0
