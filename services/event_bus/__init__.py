"""Layer 2, the event bus: durable events, delivered at least once, handled once per subscriber.

`publish` writes the event and one delivery per subscriber in the caller's own transaction. The dispatcher
hands each delivery to its handler in a transaction that also marks it delivered, so that a handled event
cannot be handled again; a failing handler rolls back only itself, is retried with back-off, and ends as a
dead letter that an operator can see, replay and discard. It never decides who hears what: `services.loop`
does.

Order: one subscriber gets the events of one aggregate in the order of their ids, as far as they are committed
when it is served. One that failed and waits for its retry holds back the later ones of the same subscriber
and aggregate, and no others; a dead or discarded one holds back nothing, and one that is replayed comes late.
PostgreSQL's transactions may commit in another order than they took their ids: an event whose transaction
commits after a later one's was delivered comes after it.
"""

from services.event_bus.backlog import BusLag, lag
from services.event_bus.dead_letters import discard_dead, replay_dead
from services.event_bus.delivering import BATCH, PREPARED_BATCH, deliver_due, drain
from services.event_bus.dispatcher import Dispatcher
from services.event_bus.outbox import publish, publish_all
from services.event_bus.retries import MAXIMUM_ATTEMPTS, failure_text, retry_delay_us
from services.event_bus.subscribers import Failure, Subscriber, each, routes_of

__all__ = [
    "BATCH",
    "MAXIMUM_ATTEMPTS",
    "PREPARED_BATCH",
    "BusLag",
    "Dispatcher",
    "Failure",
    "Subscriber",
    "deliver_due",
    "discard_dead",
    "drain",
    "each",
    "failure_text",
    "lag",
    "publish",
    "publish_all",
    "replay_dead",
    "retry_delay_us",
    "routes_of",
]
