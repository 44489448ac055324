"""What is due now, in which order: the table's instants, more of them and in another order when health falls.

Stands in the cron runner (L3) under the runner and under simulations, which fire by it on their own clock. It
reads the platform's health and keeps it for some seconds; it never claims or runs anything.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from services.cron_runner.jobs import CronJob
from services.domain.clock import SECOND_US
from services.domain.health_score import steadied
from services.domain.priority import effective, is_well
from services.operations import health
from services.store.tx import Store

KEPT_US: Final = 10 * SECOND_US
"""So long the health that was read last counts as the present one."""

Job = CronJob[Any]


@dataclass
class Health:
    """The platform's health in points (0 to 100), read at most once in `kept_us`."""

    store: Store
    kept_us: int = KEPT_US
    _points: int | None = None
    _read_at_us: int | None = None

    def points(self) -> int:
        """Return the newest score, steadied against flapping; raise what the database raises."""
        now_us = self.store.clock.now_us()
        if self._points is None or self._read_at_us is None or now_us - self._read_at_us >= self.kept_us:
            with self.store.read() as tx:
                self._points = steadied(health.score_now(tx).points, self._points)
            self._read_at_us = now_us
        return self._points


@dataclass
class Timetable:
    """Remembers which due instant of each job was handed out last, so that none is handed out twice."""

    jobs: Sequence[Job]
    handed_out: dict[str, int] = field(default_factory=dict)

    def might_be_due(self, now_us: int) -> bool:
        """Tell whether a job would be due were the health low; costs no look at the database."""
        return any(self._is_new(job, job.ready_due_at_us(now_us, job.divisor)) for job in self.jobs)

    def take(self, now_us: int, health_points: int | None, jobs: Iterable[Job] = ()) -> list[tuple[Job, int]]:
        """Return the due ticks (of these jobs, or of all), the most urgent first, as handed out."""
        found = []
        for job in jobs or self.jobs:
            divided_by = 1 if is_well(health_points) else job.divisor
            due_us = job.ready_due_at_us(now_us, divided_by)
            if self._is_new(job, due_us):
                self.handed_out[job.name] = due_us
                found.append((job, due_us))
        return sorted(found, key=lambda one: priority_of(one[0], health_points))

    def _is_new(self, job: Job, due_us: int) -> bool:
        before_us = self.handed_out.get(job.name)
        return before_us is None or due_us > before_us


def priority_of(job: Job, health_points: int | None) -> int:
    """Return the effective priority of a job; lower runs first."""
    return effective(job.priority, job.role, health_points).priority
