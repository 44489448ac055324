"""Who runs a tick: the row that one process inserts, with what is noted beside it.

Stands in the cron runner (L3) under the firing of ticks. A tick that is not to run (its job is paused, held
back, or too late for its policy) is claimed all the same and says why, so that nothing is left out unseen. A
run is only claimed together with the turn of its job, so that no job runs twice at once; who finds it taken
claims nothing and may come again. It never runs a job.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from services.cron_runner.jobs import CronJob
from services.domain.clock import MINUTE_US, seconds, to_rfc3339
from services.domain.errors import ConflictError
from services.domain.priority import Misfire, Placement, Role, effective, is_well
from services.domain.states import TickCause, TickState
from services.operations.measuring import note_tick
from services.store import housekeeping, sql, tables
from services.store.turns import RunTurn
from services.store.tx import Store, Tx

GIVEN_UP_US: Final = MINUTE_US
"""A tick still running this long after its budget belongs to a process that died."""

GAP_US: Final = MINUTE_US
"""A job that did not run for this long, and was due in between, has missed ticks."""

LATE_US: Final = MINUTE_US
"""A tick that begins later than this is too late for a job that skips what it missed."""

CAUGHT_UP: Final = 24
"""Ticks that a job catches up at most; older ones are noted as missed."""

Job = CronJob[Any]


class JobRunningError(ConflictError):
    """A job runs already, here or in another process; it may be run when that run has ended."""

    transient = True


@dataclass(frozen=True, slots=True)
class Claim:
    """A tick that this process has: it is RUNNING, or it ended where it was claimed."""

    tick_id: int
    state: TickState


def actor_of(job: Job) -> str:
    """Return who acts in a job's transactions."""
    return f"system:{job.name}"


def claim(
    store: Store,
    job: Job,
    due_at_us: int,
    process: str,
    cause: TickCause,
    health_points: int | None,
    turn: RunTurn,
) -> Claim | None:
    """Insert the tick's row; None when another process has it, JobRunningError when its job still runs."""
    try:
        with store.write(actor=actor_of(job)) as tx:
            if job.misfire is not Misfire.CATCH_UP:  # whose lost ticks are run again one by one
                given_up_us = tx.now_us - seconds(job.budget_seconds) - GIVEN_UP_US
                for _ in range(housekeeping.close_abandoned_ticks(tx, job.name, given_up_us)):
                    note_tick(tx, job.name, is_on_time=False)
            placed = _placed(tx, job, health_points)
            _note_missed(tx, job, due_at_us, process)
            state, reason = _verdict(tx, job, due_at_us, cause, placed)
            tick_id = insert(tx, job, due_at_us, process, placed, cause, state=state, reason=reason)
            if state is TickState.RUNNING:
                _take_turn(tx, job, turn, tick_id)
            return Claim(tick_id, state)
    except JobRunningError:
        raise
    except ConflictError:
        return None


def claim_asked(store: Store, job: Job, process: str, turn: RunTurn) -> Claim | None:
    """Claim the run of a job that an operator asked for; None when nobody asks, or another process has it.

    While the job runs JobRunningError is raised and the run stays asked for.
    """
    with store.write(actor=actor_of(job)) as tx:
        asked = sql.find(tx, tables.cron_job, lock=True, job=job.name)
        if asked is None or asked["run_asked_at_us"] is None:
            return None
        sql.update(
            tx, tables.cron_job, {"job": job.name}, run_asked_at_us=None, run_asked_by=None, run_reason=None
        )
        who, why = asked["run_asked_by"], asked["run_reason"]
        return _claim_for(tx, job, process, asked["run_asked_at_us"], f"{who}: {why}", turn)


def claim_here(store: Store, job: Job, process: str, turn: RunTurn, *, operator: str, reason: str) -> Claim:
    """Claim a run of a job that an operator starts in this process; JobRunningError while it runs."""
    with store.write(actor=actor_of(job)) as tx:
        return _claim_for(tx, job, process, tx.now_us, f"{operator}: {reason}", turn)


def _claim_for(tx: Tx, job: Job, process: str, asked_at_us: int, reason: str, turn: RunTurn) -> Claim:
    due_us = housekeeping.free_instant(tx, job.name, asked_at_us)
    tick_id = insert(tx, job, due_us, process, Placement(job.priority), TickCause.OPERATOR, reason=reason)
    _take_turn(tx, job, turn, tick_id)
    return Claim(tick_id, TickState.RUNNING)


def _take_turn(tx: Tx, job: Job, turn: RunTurn, tick_id: int) -> None:
    """Take the turn of a job for a tick just inserted; raise JobRunningError, saying who has it, else."""
    if turn.is_taken():
        return
    others = sql.find_all(tx, tables.cron_tick, job=job.name, state=TickState.RUNNING)
    shown = [
        f"tick {row['id']} of {row['claimed_by']} since {to_rfc3339(row['started_at_us'])}"
        for row in others
        if row["id"] != tick_id
    ]
    who = shown[-1] if shown else "another process is just beginning or ending a run of it"
    msg = f"job {job.name} runs already ({who}); it never runs twice at once: try again when that has ended"
    raise JobRunningError(msg, field="job", code="job_running")


def lost(store: Store) -> list[sql.Row]:
    """Return the ticks whose process has died; one that was is closed and perhaps run by `take_over`."""
    with store.read() as tx:
        found = housekeeping.running_ticks(tx, tx.now_us - GIVEN_UP_US)
        return [row for row in found if row["started_at_us"] + row["budget_us"] + GIVEN_UP_US < tx.now_us]


