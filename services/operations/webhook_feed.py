"""Feeding webhooks: reads the outbox forward once and queues each event for every webhook that wants it.

Stands over the outbox and under the sender. How far it came is one row (`feed_mark`), moved in the same
transaction as the deliveries are written, so that no event is lost or queued twice, however many processes
feed and whenever one dies. PostgreSQL gives ids out before it commits: skipped ids stay in the mark until
their event is there, or until no transaction that took them can be under way. Where nobody listens it does
not read events at all. It never sends anything.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from services.domain import cloud_events
from services.domain.clock import DAY_US, SECOND_US
from services.domain.states import DeliveryState
from services.domain.webhooks import BODY_BYTES_HIGHEST
from services.store import deployment, notices, pruning, sql, tables, webhooks
from services.store.sql import Row
from services.store.tx import Store, Tx

NAME = pruning.WEBHOOKS
ACTOR = "system:webhooks"
BATCH = 500
LATE_US = 180 * SECOND_US
"""How long a skipped id is asked for: longer than any transaction of the platform takes."""
SKIPPED_HIGHEST = 10_000
"""Skipped ids that the mark holds at most; beyond them the oldest are given up."""
LOOK_BACK = 10_000
"""How many ids behind the newest event are searched for skipped ones when the feed begins."""
QUEUE_HIGHEST = 10_000
"""Deliveries that wait for one webhook; beyond them it lags behind the mark and catches up later."""
KEPT_US = 14 * DAY_US
PRUNED_AT_ONCE = 1_000


@dataclass(slots=True)
class Mark:
    """How far the outbox was read: the newest id, and ids below it without an event (when seen)."""

    newest: int = 0
    skipped: dict[int, int] = field(default_factory=dict)

    @property
    def safe(self) -> int:
        """Return the id up to which every event was read."""
        return min(self.skipped, default=self.newest + 1) - 1

    def skip(self, ids: range, now_us: int) -> None:
        """Remember ids without an event, the newest if they are too many."""
        for number in ids[-SKIPPED_HIGHEST:]:
            self.skipped[number] = now_us
        for number in sorted(self.skipped)[: max(0, len(self.skipped) - SKIPPED_HIGHEST)]:
            del self.skipped[number]

    def stored(self) -> dict[str, object]:
        """Return the mark as JSON: skipped ids as [first, last, seen_at_us]."""
        ranges: list[list[int]] = []
        for number, at_us in sorted(self.skipped.items()):
            if ranges and ranges[-1][1] == number - 1 and ranges[-1][2] == at_us:
                ranges[-1][1] = number
            else:
                ranges.append([number, number, at_us])
        return {"newest": self.newest, "skipped": ranges}

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> "Mark":
        """Return the mark that was stored."""
        skipped = {number: at_us for low, high, at_us in stored["skipped"] for number in range(low, high + 1)}
        return cls(stored["newest"], skipped)


@dataclass(frozen=True, slots=True)
class Fed:
    """What one round did: events read, deliveries queued, and whether there is more to read at once."""

    events: int
    queued: int
    is_more: bool


NOTHING = Fed(0, 0, is_more=False)


def feed(store: Store) -> Fed:
    """Queue what has been published since the last round, at most a batch, in one transaction."""
    with store.read(actor=ACTOR) as tx:
        if not _has_news(tx):
            return NOTHING
    with store.write(actor=ACTOR) as tx:
        return feed_within(tx)


def _has_news(tx: Tx) -> bool:
    listening = webhooks.listening(tx)
    if not listening:
        return False
    mark = _stored_mark(tx, is_locking=False)
    is_behind = any(row["behind_id"] is not None for row in listening)
    return mark is None or is_behind or bool(mark.skipped) or webhooks.newest_event(tx) > mark.newest


def feed_within(tx: Tx) -> Fed:
    """Do the same in the caller's transaction."""
    mark = locked_mark(tx)
    before = mark.stored()
    listening = webhooks.listening(tx)
    if not listening:
        return NOTHING
    late, fresh = _read_on(tx, mark)
    source = deployment.origin(tx, "")
    queued = 0
    is_more = len(fresh) == BATCH
    for hook in listening:
        events, behind_id = _turn_of(tx, hook, mark, late, fresh)
        queued += _queue(tx, hook, events, source)
        if behind_id != hook["behind_id"]:
            sql.update(tx, tables.webhook, {"id": hook["id"]}, behind_id=behind_id)
            is_more = is_more or behind_id is not None
    if mark.stored() != before:
        _store(tx, mark)
    return Fed(len(late) + len(fresh), queued, is_more)


