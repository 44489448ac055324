"""Readiness: can this process do its work now? Each dependency is looked at in bounded time.

Stands behind /health/ready. Every check runs in a thread of its own, at most one per check: while one hangs
nobody waits longer than `LIMIT_SECONDS` for it, and asking again starts no second one. What a check raised is
told by its kind alone; the details go to the log. It never mends anything.
"""

import asyncio
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, TypeVar, cast

from app.api.errors import failure_of
from app.api.platform import ApiPlatform
from services import evolution_ledger
from services.domain.checks import Check, Status
from services.domain.errors import LedgerBrokenError
from services.operations import health
from services.store import health as queries
from services.store import migrate, vitals

LIMIT_SECONDS: Final = 2.0
SLOW_SECONDS: Final = 0.5
QUEUE_WARN: Final = 0.5
QUEUE_FAIL: Final = 0.95
PENDING_WARN: Final = 10_000
PENDING_FAIL: Final = 100_000
NOTHING_CHECKED: Final = "no check has been made yet"
DISK_WARN_BYTES: Final = 1_000_000_000
DISK_FAIL_BYTES: Final = 100_000_000


@dataclass(frozen=True, slots=True)
class Found:
    """What a check saw: the status, the value with its unit."""

    status: Status = Status.PASS
    observed: float | None = None
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why nothing was seen: the kind of what was raised."""

    kind: str


Look = Callable[[ApiPlatform], Found]
T = TypeVar("T")


class OneAtATime:
    """Runs looks at the platform in threads, at most one for each name, and waits for none too long."""

    def __init__(self, limit_seconds: float) -> None:
        self._limit_seconds = limit_seconds
        self._guard = threading.Lock()
        self._under_way: dict[str, Future[object]] = {}

    async def answers(self, asked: Mapping[str, Callable[[], T]]) -> dict[str, T | Failure]:
        """Return what each gave, or the kind of its failure; `TimeoutError` for one that still runs."""
        futures = {name: self._start(name, act) for name, act in asked.items()}
        waiting = {name: asyncio.wrap_future(future) for name, future in futures.items()}
        await asyncio.wait(waiting.values(), timeout=self._limit_seconds)
        late = Failure(TimeoutError.__name__)
        for one in waiting.values():
            one.cancel()  # leaves those that are done as they are
        return {name: late if one.cancelled() else one.result() for name, one in waiting.items()}

    def _start(self, name: str, act: Callable[[], T]) -> "Future[T | Failure]":
        """Return the answer that is under way, or start one."""
        with self._guard:
            before = self._under_way.get(name)
            if before is not None and not before.done():
                return cast("Future[T | Failure]", before)
            future: Future[T | Failure] = Future()
            future.set_running_or_notify_cancel()  # who stops waiting does not stop it
            self._under_way[name] = cast("Future[object]", future)

        def run() -> None:
            future.set_result(told(act))

        threading.Thread(target=run, name=f"look-{name}", daemon=True).start()
        return future


def told(act: Callable[[], T]) -> T | Failure:
    """Return what an act gave, or the kind of what it raised."""
    seen: list[T] = []
    failure = failure_of(lambda: seen.append(act()))
    return seen[0] if failure is None else Failure(failure)


class Readiness:
    """The checks of one process; `is_warm` is set once everything that the process runs has started."""

    def __init__(self, platform: ApiPlatform, *, limit_seconds: float = LIMIT_SECONDS) -> None:
        self.is_warm = True
        self._platform = platform
        self._looks = OneAtATime(limit_seconds)

    async def checks(self) -> list[Check]:
        """Return every check; one that does not answer within the limit fails as `TimeoutError`."""
        found = await self._looks.answers(
            {name: partial(look, self._platform) for name, look in LOOKS.items()}
        )
        warm_up = Found(Status.PASS if self.is_warm else Status.FAIL)
        return checks_of(self._platform, {**found, "process:warm_up": warm_up})

    async def correctness(self) -> list[Check]:
        """Return the kept checks of correctness as they are worth now, without their sentences.

        Where none can be read there is a failed one of the database that tells the kind.
        """
        [found] = (await self._looks.answers({"correctness": self._kept})).values()
        if isinstance(found, Failure):
            return checks_of(self._platform, {"database:answer_time": found})
        now_us = self._platform.store.clock.now_us()
        if not found:
            return [Check("platform", "checks", Status.WARN, now_us, output=NOTHING_CHECKED)]
        return [replace(check, output=None) for check in found]

    def _kept(self) -> list[Check]:
        with self._platform.store.read() as tx:
            return health.correctness(tx)


def checks_now(platform: ApiPlatform) -> list[Check]:
    """Return every check of a platform, each looked at in this thread, without a limit of time."""
    return checks_of(platform, {name: told(partial(look, platform)) for name, look in LOOKS.items()})


def checks_of(platform: ApiPlatform, found: Mapping[str, Found | Failure]) -> list[Check]:
    """Return what was found as checks, by their names `component:measurement`."""
    now_us = platform.store.clock.now_us()
    return [_check(name, one, now_us) for name, one in found.items()]


def _check(name: str, found: Found | Failure, now_us: int) -> Check:
    component, _, measurement = name.partition(":")
    kind = "datastore" if component in ("database", "schema", "disk") else "platform"
    if isinstance(found, Failure):
        return Check(component, measurement, Status.FAIL, now_us, kind, output=found.kind)
    return Check(component, measurement, found.status, now_us, kind, found.observed, found.unit)


def _graded(observed: float, unit: str, warn_from: float, fail_from: float) -> Found:
    """Return a value that is worse the larger it is."""
    status = Status.PASS if observed < warn_from else Status.WARN if observed < fail_from else Status.FAIL
    return Found(status, observed, unit)


def _reach(platform: ApiPlatform) -> Found:
    started = time.monotonic()
    with platform.store.read() as tx:
        queries.paused(tx)
    return _graded(time.monotonic() - started, "seconds", SLOW_SECONDS, LIMIT_SECONDS)


def _compare_revisions(platform: ApiPlatform) -> Found:
    with platform.store.read() as tx:
        current, newest = migrate.revision_of(tx.connection), migrate.newest_revision()
    if current != newest:
        raise LedgerBrokenError(f"the schema is at {current}, not at {newest}; run `nacre db upgrade`")
    return Found()


def _find_head(platform: ApiPlatform) -> Found:
    with platform.store.read() as tx:
        return Found(Status.PASS, float(evolution_ledger.head(tx)["size"]), "entries")


def _queue_room(platform: ApiPlatform) -> Found:
    return _graded(platform.writer.queued_share, "share", QUEUE_WARN, QUEUE_FAIL)


def _pending(platform: ApiPlatform) -> Found:
    with platform.store.read() as tx:
        count = vitals.pending_deliveries(tx, PENDING_FAIL)
    return _graded(float(count), "deliveries", PENDING_WARN, PENDING_FAIL)


def _disk_room(platform: ApiPlatform) -> Found:
    """Look at the space beside an SQLite file; another database's disk is its own server's affair."""
    engine = platform.store.engine
    if engine.dialect.name != "sqlite" or not engine.url.database:
        return Found()
    free = shutil.disk_usage(Path(engine.url.database).absolute().parent).free
    status = Status.PASS if free > DISK_WARN_BYTES else Status.WARN
    return Found(Status.FAIL if free < DISK_FAIL_BYTES else status, float(free), "bytes")


LOOKS: Final[Mapping[str, Look]] = {
    "database:answer_time": _reach,
    "schema:revision": _compare_revisions,
    "ledger:head": _find_head,
    "writer:queue": _queue_room,
    "bus:pending": _pending,
    "disk:free": _disk_room,
}
