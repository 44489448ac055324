"""What tests of webhooks share: a platform with events to publish and a queue to look at."""

from services.domain.events import Event, EventType
from services.domain.webhooks import Outcome
from services.event_bus import publish
from services.operations import webhook_feed, webhook_sending, webhooks
from services.store import tables

URL = "https://hooks.example.org/nacre"
LEASE_US = 60_000_000
OK, BROKEN = Outcome(200), Outcome(500)


class Bench:
    """Acts on webhooks of one market, each in a transaction of its own."""

    def __init__(self, market):
        self.market, self.store = market, market.platform.store

    def act(self, function, *arguments, **options):
        with self.store.write(actor="operator") as tx:
            return function(tx, *arguments, **options)

    def register(self, *types, url=URL):
        return self.act(webhooks.create, webhooks.NewWebhook(url, types or ["*"]))

    def publish(self, count=1, kind=EventType.TASK_ENDED):
        with self.store.write(actor="test") as tx:
            return [publish(tx, Event(kind, f"task:{n}", {"task_id": n})) for n in range(count)]

    def feed(self):
        """Feed until there is nothing more; return what was queued."""
        queued = 0
        while True:
            fed = webhook_feed.feed(self.store)
            queued += fed.queued
            if not fed.is_more:
                return queued

    def claim(self, limit=100, each=100, under_way=None, lease_us=LEASE_US):
        return webhook_sending.claim(
            self.store, limit=limit, each=each, under_way=under_way or {}, lease_us=lease_us
        )

    def send(self, outcome=OK):
        """Make every try that is due, all with this outcome; return how many there were."""
        claims = self.claim()
        for one in claims:
            webhook_sending.conclude(self.store, one, outcome)
        return len(claims)

    def deliveries(self, webhook_id, **where):
        return self.market.rows(tables.webhook_delivery, webhook_id=webhook_id, **where)

    def events_of(self, webhook_id):
        return [row["event_id"] for row in self.deliveries(webhook_id)]

    def hook(self, webhook_id):
        return self.market.row(tables.webhook, id=webhook_id)

    def mark(self):
        return self.market.row(tables.feed_mark, name=webhook_feed.NAME)["marks"]
