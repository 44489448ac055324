"""`nacre webhook …` and `nacre event list`: the operator's acts on webhooks, and what they and the feed show.

Stands over `services.operations.webhooks` and the read models; every act is one transaction in the operator's
name. An address is judged before it is kept, as over HTTP.
"""

from collections.abc import Mapping
from typing import Any

from app.bootstrap import Platform
from app.cli.actions.opening import reading
from app.cli.actions.operating import OPERATOR, opened_platform
from app.cli.actions.screen import say_item, say_json, say_line, say_note, say_page
from app.egress.destinations import Destinations, EgressPolicy
from app.keys import webhook_key
from app.known_names import event_type_of
from services.domain.errors import InvalidValueError, NotFoundError
from services.domain.states import DeliveryState
from services.domain.webhooks import secret_text
from services.operations import webhooks
from services.store import views

EVENT_COLUMNS = ("id", "type", "subject", "lapid", "actor", "time", "data")
WEBHOOK_COLUMNS = (
    "webhook_id", "is_active", "types", "deliveries.pending", "deliveries.delivered", "deliveries.dead",
    "failures_in_a_row", "url", "pause_reason",
)  # fmt: skip
DELIVERY_COLUMNS = (
    "delivery_id", "type", "event_id", "state", "attempts", "last_status", "created_at", "next_attempt_at",
    "last_error",
)  # fmt: skip


def show_events(
    database: str | None, asked: Mapping[str, Any], page: Mapping[str, Any], *, as_json: bool
) -> int:
    """Print a page of events."""
    kind = asked["kind"]
    if kind is not None:
        kind = event_type_of(kind, "--type")
    with reading(database) as tx:
        wanted = views.EventsAsked(kind, asked["subject"], asked["lap_id"], asked["after"])
        return say_page(
            views.list_events(tx, wanted, is_for_operator=True, **page), EVENT_COLUMNS, as_json=as_json
        )


def show_webhooks(database: str | None, page: Mapping[str, Any], *, as_json: bool) -> int:
    """Print a page of webhooks."""
    with reading(database) as tx:
        return say_page(views.list_webhooks(tx, **page), WEBHOOK_COLUMNS, as_json=as_json)


def show_webhook(database: str | None, webhook_id: int, *, as_json: bool) -> int:
    """Print one webhook; raise NotFoundError when there is none."""
    with reading(database) as tx:
        item = views.get_webhook(tx, webhook_id)
    if item is None:
        raise _no_webhook(webhook_id)
    return say_item(item, {}, as_json=as_json)


def show_deliveries(
    database: str | None, webhook_id: int, state: str | None, page: Mapping[str, Any], *, as_json: bool
) -> int:
    """Print a page of deliveries to one webhook."""
    if state is not None and state not in set(DeliveryState):
        known = ", ".join(DeliveryState)
        raise InvalidValueError(f"--state must be one of {known}, not {state!r}", field="--state")
    wanted = None if state is None else DeliveryState(state)
    with reading(database) as tx:
        if views.get_webhook(tx, webhook_id) is None:
            raise _no_webhook(webhook_id)
        found = views.list_webhook_deliveries(tx, webhook_id, state=wanted, **page)
    return say_page(found, DELIVERY_COLUMNS, as_json=as_json)


def add(database: str | None, *, url: str, types: list[str], description: str, as_json: bool) -> int:
    """Register a webhook and print its secret, alone on standard output unless JSON is asked for."""
    webhooks.check_types(types)
    with opened_platform(database) as platform:
        _destinations(platform).check(url)
        with platform.store.write(actor=OPERATOR) as tx:
            webhook_id = webhooks.create(tx, webhooks.NewWebhook(url, types, description))
        return _say_secret(platform, webhook_id, 1, as_json=as_json)


