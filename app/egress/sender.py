"""The sender of webhooks: feeds the queue from the outbox, claims what is due, posts it, records the outcome.

Stands over the record of webhooks, in a thread of its own beside the bus. Every webhook has its own few
places for requests under way, so that a slow or dead receiver holds up nobody else; the order of events is
not promised. A try that this process does not live to record is made again when its lease has passed. It
never decides whom an event is for.
"""

import asyncio
import logging
import ssl
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import httpx2

from app.egress.destinations import Destination, Destinations
from app.egress.posting import Limits, new_client, post
from services.domain.clock import SECOND_US, seconds
from services.domain.cloud_events import EVENT_MEDIA_TYPE
from services.domain.errors import InvalidValueError
from services.domain.webhooks import Outcome, secret_text, signatures
from services.operations import webhook_feed, webhook_sending
from services.operations.webhook_sending import Claim
from services.operations.webhooks import WEBHOOKS_HIGHEST
from services.store.tx import Store

log = logging.getLogger(__name__)

AT_ONCE_EACH = 4
AT_ONCE = AT_ONCE_EACH * WEBHOOKS_HIGHEST
"""Requests under way: every webhook that there may be has its places."""
POLL_SECONDS = 0.5
AFTER_ERROR_SECONDS = 2.0
LEASE_SECONDS = 60.0
PRUNE_EVERY_SECONDS = 3_600.0
STOP_SECONDS = 12.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How a sender works: requests at once, to one webhook, time between looks, how long a try is its."""

    at_once: int = AT_ONCE
    each: int = AT_ONCE_EACH
    poll_seconds: float = POLL_SECONDS
    lease_seconds: float = LEASE_SECONDS
    limits: Limits = field(default_factory=Limits)


class WebhookSender:
    """Works the queue of a store off until it is stopped; several, also in other processes, may at once."""

    def __init__(
        self,
        store: Store,
        platform_key: bytes,
        destinations: Destinations,
        *,
        pace: Pace | None = None,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._store = store
        self._key = platform_key
        self._destinations = destinations
        self._pace = pace or Pace()
        self._trust = trust
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._under_way: dict[asyncio.Task[None], int] = {}
        self._prune_at_us = 0

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="webhooks", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Claim nothing more and end after what is under way."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=STOP_SECONDS)

    async def _run(self) -> None:
        pace = self._pace
        names = ThreadPoolExecutor(pace.at_once, thread_name_prefix="webhook-names")
        records = ThreadPoolExecutor(4, thread_name_prefix="webhook-records")
        async with new_client(pace.limits, self._trust) as client:
            while not self._stopping.is_set():
                pause_seconds = await self._round(client, names, records)
                await self._wait(pause_seconds)
            if self._under_way:
                await asyncio.wait(self._under_way, timeout=pace.limits.total_seconds)
            for task in self._under_way:
                task.cancel()
        names.shutdown(wait=False, cancel_futures=True)
        records.shutdown(wait=True)

    async def _round(
        self, client: httpx2.AsyncClient, names: ThreadPoolExecutor, records: ThreadPoolExecutor
    ) -> float:
        """Feed, claim and begin what was claimed; return how long to wait before the next look."""
        loop = asyncio.get_running_loop()
        try:
            is_more = await loop.run_in_executor(records, self._feed)
            under_way = Counter(self._under_way.values())
            claims = await loop.run_in_executor(records, partial(self._claim, under_way))
        except Exception:  # named edge: the queue of webhooks (the database itself refused)
            log.exception("webhooks could not be fed")
            return AFTER_ERROR_SECONDS
        for one in claims:
            task = loop.create_task(self._deliver(client, names, records, one))
            self._under_way[task] = one.webhook_id
            task.add_done_callback(self._under_way.pop)
        return (
            0.0
            if is_more or (claims and len(self._under_way) < self._pace.at_once)
            else self._pace.poll_seconds
        )

    async def _wait(self, pause_seconds: float) -> None:
        """Wait until a request has ended or the time is up."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=pause_seconds, return_when=asyncio.FIRST_COMPLETED)
        elif pause_seconds:
            await asyncio.sleep(pause_seconds)

    def _feed(self) -> bool:
        if self._store.clock.now_us() >= self._prune_at_us:
            self._prune_at_us = self._store.clock.now_us() + seconds(PRUNE_EVERY_SECONDS)
            webhook_feed.prune(self._store)
        return webhook_feed.feed(self._store).is_more

    def _claim(self, under_way: Counter[int]) -> Sequence[Claim]:
        room = self._pace.at_once - under_way.total()
        if room <= 0 or self._stopping.is_set():
            return ()
        lease_us = seconds(self._pace.lease_seconds)
        return webhook_sending.claim(
            self._store, limit=room, each=self._pace.each, under_way=under_way, lease_us=lease_us
        )

    async def _deliver(
        self, client: httpx2.AsyncClient, names: ThreadPoolExecutor, records: ThreadPoolExecutor, one: Claim
    ) -> None:
        """Make one try and record what came of it."""
        try:
            outcome = await self._try(client, names, one)
            record = partial(webhook_sending.conclude, self._store, one, outcome)
            await asyncio.get_running_loop().run_in_executor(records, record)
        except Exception:  # named edge: one delivery (its lease passes and it is tried again)
            log.exception("webhook delivery %s could not be recorded", one.delivery_id)

    async def _try(self, client: httpx2.AsyncClient, names: ThreadPoolExecutor, one: Claim) -> Outcome:
        limits = self._pace.limits
        try:
            async with asyncio.timeout(limits.connect_seconds):
                judged = partial(self._judged, one.url)
                destination, address = await asyncio.get_running_loop().run_in_executor(names, judged)
        except InvalidValueError as error:
            return Outcome(None, f"nothing was sent: {error.detail}")
        except TimeoutError:
            return Outcome(None, f"the name was not resolved within {limits.connect_seconds:g} s")
        now_us = self._store.clock.now_us()
        body = one.body.encode()
        headers = self._headers(one, body, now_us // SECOND_US)
        return await post(
            client, destination, address, body, headers, total_seconds=limits.total_seconds, now_us=now_us
        )

    def _judged(self, url: str) -> tuple[Destination, str]:
        destination = self._destinations.read(url)
        return destination, self._destinations.addresses(destination)[0]

    def _headers(self, one: Claim, body: bytes, timestamp: int) -> dict[str, str]:
        secrets = [secret_text(self._key, one.webhook_id, version) for version in one.secret_versions]
        return {
            "Content-Type": f"{EVENT_MEDIA_TYPE}; charset=utf-8",
            "webhook-id": one.message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signatures(secrets, one.message_id, timestamp, body),
        }
