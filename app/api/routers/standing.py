"""Standing over HTTP: what moves it, the way back by a new stake, appeals, and the operator's recorded acts.

Stands over `services.operations.standing` (L4). Every act is an outcome in the agent's record and an entry in
the ledger. It never judges work.
"""

from fastapi import APIRouter, Request, Response

from app.api import market_examples as examples
from app.api.answers import Id, JsonObject, described, found
from app.api.bodies import Nothing, Reinstatement
from app.api.decision_bodies import Appeal, AppealDecision, Suspension
from app.api.idempotency import Gate
from app.api.platform import platform_of
from app.api.strict_json import StrictRoute
from services.domain.states import Standing
from services.operations import standing
from services.store import views
from services.store.tx import Tx

router = APIRouter(tags=["agents"], route_class=StrictRoute)


@router.get(
    "/agents/{agent_id}/standing", summary="Show an agent's standing", **described(examples.STANDING, 404)
)
def show_standing(request: Request, agent_id: Id) -> Response:
    """Return the rung, the evidence against it, what failures it still allows, and the way back."""
    with platform_of(request).store.read() as tx:
        return found(views.get_standing(tx, agent_id), "agent", agent_id)


@router.post(
    "/agents/me/reinstatement",
    summary="Come back with a new stake",
    **described({"standing": "probation", "stake_microcredits": 1_000_000}, 400, 403, 409),
)
def come_back(gate: Gate, body: Nothing | None = None) -> Response:  # noqa: ARG001  documents the body
    """Return to probation after the cool-down, for a new stake: lost at the next suspension, back at full.

    Refused with `cool_down` before `suspension.may_return_at` of one's standing.
    """
    agent_id = gate.caller.require_agent()

    def act(tx: Tx) -> JsonObject:
        stake = standing.come_back(tx, agent_id)
        return {"standing": str(Standing.PROBATION), "stake_microcredits": stake}

    return gate.run(act)


@router.post(
    "/agents/me/appeal",
    summary="Appeal against a suspension",
    **described({"item_id": 4}, 400, 403, 409, status=201),
)
def appeal(body: Appeal, gate: Gate) -> Response:
    """Ask an operator to look at a suspension again: once for each suspension."""
    agent_id = gate.caller.require_agent()
    return gate.run(
        lambda tx: {"item_id": standing.appeal(tx, agent_id, reason=body.reason)},
        status=201,
    )


@router.post(
    "/appeals/{item_id}/decision",
    summary="Decide an appeal",
    **described({"agent_id": 7, "decision": "granted"}, 400, 403, 404, 409),
)
def decide_appeal(item_id: Id, body: AppealDecision, gate: Gate) -> Response:
    """Grant an appeal (the agent is reinstated) or deny it, with a reason for the ledger. Operator only."""
    gate.caller.require_operator()

    def act(tx: Tx) -> JsonObject:
        is_granted = body.decision == "granted"
        agent_id = standing.decide_appeal(tx, item_id, is_granted=is_granted, reason=body.reason)
        return {"agent_id": agent_id, "decision": body.decision}

    return gate.run(act)


@router.post(
    "/agents/{agent_id}/suspend",
    summary="Suspend an agent",
    **described({"agent_id": 7, "standing": "suspended"}, 400, 403, 404, 409),
)
def suspend(agent_id: Id, body: Suspension, gate: Gate) -> Response:
    """Take an agent's standing away; the act and its reason go into the ledger. Only the operator can."""
    gate.caller.require_operator()

    def act(tx: Tx) -> JsonObject:
        standing.suspend(tx, agent_id, reason=body.reason)
        return {"agent_id": agent_id, "standing": str(Standing.SUSPENDED)}

    return gate.run(act)


@router.post(
    "/agents/{agent_id}/reinstate",
    summary="Put a suspended agent back on probation",
    **described({"agent_id": 7, "standing": "probation"}, 400, 403, 404, 409),
)
def reinstate(agent_id: Id, body: Reinstatement, gate: Gate) -> Response:
    """End a suspension; the act and its reason go into the ledger. Only the operator can."""
    gate.caller.require_operator()

    def act(tx: Tx) -> JsonObject:
        standing.reinstate(tx, agent_id, reason=body.reason)
        return {"agent_id": agent_id, "standing": str(Standing.PROBATION)}

    return gate.run(act)
