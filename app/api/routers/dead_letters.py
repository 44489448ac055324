"""Dead letters over HTTP: what failed as often as allowed, delivered again or given up by an operator.

Stands over `services.operations.dead_letters`. Every act is in the ledger with its reason. It never delivers.
"""

from fastapi import APIRouter, Request, Response

from app.api import examples
from app.api.answers import Id, JsonObject, PageAsked, Word, answer, described, found, page_of
from app.api.dead_letter_bodies import Discard, DiscardMany, Letters, Replay, ReplayMany
from app.api.idempotency import Gate
from app.api.platform import platform_of
from app.api.strict_json import StrictRoute
from app.known_names import check_name, event_type_of, subscribers_of
from services.domain.errors import InvalidValueError
from services.domain.states import DeliveryState
from services.operations import dead_letters
from services.operations.dead_letters import TRIED_AGAIN, Acted
from services.store import views
from services.store.tx import Tx

router = APIRouter(prefix="/dead-letters", tags=["operations"], route_class=StrictRoute)

_LETTER = {"delivery_id": 8, "state": "dead", **examples.DEAD_LETTER}


def _one(state: DeliveryState) -> JsonObject:
    return {"delivery_id": 8, "state": str(state), "ledger_index": 12}


def _many(state: DeliveryState) -> JsonObject:
    return {"state": str(state), "delivery_ids": [8, 9], "passed_over": [10], "ledger_index": 12}


@router.get("", summary="List dead letters", **described(page_of(_LETTER)))
def list_dead_letters(
    request: Request, page: PageAsked, subscriber: Word | None = None, event_type: Word | None = None
) -> Response:
    """Return the deliveries that failed as often as allowed, with their last error.

    A dead letter holds nothing back: later events of its aggregate have been delivered without it.
    """
    store = platform_of(request).store
    kind = None if event_type is None else event_type_of(event_type, "query.event_type")
    asked = {"subscriber": subscriber, "event_type": kind, **page.arguments()}
    with store.read() as tx:
        page_found = views.list_dead_letters(tx, **asked)
    if subscriber is not None and not page_found["items"]:
        check_name(subscriber, subscribers_of(store.routes), "subscriber", "query.subscriber")
    return answer(page_found)


@router.get("/{delivery_id}", summary="Show a dead letter", **described(_LETTER, 404))
def show(request: Request, delivery_id: Id) -> Response:
    """Return one delivery that failed, dead or not any more: its event, its tries and its last error."""
    with platform_of(request).store.read() as tx:
        return found(views.get_dead_letter(tx, delivery_id), "dead letter", delivery_id)


@router.post(
    "/replay",
    summary="Deliver many dead letters again",
    **described(_many(DeliveryState.PENDING), 400, 403),
)
def replay_many(body: ReplayMany, gate: Gate) -> Response:
    """Put up to 500 dead letters back in line, by id or the oldest of a subscriber or an event type.

    What is not dead is named in `passed_over`, so the same may be asked again; `state` is that of what was
    moved, null when nothing was. Only the operator can.
    """
    gate.caller.require_operator()
    reason = body.reason or TRIED_AGAIN
    return gate.run(
        lambda tx: _told(dead_letters.replay(tx, _chosen(tx, body), reason=reason), DeliveryState.PENDING)
    )


@router.post(
    "/discard",
    summary="Give many dead letters up",
    **described(_many(DeliveryState.DISCARDED), 400, 403),
)
def discard_many(body: DiscardMany, gate: Gate) -> Response:
    """Give up to 500 dead letters up for good, by id or the oldest of a subscriber or an event type.

    What is not dead is named in `passed_over`, so the same may be asked again; `state` is that of what was
    moved, null when nothing was. Only the operator can.
    """
    gate.caller.require_operator()
    return gate.run(
        lambda tx: _told(
            dead_letters.discard(tx, _chosen(tx, body), reason=body.reason), DeliveryState.DISCARDED
        )
    )


@router.post(
    "/{delivery_id}/replay",
    summary="Deliver a dead letter again",
    **described(_one(DeliveryState.PENDING), 400, 403, 404, 409),
)
def replay(delivery_id: Id, gate: Gate, body: Replay | None = None) -> Response:
    """Put a dead letter back in line with all its attempts. Only the operator can."""
    gate.caller.require_operator()
    reason = (body.reason if body else None) or TRIED_AGAIN

    def act(tx: Tx) -> JsonObject:
        done = dead_letters.replay_one(tx, delivery_id, reason=reason)
        return {**_one(DeliveryState.PENDING), "delivery_id": delivery_id, "ledger_index": done.ledger_index}

    return gate.run(act)


@router.post(
    "/{delivery_id}/discard",
    summary="Give a dead letter up",
    **described(_one(DeliveryState.DISCARDED), 400, 403, 404, 409),
)
def discard(delivery_id: Id, gate: Gate, body: Discard) -> Response:
    """Give a dead letter up for good, with a reason for the ledger. Only the operator can."""
    gate.caller.require_operator()

    def act(tx: Tx) -> JsonObject:
        done = dead_letters.discard_one(tx, delivery_id, reason=body.reason)
        return {
            **_one(DeliveryState.DISCARDED),
            "delivery_id": delivery_id,
            "ledger_index": done.ledger_index,
        }

    return gate.run(act)


def _chosen(tx: Tx, body: Letters) -> list[int]:
    """Return the ids that a body means; raise InvalidValueError when it names none, or both ways."""
    is_by_kind = body.subscriber is not None or body.event_type is not None
    if (body.delivery_ids is None) != is_by_kind:
        msg = "say which dead letters: either delivery_ids, or a subscriber, an event_type, or both of these"
        raise InvalidValueError(msg, field="body.delivery_ids", code="letters_unclear")
    if body.delivery_ids is not None:
        return body.delivery_ids
    chosen = dead_letters.choose(tx, subscriber=body.subscriber, event_type=body.event_type, limit=body.limit)
    if body.subscriber is not None and not chosen:
        check_name(body.subscriber, subscribers_of(tx.routes), "subscriber", "body.subscriber")
    return chosen


def _told(done: Acted, state: DeliveryState) -> JsonObject:
    """Return what was moved and what was passed over; nothing has a state when nothing was moved."""
    return {
        "state": str(state) if done.delivery_ids else None,
        "delivery_ids": done.delivery_ids,
        "passed_over": done.passed_over,
        "ledger_index": done.ledger_index,
    }
