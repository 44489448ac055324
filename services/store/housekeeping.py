"""Queries of the platform's own jobs: silent agents, patterns of a day, old rows that may go.

Stands under the cron jobs. It never touches tasks, money or the ledger.
"""

from sqlalchemy import ScalarSelect, Table, and_, bindparam, delete, exists, func, select

from services.domain.states import DeliveryState, Standing, TaskKind, TickState
from services.store import sql
from services.store.sql import Row, rows
from services.store.tables import agent, cron_tick, delivery, event, idempotency, task
from services.store.tx import Tx

ABANDONED = "the process that had claimed this tick ended before the job did"


LAST_DUE = select(func.max(cron_tick.c.due_at_us)).where(cron_tick.c.job == bindparam("job_name"))
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


def patterns(tx: Tx, start_us: int, end_us: int) -> list[Row]:
    """Return counts and mean durations of ended user tasks by type, agent and end reason."""
    statement = (
        select(
            task.c.type,
            task.c.awarded_agent_id,
            task.c.end_reason,
            func.count().label("tasks"),
            func.avg(task.c.duration_us).label("mean_duration_us"),
        )
        .where(task.c.kind == TaskKind.USER, task.c.ended_at_us > start_us, task.c.ended_at_us <= end_us)
        .group_by(task.c.type, task.c.awarded_agent_id, task.c.end_reason)
        .order_by(func.count().desc(), task.c.type)
    )
    return rows(tx, statement)


def last_due(tx: Tx, job: str) -> int | None:
    """Return the newest due instant of a job that has a tick, or None before its first."""
    found: int | None = sql.value(tx, LAST_DUE, job_name=job)
    return found


def close_abandoned_ticks(tx: Tx, job: str, started_before_us: int) -> int:
    """Mark ticks of a job that began before and never ended as failed; return how many."""
    return sql.change(
        tx, CLOSE_ABANDONED, job_name=job, started_before_us=started_before_us, now_us=tx.now_us
    )


def prune(tx: Tx, *, ticks_before_us: int, keys_before_us: int, events_before_us: int) -> dict[str, int]:
    """Delete old ended ticks, idempotency keys, and events that were delivered to all; return how many.

    The newest tick, delivery and event stay, so that no id is ever given twice (see `sql.reserve_ids`).
    """
    ticks = delete(cron_tick).where(
        cron_tick.c.due_at_us < ticks_before_us,
        cron_tick.c.state != TickState.RUNNING,
        cron_tick.c.id < _newest(cron_tick),
    )
    keys = delete(idempotency).where(idempotency.c.created_at_us < keys_before_us)
    deliveries = delete(delivery).where(
        delivery.c.state == DeliveryState.DELIVERED,
        delivery.c.delivered_at_us < events_before_us,
        delivery.c.id < _newest(delivery),
    )
    is_wanted = exists().where(delivery.c.event_id == event.c.id)
    is_old = and_(event.c.published_at_us < events_before_us, event.c.id < _newest(event))
    events = delete(event).where(is_old, ~is_wanted)
    return {
        "ticks": tx.connection.execute(ticks).rowcount,
        "idempotency_keys": tx.connection.execute(keys).rowcount,
        "deliveries": tx.connection.execute(deliveries).rowcount,
        "events": tx.connection.execute(events).rowcount,
    }


def _newest(table: Table) -> ScalarSelect[int]:
    return select(func.max(table.c.id)).scalar_subquery()
