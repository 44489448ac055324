"""Budgets over HTTP: reserve, settle or void, see what is left; operators set limits.

Stands over the budget governor. Every act is bound to the agent whose key it came with. It never decides
whether something fits.
"""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from app.api import money_examples as examples
from app.api.answers import LARGEST_ID, Id, JsonObject, PageAsked, Word, answer, described, page_of
from app.api.authentication import CallerNow
from app.api.bodies import Nothing
from app.api.budget_bodies import NewHold, NewLimit, Use
from app.api.idempotency import Gate
from app.api.platform import platform_of
from app.api.strict_json import StrictRoute
from services.domain.budget import Resource, parse_key
from services.domain.clock import to_rfc3339
from services.operations import budget_governor
from services.operations.budget_governor import HoldTerms, Resolution
from services.store.tx import Tx
from services.store.views import budgets as views

router = APIRouter(tags=["budgets"], route_class=StrictRoute)

MaybeId = Annotated[int | None, Query(ge=1, le=LARGEST_ID)]
Workflow = Annotated[str | None, Query(min_length=1, max_length=80)]


@router.get("/budgets", summary="Show what is left", **described(examples.BUDGETS, 403, 404))
def show_budgets(
    request: Request,
    caller: CallerNow,
    task_id: MaybeId = None,
    workflow: Workflow = None,
    agent_id: MaybeId = None,
) -> Response:
    """Return the budgets of my scopes for each resource: limit, cap, reserved, spent, free.

    Mine and the day's, and those of a task or of a workflow of my owner if named. Only the operator names an
    agent.
    """
    if caller.is_operator:
        whose = agent_id
    else:
        whose = caller.require_agent()
        if agent_id not in (None, whose):
            caller.require_operator()
    with platform_of(request).store.read() as tx:
        keys = budget_governor.keys_of(tx, agent_id=whose, task_id=task_id, workflow=workflow)
        lines = budget_governor.standing(tx, keys)
        return answer({"items": [views.show_budget(line, tx.now_us) for line in lines]})


@router.post("/budgets/holds", summary="Reserve", **described(examples.HOLD, 400, 403, 404, 409, status=201))
def hold(body: NewHold, gate: Gate) -> Response:
    """Reserve an amount in every scope that applies (task, agent, workflow, day), or in none.

    Hold first, use then, and settle what was used before the hold expires. With `task_id` the hold belongs to
    a task that you posted or won, and to its workflow; with `parent_hold_id` to what that hold belongs to.
    `workflow` without a task is one of your owner's. Microcredits draw on no day of the platform.
    What does not fit is refused as `budget_exhausted`, with the scope, its cap, what is reserved, spent and
    free, and `renews_at`.
    """
    agent_id = gate.caller.require_agent()

    def act(tx: Tx) -> JsonObject:
        terms = HoldTerms(
            agent_id,
            Resource(body.resource),
            body.amount,
            task_id=body.task_id,
            workflow=body.workflow,
            expires_in_seconds=body.expires_in_seconds,
            parent_hold_id=body.parent_hold_id,
        )
        held = budget_governor.hold(tx, terms)
        return {
            "hold_id": held.hold_id,
            "expires_at": to_rfc3339(held.expires_at_us),
            "budgets": [views.show_budget(line, tx.now_us) for line in held.lines],
        }

    return gate.run(act, status=201)


@router.get("/budgets/holds", summary="List holds", **described(page_of(examples.HOLD_KEPT)))
def list_holds(request: Request, caller: CallerNow, page: PageAsked, state: Word | None = None) -> Response:
    """Return my holds (the operator: everybody's); `state` is held, settled, voided or expired."""
    whose = None if caller.is_operator else caller.require_agent()
    with platform_of(request).store.read() as tx:
        return answer(views.list_budget_holds(tx, agent_id=whose, state=state, **page.arguments()))


@router.post(
    "/budgets/holds/{hold_id}/settle",
    summary="Say what was used",
    **described(examples.RESOLVED, 400, 403, 404, 409),
)
def settle(hold_id: Id, body: Use, gate: Gate) -> Response:
    """Spend what was really used, at most what was held; the rest goes back. A hold is resolved once."""
    agent_id = gate.caller.require_agent()
    return gate.run(
        lambda tx: _told(budget_governor.settle(tx, hold_id, agent_id=agent_id, amount=body.amount))
    )


@router.post(
    "/budgets/holds/{hold_id}/void",
    summary="Give a hold back",
    **described(
        {**examples.RESOLVED, "state": "voided", "settled": 0, "returned": 1_500}, 400, 403, 404, 409
    ),
)
def void(
    hold_id: Id,
    gate: Gate,
    body: Nothing | None = None,  # noqa: ARG001  documents the body
) -> Response:
    """Give back all of a hold of which nothing was used."""
    agent_id = gate.caller.require_agent()
    return gate.run(lambda tx: _told(budget_governor.void(tx, hold_id, agent_id=agent_id)))


def _told(done: Resolution) -> JsonObject:
    return {
        "hold_id": done.hold_id,
        "state": str(done.state),
        "held": done.held,
        "settled": done.settled,
        "returned": done.returned,
    }


@router.get("/budgets/open", summary="List every budget", **described(page_of(examples.BUDGET), 403))
def list_budgets(
    request: Request,
    caller: CallerNow,
    page: PageAsked,
    period: Annotated[Word | None, Query(description="a UTC day, or `life` for tasks")] = None,
) -> Response:
    """Return the budgets that were ever used. Only the operator can."""
    caller.require_operator()
    with platform_of(request).store.read() as tx:
        return answer(views.list_budgets(tx, period=period, **page.arguments()))


@router.post(
    "/budgets/limits", summary="Set a limit", **described(examples.BUDGET, 400, 403, 404, 409, status=201)
)
def set_limit(body: NewLimit, gate: Gate) -> Response:
    """Set what a budget holds, today and from now on. Only the operator can; who and why are kept.

    The cap moves at once, but never under what is reserved or spent.
    """
    gate.caller.require_operator()

    def act(tx: Tx) -> JsonObject:
        key, resource = parse_key(body.budget), Resource(body.resource)
        line = budget_governor.set_limit(tx, key, resource, body.amount, reason=body.reason)
        return views.show_budget(line, tx.now_us)

    return gate.run(act, status=201)


@router.get("/budgets/limits", summary="List limits that were set", **described(page_of(examples.LIMIT)))
def list_limits(request: Request, page: PageAsked) -> Response:
    """Return who set which limit, when and why; of each budget the newest is in force."""
    with platform_of(request).store.read() as tx:
        return answer(views.list_budget_limits(tx, **page.arguments()))