def _turn_of(
    tx: Tx, hook: Row, mark: Mark, late: Sequence[Row], fresh: Sequence[Row]
) -> tuple[list[Row], int | None]:
    """Return the events that one webhook gets now, and where it stands if that is behind the mark."""
    behind_id = hook["behind_id"]
    if webhooks.waiting_count(tx, hook["id"], QUEUE_HIGHEST) >= QUEUE_HIGHEST:
        before = min((row["id"] for row in (*late, *fresh)), default=mark.newest + 1) - 1
        return [], min(before, mark.safe if behind_id is None else behind_id)
    if behind_id is None:
        return [*late, *fresh], None
    missed = webhooks.events_between(tx, behind_id, mark.newest, BATCH)
    reached = missed[-1]["id"] if len(missed) == BATCH else None
    return [*late, *missed], reached


def locked_mark(tx: Tx) -> Mark:
    """Return the mark, held until the transaction ends, so that who feeds and who acts take turns.

    The first time it stands behind the newest event.
    """
    mark = _stored_mark(tx, is_locking=True)
    return begin(tx) if mark is None else mark


def begin(tx: Tx) -> Mark:
    """Put the mark behind the newest event, knowing which older ones may still come."""
    mark = Mark(webhooks.newest_event(tx))
    if tx.is_postgresql:
        for low, high in notices.event_gaps_after(tx, max(0, mark.newest - LOOK_BACK)):
            mark.skip(range(low, high + 1), tx.now_us)
    _store(tx, mark)
    return mark


def _stored_mark(tx: Tx, *, is_locking: bool) -> Mark | None:
    row = sql.find(tx, tables.feed_mark, lock=is_locking, name=NAME)
    return None if row is None else Mark.read(row["marks"])


def _store(tx: Tx, mark: Mark) -> None:
    values = {"marks": mark.stored(), "changed_at_us": tx.now_us}
    if not sql.update(tx, tables.feed_mark, {"name": NAME}, **values):
        sql.insert(tx, tables.feed_mark, name=NAME, **values)


def _read_on(tx: Tx, mark: Mark) -> tuple[list[Row], list[Row]]:
    """Move the mark on; return events that became visible late, and those behind it, at most a batch."""
    late = list(_late(tx, mark))
    fresh = webhooks.events_between(tx, mark.newest, webhooks.newest_event(tx), BATCH)
    if tx.is_postgresql:
        for before, after in pairwise([mark.newest, *(row["id"] for row in fresh)]):
            if after > before + 1:
                mark.skip(range(before + 1, after), tx.now_us)
    mark.newest = fresh[-1]["id"] if fresh else mark.newest
    return late, fresh


def _late(tx: Tx, mark: Mark) -> Iterator[Row]:
    asked = sorted(mark.skipped)
    for number in [number for number, at_us in mark.skipped.items() if at_us < tx.now_us - LATE_US]:
        del mark.skipped[number]
    for start in range(0, len(asked), BATCH):
        for row in webhooks.events_among(tx, asked[start : start + BATCH]):
            mark.skipped.pop(row["id"], None)
            yield row


def _queue(tx: Tx, hook: Row, events: Sequence[Row], source: str) -> int:
    """Write a delivery for each event that the webhook wants and has not got; return how many."""
    types = set(hook["types"])
    rows = [
        _delivery(tx, hook["id"], event, source)
        for event in events
        if event["published_at_us"] >= hook["created_at_us"]
        and (cloud_events.EVERY_TYPE in types or cloud_events.type_name(event["type"]) in types)
    ]
    return sum(sql.insert_many_unique(tx, tables.webhook_delivery, rows, ("webhook_id", "event_id")))


def _delivery(tx: Tx, webhook_id: int, event: Row, source: str) -> dict[str, object]:
    body = cloud_events.encoded(cloud_events.cloud_event(event, source))
    is_too_large = len(body.encode()) > BODY_BYTES_HIGHEST
    return {
        "webhook_id": webhook_id,
        "event_id": event["id"],
        "body": "" if is_too_large else body,
        "state": DeliveryState.DISCARDED if is_too_large else DeliveryState.PENDING,
        "attempts": 0,
        "next_attempt_at_us": tx.now_us,
        "created_at_us": tx.now_us,
        "last_error": f"the event is larger than {BODY_BYTES_HIGHEST} bytes" if is_too_large else None,
    }


def prune(store: Store) -> int:
    """Delete a part of the deliveries that ended more than 14 days ago; return how many."""
    with store.write(actor=ACTOR) as tx:
        return webhooks.prune(tx, tx.now_us - KEPT_US, PRUNED_AT_ONCE)
