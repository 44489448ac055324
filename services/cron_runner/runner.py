"""Layer 3, the cron runner in real time: APScheduler says when, worker threads run what is due by priority.

Stands over the firing of single ticks. It never decides what a tick does or whether it may run.
"""

import logging
import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC
from typing import Generic, TypeVar

from apscheduler.schedulers.background import BackgroundScheduler

from services.cron_runner.firing import run_tick
from services.cron_runner.jobs import CronJob
from services.store.tx import Store

log = logging.getLogger(__name__)

ContextT = TypeVar("ContextT")


@dataclass
class CronRunner(Generic[ContextT]):
    """Fires the jobs in real time: APScheduler says when, worker threads run what is due by priority."""

    store: Store
    context: ContextT
    jobs: Sequence[CronJob[ContextT]]
    process: str
    threads: int = 2
    _due: "queue.PriorityQueue[tuple[int, int, int]]" = field(default_factory=queue.PriorityQueue)
    _scheduler: BackgroundScheduler = field(default_factory=lambda: BackgroundScheduler(timezone=UTC))
    _workers: list[threading.Thread] = field(default_factory=list)
    _is_stopping: threading.Event = field(default_factory=threading.Event)
    _waiting: set[int] = field(default_factory=set)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        """Start triggers and workers."""
        for number, job in enumerate(self.jobs):
            self._scheduler.add_job(
                self._enqueue, job.trigger(), args=[number], id=job.name, max_instances=1, coalesce=True,
                misfire_grace_time=60,
            )  # fmt: skip
        for number in range(self.threads):
            worker = threading.Thread(target=self._work, name=f"cron-{number}", daemon=True)
            worker.start()
            self._workers.append(worker)
        self._scheduler.start()

    def stop(self) -> None:
        """Fire nothing new, let running jobs end (at most at their budget), and return."""
        self._is_stopping.set()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)
        for worker in self._workers:
            worker.join(timeout=10)

    def _enqueue(self, number: int) -> None:
        """Queue a job that is due, unless it is still queued or running: a slow job runs late, not twice."""
        with self._guard:
            if number in self._waiting:
                return
            self._waiting.add(number)
        job = self.jobs[number]
        self._due.put((job.priority, job.due_at_us(self.store.clock.now_us()), number))

    def _work(self) -> None:
        while not self._is_stopping.is_set():
            try:
                _, due_at_us, number = self._due.get(timeout=0.2)
            except queue.Empty:
                continue
            try:
                run_tick(self.store, self.context, self.jobs[number], due_at_us, self.process)
            except Exception:  # named edge: cron run (the database itself refused)
                log.exception("tick of %s could not be recorded", self.jobs[number].name)
            finally:
                with self._guard:
                    self._waiting.discard(number)