def take_over(store: Store, job: Job | None, tick: sql.Row, process: str, turn: RunTurn) -> Claim | None:
    """Close a lost tick as failed; return the claim of its one more run if its job's policy asks for it.

    A job that runs once needs no other run when it has run since; a run that is one more is never repeated.
    Where that one more is due and its job still runs, JobRunningError is raised and the tick stays lost.
    """
    with store.write(actor=f"system:{tick['job']}") as tx:
        where = {"id": tick["id"], "state": TickState.RUNNING}
        values = {"state": TickState.FAILED, "ended_at_us": tx.now_us, "error": housekeeping.ABANDONED}
        if not sql.update(tx, tables.cron_tick, where, **values):
            return None
        note_tick(tx, tick["job"], is_on_time=False)
        if job is None or job.misfire is Misfire.SKIP or tick["trigger"] == TickCause.RETRY:
            return None
        if job.misfire is Misfire.RUN_ONCE and housekeeping.was_run_since(tx, job.name, tick["id"]):
            return None
        due_us = housekeeping.free_instant(tx, job.name, tick["due_at_us"])
        if job.misfire is Misfire.CATCH_UP:
            due_us = tick["due_at_us"] + 1
        reason = f"the process that ran tick {tick['id']} died; it runs once more"
        tick_id = insert(tx, job, due_us, process, Placement(job.priority), TickCause.RETRY, reason=reason)
        _take_turn(tx, job, turn, tick_id)
        return Claim(tick_id, TickState.RUNNING)


def missed_before(store: Store, job: Job, due_at_us: int) -> list[int]:
    """Return the due instants that a job has to catch up before this one, the oldest first."""
    with store.read() as tx:
        last_us = housekeeping.last_due(tx, job.name)
    if last_us is None:
        return []
    return list(islice(job.dues_between(last_us, due_at_us), CAUGHT_UP))[::-1]


def insert(
    tx: Tx,
    job: Job,
    due_at_us: int,
    process: str,
    placed: Placement,
    cause: TickCause,
    *,
    state: TickState = TickState.RUNNING,
    reason: str | None = None,
) -> int:
    """Insert a tick and return its id; raise ConflictError when it is there."""
    is_missed = state is TickState.MISSED
    tick_id = sql.insert_unique(
        tx,
        tables.cron_tick,
        ConflictError("claimed"),
        job=job.name,
        due_at_us=due_at_us,
        claimed_by=process,
        state=state,
        priority=placed.priority,
        budget_us=seconds(job.budget_seconds),
        trigger=cause,
        reason=None if is_missed else reason,
        started_at_us=tx.now_us,
        ended_at_us=None if state is TickState.RUNNING else tx.now_us,
        error=reason if is_missed else None,
    )
    if is_missed:
        note_tick(tx, job.name, is_on_time=False)
    return tick_id


def _placed(tx: Tx, job: Job, health_points: int | None) -> Placement:
    waited_us = None
    if job.role is Role.HOUSEKEEPING and not is_well(health_points):
        last_us = housekeeping.last_run(tx, job.name)
        waited_us = None if last_us is None else tx.now_us - last_us
    return effective(job.priority, job.role, health_points, waited_us=waited_us)


def _verdict(
    tx: Tx, job: Job, due_at_us: int, cause: TickCause, placed: Placement
) -> tuple[TickState, str | None]:
    """Return how the tick begins (or ends at once), and why."""
    said = sql.find(tx, tables.cron_job, job=job.name)
    if said is not None and said["is_paused"]:
        return TickState.SKIPPED, f"paused by {said['changed_by']}: {said['reason']}"
    late_us = tx.now_us - job.ready_at_us(due_at_us)
    if job.misfire is Misfire.SKIP and late_us > LATE_US and _has_fired(tx, job):
        return TickState.MISSED, f"{late_us / 1e6:.0f} s late; what this job missed is skipped"
    if placed.is_held_back:
        return TickState.SKIPPED, placed.reason
    return TickState.RUNNING, "; ".join(_remarks(cause, late_us, placed)) or None


def _has_fired(tx: Tx, job: Job) -> bool:
    """Tell whether a job ever had a tick; one that had none has missed none."""
    return housekeeping.last_due(tx, job.name) is not None


def _remarks(cause: TickCause, late_us: int, placed: Placement) -> Iterator[str]:
    """Yield what is out of the ordinary about a tick that runs."""
    if cause is TickCause.CATCH_UP:
        yield "it was missed and is caught up"
    elif late_us > LATE_US:
        yield f"it runs {late_us / 1e6:.0f} s late"
    if placed.reason is not None:
        yield placed.reason


def _note_missed(tx: Tx, job: Job, due_at_us: int, process: str) -> None:
    """Make visible that no process ran: one row for the gap since the job's last tick."""
    last_us = housekeeping.last_due(tx, job.name)
    before_us = job.due_at_us(due_at_us - 1)
    if last_us is None or before_us <= last_us or due_at_us - last_us < GAP_US:
        return
    count = (before_us - job.due_at_us(last_us)) // job.interval_us
    gap = f"no process ran between {to_rfc3339(last_us)} and {to_rfc3339(due_at_us)}"
    insert(
        tx,
        job,
        before_us,
        process,
        Placement(job.priority),
        TickCause.CLOCK,
        state=TickState.MISSED,
        reason=f"{count} missed: {gap}",
    )
