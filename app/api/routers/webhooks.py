"""Events out of the platform over HTTP: the feed of CloudEvents, and webhooks with their deliveries.

Stands over the read models and `services.operations.webhooks`. Everything about webhooks is the operator's;
what others see of events is decided in `services.domain.cloud_events`. It never sends anything itself.
"""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from app.api import webhook_examples as examples
from app.api.answers import (
    LARGEST_ID,
    Id,
    JsonObject,
    PageAsked,
    Word,
    answer,
    described,
    found,
    page_of,
    refusals,
    schema_of,
)
from app.api.authentication import CallerNow
from app.api.bodies import Nothing
from app.api.idempotency import Gate
from app.api.platform import ApiPlatform, platform_of
from app.api.strict_json import StrictRoute
from app.api.webhook_bodies import NewWebhook, WebhookChange, WebhookReason
from app.egress.destinations import Destinations, EgressPolicy
from app.keys import webhook_key
from services.domain import cloud_events
from services.domain.errors import InvalidValueError
from services.domain.events import EventType
from services.domain.states import DeliveryState
from services.domain.webhooks import secret_text
from services.operations import webhooks
from services.store import views
from services.store.tx import Tx

router = APIRouter(tags=["operations"], route_class=StrictRoute)


class EventBatch(Response):
    """An answer whose body is a batch of CloudEvents."""

    media_type = cloud_events.BATCH_MEDIA_TYPE


_BATCH = {"schema": schema_of([examples.EVENT]), "example": [examples.EVENT]}
_FEED = {
    200: {"description": "the answer", "content": {cloud_events.BATCH_MEDIA_TYPE: _BATCH}},
    **refusals(401, 422, 429),
}


@router.get("/events", summary="Read events", response_class=EventBatch, responses=_FEED)
def list_events(
    request: Request,
    caller: CallerNow,
    page: PageAsked,
    kind: Annotated[Word | None, Query(alias="type", description="`nacre.task.ended`, …")] = None,
    subject: Annotated[Word | None, Query(description="`task:41`, `episode:2`, …")] = None,
    lap: Annotated[int | None, Query(ge=1, le=LARGEST_ID)] = None,
    after: Annotated[int | None, Query(ge=0, le=LARGEST_ID, description="only ids above this one")] = None,
) -> Response:
    """Return a page of events as a batch of CloudEvents 1.0; `Link: <…>; rel="next"` leads to the next page.

    Agents read what agents may know, the operator reads everything; events are kept for 14 days. To follow
    the feed, ask with `order=oldest` and `after` the last id. On PostgreSQL an event may become visible
    behind newer ids while its transaction runs: a reader that must not miss one asks from some ids back and
    drops those it knows. Webhooks miss none.
    """
    asked = views.EventsAsked(_event_type(kind), subject, lap, after)
    with platform_of(request).store.read() as tx:
        batch = views.list_events(tx, asked, is_for_operator=caller.is_operator, **page.arguments())
    headers = {}
    if batch["next_cursor"] is not None:
        following = request.url.include_query_params(cursor=batch["next_cursor"])
        headers["Link"] = f'<{following.path}?{following.query}>; rel="next"'
    content = cloud_events.encoded(batch["items"])
    return EventBatch(content, headers=headers)


def _event_type(name: str | None) -> EventType | None:
    if name is None:
        return None
    if name not in cloud_events.TYPE_NAMES:
        nearest = cloud_events.unknown_types([name]).get(name, "")
        msg = f"there is no event type {name!r}; {cloud_events.type_hint(name)}"
        raise InvalidValueError(msg, field="query.type", code="event_type_unknown", nearest=nearest or None)
    return cloud_events.TYPE_NAMES[name]


@router.get("/webhooks", summary="List webhooks", **described(page_of(examples.WEBHOOK), 403))
def list_webhooks(request: Request, caller: CallerNow, page: PageAsked) -> Response:
    """Return the webhooks with their state and how many deliveries are in which. Only the operator can."""
    caller.require_operator()
    with platform_of(request).store.read() as tx:
        return answer(views.list_webhooks(tx, **page.arguments()))


