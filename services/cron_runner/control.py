"""What an operator does with a job: pause it, let it go on, have it run now; and what is shown of it.

Stands in the cron runner (L3) behind the API and the command line. Every act is in the ledger with its
reason. A run is asked for in the database, and a running platform takes it up. It never runs a job itself.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from services.cron_runner.jobs import CronJob
from services.domain.clock import to_rfc3339
from services.domain.errors import ConflictError, InvalidValueError, NotFoundError
from services.domain.ledger_schema import EntryType
from services.domain.priority import effective, is_well
from services.operations import audit_log, health
from services.store import sql, tables, views
from services.store.tx import Tx

REASON_LENGTH = 500

Job = CronJob[Any]


def job_named(jobs: Sequence[Job], name: str) -> Job:
    """Return the job of this name; raise NotFoundError with the names there are."""
    for job in jobs:
        if job.name == name:
            return job
    names = ", ".join(sorted(job.name for job in jobs))
    msg = f"there is no job {name[:80]!r}; the jobs are {names}"
    raise NotFoundError(msg, field="job")


def pause(tx: Tx, job: Job, reason: str) -> dict[str, object]:
    """Let no tick of a job run until it is resumed; raise ConflictError when it is paused already."""
    reason = checked(reason)
    if is_paused(tx, job):
        msg = f"job {job.name} is paused already"
        raise ConflictError(msg, field="job", code="job_paused")
    return _change(tx, job, reason, is_paused=True)


def resume(tx: Tx, job: Job, reason: str) -> dict[str, object]:
    """Let a paused job run by its table again; raise ConflictError when it is not paused."""
    reason = checked(reason)
    if not is_paused(tx, job):
        msg = f"job {job.name} is not paused"
        raise ConflictError(msg, field="job", code="job_not_paused")
    return _change(tx, job, reason, is_paused=False)


def ask_run(tx: Tx, job: Job, reason: str) -> dict[str, object]:
    """Ask the running platform to run a job now, paused or not; it does within a second.

    Raises ConflictError when such a run is asked for already and has not begun.
    """
    reason = checked(reason)
    said = _said(tx, job)
    if said["run_asked_at_us"] is not None:
        msg = f"a run of {job.name} has been asked for already and has not begun; is the platform running?"
        raise ConflictError(msg, field="job", code="run_asked")
    record(tx, "run_job", job, reason)
    sql.update(
        tx,
        tables.cron_job,
        {"job": job.name},
        run_asked_at_us=tx.now_us,
        run_asked_by=tx.actor,
        run_reason=reason,
    )
    return {"job": job.name, "run_asked_at": to_rfc3339(tx.now_us), "reason": reason}


def record(tx: Tx, act: str, job: Job, reason: str) -> int:
    """Write an operator's act on a job into the ledger; return the entry's index."""
    return audit_log.append(tx, EntryType.OVERRIDE, {"act": act, "job": job.name, "reason": reason})


def checked(reason: str) -> str:
    """Return a reason without blanks around it; raise InvalidValueError when none is left or it is long."""
    said = reason.strip()
    if not said or len(said) > REASON_LENGTH:
        msg = f"reason must be 1 to {REASON_LENGTH} characters: why you do this"
        raise InvalidValueError(msg, field="reason")
    return said


def is_paused(tx: Tx, job: Job) -> bool:
    """Tell whether an operator has paused a job."""
    said = sql.find(tx, tables.cron_job, job=job.name)
    return said is not None and bool(said["is_paused"])


def show(tx: Tx, jobs: Sequence[Job]) -> dict[str, object]:
    """Return every job with what it is, when it is due next, what operators said and how it last ended."""
    points = health.score_now(tx).points
    latest = {tick["job"]: tick for tick in views.latest_ticks(tx)}
    said = {row["job"]: row for row in sql.find_all(tx, tables.cron_job, order_by="job")}
    shown = [_shown(tx, job, points, said.get(job.name), latest.get(job.name)) for job in jobs]
    return {"health_points": points, "jobs": shown}


def _shown(
    tx: Tx, job: Job, points: int, said: Mapping[str, Any] | None, last_tick: Mapping[str, Any] | None
) -> dict[str, object]:
    divided_by = 1 if is_well(points) else job.divisor
    due_us = job.next_due_at_us(tx.now_us, divided_by)
    placed = effective(job.priority, job.role, points)
    is_held = said is not None and bool(said["is_paused"])
    asked_us = None if said is None else said["run_asked_at_us"]
    return {
        "job": job.name,
        "summary": job.summary,
        "role": str(job.role),
        "every_seconds": job.every_seconds,
        "daily_at": job.daily_at,
        "budget_seconds": job.budget_seconds,
        "jitter_seconds": job.jitter_seconds,
        "misfire": str(job.misfire),
        "priority": job.priority,
        "effective_priority": placed.priority,
        "health_reason": placed.reason,
        "next_due_at": to_rfc3339(due_us),
        "is_paused": is_held,
        "paused_because": said["reason"] if said is not None and is_held else None,
        "run_asked_at": None if asked_us is None else to_rfc3339(asked_us),
        "last_tick": last_tick,
    }


def _change(tx: Tx, job: Job, reason: str, *, is_paused: bool) -> dict[str, object]:
    _said(tx, job)
    record(tx, "pause_job" if is_paused else "resume_job", job, reason)
    values = {"is_paused": is_paused, "reason": reason, "changed_by": tx.actor, "changed_at_us": tx.now_us}
    sql.update(tx, tables.cron_job, {"job": job.name}, **values)
    return {"job": job.name, "is_paused": is_paused, "reason": reason}


def _said(tx: Tx, job: Job) -> sql.Row:
    """Return what operators have said of a job, locked; the row is made when there is none."""
    found = sql.find(tx, tables.cron_job, lock=True, job=job.name)
    if found is None:
        values = {"is_paused": False, "reason": "", "changed_by": tx.actor, "changed_at_us": tx.now_us}
        refusal = ConflictError("another operator is acting on this job; try again", field="job")
        sql.insert_unique(tx, tables.cron_job, refusal, job=job.name, **values)
        found = sql.find(tx, tables.cron_job, lock=True, job=job.name)
    assert found is not None  # noqa: S101 (it was inserted by this transaction)
    return found
