"""Webhooks as the operator keeps them: who gets which events, since when, and what became of them.

Stands over the feed and the queue. Every act is a person's and goes into the ledger, without the path of an
address, which often is a secret itself. Signing secrets are derived and never stored. It never sends
anything, and never judges where an address leads: whoever calls has had that checked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from services.domain import cloud_events
from services.domain.errors import ConflictError, InvalidValueError, NotFoundError
from services.domain.ledger_schema import EntryType
from services.domain.states import DeliveryState
from services.operations import audit_log, webhook_feed, webhook_sending
from services.store import deployment, sql, tables, webhooks
from services.store.sql import Row
from services.store.tx import Tx

WEBHOOKS_HIGHEST = 100
URL_LETTERS_HIGHEST = 2_000
DESCRIPTION_LETTERS_HIGHEST = 200
REASON_LETTERS = 500


@dataclass(frozen=True, slots=True)
class NewWebhook:
    """A webhook to register: a checked address, public event types (or `*`), and what it is for."""

    url: str
    types: Sequence[str]
    description: str = ""


def check_types(types: Sequence[str]) -> None:
    """Raise InvalidValueError for types that no webhook can ask for, before anything else is looked at."""
    _checked_types(types)


def create(tx: Tx, new: NewWebhook) -> int:
    """Register a webhook and return its id; it gets what is published from now on.

    Raises InvalidValueError for types or a text that do not fit, ConflictError beyond 100 webhooks.
    """
    types = _checked_types(new.types)
    _check_texts(new.url, new.description)
    tx = audit_log.take_turn(tx)
    webhook_feed.locked_mark(tx)
    if webhooks.live_count(tx) >= WEBHOOKS_HIGHEST:
        msg = f"there are {WEBHOOKS_HIGHEST} webhooks, the most there may be; delete one first"
        raise ConflictError(msg, field="body.url", code="too_many_webhooks")
    if not webhooks.listening(tx):
        webhook_feed.begin(tx)
    webhook_id = sql.insert(
        tx,
        tables.webhook,
        url=new.url,
        types=types,
        description=new.description,
        secret_version=1,
        is_active=True,
        created_by=tx.actor,
        created_at_us=tx.now_us,
    )
    about = {"host": _host(new.url), "types": types}
    _record(tx, "create_webhook", webhook_id, new.description or "a receiver of events", about)
    return webhook_id


def change(
    tx: Tx,
    webhook_id: int,
    *,
    url: str | None = None,
    types: Sequence[str] | None = None,
    description: str | None = None,
) -> None:
    """Change what is named; deliveries that wait go to the new address.

    Raises NotFoundError, and InvalidValueError for what does not fit or when nothing is named.
    """
    named = {
        "url": url,
        "types": None if types is None else _checked_types(types),
        "description": description,
    }
    values = {name: value for name, value in named.items() if value is not None}
    if not values:
        msg = "name what changes: url, types or description"
        raise InvalidValueError(msg, field="body", code="nothing_to_change")
    _check_texts(url or "", description or "")
    tx, hook = _turn(tx, webhook_id)
    sql.update(tx, tables.webhook, {"id": webhook_id}, **values)
    about = {"changed": sorted(values), "host": _host(url or hook["url"])}
    _record(tx, "change_webhook", webhook_id, f"changed {', '.join(sorted(values))}", about)


def pause(tx: Tx, webhook_id: int, *, reason: str) -> None:
    """Stop sending; what is published meanwhile waits in the outbox. ConflictError when it is paused."""
    _check_reason(reason)
    tx, hook = _turn(tx, webhook_id)
    if not hook["is_active"]:
        msg = f"webhook {webhook_id} is paused already: {hook['pause_reason']}"
        raise ConflictError(msg, field="webhook_id", code="already_paused")
    webhook_sending.stop(tx, hook, reason)
    _record(tx, "pause_webhook", webhook_id, reason)


def resume(tx: Tx, webhook_id: int, *, reason: str) -> None:
    """Go on where it was paused: what was published since is queued too. ConflictError when it is active."""
    _check_reason(reason)
    tx, hook = _turn(tx, webhook_id)
    if hook["is_active"]:
        msg = f"webhook {webhook_id} is active already"
        raise ConflictError(msg, field="webhook_id", code="already_active")
    changes = {"is_active": True, "pause_reason": None, "failures": 0, "quiet_until_us": None}
    sql.update(tx, tables.webhook, {"id": webhook_id}, **changes)
    _record(tx, "resume_webhook", webhook_id, reason)


def rotate(tx: Tx, webhook_id: int, *, reason: str) -> int:
    """Begin the next secret and return its version; for a day messages are signed with the old one too."""
    _check_reason(reason)
    tx, hook = _turn(tx, webhook_id)
    version = int(hook["secret_version"]) + 1
    sql.update(tx, tables.webhook, {"id": webhook_id}, secret_version=version, rotated_at_us=tx.now_us)
    _record(tx, "rotate_webhook", webhook_id, reason, {"secret_version": version})
    return version


def remove(tx: Tx, webhook_id: int, *, reason: str) -> int:
    """Delete a webhook and discard what waits for it; return how many deliveries that were."""
    _check_reason(reason)
    tx, _ = _turn(tx, webhook_id)
    gone = {"is_active": False, "pause_reason": "deleted", "deleted_at_us": tx.now_us}
    sql.update(tx, tables.webhook, {"id": webhook_id}, **gone)
    unsent = {"webhook_id": webhook_id, "state": [DeliveryState.PENDING, DeliveryState.DEAD]}
    discarded = sql.update(tx, tables.webhook_delivery, unsent, state=DeliveryState.DISCARDED)
    _record(tx, "delete_webhook", webhook_id, reason, {"discarded": discarded})
    return discarded


def send_ping(tx: Tx, webhook_id: int) -> int:
    """Queue the event `nacre.ping` for one webhook, whatever it asked for; return the delivery's id."""
    tx, hook = _turn(tx, webhook_id)
    if not hook["is_active"]:
        msg = f"webhook {webhook_id} is paused: {hook['pause_reason']}; resume it first"
        raise ConflictError(msg, field="webhook_id", code="webhook_paused")
    number = 1 - webhooks.lowest_event(tx, webhook_id)
    source = deployment.origin(tx, "")
    event = cloud_events.ping_event(webhook_id, number, source=source, actor=tx.actor, at_us=tx.now_us)
    delivery_id = sql.insert(
        tx,
        tables.webhook_delivery,
        webhook_id=webhook_id,
        event_id=-number,
        body=cloud_events.encoded(event),
        state=DeliveryState.PENDING,
        attempts=0,
        next_attempt_at_us=tx.now_us,
        created_at_us=tx.now_us,
    )
    _record(tx, "test_webhook", webhook_id, "a test event", {"delivery_id": delivery_id})
    return delivery_id


