"""Who hears what: a subscriber's name, the events it takes, and what it does with one or with many.

Stands in the bus (L2) under publishing and delivering. It never delivers anything; `services.loop` decides
who subscribes.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TypeVar

from services.domain.events import DeliveredEvent, EventType
from services.store.tx import Store, Tx

T = TypeVar("T")
Prepare = Callable[[Store, Sequence[DeliveredEvent], Executor | None], Sequence[object]]


@dataclass(frozen=True, slots=True)
class Subscriber:
    """Who hears which events and what it does.

    `prepare` runs outside any transaction (slow or remote work) on many events; what it answers for each is
    given to `handle`, which runs in the transaction that marks the delivery as done. `handle_many` does the
    same for many deliveries in one transaction, for the events of each lap together; when it fails, each is
    handled by itself.
    """

    name: str
    hears: tuple[EventType, ...]
    handle: Callable[[Tx, DeliveredEvent, object], None]
    prepare: Prepare | None = None
    handle_many: Callable[[Tx, Sequence[tuple[DeliveredEvent, object]]], None] | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """What a preparation raised, carried to where failures are recorded."""

    error: Exception


def routes_of(subscribers: Mapping[str, Subscriber]) -> dict[str, tuple[str, ...]]:
    """Return `event type → subscriber names`, which `publish` fans out by."""
    return {
        str(kind): tuple(name for name, subscriber in subscribers.items() if kind in subscriber.hears)
        for kind in EventType
    }


def each(executor: Executor | None, function: Callable[[T], object], items: Iterable[T]) -> list[object]:
    """Return what the function says of every item, or its Failure; slow calls overlap in the executor."""

    def attempt(item: T) -> object:
        try:
            return function(item)
        except Exception as error:  # noqa: BLE001 (named edge: recorded on the delivery)
            return Failure(error)

    return list(map(attempt, items) if executor is None else executor.map(attempt, items))
