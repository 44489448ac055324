"""Queries of the platform's own jobs: silent agents, when jobs were due.

Stands under the cron jobs. It never touches tasks, money or the ledger.
"""

from sqlalchemy import bindparam, func, select

from services.domain.states import Standing, TickCause, TickState
from services.store import sql
from services.store.sql import Row, rows
from services.store.tables import agent, cron_job, cron_tick
from services.store.tx import Tx

ABANDONED = "the process that had claimed this tick ended before the job did"


BY_THE_TABLE = (TickCause.CLOCK, TickCause.CATCH_UP)
"""Why ticks of the table's own instants run; others run in between."""

LAST_DUE = select(func.max(cron_tick.c.due_at_us)).where(
    cron_tick.c.job == bindparam("job_name"), cron_tick.c.trigger.in_(BY_THE_TABLE)
)
LAST_DUES = (
    select(cron_tick.c.job, func.max(cron_tick.c.due_at_us).label("due_at_us"))
    .where(cron_tick.c.trigger.in_(BY_THE_TABLE))
    .group_by(cron_tick.c.job)
)
NEXT_FREE = select(func.max(cron_tick.c.due_at_us)).where(
    cron_tick.c.job == bindparam("job_name"), cron_tick.c.due_at_us >= bindparam("from_us")
)
LAST_RUN = select(func.max(cron_tick.c.started_at_us)).where(
    cron_tick.c.job == bindparam("job_name"),
    cron_tick.c.state.not_in((TickState.MISSED, TickState.SKIPPED)),
)
RUNNING_TICKS = select(
    cron_tick.c.id,
    cron_tick.c.job,
    cron_tick.c.due_at_us,
    cron_tick.c.trigger,
    cron_tick.c.budget_us,
    cron_tick.c.started_at_us,
).where(cron_tick.c.ended_at_us.is_(None), cron_tick.c.started_at_us < bindparam("started_before_us"))
RUN_SINCE = select(func.count()).where(
    cron_tick.c.job == bindparam("job_name"),
    cron_tick.c.id > bindparam("tick_id"),
    cron_tick.c.state.in_((TickState.RUNNING, TickState.DONE)),
)
ASKED = select(cron_job).where(cron_job.c.run_asked_at_us.is_not(None)).order_by(cron_job.c.run_asked_at_us)
CLOSE_ABANDONED = (
    cron_tick.update()
    .where(
        cron_tick.c.job == bindparam("job_name"),
        cron_tick.c.state == TickState.RUNNING,
        cron_tick.c.started_at_us < bindparam("started_before_us"),
    )
    .values(state=TickState.FAILED, ended_at_us=bindparam("now_us"), error=ABANDONED)
)


def activity(tx: Tx, active_since_us: int) -> dict[str, int]:
    """Return how many agents are active, silent and suspended."""
    statement = select(agent.c.standing, agent.c.last_active_at_us)
    found = rows(tx, statement)
    suspended = sum(row["standing"] == Standing.SUSPENDED for row in found)
    active = sum(row["last_active_at_us"] >= active_since_us for row in found)
    return {"active": active, "silent": len(found) - active, "suspended": suspended}


def last_due(tx: Tx, job: str) -> int | None:
    """Return the newest due instant of a job that has a tick, or None before its first."""
    found: int | None = sql.value(tx, LAST_DUE, job_name=job)
    return found


def last_dues(tx: Tx) -> dict[str, int]:
    """Return the newest due instant of every job that ever had a tick by its table."""
    return {row["job"]: row["due_at_us"] for row in sql.listed(tx, LAST_DUES)}


def last_run(tx: Tx, job: str) -> int | None:
    """Return when a job was last begun, however it ended; None when it never was."""
    found: int | None = sql.value(tx, LAST_RUN, job_name=job)
    return found


def free_instant(tx: Tx, job: str, from_us: int) -> int:
    """Return an instant from `from_us` on at which a job has no tick yet, after all it has there."""
    newest: int | None = sql.value(tx, NEXT_FREE, job_name=job, from_us=from_us)
    return from_us if newest is None else newest + 1


def running_ticks(tx: Tx, started_before_us: int) -> list[Row]:
    """Return the ticks that began before an instant and have not ended."""
    return sql.listed(tx, RUNNING_TICKS, started_before_us=started_before_us)


def was_run_since(tx: Tx, job: str, tick_id: int) -> bool:
    """Tell whether a job ran well, or runs, in a tick that was claimed after this one."""
    return bool(sql.value(tx, RUN_SINCE, job_name=job, tick_id=tick_id))


def asked_runs(tx: Tx) -> list[Row]:
    """Return what operators asked to be run and nobody has taken up, the oldest first."""
    return sql.listed(tx, ASKED)


def close_abandoned_ticks(tx: Tx, job: str, started_before_us: int) -> int:
    """Mark ticks of a job that began before and never ended as failed; return how many."""
    return sql.change(
        tx, CLOSE_ABANDONED, job_name=job, started_before_us=started_before_us, now_us=tx.now_us
    )