@router.get("/webhooks/{webhook_id}", summary="Show a webhook", **described(examples.WEBHOOK, 403, 404))
def show_webhook(request: Request, caller: CallerNow, webhook_id: Id) -> Response:
    """Return one webhook, without its secret. Only the operator can."""
    caller.require_operator()
    with platform_of(request).store.read() as tx:
        return found(views.get_webhook(tx, webhook_id), "webhook", webhook_id)


@router.get(
    "/webhooks/{webhook_id}/deliveries",
    summary="List deliveries to a webhook",
    **described(page_of(examples.WEBHOOK_DELIVERY), 403, 404),
)
def list_deliveries(
    request: Request, caller: CallerNow, webhook_id: Id, page: PageAsked, state: DeliveryState | None = None
) -> Response:
    """Return what was, is or will be sent to one webhook, and what came of it. Only the operator can."""
    caller.require_operator()
    with platform_of(request).store.read() as tx:
        found(views.get_webhook(tx, webhook_id), "webhook", webhook_id)
        return answer(views.list_webhook_deliveries(tx, webhook_id, state=state, **page.arguments()))


@router.post(
    "/webhooks", summary="Register a webhook", **described(examples.SECRET, 400, 403, 409, status=201)
)
def create_webhook(request: Request, body: NewWebhook, gate: Gate) -> Response:
    """Send events of these types to an address from now on. The answer has the signing secret, shown once.

    Refused: addresses that are not https or not public (`address_private`), event types that do not exist
    (`event_type_unknown`, with the `nearest`). Only the operator can.
    """
    gate.caller.require_operator()
    platform = platform_of(request)
    webhooks.check_types(body.types)
    _destinations(platform).check(body.url)

    def act(tx: Tx) -> JsonObject:
        new = webhooks.NewWebhook(body.url, body.types, body.description)
        return {"webhook_id": webhooks.create(tx, new), "secret_version": 1}

    return gate.run(act, status=201, reveal=lambda recorded: _with_secret(platform, recorded))


@router.post(
    "/webhooks/{webhook_id}", summary="Change a webhook", **described(examples.WEBHOOK, 400, 403, 404)
)
def change_webhook(request: Request, webhook_id: Id, body: WebhookChange, gate: Gate) -> Response:
    """Change the address, the event types or the description. Only the operator can."""
    gate.caller.require_operator()
    if body.url is not None:
        _destinations(platform_of(request)).check(body.url)

    def act(tx: Tx) -> JsonObject:
        webhooks.change(tx, webhook_id, url=body.url, types=body.types, description=body.description)
        return views.get_webhook(tx, webhook_id) or {}

    return gate.run(act)


@router.post(
    "/webhooks/{webhook_id}/rotate",
    summary="Give a webhook a new secret",
    **described({**examples.SECRET, "secret_version": 2}, 400, 403, 404),
)
def rotate_secret(request: Request, webhook_id: Id, body: WebhookReason, gate: Gate) -> Response:
    """Begin the next secret, shown once; for 24 hours messages are signed with the old one too.

    Only the operator can.
    """
    gate.caller.require_operator()
    platform = platform_of(request)

    def act(tx: Tx) -> JsonObject:
        version = webhooks.rotate(tx, webhook_id, reason=body.reason)
        return {"webhook_id": webhook_id, "secret_version": version}

    return gate.run(act, reveal=lambda recorded: _with_secret(platform, recorded))


@router.post(
    "/webhooks/{webhook_id}/pause",
    summary="Pause a webhook",
    **described({**examples.WEBHOOK, "is_active": False, "pause_reason": "it moves"}, 400, 403, 404, 409),
)
def pause_webhook(webhook_id: Id, body: WebhookReason, gate: Gate) -> Response:
    """Stop sending; events wait in the outbox (14 days) until it is resumed. Only the operator can."""
    gate.caller.require_operator()

    def act(tx: Tx) -> JsonObject:
        webhooks.pause(tx, webhook_id, reason=body.reason)
        return views.get_webhook(tx, webhook_id) or {}

    return gate.run(act)