def change(database: str | None, webhook_id: int, changes: Mapping[str, Any], *, as_json: bool) -> int:
    """Change what is named and print the webhook."""
    if changes["types"]:
        webhooks.check_types(changes["types"])
    with opened_platform(database) as platform:
        if changes["url"] is not None:
            _destinations(platform).check(changes["url"])
        with platform.store.write(actor=OPERATOR) as tx:
            webhooks.change(tx, webhook_id, **changes)
            item = views.get_webhook(tx, webhook_id) or {}
    return say_item(item, {}, as_json=as_json)


def pause(database: str | None, webhook_id: int, *, reason: str, as_json: bool) -> int:
    """Stop sending."""
    with opened_platform(database) as platform, platform.store.write(actor=OPERATOR) as tx:
        webhooks.pause(tx, webhook_id, reason=reason)
    return say_item({"webhook_id": webhook_id, "is_active": False}, {}, as_json=as_json)


def resume(database: str | None, webhook_id: int, *, reason: str, as_json: bool) -> int:
    """Go on sending."""
    with opened_platform(database) as platform, platform.store.write(actor=OPERATOR) as tx:
        webhooks.resume(tx, webhook_id, reason=reason)
    return say_item({"webhook_id": webhook_id, "is_active": True}, {}, as_json=as_json)


def rotate(database: str | None, webhook_id: int, *, reason: str, as_json: bool) -> int:
    """Begin a new secret and print it."""
    with opened_platform(database) as platform:
        with platform.store.write(actor=OPERATOR) as tx:
            version = webhooks.rotate(tx, webhook_id, reason=reason)
        return _say_secret(platform, webhook_id, version, as_json=as_json)


def send_ping(database: str | None, webhook_id: int, *, as_json: bool) -> int:
    """Queue a test event."""
    with opened_platform(database) as platform, platform.store.write(actor=OPERATOR) as tx:
        delivery_id = webhooks.send_ping(tx, webhook_id)
    return say_item({"webhook_id": webhook_id, "delivery_id": delivery_id}, {}, as_json=as_json)


def remove(database: str | None, webhook_id: int, *, reason: str, as_json: bool) -> int:
    """Delete a webhook."""
    with opened_platform(database) as platform, platform.store.write(actor=OPERATOR) as tx:
        discarded = webhooks.remove(tx, webhook_id, reason=reason)
    return say_item({"webhook_id": webhook_id, "discarded": discarded}, {}, as_json=as_json)


def replay(database: str | None, webhook_id: int, delivery_id: int, *, reason: str, as_json: bool) -> int:
    """Put a dead delivery back in line."""
    with opened_platform(database) as platform, platform.store.write(actor=OPERATOR) as tx:
        webhooks.replay(tx, webhook_id, delivery_id, reason=reason)
    answer = {"delivery_id": delivery_id, "state": str(DeliveryState.PENDING)}
    return say_item(answer, {}, as_json=as_json)


def discard(database: str | None, webhook_id: int, delivery_id: int, *, reason: str, as_json: bool) -> int:
    """Give a dead delivery up."""
    with opened_platform(database) as platform, platform.store.write(actor=OPERATOR) as tx:
        webhooks.discard(tx, webhook_id, delivery_id, reason=reason)
    answer = {"delivery_id": delivery_id, "state": str(DeliveryState.DISCARDED)}
    return say_item(answer, {}, as_json=as_json)


def _no_webhook(webhook_id: int) -> NotFoundError:
    return NotFoundError(f"there is no webhook {webhook_id}; `nacre webhook list` lists what there is")


def _destinations(platform: Platform) -> Destinations:
    return Destinations(EgressPolicy.of(platform.settings))


def _say_secret(platform: Platform, webhook_id: int, version: int, *, as_json: bool) -> int:
    key = webhook_key(platform.settings.var_directory)
    secret = secret_text(key, webhook_id, version)
    if as_json:
        return say_json({"webhook_id": webhook_id, "secret_version": version, "secret": secret})
    say_note(f"webhook {webhook_id}: this is its signing secret, shown only now:")
    return say_line(secret)
