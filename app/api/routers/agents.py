"""Agents: register (operator), list, show, and the one call with which an agent asks what there is to do.

Stands over the agent registry and the market (L4). A key is shown once and never stored: what is recorded
under the idempotency key is a nonce, from which the same operator's retry gets the same key again.
"""

import base64
import hashlib
import hmac
import secrets

from fastapi import APIRouter, Request, Response

from app.api import examples, listening
from app.api.agent_cycle import AgentCycle
from app.api.answers import Id, JsonObject, PageAsked, answer, described, found, page_of
from app.api.authentication import CallerNow
from app.api.bodies import NewAgent, WorkQuery
from app.api.idempotency import Gate, WriteGate, hash_of, is_key
from app.api.platform import platform_of
from app.api.strict_json import StrictRoute
from services.domain.states import Scope
from services.operations import agent_registry
from services.store import views
from services.store.tx import Tx

router = APIRouter(tags=["agents"], route_class=StrictRoute)


@router.post(
    "/agents",
    summary="Register an agent",
    **described(examples.REGISTERED, 400, 403, 409, status=201),
)
def register_agent(body: NewAgent, gate: Gate) -> Response:
    """Register an agent and return its key, once. Only the operator can."""
    gate.caller.require_operator()
    agent_registry.check_name(body.name, "body.name")
    agent_registry.check_name(body.owner, "body.owner")
    if body.model is not None:
        agent_registry.check_name(body.model, "body.model")

    def act(tx: Tx) -> JsonObject:
        nonce = secrets.token_hex(32)
        agent_id = agent_registry.register(
            tx,
            name=body.name,
            owner=body.owner,
            scopes=sorted({Scope(scope) for scope in body.scopes}),
            is_vouched=body.vouched,
            model=body.model,
            key_hash=agent_registry.key_hash(derived_key(gate.caller.key, nonce)),
        )
        return {"agent_id": agent_id, "name": body.name, "api_key": nonce}

    def reveal(recorded: JsonObject) -> JsonObject:
        return {**recorded, "api_key": derived_key(gate.caller.key, recorded["api_key"])}

    return gate.run(act, status=201, reveal=reveal)


def derived_key(operator_key: str, nonce: str) -> str:
    """Return the agent key that the operator's key and a recorded nonce (256 random bits) give."""
    digest = hmac.digest(operator_key.encode(), f"agent key {nonce}".encode(), hashlib.sha256)
    return "nac_" + base64.urlsafe_b64encode(digest).decode().rstrip("=")


@router.get("/agents", summary="List agents", **described(page_of(examples.AGENT)))
def list_agents(request: Request, caller: CallerNow, page: PageAsked) -> Response:
    """Return agents with their standing, records and balances; `open_bids` only to an operator."""
    with platform_of(request).store.read() as tx:
        return answer(views.list_agents(tx, **page.arguments(), are_bids_shown=caller.is_operator))


@router.get("/agents/me", summary="Show the calling agent", **described(examples.AGENT, 403))
def show_me(request: Request, caller: CallerNow) -> Response:
    """Return the agent whose key this is."""
    agent_id = caller.require_agent()
    with platform_of(request).store.read() as tx:
        return found(views.get_agent(tx, agent_id, are_bids_shown=True), "agent", agent_id)


@router.get("/agents/{agent_id}", summary="Show an agent", **described(examples.AGENT, 404))
def show_agent(request: Request, caller: CallerNow, agent_id: Id) -> Response:
    """Return one agent; `open_bids` only to itself and to an operator, null to others."""
    is_shown = caller.principal is None or caller.principal.agent_id == agent_id
    with platform_of(request).store.read() as tx:
        return found(views.get_agent(tx, agent_id, are_bids_shown=is_shown), "agent", agent_id)


@router.post("/agents/me/work", summary="Ask what there is to do", **described(examples.WORK, 400, 403))
async def ask_for_work(request: Request, caller: CallerNow, body: WorkQuery) -> Response:
    """Return my awards, the open tasks I have not bid on, and the ballots I may still cast.

    It says that the agent is alive and changes nothing else, so it needs no Idempotency-Key. With `lease` my
    awards become `leases`, each with what the lease route answers, or the problem that stands in its way;
    with `renew` the leases named are kept alive and `renewed` says until when. `wait_seconds` lets an answer
    with nothing to do wait until there is something for this agent. With an Idempotency-Key a retry gets the
    same leases again.
    """
    cycle: AgentCycle = request.app.state.cycle
    key = request.headers.get("Idempotency-Key", "")
    request_hash = hash_of(request.method, request.url.path, request.state.body_sha256)
    gate = WriteGate(platform_of(request), caller, key if is_key(key) else "", request_hash)
    return await cycle.answer(gate, body, request.is_disconnected)


@router.get(
    "/agents/me/events",
    summary="Listen to what concerns the calling agent",
    response_class=Response,
    responses=listening.DESCRIBED,
)
async def listen(request: Request, caller: CallerNow) -> Response:
    """Stream events (`text/event-stream`): awards, bid windows that closed without me, ballots I may cast.

    The header `Last-Event-ID` resumes behind that event; without it the stream begins now. A comment comes
    every 15 seconds. An agent may have a few streams at a time.
    """
    return await listening.stream_of(
        platform_of(request).store,
        request.app.state.waiting_room,
        caller.require_agent(),
        request.headers.get("Last-Event-ID"),
    )
