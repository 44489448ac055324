"""Layer 3, the cron runner: each tick claimed in the database, run within its budget, kept as history.

Runs the table in `cron_registry.py` with APScheduler's triggers. A tick is a row (job, due instant) that one
process can insert; whoever inserts it runs it, so a tick fires once across all processes. A job runs in one
transaction that ends at its budget. Due jobs run in the order of their priority. It knows no job by name and
hands every job the context it was given.
"""

import logging
from collections.abc import Mapping
from typing import TypeVar

from services.cron_runner.jobs import CronJob
from services.domain.clock import MINUTE_US, seconds, to_rfc3339
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
