"""Many items in one call: each is read, judged and answered by itself, all in one transaction under one key.

Stands between the batch routes and the verbs. The answer is recorded with its refusals, so that a retry of
the whole call is harmless; what was refused is asked again under a fresh key. It never lets one item spoil
another.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from fastapi import Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from app.api import items
from app.api.batch_bodies import ITEMS_HIGHEST
from app.api.errors import problem_of_item, validation_members
from app.api.idempotency import JsonObject, Verb, WriteGate
from app.api.verbs import MarketVerbs
from services.domain.errors import NacreError
from services.domain.states import Scope
from services.store.tx import Tx

T = TypeVar("T")

__all__ = [
    "ITEMS_HIGHEST",
    "Batch",
    "place_bids",
    "post_tasks",
    "renew_leases",
    "submit_results",
    "take_leases",
]


async def post_tasks(gate: WriteGate, verbs: MarketVerbs, values: Sequence[Any]) -> Response:
    """Post tasks."""
    requester_id = gate.caller.require_agent_or_operator(Scope.POST)

    def read(value: Any) -> Any:
        return items.posting_of(gate.platform, requester_id, items.TASKS.read(value))

    return await _answer(gate, verbs.post_briefly, values, read)


async def place_bids(gate: WriteGate, verbs: MarketVerbs, values: Sequence[Any]) -> Response:
    """Place sealed bids."""
    agent_id = gate.caller.require_agent(Scope.BID)

    def read(value: Any) -> Any:
        item = items.BIDS.read(value)
        return items.bid_of(agent_id, item.task_id, item)

    return await _answer(gate, verbs.bid, values, read)


async def take_leases(gate: WriteGate, verbs: MarketVerbs, values: Sequence[Any]) -> Response:
    """Take leases."""
    agent_id = gate.caller.require_agent(Scope.BID)

    def read(value: Any) -> Any:
        return items.claim_of(agent_id, items.LEASES.read(value).task_id)

    return await _answer(gate, verbs.lease, values, read)


async def renew_leases(gate: WriteGate, verbs: MarketVerbs, values: Sequence[Any]) -> Response:
    """Keep leases alive."""
    agent_id = gate.caller.require_agent(Scope.BID)

    def read(value: Any) -> Any:
        item = items.HEARTBEATS.read(value)
        return items.renewal_of(agent_id, item.task_id, item)

    return await _answer(gate, verbs.heartbeat, values, read)


async def submit_results(gate: WriteGate, verbs: MarketVerbs, values: Sequence[Any]) -> Response:
    """Hand results in."""
    agent_id = gate.caller.require_agent(Scope.BID)

    def read(value: Any) -> Any:
        item = items.RESULTS.read(value)
        return items.result_of(agent_id, item.task_id, item)

    return await _answer(gate, verbs.result, values, read)


Batch = Callable[[WriteGate, MarketVerbs, Sequence[Any]], Any]


async def _answer(
    gate: WriteGate, verb: Verb[T], values: Sequence[Any], read: Callable[[Any], T]
) -> Response:
    """Let the verb take every item that can be read; answer all in order."""
    ready: list[T] = []
    refused: dict[int, JsonObject] = {}
    for place, value in enumerate(values):
        try:
            ready.append(read(value))
        except (ValidationError, RequestValidationError, NacreError) as error:
            refused[place] = _unreadable(error, place)

    def act(tx: Tx) -> JsonObject:
        outcomes = verb.act(tx, ready) if ready else ()
        if verb.keep is not None:
            pairs = zip(ready, outcomes, strict=True)
            verb.keep(tx, [(item, one) for item, one in pairs if isinstance(one, NacreError)])
        told = iter(outcomes)
        results = [
            refused[place] if place in refused else _shown(next(told), verb.status, place)
            for place in range(len(values))
        ]
        return {"results": results}

    return await gate.alone(act)


def _shown(outcome: JsonObject | NacreError, status: int, place: int) -> JsonObject:
    if isinstance(outcome, NacreError):
        return problem_of_item(outcome, f"body.items[{place}]")
    return {"status": status, **outcome}


def _unreadable(error: ValidationError | RequestValidationError | NacreError, place: int) -> JsonObject:
    if isinstance(error, NacreError):
        return problem_of_item(error, f"body.items[{place}]")
    if isinstance(error, ValidationError):
        found: Sequence[Any] = error.errors(include_url=False, include_context=False, include_input=False)
        return validation_members(found, ("body", "items", place))
    inside = [{**item, "loc": tuple(item["loc"])[1:]} for item in error.errors()]
    return validation_members(inside, ("body", "items", place))