@router.post(
    "/webhooks/{webhook_id}/resume",
    summary="Resume a webhook",
    **described(examples.WEBHOOK, 400, 403, 404, 409),
)
def resume_webhook(webhook_id: Id, body: WebhookReason, gate: Gate) -> Response:
    """Go on sending where it was paused: what was published since is sent too. Only the operator can."""
    gate.caller.require_operator()

    def act(tx: Tx) -> JsonObject:
        webhooks.resume(tx, webhook_id, reason=body.reason)
        return views.get_webhook(tx, webhook_id) or {}

    return gate.run(act)


@router.post(
    "/webhooks/{webhook_id}/remove",
    summary="Delete a webhook",
    **described({"webhook_id": 1, "discarded": 0}, 400, 403, 404),
)
def remove_webhook(webhook_id: Id, body: WebhookReason, gate: Gate) -> Response:
    """Delete a webhook for good; what waits for it is discarded. Only the operator can."""
    gate.caller.require_operator()

    def act(tx: Tx) -> JsonObject:
        discarded = webhooks.remove(tx, webhook_id, reason=body.reason)
        return {"webhook_id": webhook_id, "discarded": discarded}

    return gate.run(act)


@router.post(
    "/webhooks/{webhook_id}/test",
    summary="Send a test event",
    **described({"webhook_id": 1, "delivery_id": 41}, 400, 403, 404, 409, status=201),
)
def try_webhook(webhook_id: Id, gate: Gate, body: Nothing | None = None) -> Response:  # noqa: ARG001  documents the body
    """Queue the event `nacre.ping`; the list of deliveries says what came of it. Only the operator can."""
    gate.caller.require_operator()

    def act(tx: Tx) -> JsonObject:
        return {"webhook_id": webhook_id, "delivery_id": webhooks.send_ping(tx, webhook_id)}

    return gate.run(act, status=201)


@router.post(
    "/webhooks/{webhook_id}/deliveries/{delivery_id}/replay",
    summary="Deliver a dead message again",
    **described({"delivery_id": 40, "state": "pending"}, 400, 403, 404, 409),
)
def replay_delivery(webhook_id: Id, delivery_id: Id, body: WebhookReason, gate: Gate) -> Response:
    """Put a dead delivery back in line, under the same `webhook-id`. Only the operator can."""
    gate.caller.require_operator()

    def act(tx: Tx) -> JsonObject:
        webhooks.replay(tx, webhook_id, delivery_id, reason=body.reason)
        return {"delivery_id": delivery_id, "state": str(DeliveryState.PENDING)}

    return gate.run(act)


@router.post(
    "/webhooks/{webhook_id}/deliveries/{delivery_id}/discard",
    summary="Give a dead message up",
    **described({"delivery_id": 40, "state": "discarded"}, 400, 403, 404, 409),
)
def discard_delivery(webhook_id: Id, delivery_id: Id, body: WebhookReason, gate: Gate) -> Response:
    """Give a dead delivery up, with a reason. Only the operator can."""
    gate.caller.require_operator()

    def act(tx: Tx) -> JsonObject:
        webhooks.discard(tx, webhook_id, delivery_id, reason=body.reason)
        return {"delivery_id": delivery_id, "state": str(DeliveryState.DISCARDED)}

    return gate.run(act)


def _destinations(platform: ApiPlatform) -> Destinations:
    return Destinations(EgressPolicy.of(platform.settings))


def _with_secret(platform: ApiPlatform, recorded: JsonObject) -> JsonObject:
    """Add the secret to a recorded answer: it is derived each time and stands in no record."""
    key = webhook_key(platform.settings.var_directory)
    secret = secret_text(key, recorded["webhook_id"], recorded["secret_version"])
    return {**recorded, "secret": secret}
