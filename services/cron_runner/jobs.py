"""One line of the table of jobs: what runs, when it is due, how long at most, how urgently.

Stands in the cron runner (L3) under the firing of ticks. Every process computes the same instants from it. It
never reads a clock or the database, and never runs anything.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from apscheduler.triggers.base import BaseTrigger

from services.domain.clock import DAY_US, EPOCH, HOUR_US, MINUTE_US, seconds, to_datetime
from services.domain.priority import Misfire, Role, divisor
from services.store.tx import Tx

JITTERED_SHARE = 16
"""The jitter is at most this part of the job's interval, so that two ticks of a job never change places."""

ContextT = TypeVar("ContextT")


@dataclass(frozen=True, slots=True)
class CronJob(Generic[ContextT]):
    """One line of the table: what runs, how often (or daily at HH:MM UTC), how long at most, how urgently.

    Lower `priority` runs first when several are due; `role` says what becomes of that when health falls. A
    tick begins up to `jitter_seconds` after it is due, the same in every process. A job that is repeated does
    one batch at a time and returns counts; it is run again, in a transaction of its own, while there was
    anything to do.
    """

    name: str
    does: Callable[[Tx, ContextT], Mapping[str, object]]
    budget_seconds: float
    priority: int
    summary: str
    every_seconds: float | None = None
    daily_at: str | None = None
    is_repeated: bool = False
    role: Role = Role.ESSENTIAL
    jitter_seconds: float = 0
    misfire: Misfire = Misfire.RUN_ONCE

    @property
    def interval_us(self) -> int:
        """Return the microseconds from one due instant of the table to the next."""
        return DAY_US if self.every_seconds is None else seconds(self.every_seconds)

    @property
    def divisor(self) -> int:
        """Return how many times as often the job runs while health is low."""
        if self.every_seconds is None:
            return 1
        return divisor(self.role, self.interval_us, seconds(self.budget_seconds))

    def due_at_us(self, now_us: int, divided_by: int = 1) -> int:
        """Return the newest instant up to `now_us` at which the job is due; the same in every process."""
        if self.every_seconds is not None:
            return now_us - now_us % (self.interval_us // divided_by)
        hour, minute = (int(part) for part in (self.daily_at or "00:00").split(":"))
        at_us = hour * HOUR_US + minute * MINUTE_US
        return (now_us - at_us) // DAY_US * DAY_US + at_us

    def jitter_us(self, due_at_us: int) -> int:
        """Return by how much the tick of this instant begins later: 0 to the jitter."""
        most_us = min(seconds(self.jitter_seconds), self.interval_us // JITTERED_SHARE)
        digest = hashlib.blake2b(f"{self.name}@{due_at_us}".encode(), digest_size=8).digest()
        return int.from_bytes(digest) % (most_us + 1)

    def ready_at_us(self, due_at_us: int) -> int:
        """Return when the tick of this instant begins."""
        return due_at_us + self.jitter_us(due_at_us)

    def ready_due_at_us(self, now_us: int, divided_by: int = 1) -> int:
        """Return the newest due instant whose tick may begin by `now_us`."""
        due_us = self.due_at_us(now_us, divided_by)
        return due_us if self.ready_at_us(due_us) <= now_us else self.due_at_us(due_us - 1, divided_by)

    def next_due_at_us(self, now_us: int, divided_by: int = 1) -> int:
        """Return the first due instant after `now_us`."""
        return self.due_at_us(now_us, divided_by) + self.interval_us // divided_by

    def dues_between(self, after_us: int, before_us: int) -> Iterator[int]:
        """Yield the due instants of the table between two instants, both left out, the newest first."""
        due_us = self.due_at_us(before_us - 1)
        while due_us > after_us:
            yield due_us
            due_us = self.due_at_us(due_us - 1)

    def trigger(self) -> "TickTrigger":
        """Return APScheduler's trigger for the job: every instant at which a tick may begin."""
        return TickTrigger(self)


class TickTrigger(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """Tells APScheduler when ticks of a job begin, also those that only run while health is low."""

    def __init__(self, job: CronJob[Any]) -> None:
        self._job = job

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime:
        """Return the first instant from `now` on, and after `previous`, at which a tick begins."""
        job = self._job
        from_us = _to_us(now)
        if previous is not None:
            from_us = max(from_us, _to_us(previous) + 1)
        due_us = job.due_at_us(from_us, job.divisor)
        while job.ready_at_us(due_us) < from_us:
            due_us = job.next_due_at_us(due_us, job.divisor)
        return to_datetime(job.ready_at_us(due_us))


def _to_us(moment: datetime) -> int:
    """Return an aware instant in whole microseconds."""
    return (moment.astimezone(UTC) - EPOCH) // timedelta(microseconds=1)
