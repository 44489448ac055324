"""Who sends what when: claims of due deliveries, and what came of each try.

Stands between the queue and the sender. A claim is a lease (`next_attempt_at_us`, set only if it is what was
read), so that two processes never make the same try at once; a process that dies leaves a lease that passes,
and another tries again: at least once. A receiver that fails rests as a whole, and after so many rounds in a
row it is paused for a person to look at. It never opens a connection.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from services.domain.states import DeliveryState
from services.domain.webhooks import (
    ATTEMPTS_HIGHEST,
    FAILURES_HIGHEST,
    Outcome,
    message_id,
    quiet_us,
    retry_delay_us,
    secret_versions,
)
from services.operations import review_queue, webhook_feed
from services.store import sql, tables, webhooks
from services.store.sql import Row
from services.store.tx import Store, Tx

PAUSED = "webhook_paused"
"""The kind of review item that a paused webhook opens."""
DEAD = "webhook_delivery_dead"
ERROR_LETTERS = 300
REASON_LETTERS = 200


@dataclass(frozen=True, slots=True)
class Claim:
    """One try that this process alone may make until `until_us`: what, where, signed by which secrets."""

    delivery_id: int
    webhook_id: int
    message_id: str
    url: str
    body: str
    attempt: int
    secret_versions: tuple[int, ...]
    until_us: int
    claimed_at_us: int


def claim(store: Store, *, limit: int, each: int, under_way: Mapping[int, int], lease_us: int) -> list[Claim]:
    """Claim up to `limit` due deliveries, at most `each` per webhook with those that are under way."""
    with store.read(actor=webhook_feed.ACTOR) as tx:
        if not webhooks.ready(tx):
            return []
    with store.write(actor=webhook_feed.ACTOR) as tx:
        found: list[Claim] = []
        for hook in webhooks.ready(tx):
            room = min(limit - len(found), each - under_way.get(hook["id"], 0))
            if room > 0:
                rows = webhooks.due(tx, hook["id"], room)
                found += [one for row in rows if (one := _claimed(tx, hook, row, lease_us)) is not None]
        return found


def _claimed(tx: Tx, hook: Row, row: Row, lease_us: int) -> Claim | None:
    """Take the lease of one try and count it, unless another process was first."""
    until_us = tx.now_us + lease_us
    where = {
        "id": row["id"],
        "state": DeliveryState.PENDING,
        "attempts": row["attempts"],
        "next_attempt_at_us": row["next_attempt_at_us"],
    }
    attempt = row["attempts"] + 1
    if not sql.update(tx, tables.webhook_delivery, where, attempts=attempt, next_attempt_at_us=until_us):
        return None
    return Claim(
        row["id"],
        hook["id"],
        message_id(hook["id"], row["event_id"]),
        hook["url"],
        row["body"],
        attempt,
        secret_versions(hook["secret_version"], hook["rotated_at_us"], tx.now_us),
        until_us,
        tx.now_us,
    )


def conclude(store: Store, done: Claim, outcome: Outcome) -> DeliveryState | None:
    """Record what came of a try; return the delivery's state, None where somebody else has moved it on."""
    with store.write(actor=webhook_feed.ACTOR) as tx:
        if not outcome.is_delivered:
            webhook_feed.locked_mark(tx)
        state = _state_after(done, outcome)
        pause_us = 0 if outcome.is_delivered else retry_delay_us(done.attempt, outcome.retry_after_us)
        where = {"id": done.delivery_id, "state": DeliveryState.PENDING, "attempts": done.attempt}
        moved = sql.update(
            tx,
            tables.webhook_delivery,
            {**where, "next_attempt_at_us": done.until_us},
            state=state,
            next_attempt_at_us=tx.now_us + pause_us,
            delivered_at_us=tx.now_us if outcome.is_delivered else None,
            last_status=outcome.status,
            last_error=_plain(outcome.said),
        )
        if not moved:
            return None
        hook = sql.find(tx, tables.webhook, lock=True, id=done.webhook_id)
        if hook is not None:
            _judge(tx, hook, done, outcome)
        if state is DeliveryState.DEAD:
            context = {"webhook_id": done.webhook_id, "delivery_id": done.delivery_id, "error": outcome.said}
            subject = f"delivery {done.delivery_id} to webhook {done.webhook_id} failed {done.attempt} times"
            review_queue.open_item(tx, kind=DEAD, subject=subject, context=context)
        return state


def _plain(said: str | None) -> str | None:
    """Return what a try failed of as one short line that a database takes: it may quote a receiver."""
    if said is None:
        return None
    return "".join(one if one.isprintable() else "?" for one in said[:ERROR_LETTERS])


def _state_after(done: Claim, outcome: Outcome) -> DeliveryState:
    if outcome.is_delivered:
        return DeliveryState.DELIVERED
    is_last = done.attempt >= ATTEMPTS_HIGHEST and not outcome.is_gone
    return DeliveryState.DEAD if is_last else DeliveryState.PENDING


def _judge(tx: Tx, hook: Row, done: Claim, outcome: Outcome) -> None:
    """Let a webhook rest after a failed round, pause it after too many in a row or where it wants no more.

    Tries that began before the rest did belong to the round that began it and count no more.
    """
    if outcome.is_delivered:
        if hook["failures"]:
            sql.update(tx, tables.webhook, {"id": hook["id"]}, failures=0, quiet_until_us=None)
        return
    if not hook["is_active"]:
        return
    if outcome.is_gone:
        pause(tx, hook, "the receiver answered 410 Gone")
        return
    if hook["quiet_until_us"] is not None and done.claimed_at_us < hook["quiet_until_us"]:
        return
    failures = hook["failures"] + 1
    quiet_until_us = tx.now_us + quiet_us(failures, outcome.retry_after_us)
    sql.update(tx, tables.webhook, {"id": hook["id"]}, failures=failures, quiet_until_us=quiet_until_us)
    if failures >= FAILURES_HIGHEST:
        pause(tx, hook, f"{failures} rounds of tries failed in a row, the last: {_plain(outcome.said)}")


def pause(tx: Tx, hook: Row, reason: str) -> None:
    """Stop feeding and sending to a webhook, remembering where it stands, and ask a person to look.

    The caller holds the mark.
    """
    stop(tx, hook, reason)
    context = {"webhook_id": hook["id"], "reason": reason[:REASON_LETTERS]}
    review_queue.open_item(
        tx, kind=PAUSED, subject=f"webhook {hook['id']} is paused: {reason}", context=context
    )


def stop(tx: Tx, hook: Row, reason: str) -> None:
    """Make a webhook inactive; what is published from now on waits in the outbox until it goes on."""
    safe = webhook_feed.locked_mark(tx).safe
    behind_id = safe if hook["behind_id"] is None else min(safe, hook["behind_id"])
    where = {"id": hook["id"], "is_active": True}
    values = {"pause_reason": reason[:REASON_LETTERS], "behind_id": behind_id}
    sql.update(tx, tables.webhook, where, is_active=False, **values)
