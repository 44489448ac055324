"""Waiting without a thread: agents that wait for work or listen are told by one reader for all of them.

Stands between the store, which says that something was published, and the calls that wait. One task per
server reads forward from what it has seen, at once when this process published and every second for what
other processes did, and only while somebody waits. It never decides anything and holds nothing for long.
"""

import asyncio
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from starlette.concurrency import run_in_threadpool

from app.api.following import Follower, Reading
from services.domain.events import EventType
from services.domain.states import TaskState
from services.store import notices
from services.store.sql import Row
from services.store.tx import Store, Tx

SAFETY_POLL_SECONDS = 1.0
GATHERING_SECONDS = 0.005
EVENTS = Reading(notices.newest_event, notices.events_after, notices.events_among, notices.event_gaps_after)
TASKS = Reading(notices.newest_task, notices.tasks_after, notices.tasks_among, notices.task_gaps_after)


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that concerns one agent: `award`, `window_closed` or `ballot`, with its facts."""

    event_id: int
    agent_id: int
    name: str
    facts: dict[str, object]


@dataclass(eq=False, slots=True)
class Waiter:
    """One call that waits. `types` are the kinds of task it wants (None: all; empty: none)."""

    agent_id: int
    types: frozenset[str] | None
    event: asyncio.Event = field(default_factory=asyncio.Event)
    notices: list[Notice] = field(default_factory=list)

    async def woken_within(self, seconds: float) -> None:
        """Return when something has happened for this agent, or when the time is up."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await self.event.wait()

    def taken(self) -> list[Notice]:
        """Return the notices since the last call, and wait for the next."""
        found, self.notices = self.notices, []
        self.event.clear()
        return found


class WaitingRoom:
    """Everybody who waits in this process."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiters: set[Waiter] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._published: asyncio.Event | None = None
        self._reader: asyncio.Task[None] | None = None
        self._seen = _Seen()
        self.is_closed = False

    @contextmanager
    def waiting(self, agent_id: int, types: Collection[str] | None) -> Iterator[Waiter]:
        """Let a call wait; whatever happens from here on is told to it."""
        waiter = Waiter(agent_id, None if types is None else frozenset(types))
        self._waiters.add(waiter)
        if self.is_closed:
            waiter.event.set()
        elif self._reader is None or self._reader.done() or self._loop is not asyncio.get_running_loop():
            self._begin()
        try:
            yield waiter
        finally:
            self._waiters.discard(waiter)

    def streams_of(self, agent_id: int) -> int:
        """Return how many calls of this agent wait now."""
        return sum(waiter.agent_id == agent_id for waiter in self._waiters)

    def wake(self) -> None:
        """Look for news soon; may be called from any thread."""
        loop = self._loop
        if loop is not None and self._waiters and not loop.is_closed():
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._wake)

    def close(self) -> None:
        """Let everybody go; may be called from any thread."""
        self.is_closed = True
        loop = self._loop
        if loop is not None and not loop.is_closed():
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._release)

    def _begin(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._published = asyncio.Event()
        self._seen = _Seen()
        if self.wake not in self._store.listeners:
            self._store.listeners.append(self.wake)
        self._reader = self._loop.create_task(self._read_on(self._published))

    def _wake(self) -> None:
        if self._published is not None:
            self._published.set()

    def _release(self) -> None:
        for waiter in self._waiters:
            waiter.event.set()
        self._wake()

    async def _read_on(self, published: asyncio.Event) -> None:
        """Tell the waiters what happens until nobody waits."""
        while self._waiters and not self.is_closed:
            published.clear()
            agents = frozenset(waiter.agent_id for waiter in self._waiters)
            news = await run_in_threadpool(self._look, agents)
            self._tell(news)
            with suppress(TimeoutError):
                async with asyncio.timeout(SAFETY_POLL_SECONDS):
                    await published.wait()
                    await asyncio.sleep(GATHERING_SECONDS)
        with suppress(ValueError):
            self._store.listeners.remove(self.wake)

    def _look(self, agents: frozenset[int]) -> "News | None":
        with self._store.read() as tx:
            return self._seen.read(tx, agents)

    def _tell(self, news: "News | None") -> None:
        """Wake whom the news concerns; None is the first look, which wakes everybody once."""
        mine: dict[int, list[Notice]] = {}
        for notice in news.notices if news else ():
            mine.setdefault(notice.agent_id, []).append(notice)
        for waiter in self._waiters:
            found = mine.get(waiter.agent_id, ())
            waiter.notices.extend(found)
            if news is None or found or _wants_one(waiter, news.opened):
                waiter.event.set()


def _wants_one(waiter: Waiter, opened: Sequence[Row]) -> bool:
    types = waiter.types
    return any(
        row["requester_id"] != waiter.agent_id and (types is None or row["type"] in types) for row in opened
    )


@dataclass(frozen=True, slots=True)
class News:
    """What one look has found: notices for agents, and tasks that take bids since the look before."""

    notices: list[Notice]
    opened: list[Row]


class _Seen:
    """How far the reader has come in the events and in the tasks."""

    def __init__(self) -> None:
        self._events = Follower(EVENTS)
        self._tasks = Follower(TASKS)
        self._has_begun = False

    def read(self, tx: Tx, agents: frozenset[int]) -> News | None:
        """Return what is new for these agents since the last call, None at the first."""
        if not self._has_begun:
            self._events.begin(tx)
            self._tasks.begin(tx)
            self._has_begun = True
            return None
        fresh = self._events.read(tx)
        opened = [row for row in self._tasks.read(tx) if row["state"] == TaskState.BIDDING]
        return News(notices_of(tx, fresh, agents), opened)


def notices_of(tx: Tx, events: Sequence[Row], agents: Collection[int]) -> list[Notice]:
    """Return what events mean to these agents, oldest first."""
    awarded = [row for row in events if row["type"] == EventType.TASK_AWARDED]
    filed = [row for row in events if row["type"] == EventType.PROPOSAL_FILED]
    bid_on = notices.bidders(tx, {row["payload"]["task_id"] for row in awarded}, agents)
    may_vote = notices.electors(tx, {row["payload"]["proposal_id"] for row in filed}, agents)
    found = [
        _awarded(row, agent_id)
        for row in awarded
        for agent_id in sorted({row["payload"]["agent_id"], *_of(bid_on, row["payload"]["task_id"])})
        if agent_id in agents
    ]
    found += [
        Notice(row["id"], agent_id, "ballot", {"proposal_id": row["payload"]["proposal_id"]})
        for row in filed
        for agent_id in sorted(_of(may_vote, row["payload"]["proposal_id"]))
    ]
    return sorted(found, key=lambda notice: notice.event_id)


def _awarded(row: Row, agent_id: int) -> Notice:
    facts = {"task_id": row["payload"]["task_id"]}
    name = "award" if row["payload"]["agent_id"] == agent_id else "window_closed"
    return Notice(row["id"], agent_id, name, facts)


def _of(pairs: Collection[tuple[int, int]], first: int) -> set[int]:
    return {second for number, second in pairs if number == first}
