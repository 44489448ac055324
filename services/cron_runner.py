"""Layer 3, the cron runner: each tick claimed in the database, run within its budget, kept as history.

Runs the table in `cron_registry.py` with APScheduler's triggers. A tick is a row (job, due instant) that one
process can insert; whoever inserts it runs it, so a tick fires once across all processes. A job runs in one
transaction that ends at its budget. Due jobs run in the order of their priority. It knows no job by name and
hands every job the context it was given.
"""

import logging
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from typing import Generic, TypeVar

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from services.domain.clock import DAY_US, EPOCH, HOUR_US, MINUTE_US, seconds, to_rfc3339
from services.domain.errors import BudgetExceededError, ConflictError
from services.domain.states import TickState
from services.event_bus import failure_text
from services.store import housekeeping, sql, tables
from services.store.tx import Store, Tx

GIVEN_UP_US = MINUTE_US
"""A tick still running this long after its budget belongs to a process that died."""

GAP_US = MINUTE_US
"""A job that did not run for this long, and was due in between, has missed ticks."""

log = logging.getLogger(__name__)

ContextT = TypeVar("ContextT")


@dataclass(frozen=True, slots=True)
class CronJob(Generic[ContextT]):
    """One line of the table: what runs, how often (or daily at HH:MM UTC), how long at most, how urgently.

    Lower `priority` runs first when several are due. A job that is repeated does one batch at a time and
    returns counts; it is run again, in a transaction of its own, while there was anything to do.
    """

    name: str
    does: Callable[[Tx, ContextT], Mapping[str, object]]
    budget_seconds: float
    priority: int
    summary: str
    every_seconds: float | None = None
    daily_at: str | None = None
    is_repeated: bool = False

    def due_at_us(self, now_us: int) -> int:
        """Return the newest instant up to `now_us` at which the job is due; the same in every process."""
        if self.every_seconds is not None:
            every_us = seconds(self.every_seconds)
            return now_us - now_us % every_us
        hour, minute = (int(part) for part in (self.daily_at or "00:00").split(":"))
        at_us = hour * HOUR_US + minute * MINUTE_US
        return (now_us - at_us) // DAY_US * DAY_US + at_us

    def trigger(self) -> IntervalTrigger | CronTrigger:
        """Return APScheduler's trigger for the job."""
        if self.every_seconds is not None:
            return IntervalTrigger(seconds=self.every_seconds, start_date=EPOCH, timezone=UTC)
        hour, minute = (self.daily_at or "00:00").split(":")
        return CronTrigger(hour=int(hour), minute=int(minute), timezone=UTC)


def run_tick(
    store: Store, context: ContextT, job: CronJob[ContextT], due_at_us: int, process: str
) -> TickState | None:
    """Claim and run one tick; return how it ended, or None when another process has it."""
    tick_id = _claim(store, job, due_at_us, process)
    if tick_id is None:
        return None
    result: Mapping[str, object] | None = None
    state, error_text = TickState.DONE, None
    try:
        result = _run(store, context, job)
    except BudgetExceededError as error:
        result, state, error_text = None, TickState.OVERRUN, error.detail
    except Exception as error:  # noqa: BLE001 (named edge: cron run)
        result, state, error_text = None, TickState.FAILED, failure_text(error)
        log.warning("job %s failed: %s", job.name, error_text)
    with store.write(actor=f"system:{job.name}") as tx:
        where = {"id": tick_id, "state": TickState.RUNNING}
        outcome = dict(result) if result is not None else None
        sql.update(
            tx, tables.cron_tick, where, state=state, ended_at_us=tx.now_us, result=outcome, error=error_text
        )
    return state


def _run(store: Store, context: ContextT, job: CronJob[ContextT]) -> Mapping[str, object]:
    """Run a job within its budget; one that is repeated goes on, each time in a transaction of its own.

    It ends when nothing was done, or when half of the budget is used: what was committed stays, the rest is
    the next tick's.
    """
    budget_us = seconds(job.budget_seconds)
    ends_us = store.clock.now_us() + budget_us
    total: dict[str, object] = {}
    while True:
        remaining_us = ends_us - store.clock.now_us()
        with store.write(actor=f"system:{job.name}", budget_us=remaining_us) as tx:
            result = job.does(tx, context)
        if not job.is_repeated:
            return result
        for name, count in result.items():
            total[name] = int(str(total.get(name, 0))) + int(str(count))
        if not any(result.values()) or ends_us - store.clock.now_us() < budget_us // 2:
            return total


def _claim(store: Store, job: CronJob[ContextT], due_at_us: int, process: str) -> int | None:
    """Insert the tick's row; None when it exists already. Ticks whose process died are closed as failed."""
    refusal = ConflictError("claimed")
    try:
        with store.write(actor=f"system:{job.name}") as tx:
            given_up_us = tx.now_us - seconds(job.budget_seconds) - GIVEN_UP_US
            housekeeping.close_abandoned_ticks(tx, job.name, given_up_us)
            _note_missed(tx, job, due_at_us, process)
            return sql.insert_unique(
                tx,
                tables.cron_tick,
                refusal,
                job=job.name,
                due_at_us=due_at_us,
                claimed_by=process,
                state=TickState.RUNNING,
                priority=job.priority,
                budget_us=seconds(job.budget_seconds),
                started_at_us=tx.now_us,
            )
    except ConflictError:
        return None


def _note_missed(tx: Tx, job: CronJob[ContextT], due_at_us: int, process: str) -> None:
    """Make visible that no process ran: one row for the gap since the job's last tick."""
    last_us = housekeeping.last_due(tx, job.name)
    before_us = job.due_at_us(due_at_us - 1)
    if last_us is None or before_us <= last_us or due_at_us - last_us < GAP_US:
        return
    sql.insert(
        tx,
        tables.cron_tick,
        job=job.name,
        due_at_us=before_us,
        claimed_by=process,
        state=TickState.MISSED,
        priority=job.priority,
        budget_us=seconds(job.budget_seconds),
        started_at_us=tx.now_us,
        ended_at_us=tx.now_us,
        error=f"no process ran between {to_rfc3339(last_us)} and {to_rfc3339(due_at_us)}",
    )


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