def replay(tx: Tx, webhook_id: int, delivery_id: int, *, reason: str) -> None:
    """Put a dead delivery back in line, under the id that its receiver knows; ConflictError if not dead."""
    values = {"attempts": 0, "next_attempt_at_us": tx.now_us}
    _move_dead(
        tx, "replay_webhook_delivery", (webhook_id, delivery_id), DeliveryState.PENDING, reason, values
    )


def discard(tx: Tx, webhook_id: int, delivery_id: int, *, reason: str) -> None:
    """Give a dead delivery up; raise ConflictError when it is not dead."""
    _move_dead(tx, "discard_webhook_delivery", (webhook_id, delivery_id), DeliveryState.DISCARDED, reason, {})


def _move_dead(
    tx: Tx, act: str, place: tuple[int, int], state: DeliveryState, reason: str, values: Mapping[str, object]
) -> None:
    _check_reason(reason)
    webhook_id, delivery_id = place
    tx, _ = _turn(tx, webhook_id)
    where = {"id": delivery_id, "webhook_id": webhook_id}
    row = sql.find(tx, tables.webhook_delivery, id=delivery_id, webhook_id=webhook_id)
    if row is None:
        msg = f"webhook {webhook_id} has no delivery {delivery_id}"
        raise NotFoundError(msg, field="delivery_id")
    if not sql.update(
        tx, tables.webhook_delivery, {**where, "state": DeliveryState.DEAD}, state=state, **values
    ):
        msg = f"delivery {delivery_id} is {row['state']}, not dead"
        raise ConflictError(msg, field="delivery_id", code="not_dead")
    _record(tx, act, webhook_id, reason, {"delivery_id": delivery_id})


def _turn(tx: Tx, webhook_id: int) -> tuple[Tx, Row]:
    """Take the turn of the ledger and of the feed, and return the webhook; NotFoundError for none."""
    tx = audit_log.take_turn(tx)
    webhook_feed.locked_mark(tx)
    hook = sql.find(tx, tables.webhook, lock=True, id=webhook_id, deleted_at_us=None)
    if hook is None:
        msg = f"there is no webhook {webhook_id}"
        raise NotFoundError(msg, field="webhook_id")
    return tx, hook


def _record(
    tx: Tx, act: str, webhook_id: int, reason: str, about: Mapping[str, object] | None = None
) -> None:
    entry = {"act": act, "reason": reason[:REASON_LETTERS], "webhook_id": webhook_id, **(about or {})}
    audit_log.append(tx, EntryType.OVERRIDE, entry)


def _host(url: str) -> str:
    """Return the host of an address, which is all that the ledger keeps of it."""
    return urlsplit(url).hostname or ""


def _checked_types(types: Sequence[str]) -> list[str]:
    """Return the types without repetition; raise InvalidValueError naming the first that is none."""
    if not types:
        msg = "name at least one event type, or '*' for every one"
        raise InvalidValueError(msg, field="body.types", code="types_missing")
    for name, nearest in cloud_events.unknown_types(types).items():
        msg = f"there is no event type {name[:80]!r} to subscribe to; {cloud_events.type_hint(name)}"
        raise InvalidValueError(msg, field="body.types", code="event_type_unknown", nearest=nearest or None)
    return sorted(set(types))


def _check_texts(url: str, description: str) -> None:
    if len(url) > URL_LETTERS_HIGHEST:
        msg = f"a url has at most {URL_LETTERS_HIGHEST} letters, not {len(url)}"
        raise InvalidValueError(msg, field="body.url", code="url_too_long")
    if len(description) > DESCRIPTION_LETTERS_HIGHEST or not description.isprintable():
        msg = f"a description is one line of at most {DESCRIPTION_LETTERS_HIGHEST} printable characters"
        raise InvalidValueError(msg, field="body.description")


def _check_reason(reason: str) -> None:
    if not reason.strip():
        msg = "this act needs a reason"
        raise InvalidValueError(msg, field="body.reason", code="reason_missing")
