"""Acts on dead letters: deliver them again, or give them up with a reason; each is in the ledger.

Stands over the bus (L2), under the API and the command line. A batch is one act and one entry that names its
deliveries; an act that finds nothing to do writes nothing, so that it may be sent again. It never changes an
event, and never delivers by itself: what is put back in line is delivered by whoever delivers.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from services import event_bus
from services.domain.errors import ConflictError, InvalidValueError, NotFoundError
from services.domain.ledger_schema import EntryType
from services.domain.states import DeliveryState
from services.operations import audit_log
from services.store import deliveries, sql, tables
from services.store.sql import Row
from services.store.tx import Tx

AT_ONCE_HIGHEST = 500
REASON_KEPT = 500
TRIED_AGAIN = "tried again"
"""The reason of a replay for which none was given."""
REPLAY = "replay_dead_letters"
DISCARD = "discard_dead_letters"


class Acted(NamedTuple):
    """What an act did: the deliveries that it moved, those that were not dead, and its ledger entry."""

    delivery_ids: list[int]
    passed_over: list[int]
    ledger_index: int | None


def choose(
    tx: Tx, *, subscriber: str | None = None, event_type: str | None = None, limit: int = AT_ONCE_HIGHEST
) -> list[int]:
    """Return the ids of the oldest dead letters of a subscriber, of an event type, of both, or of all."""
    if not 1 <= limit <= AT_ONCE_HIGHEST:
        msg = f"limit must lie in 1..{AT_ONCE_HIGHEST}, not {limit}"
        raise InvalidValueError(msg, field="body.limit")
    return deliveries.dead_ids(tx, subscriber, event_type, limit)


def replay(tx: Tx, delivery_ids: Collection[int], *, reason: str = TRIED_AGAIN) -> Acted:
    """Put dead letters back in line with all their attempts; those that are not dead are passed over."""
    asked = _checked(delivery_ids, reason or TRIED_AGAIN)
    return _acted(tx, REPLAY, asked, event_bus.replay_dead(tx, asked), reason or TRIED_AGAIN)


def discard(tx: Tx, delivery_ids: Collection[int], *, reason: str) -> Acted:
    """Give dead letters up for good, with a reason; those that are not dead are passed over."""
    asked = _checked(delivery_ids, reason)
    return _acted(tx, DISCARD, asked, event_bus.discard_dead(tx, asked), reason)


def replay_one(tx: Tx, delivery_id: int, *, reason: str = TRIED_AGAIN) -> Acted:
    """Put one back in line; NotFoundError or ConflictError when it is no dead letter."""
    return _only(tx, delivery_id, replay(tx, [delivery_id], reason=reason))


def discard_one(tx: Tx, delivery_id: int, *, reason: str) -> Acted:
    """Give one up; NotFoundError or ConflictError when it is no dead letter."""
    return _only(tx, delivery_id, discard(tx, [delivery_id], reason=reason))


def _checked(delivery_ids: Collection[int], reason: str) -> list[int]:
    if not reason.strip():
        msg = "a dead letter is given up with a reason"
        raise InvalidValueError(msg, field="body.reason", code="reason_missing")
    asked = sorted(set(delivery_ids))
    if len(asked) > AT_ONCE_HIGHEST:
        msg = f"up to {AT_ONCE_HIGHEST} dead letters are moved at once, not {len(asked)}"
        raise InvalidValueError(msg, field="body.delivery_ids")
    return asked


def _acted(tx: Tx, act: str, asked: Sequence[int], moved: Sequence[Row], reason: str) -> Acted:
    """Write the entry of an act that moved something; return what it did."""
    ids = [row["id"] for row in moved]
    index = None
    if ids:
        facts = {
            "act": act,
            "reason": reason[:REASON_KEPT],
            "deliveries": ids,
            "subscribers": sorted({row["subscriber"] for row in moved}),
        }
        index = audit_log.append(tx, EntryType.OVERRIDE, facts)
    known = set(ids)
    return Acted(ids, [number for number in asked if number not in known], index)


def _only(tx: Tx, delivery_id: int, acted: Acted) -> Acted:
    if acted.delivery_ids:
        return acted
    found = sql.find(tx, tables.delivery, id=delivery_id)
    if found is None:
        msg = f"there is no delivery {delivery_id}"
        raise NotFoundError(msg, field="delivery_id")
    state = DeliveryState(found["state"])
    msg = f"delivery {delivery_id} is {state}, not a dead letter"
    raise ConflictError(msg, field="delivery_id", state=str(state))
