"""Work from the agent's side: bid, take the lease, stay alive, hand in.

Stands over the market's verbs (L4). Every act is bound to the agent whose key it came with. A completion
under an old fencing token is refused and kept for the operator to see. It never believes a result.
"""

from fastapi import APIRouter, Request, Response

from app.api import examples, items
from app.api.answers import Id, described
from app.api.bodies import LeaseToken, NewBid, Nothing, Result
from app.api.idempotency import Gate
from app.api.strict_json import StrictRoute
from app.api.verbs import MarketVerbs
from services.domain.states import Scope

router = APIRouter(tags=["work"], route_class=StrictRoute)


def _verbs(request: Request) -> MarketVerbs:
    verbs: MarketVerbs = request.app.state.verbs
    return verbs


@router.post(
    "/tasks/{task_id}/bids",
    summary="Place a sealed bid",
    **described({"bid_id": 77}, 400, 403, 404, 409, status=201),
)
async def place_bid(request: Request, task_id: Id, body: NewBid, gate: Gate) -> Response:
    """Bid once on a task while its window is open. Nobody sees the ask before the window has closed."""
    agent_id = gate.caller.require_agent(Scope.BID)
    return await gate.merged(_verbs(request).bid, items.bid_of(agent_id, task_id, body))


@router.post(
    "/tasks/{task_id}/lease",
    summary="Take the lease of an awarded task",
    **described(examples.LEASE, 400, 403, 404, 409),
)
async def take_lease(
    request: Request,
    task_id: Id,
    gate: Gate,
    body: Nothing | None = None,  # noqa: ARG001  documents the body
) -> Response:
    """Start work: the fencing token, the time allowed, the payload, and the values in force for this task.

    What the payload leaves open is filled with the value in force, so both arms really run under their own.
    """
    agent_id = gate.caller.require_agent(Scope.BID)
    return await gate.merged(_verbs(request).lease, items.claim_of(agent_id, task_id))


@router.post(
    "/tasks/{task_id}/heartbeat",
    summary="Say that the work goes on",
    **described({"expires_at": examples.AT}, 400, 403, 404, 409),
)
async def heartbeat(request: Request, task_id: Id, body: LeaseToken, gate: Gate) -> Response:
    """Keep the lease alive and answer when it would lapse; the time allowed for the task does not move."""
    agent_id = gate.caller.require_agent(Scope.BID)
    return await gate.merged(_verbs(request).heartbeat, items.renewal_of(agent_id, task_id, body))


@router.post(
    "/tasks/{task_id}/result",
    summary="Hand in a result",
    **described({"state": "submitted"}, 400, 403, 404, 409),
)
async def submit_result(request: Request, task_id: Id, body: Result, gate: Gate) -> Response:
    """Hand in the three fields: done, changed, next. `completed` asks the platform to verify."""
    agent_id = gate.caller.require_agent(Scope.BID)
    return await gate.merged(_verbs(request).result, items.result_of(agent_id, task_id, body))
