"""Layer 3, the cron runner in real time: APScheduler says when, worker threads run what is due by priority.

Stands over the firing of single ticks. An attendant looks once a second for what operators asked for and for
ticks whose process died; it only reads while there is nothing. It never decides what a tick does.
"""

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from functools import partial
from typing import Final, Generic, TypeVar

from apscheduler.schedulers.background import BackgroundScheduler

from services.cron_runner import claims
from services.cron_runner.firing import run_asked, run_lost, run_tick
from services.cron_runner.jobs import CronJob
from services.cron_runner.placing import Health, Timetable, priority_of
from services.domain.errors import NacreError
from services.event_bus import failure_text
from services.store import housekeeping
from services.store.tx import Store

ATTENDED_SECONDS: Final = 0.5
"""How often the attendant looks for runs that operators asked for."""
LOST_EVERY: Final = 20
"""Every so many looks it also looks for ticks whose process died."""
IDLE_SECONDS: Final = 0.2

log = logging.getLogger(__name__)

ContextT = TypeVar("ContextT")
Work = Callable[[], object]


@dataclass
class CronRunner(Generic[ContextT]):
    """Fires the jobs in real time: APScheduler says when, worker threads run what is due by priority."""

    store: Store
    context: ContextT
    jobs: Sequence[CronJob[ContextT]]
    process: str
    threads: int = 2
    _due: "queue.PriorityQueue[tuple[int, int, int, Work]]" = field(default_factory=queue.PriorityQueue)
    _scheduler: BackgroundScheduler = field(default_factory=lambda: BackgroundScheduler(timezone=UTC))
    _workers: list[threading.Thread] = field(default_factory=list)
    _is_stopping: threading.Event = field(default_factory=threading.Event)
    _waiting: set[int] = field(default_factory=set)
    _postponed: list[tuple[tuple[int, int, int], int, Work]] = field(default_factory=list)
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _queued: int = 0
    _looks: int = 0
    _trouble: str | None = None
    _timetable: Timetable = field(init=False)
    _health: Health = field(init=False)

    def __post_init__(self) -> None:
        """Prepare the timetable; nothing runs yet."""
        self._timetable = Timetable(self.jobs)
        self._health = Health(self.store)

    def start(self) -> None:
        """Start triggers, workers and the attendant; jobs that missed their last tick are due at once."""
        for number, job in enumerate(self.jobs):
            self._scheduler.add_job(
                self._enqueue, job.trigger(), args=[number], id=job.name, max_instances=1, coalesce=True,
                misfire_grace_time=None,
            )  # fmt: skip
        for number in range(self.threads):
            self._start_thread(self._work, f"cron-{number}")
        self._start_thread(self._attend, "cron-attendant")
        self._scheduler.start()

    def _start_thread(self, act: Callable[[], None], name: str) -> None:
        worker = threading.Thread(target=act, name=name, daemon=True)
        worker.start()
        self._workers.append(worker)

    def stop(self) -> None:
        """Fire nothing new, let running jobs end (at most at their budget), and return."""
        self._is_stopping.set()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)
        for worker in self._workers:
            worker.join(timeout=10)

    # --- what is due

    def _enqueue(self, number: int) -> None:
        """Queue a job that is due, unless it is still queued or running: a slow job runs late, not twice."""
        job, points = self.jobs[number], self._points()
        with self._guard:
            if number in self._waiting:
                return
            due = self._timetable.take(self.store.clock.now_us(), points, [job])
        for _, due_us in due:
            act = partial(run_tick, self.store, self.context, job, due_us, self.process, health_points=points)
            self._queue(number, due_us, act, points)

    def _queue(self, number: int, due_at_us: int, act: Work, points: int | None) -> bool:
        """Put work of a job in line; tell whether it was, which it is not while the job is there already."""
        with self._guard:
            if number in self._waiting:
                return False
            self._waiting.add(number)
            self._queued += 1
            place = (priority_of(self.jobs[number], points), due_at_us, self._queued)
            self._due.put((*place, partial(self._perform, place, number, act)))
        return True

    def _points(self) -> int | None:
        """Return the health, or None when it cannot be read: then everything runs by its table."""
        try:
            return self._health.points()
        except NacreError:
            return None

    def _work(self) -> None:
        while not self._is_stopping.is_set():
            try:
                *_, act = self._due.get(timeout=IDLE_SECONDS)
            except queue.Empty:
                continue
            act()

    def _perform(self, place: tuple[int, int, int], number: int, act: Work) -> None:
        """Do work of a job; while another process runs the job it is put off, and other jobs go on."""
        try:
            act()
        except claims.JobRunningError:
            with self._guard:
                self._postponed.append((place, number, act))
            return
        except Exception as error:  # noqa: BLE001 (named edge: cron run, the database itself refused)
            log.warning("a tick of %s could not be recorded: %s", self.jobs[number].name, failure_text(error))
        with self._guard:
            self._waiting.discard(number)

    def _queue_postponed(self) -> None:
        """Put what had to wait for a run in another process back in line, at its place."""
        with self._guard:
            again, self._postponed = self._postponed, []
            for place, number, act in again:
                self._due.put((*place, partial(self._perform, place, number, act)))

    # --- what nobody's clock says

    def _attend(self) -> None:
        """Look after the rest until the end; while the database is away that is said once."""
        is_started = False
        while not self._is_stopping.wait(ATTENDED_SECONDS if is_started else 0):
            self._queue_postponed()
            try:
                if not is_started:
                    self._queue_late()
                is_started = True
                self._queue_asked()
                if self._looks % LOST_EVERY == 0:
                    self._queue_lost()
                self._looks += 1
                self._say(None)
            except Exception as error:  # noqa: BLE001 (named edge: cron run)
                self._say(failure_text(error))
                self._is_stopping.wait(ATTENDED_SECONDS)

    def _say(self, trouble: str | None) -> None:
        """Log when looking after jobs begins to fail and when it works again."""
        if (trouble is None) != (self._trouble is None):
            if trouble is None:
                log.warning("jobs are looked after again")
            else:
                log.warning("nobody can look after the jobs: %s", trouble)
        self._trouble = trouble

    def _queue_late(self) -> None:
        """Queue the jobs whose newest tick was due while no process ran; their policy says what becomes."""
        with self.store.read() as tx:
            last_dues_us = housekeeping.last_dues(tx)
        now_us = self.store.clock.now_us()
        for number, job in enumerate(self.jobs):
            last_us = last_dues_us.get(job.name)
            if last_us is not None and job.ready_due_at_us(now_us) > last_us:
                self._enqueue(number)

    def _queue_asked(self) -> None:
        with self.store.read() as tx:
            asked = {row["job"]: row["run_asked_at_us"] for row in housekeeping.asked_runs(tx)}
        for number, job in enumerate(self.jobs):
            if job.name in asked:
                act = partial(run_asked, self.store, self.context, job, self.process)
                self._queue(number, asked[job.name], act, None)

    def _queue_lost(self) -> None:
        numbers = {job.name: number for number, job in enumerate(self.jobs)}
        for tick in claims.lost(self.store):
            number = numbers.get(tick["job"])
            if number is None:
                run_lost(self.store, self.context, None, tick, self.process)
                continue
            act = partial(run_lost, self.store, self.context, self.jobs[number], tick, self.process)
            self._queue(number, tick["due_at_us"], act, None)
