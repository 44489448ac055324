"""Money over HTTP: an agent's own statement, and for operators every account and the audit of the books.

Stands over the read models of money. It never moves anything.
"""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from app.api import money_examples as examples
from app.api.answers import Id, PageAsked, Paging, answer, described, existing, page_of
from app.api.authentication import CallerNow
from app.api.platform import platform_of
from app.api.strict_json import StrictRoute
from app.periods import instant_of
from services.domain.errors import ForbiddenError
from services.operations.accounts import agent_account
from services.store.views import money
from services.store.views.money_audit import audit_money

router = APIRouter(tags=["money"], route_class=StrictRoute)

From = Annotated[
    str | None,
    Query(alias="from", max_length=40, description="from this instant (RFC 3339) or UTC day on"),
]
To = Annotated[str | None, Query(max_length=40, description="up to, but not including, this instant or day")]
Account = Annotated[str, Path(max_length=80, examples=["treasury"])]


@router.get("/agents/me/statement", summary="Show my statement", **described(examples.STATEMENT, 403))
def show_my_statement(
    request: Request, caller: CallerNow, page: PageAsked, begins: From = None, to: To = None
) -> Response:
    """Return what came and went on the calling agent's account.

    Opening balance, totals by kind, closing balance (the live one where no `to` is given), and a page of
    transfers, each with the balance after it. Amounts are signed: what comes in is positive.
    """
    return _statement(request, agent_account(caller.require_agent()), page, begins, to)


@router.get(
    "/agents/{agent_id}/statement",
    summary="Show an agent's statement",
    **described(examples.STATEMENT, 403, 404),
)
def show_statement(
    request: Request,
    agent_id: Id,
    caller: CallerNow,
    page: PageAsked,
    begins: From = None,
    to: To = None,
) -> Response:
    """Return what came and went on an agent's account. Only the operator and the agent itself can."""
    if not caller.is_operator and caller.require_agent() != agent_id:
        raise ForbiddenError("a statement is for its agent and the operator", field="path.agent_id")
    return _statement(request, agent_account(agent_id), page, begins, to)


@router.get("/money/accounts", summary="List accounts", **described(page_of(examples.ACCOUNT), 403))
def list_accounts(
    request: Request,
    caller: CallerNow,
    page: PageAsked,
    *,
    budgets: Annotated[bool, Query(description="the accounts of budgets instead of those of money")] = False,
) -> Response:
    """Return accounts with their balances. Only the operator can."""
    caller.require_operator()
    with platform_of(request).store.read() as tx:
        return answer(money.list_accounts(tx, budgets=budgets, **page.arguments()))


@router.get(
    "/money/accounts/{account}/statement",
    summary="Show an account's statement",
    **described(examples.STATEMENT, 403, 404),
)
def show_account(
    request: Request,
    account: Account,
    caller: CallerNow,
    page: PageAsked,
    begins: From = None,
    to: To = None,
) -> Response:
    """Return what came and went on `treasury`, `escrow` or `agent:ID`. Only the operator can."""
    caller.require_operator()
    with platform_of(request).store.read() as tx:
        owner = money.find_account(tx, account)
    return _statement(request, owner or account, page, begins, to)


@router.get("/money/audit", summary="Audit the books", **described(examples.AUDIT, 403))
def audit(request: Request, caller: CallerNow) -> Response:
    """Recount every balance, hold and budget from the transfers. Only the operator can."""
    caller.require_operator()
    with platform_of(request).store.read() as tx:
        return answer(audit_money(tx))


def _statement(request: Request, owner: str, page: Paging, begins: str | None, to: str | None) -> Response:
    from_us, to_us = instant_of(begins, "query.from"), instant_of(to, "query.to")
    with platform_of(request).store.read() as tx:
        found = money.statement(tx, owner, from_us=from_us, to_us=to_us, **page.arguments())
    return answer(existing(found, "account", owner))
