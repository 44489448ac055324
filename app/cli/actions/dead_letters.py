"""`nacre dead-letter replay | discard`: the operator's acts on deliveries that failed for good.

Stands over `services.operations.dead_letters`; every call is one transaction in the operator's name.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from app.cli.actions.operating import OPERATOR, opened_platform
from app.cli.actions.screen import say_item
from services.domain.errors import InvalidValueError
from services.domain.states import DeliveryState
from services.operations import dead_letters
from services.operations.dead_letters import TRIED_AGAIN, Acted
from services.store.tx import Tx

Asked = Mapping[str, Any]


def replay(
    database: str | None, ids: Sequence[int] | None, asked: Asked, *, reason: str | None, as_json: bool
) -> int:
    """Put dead letters back in line."""
    with opened_platform(database) as platform, platform.store.write(actor=OPERATOR) as tx:
        chosen = _chosen(tx, ids, asked)
        if len(chosen) == 1 and ids:
            done = dead_letters.replay_one(tx, chosen[0], reason=reason or TRIED_AGAIN)
        else:
            done = dead_letters.replay(tx, chosen, reason=reason or TRIED_AGAIN)
    return _said(done, DeliveryState.PENDING, as_json=as_json)


def discard(
    database: str | None, ids: Sequence[int] | None, asked: Asked, *, reason: str, as_json: bool
) -> int:
    """Give dead letters up."""
    with opened_platform(database) as platform, platform.store.write(actor=OPERATOR) as tx:
        chosen = _chosen(tx, ids, asked)
        if len(chosen) == 1 and ids:
            done = dead_letters.discard_one(tx, chosen[0], reason=reason)
        else:
            done = dead_letters.discard(tx, chosen, reason=reason)
    return _said(done, DeliveryState.DISCARDED, as_json=as_json)


def _chosen(tx: Tx, ids: Sequence[int] | None, asked: Asked) -> list[int]:
    """Return the ids that were meant; raise InvalidValueError when none were named, or both ways."""
    is_by_kind = asked["subscriber"] is not None or asked["event_type"] is not None
    if bool(ids) == is_by_kind:
        msg = "say which dead letters: either by ID, or with --subscriber, --type or both"
        raise InvalidValueError(msg, field="ID")
    return list(ids) if ids else dead_letters.choose(tx, **asked)


def _said(done: Acted, state: DeliveryState, *, as_json: bool) -> int:
    answer = {
        "state": str(state),
        "delivery_ids": done.delivery_ids,
        "passed_over": done.passed_over,
        "ledger_index": done.ledger_index,
    }
    return say_item(answer, {}, as_json=as_json)
