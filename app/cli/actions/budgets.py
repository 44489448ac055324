"""Set limits and show budgets: `nacre budget …`.

Stands behind the commands, over the budget governor. A limit is set in the operator's name, in one
transaction. It never reserves anything.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from app.cli.actions.opening import reading
from app.cli.actions.operating import OPERATOR, opened_platform
from app.cli.actions.screen import say_item, say_page
from services.domain.budget import Resource, parse_key
from services.operations import budget_governor
from services.store.views import budgets as views

BUDGETS = ("budget", "resource", "period", "limit", "cap", "reserved", "spent", "free", "renews_at")
HOLDS = (
    "hold_id", "agent_id", "resource", "amount", "state", "settled", "task_id", "workflow", "held_at",
    "expires_at", "resolved_at",
)  # fmt: skip
LIMITS = ("limit_id", "budget", "resource", "amount", "actor", "set_at", "reason")


def set_limit(
    database: str | None, budget: str, resource: Resource, amount: int, *, reason: str, as_json: bool
) -> int:
    """Set a limit and print the budget as it stands now."""
    key = parse_key(budget)
    with opened_platform(database) as platform, platform.store.write(actor=OPERATOR) as tx:
        line = budget_governor.set_limit(tx, key, resource, amount, reason=reason)
        told = views.show_budget(line, tx.now_us)
    return say_item(told, {}, as_json=as_json)


def show_budgets(database: str | None, names: Sequence[str], *, as_json: bool) -> int:
    """Print these budgets for every resource."""
    keys = [parse_key(name) for name in names]
    with reading(database) as tx:
        items = [views.show_budget(line, tx.now_us) for line in budget_governor.standing(tx, keys)]
    return say_page({"items": items, "next_cursor": None}, BUDGETS, as_json=as_json)


def list_budgets(database: str | None, asked: Mapping[str, Any], *, as_json: bool) -> int:
    """Print a page of the budgets that were ever used."""
    with reading(database) as tx:
        page = views.list_budgets(tx, **asked)
    return say_page(page, BUDGETS, as_json=as_json)


def list_holds(database: str | None, asked: Mapping[str, Any], *, as_json: bool) -> int:
    """Print a page of holds."""
    with reading(database) as tx:
        page = views.list_budget_holds(tx, **asked)
    return say_page(page, HOLDS, as_json=as_json)


def list_limits(database: str | None, asked: Mapping[str, Any], *, as_json: bool) -> int:
    """Print a page of the limits that were set."""
    with reading(database) as tx:
        page = views.list_budget_limits(tx, **asked)
    return say_page(page, LIMITS, as_json=as_json)
