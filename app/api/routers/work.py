"""Work from the agent's side: bid, take the lease, stay alive, hand in.

Stands over the market (L4). Every act is bound to the agent whose key it came with. A completion under an old
fencing token is refused and kept for the operator to see. It never believes a result.
"""

from fastapi import APIRouter, Request, Response

from app.api import examples
from app.api.answers import Id, JsonObject, described
from app.api.bodies import LeaseToken, NewBid, Nothing, Result
from app.api.idempotency import Gate
from app.api.platform import ApiPlatform, platform_of
from app.api.strict_json import StrictRoute
from services import meta_task_market
from services.domain.clock import to_rfc3339
from services.domain.errors import InvalidValueError, StaleTokenError
from services.domain.handoff import Handoff, parse_handoff
from services.domain.states import EndReason, Scope
from services.meta_task_market import Lease, SubmittedOutcome
from services.store import sql, tables
from services.store.tx import Tx

router = APIRouter(tags=["work"], route_class=StrictRoute)

LATE_RESULTS_KEPT = 20
"""How many late results of one agent for one task are kept; more would only be a way to fill the disk."""


@router.post(
    "/tasks/{task_id}/bids",
    summary="Place a sealed bid",
    **described({"bid_id": 77}, 400, 403, 404, 409, status=201),
)
def place_bid(task_id: Id, body: NewBid, gate: Gate) -> Response:
    """Bid once on a task while its window is open. Nobody sees the ask before the window has closed."""
    agent_id = gate.caller.require_agent(Scope.BID)

    def act(tx: Tx) -> JsonObject:
        bid_id = meta_task_market.place_bid(
            tx,
            agent_id=agent_id,
            task_id=task_id,
            ask_microcredits=body.ask_microcredits,
            confidence_percent=body.confidence_percent,
        )
        return {"bid_id": bid_id}

    return gate.run(act, status=201)


@router.post(
    "/tasks/{task_id}/lease",
    summary="Take the lease of an awarded task",
    **described(examples.LEASE, 400, 403, 404, 409),
)
def take_lease(
    request: Request,
    task_id: Id,
    gate: Gate,
    body: Nothing | None = None,  # noqa: ARG001  documents the body
) -> Response:
    """Start work: the fencing token, the time allowed, the payload, and the values in force for this task.

    What the payload leaves open is filled with the value in force, so both arms really run under their own.
    """
    agent_id = gate.caller.require_agent(Scope.BID)
    platform = platform_of(request)

    def act(tx: Tx) -> JsonObject:
        lease = meta_task_market.take_lease(tx, agent_id=agent_id, task_id=task_id)
        return {
            "fencing_token": lease.fencing_token,
            "expires_at": to_rfc3339(lease.expires_at_us),
            "timeout_seconds": lease.timeout_seconds,
            "payload": _filled(platform, lease),
            "parameters": lease.parameters,
        }

    return gate.run(act)


@router.post(
    "/tasks/{task_id}/heartbeat",
    summary="Say that the work goes on",
    **described({"expires_at": examples.AT}, 400, 403, 404, 409),
)
def heartbeat(task_id: Id, body: LeaseToken, gate: Gate) -> Response:
    """Record that the holder of the lease is alive; the time allowed does not move."""
    agent_id = gate.caller.require_agent(Scope.BID)

    def act(tx: Tx) -> JsonObject:
        expires_at_us = meta_task_market.heartbeat(
            tx, agent_id=agent_id, task_id=task_id, fencing_token=body.fencing_token
        )
        return {"expires_at": to_rfc3339(expires_at_us)}

    return gate.run(act)


@router.post(
    "/tasks/{task_id}/result",
    summary="Hand in a result",
    **described({"state": "submitted"}, 400, 403, 404, 409),
)
def submit_result(request: Request, task_id: Id, body: Result, gate: Gate) -> Response:
    """Hand in the three fields: done, changed, next. `completed` asks the platform to verify."""
    agent_id = gate.caller.require_agent(Scope.BID)
    handoff = _handoff(body)

    def act(tx: Tx) -> JsonObject:
        state = meta_task_market.submit_result(
            tx,
            agent_id=agent_id,
            task_id=task_id,
            fencing_token=body.fencing_token,
            outcome=SubmittedOutcome(body.outcome),
            failure_reason=EndReason(body.failure_reason) if body.failure_reason else None,
            handoff=handoff,
        )
        return {"state": state.value}

    try:
        return gate.run(act)
    except StaleTokenError as error:
        _keep(platform_of(request), agent_id, task_id, body.fencing_token, handoff, error)
        raise


def _handoff(body: Result) -> Handoff:
    try:
        return parse_handoff(body.handoff)
    except InvalidValueError as error:
        raise InvalidValueError(error.detail, field=f"body.{error.field}") from error


def _keep(
    platform: ApiPlatform, agent_id: int, task_id: int, token: int, handoff: Handoff, error: StaleTokenError
) -> None:
    """Keep a refused result in a transaction of its own: the refusal has rolled back the other."""
    with platform.store.write(actor=f"agent:{agent_id}") as tx:
        kept = sql.find_all(
            tx, tables.late_result, limit=LATE_RESULTS_KEPT, task_id=task_id, agent_id=agent_id
        )
        is_known = any(
            row["fencing_token"] == token and row["handoff"] == handoff.to_payload() for row in kept
        )
        if not is_known and len(kept) < LATE_RESULTS_KEPT:
            meta_task_market.keep_late_result(
                tx,
                agent_id=agent_id,
                task_id=task_id,
                fencing_token=token,
                handoff=handoff,
                reason=error.code,
            )


def _filled(platform: ApiPlatform, lease: Lease) -> JsonObject:
    """Return the payload with its empty fields filled from the values in force for this task."""
    kind = platform.task_types.get(lease.task_type)
    if kind is None:
        return lease.payload
    values = {name: float(str(value["value"])) for name, value in lease.parameters.items()}
    return kind.with_values_in_force(lease.payload, values)
