"""`nacre dead-letter list | replay | discard`: the operator's acts on deliveries that failed for good.

Stands over `services.operations.dead_letters`; every call is one transaction in the operator's name.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from app.cli.actions.opening import reading
from app.cli.actions.operating import OPERATOR, opened_platform
from app.cli.actions.reading import KINDS
from app.cli.actions.screen import say_item, say_line, say_page
from app.known_names import check_name, event_type_of, subscribers_of
from services.domain.errors import InvalidValueError
from services.domain.events import EventType
from services.domain.states import DeliveryState
from services.operations import dead_letters
from services.operations.dead_letters import TRIED_AGAIN, Acted
from services.store import views
from services.store.tx import Tx

Asked = Mapping[str, Any]


def show_page(database: str | None, asked: Asked, *, as_json: bool) -> int:
    """Print a page of dead letters; raise InvalidValueError for a name that nothing has."""
    asked = {**asked, "event_type": _kind_of(asked)}
    with reading(database) as tx:
        page = views.list_dead_letters(tx, **asked)
    if asked["subscriber"] is not None and not page["items"]:
        with opened_platform(database) as platform:
            _check_subscriber(asked["subscriber"], platform.store.routes)
    return say_page(page, KINDS["dead letter"].columns, as_json=as_json)


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
    return _said(done, DeliveryState.PENDING, "replay", as_json=as_json)


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
    return _said(done, DeliveryState.DISCARDED, "discard", as_json=as_json)


def _chosen(tx: Tx, ids: Sequence[int] | None, asked: Asked) -> list[int]:
    """Return the ids that were meant; raise InvalidValueError when none were named, or both ways."""
    is_by_kind = asked["subscriber"] is not None or asked["event_type"] is not None
    if bool(ids) == is_by_kind:
        msg = "say which dead letters: either by ID, or with --subscriber, --type or both"
        raise InvalidValueError(msg, field="ID")
    if ids:
        return list(ids)
    chosen = dead_letters.choose(tx, **{**asked, "event_type": _kind_of(asked)})
    if asked["subscriber"] is not None and not chosen:
        _check_subscriber(asked["subscriber"], tx.routes)
    return chosen


def _kind_of(asked: Asked) -> EventType | None:
    return None if asked["event_type"] is None else event_type_of(asked["event_type"], "--type")


def _check_subscriber(name: str, routes: Mapping[str, Sequence[str]]) -> None:
    check_name(name, subscribers_of(routes), "subscriber", "--subscriber")


def _said(done: Acted, state: DeliveryState, act: str, *, as_json: bool) -> int:
    """Say what was moved and what was passed over; nothing has a state when nothing was moved."""
    if not done.delivery_ids and not as_json:
        passed = ", ".join(map(str, done.passed_over))
        return say_line(f"nothing to {act}" + (f": not dead are {passed}" if passed else ""))
    answer = {
        "state": str(state) if done.delivery_ids else None,
        "delivery_ids": done.delivery_ids,
        "passed_over": done.passed_over,
        "ledger_index": done.ledger_index,
    }
    return say_item(answer, {}, as_json=as_json)
