"""`nacre money`, `nacre budget`: the books as people see them, and what may be used of what.

Stands at the edge, over the accounts and the budget governor. It declares commands; what they do is loaded
when they run.
"""

from typing import Annotated

import typer

from app.cli.options import (
    LARGEST_ID,
    LIMIT_DEFAULT,
    AsJson,
    Cursor,
    Database,
    Limit,
    Oldest,
    Reason,
    examples,
    group,
)
from app.lazy import load
from services.domain.budget import Resource
from services.domain.states import BudgetHoldState

MONEY = "app.cli.actions.money"
BUDGETS = "app.cli.actions.budgets"

money = group("money", "Statements, balances and the audit of the books.")
budgets = group("budget", "What may be used of tokens, time and money, and who set it.")
GROUPS = (money, budgets)

Budget = Annotated[
    str,
    typer.Argument(
        metavar="BUDGET", help="day, agent:ID, task:ID or workflow:OWNER/NAME.", show_default=False
    ),
]
Period = Annotated[
    str | None, typer.Option("--period", metavar="DAY", help="A UTC day like 2026-01-31, or life (tasks).")
]


@money.command(
    "statement",
    **examples(
        "nacre money statement 7",
        "nacre money statement worker-1 --from 2026-01-01 --to 2026-02-01 --oldest",
        "nacre money statement treasury --json",
    ),
)
def show_statement(
    account: Annotated[
        str, typer.Argument(metavar="AGENT", help="An agent's id or name, treasury, or escrow.")
    ],
    begins: Annotated[
        str | None, typer.Option("--from", metavar="WHEN", help="From this UTC day or instant on.")
    ] = None,
    ends: Annotated[
        str | None, typer.Option("--to", metavar="WHEN", help="Up to, but not including, this one.")
    ] = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
    oldest: Oldest = False,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """Show what came and went on an account, with the balance after every transfer."""
    page = {"limit": limit, "cursor": cursor, "oldest_first": oldest}
    period = (begins, ends)
    return int(load(f"{MONEY}:show_statement")(database, account, period, page, as_json=as_json))


@money.command("accounts", **examples("nacre money accounts", "nacre money accounts --budgets"))
def list_accounts(
    of_budgets: Annotated[
        bool, typer.Option("--budgets", help="The accounts of budgets instead of those of money.")
    ] = False,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
    oldest: Oldest = False,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """List accounts with their balances."""
    asked = {"budgets": of_budgets, "limit": limit, "cursor": cursor, "oldest_first": oldest}
    return int(load(f"{MONEY}:list_accounts")(database, asked, as_json=as_json))


@money.command("audit", **examples("nacre money audit", "nacre money audit --json"))
def audit(database: Database = None, as_json: AsJson = False) -> int:
    """Recount every balance, hold and budget from the transfers; exits with 1 and names what differs."""
    return int(load(f"{MONEY}:audit")(database, as_json=as_json))


@budgets.command(
    "set",
    **examples(
        'nacre budget set agent:7 tokens 500000 --reason "a larger report"',
        'nacre budget set day milliseconds 0 --reason "everything stops"',
    ),
)
def set_limit(
    budget: Budget,
    resource: Annotated[Resource, typer.Argument(metavar="RESOURCE", help="What is limited.")],
    amount: Annotated[int, typer.Argument(metavar="AMOUNT", min=0, max=10**15, help="In its unit.")],
    reason: Reason,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """Set a limit; it works at once, but never under what is reserved or spent."""
    action = load(f"{BUDGETS}:set_limit")
    return int(action(database, budget, resource, amount, reason=reason, as_json=as_json))


@budgets.command("show", **examples("nacre budget show", "nacre budget show agent:7 workflow:acme/report"))
def show_budgets(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="BUDGET...", help="day, agent:ID, task:ID or workflow:OWNER/NAME (default: day)."
        ),
    ] = None,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """Show budgets as they stand: limit, cap, reserved, spent, free."""
    return int(load(f"{BUDGETS}:show_budgets")(database, names or ["day"], as_json=as_json))


@budgets.command(
    "list", **examples("nacre budget list --period 2026-01-31", "nacre budget list --period life")
)
def list_budgets(
    period: Period = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
    oldest: Oldest = False,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """List the budgets that were ever used."""
    asked = {"period": period, "limit": limit, "cursor": cursor, "oldest_first": oldest}
    return int(load(f"{BUDGETS}:list_budgets")(database, asked, as_json=as_json))


@budgets.command("holds", **examples("nacre budget holds --agent 7 --state held"))
def list_holds(
    agent_id: Annotated[
        int | None, typer.Option("--agent", min=1, max=LARGEST_ID, help="Of this agent only.")
    ] = None,
    state: Annotated[BudgetHoldState | None, typer.Option("--state", help="In this state only.")] = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
    oldest: Oldest = False,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """List holds: what was reserved, settled, voided or left to expire."""
    asked = {"agent_id": agent_id, "state": state, "limit": limit, "cursor": cursor, "oldest_first": oldest}
    return int(load(f"{BUDGETS}:list_holds")(database, asked, as_json=as_json))


@budgets.command("limits", **examples("nacre budget limits"))
def list_limits(
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
    oldest: Oldest = False,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """List the limits that were set: who, when and why; of each budget the newest is in force."""
    asked = {"limit": limit, "cursor": cursor, "oldest_first": oldest}
    return int(load(f"{BUDGETS}:list_limits")(database, asked, as_json=as_json))
