"""One tick: claimed, run within its budget, and its end recorded in the transaction that it ends.

Stands in the cron runner (L3) over claims and attempts. A job's last transaction moves its tick to DONE, so
that what it did and that it did it exist together or not at all, whatever dies in between; a tick that was
closed meanwhile lets nothing of its job be committed. It never says when a tick is due.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, TypeVar

from services.cron_runner import claims
from services.cron_runner.attempts import Attempt
from services.cron_runner.claims import Claim, JobRunningError, actor_of
from services.cron_runner.jobs import CronJob
from services.domain.clock import seconds
from services.domain.errors import BudgetExceededError, ConflictError
from services.domain.priority import Misfire
from services.domain.states import TickCause, TickState
from services.event_bus import failure_text
from services.operations.measuring import note_tick
from services.store import sql, tables
from services.store.turns import RunTurn
from services.store.tx import Store, Tx

MOMENT_SECONDS: Final = 0.25
AGAIN_SECONDS: Final = 0.01
"""So long, and so often, the turn of a job is tried before its tick is left for later."""

log = logging.getLogger(__name__)

ContextT = TypeVar("ContextT")
ClaimT = TypeVar("ClaimT", bound=Claim | None)
Result = Mapping[str, object]


def run_tick(
    store: Store,
    context: ContextT,
    job: CronJob[ContextT],
    due_at_us: int,
    process: str,
    *,
    health_points: int | None = None,
) -> TickState | None:
    """Claim and run one tick; return how it ended, or None when another process has it.

    A job that catches up runs what it missed before. `health_points` (0 to 100) say how well the platform
    is, None that nobody knows; they change the tick's priority and may hold it back. While another run of the
    job is under way in any process, nothing is claimed and JobRunningError is raised: try again later.
    """
    if job.misfire is Misfire.CATCH_UP:
        for missed_us in claims.missed_before(store, job, due_at_us):
            _claim_and_fire(store, context, job, missed_us, process, TickCause.CATCH_UP, health_points)
    return _claim_and_fire(store, context, job, due_at_us, process, TickCause.CLOCK, health_points)


def run_asked(store: Store, context: ContextT, job: CronJob[ContextT], process: str) -> TickState | None:
    """Run a job that an operator asked for; None when nobody asks, or another process has it.

    While another run of it is under way JobRunningError is raised, and it stays asked for.
    """
    with _claimed(store, job.name, partial(claims.claim_asked, store, job, process)) as claim:
        return None if claim is None else fire(store, context, job, claim)


def run_here(
    store: Store, context: ContextT, job: CronJob[ContextT], process: str, *, operator: str, reason: str
) -> tuple[int, TickState]:
    """Run a job in this process because an operator says so; return the tick's id and how it ended.

    Raises JobRunningError, with the tick and its process, while another run of it is under way.
    """
    act = partial(claims.claim_here, store, job, process, operator=operator, reason=reason)
    with _claimed(store, job.name, act) as claim:
        return claim.tick_id, fire(store, context, job, claim)


def run_lost(
    store: Store, context: ContextT, job: CronJob[ContextT] | None, tick: sql.Row, process: str
) -> TickState | None:
    """Close a tick whose process died (one of `claims.lost`) and run it once more if its job asks for it."""
    with _claimed(store, tick["job"], partial(claims.take_over, store, job, tick, process)) as claim:
        return None if claim is None or job is None else fire(store, context, job, claim)


def _claim_and_fire(
    store: Store,
    context: ContextT,
    job: CronJob[ContextT],
    due_at_us: int,
    process: str,
    cause: TickCause,
    health_points: int | None,
) -> TickState | None:
    act = partial(claims.claim, store, job, due_at_us, process, cause, health_points)
    with _claimed(store, job.name, act) as claim:
        if claim is None or claim.state is not TickState.RUNNING:
            return None if claim is None else claim.state
        return fire(store, context, job, claim)


@contextmanager
def _claimed(store: Store, name: str, act: Callable[[RunTurn], ClaimT]) -> Iterator[ClaimT]:
    """Yield what was claimed with the turn of a job, and keep the turn until the block ends.

    Another run that is just ending is waited for a moment; a longer one is a JobRunningError.
    """
    with RunTurn(store.engine, name) as turn:
        yield _within_a_moment(partial(act, turn))


def _within_a_moment(act: Callable[[], ClaimT]) -> ClaimT:
    ends_at_seconds = time.monotonic() + MOMENT_SECONDS
    while True:
        try:
            return act()
        except JobRunningError:
            if time.monotonic() >= ends_at_seconds:
                raise
        time.sleep(AGAIN_SECONDS)


def fire(store: Store, context: ContextT, job: CronJob[ContextT], claim: Claim) -> TickState:
    """Run a tick that this process has claimed; return how it ended."""
    try:
        if store.keeps_real_time:
            budget_us = seconds(job.budget_seconds)
            Attempt(store, job.name, budget_us, partial(_run, store, context, job, claim)).run()
        else:
            _run(store, context, job, claim, None)
    except BudgetExceededError as error:
        return _close(store, job, claim, TickState.OVERRUN, error.detail)
    except Exception as error:  # noqa: BLE001 (named edge: cron run)
        return _close(store, job, claim, TickState.FAILED, failure_text(error))
    return TickState.DONE


def _run(
    store: Store, context: ContextT, job: CronJob[ContextT], claim: Claim, attempt: Attempt | None
) -> Result:
    """Run a job within its budget; one that is repeated goes on, each time in a transaction of its own.

    It ends when nothing was done, or when half of the budget is used: what was committed stays, the rest is
    the next tick's.
    """
    budget_us = seconds(job.budget_seconds)
    ends_us = store.clock.now_us() + budget_us
    total: dict[str, object] = {}
    while True:
        remaining_us = ends_us - store.clock.now_us()
        hold = None if attempt is None else attempt.hold(remaining_us)
        with store.write(actor=actor_of(job), budget_us=remaining_us, hold=hold) as tx:
            result = job.does(tx, context) if attempt is None else _called(attempt, job, tx, context)
            if job.is_repeated:
                for name, count in result.items():
                    total[name] = int(str(total.get(name, 0))) + int(str(count))
            is_last = not job.is_repeated or not any(result.values())
            is_last = is_last or ends_us - store.clock.now_us() < budget_us // 2
            ended = dict(total if job.is_repeated else result)
            _keep(tx, store, job, claim, ended if is_last else None)
        if is_last:
            return ended


def _called(attempt: Attempt, job: CronJob[Any], tx: Tx, context: object) -> Result:
    return attempt.call(lambda: job.does(tx, context))


def _keep(tx: Tx, store: Store, job: CronJob[Any], claim: Claim, ended: dict[str, object] | None) -> None:
    """End the tick with the result, in the job's own transaction; raise ConflictError if it was closed."""
    where = {"id": claim.tick_id, "state": TickState.RUNNING}
    if ended is None:
        is_ours = sql.find(tx, tables.cron_tick, lock=True, **where) is not None
    else:
        ended_us = store.clock.now_us()
        values = {"state": TickState.DONE, "ended_at_us": ended_us, "result": ended}
        is_ours = sql.update(tx, tables.cron_tick, where, **values) == 1
        note_tick(tx, job.name, is_on_time=True, at_us=ended_us)
    if not is_ours:
        msg = "this tick was closed while it ran; nothing of it is kept"
        raise ConflictError(msg)


def _close(store: Store, job: CronJob[Any], claim: Claim, state: TickState, error_text: str) -> TickState:
    """Record that a tick did not end well, unless it did: an error may have come after its commit."""
    log.warning("job %s: %s: %s", job.name, state, error_text)
    with store.write(actor=actor_of(job)) as tx:
        where = {"id": claim.tick_id, "state": TickState.RUNNING}
        values = {"state": state, "ended_at_us": tx.now_us, "error": error_text}
        if sql.update(tx, tables.cron_tick, where, **values):
            note_tick(tx, job.name, is_on_time=False)
            return state
        found = sql.find(tx, tables.cron_tick, id=claim.tick_id)
        return state if found is None else TickState(found["state"])
