"""Names that a question may be asked with: jobs, subscribers, event types, series; others are refused.

Stands at the edges (API and command line), beside the read models, which answer a name that nobody has with
an empty page: that reads like "nothing happened". It never changes anything.
"""

import difflib
from collections.abc import Iterable, Mapping
from typing import Final

from services.domain import cloud_events
from services.domain.errors import InvalidValueError, NotFoundError
from services.domain.events import EventType
from services.store.tx import Tx
from services.store.views import series as views

SHOWN: Final = 80
LISTED: Final = 30
EVERYTHING: Final = "all"


def check_name(name: str, known: Iterable[str], what: str, field: str) -> None:
    """Raise InvalidValueError for a name that is none of `known`, with the nearest and with what there is."""
    names = sorted(set(known))
    if name in names:
        return
    near = difflib.get_close_matches(name[:SHOWN], names, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]!r}? " if near else ""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    there = f"there are {', '.join(names[:LISTED])}{more}" if names else "there is none yet"
    msg = f"there is no {what} {name[:SHOWN]!r}; {hint}{there}"
    raise InvalidValueError(msg, field=field, code=f"{what.replace(' ', '_')}_unknown")


def subscribers_of(routes: Mapping[str, Iterable[str]]) -> set[str]:
    """Return the names of everybody who hears events, from the routes of a store."""
    return {name for names in routes.values() for name in names}


def event_type_of(name: str, field: str) -> EventType:
    """Return the event type of a name, as kept (`TaskEnded`) or public (`nacre.task.ended`)."""
    if name in set(EventType):
        return EventType(name)
    if name not in cloud_events.TYPE_NAMES:
        msg = f"there is no event type {name[:SHOWN]!r}; {cloud_events.type_hint(name)}"
        raise InvalidValueError(msg, field=field, code="event_type_unknown")
    return cloud_events.TYPE_NAMES[name]


def check_series(tx: Tx, asked: views.SeriesAsked, *, where: str) -> None:
    """Raise NotFoundError for the key of a series that never had a window; `where` says who lists keys.

    The platform's own series is there from the beginning, also before its first window.
    """
    if asked.dimension == "platform" and asked.key == EVERYTHING:
        return
    known = [
        item["key"] for item in views.list_keys(tx, metric=asked.metric, dimension=asked.dimension)["items"]
    ]
    if asked.key in known:
        return
    there = f"some are {', '.join(known[:LISTED])}" if known else "it has none yet"
    msg = (
        f"{asked.metric} by {asked.dimension} never had a window for the key {asked.key[:SHOWN]!r}; "
        f"{there}; {where}"
    )
    raise NotFoundError(msg, field="key")
