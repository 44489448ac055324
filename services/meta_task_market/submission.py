"""Handing in: a result is taken once, from the holder of the current fencing token, within the time allowed.

Stands in layer 4 between the lease and the settlement. A late or foreign completion is refused and kept for
the operator to see. It never believes a result: `completed` only asks the platform to verify.
"""

from enum import StrEnum

from services.domain.clock import seconds
from services.domain.errors import InvalidValueError, StaleTokenError
from services.domain.events import Event, EventType
from services.domain.handoff import Handoff
from services.domain.states import AttemptState, EndReason, TaskState
from services.event_bus import publish
from services.meta_task_market import posting, settlement
from services.operations import production_config
from services.store import sql, tables
from services.store.sql import Row
from services.store.tx import Tx

REPORTABLE = (EndReason.TIMED_OUT, EndReason.AGENT_ERROR)


class SubmittedOutcome(StrEnum):
    """What the agent says of its own work."""

    COMPLETED = "completed"
    """Please verify this."""
    FAILED = "failed"
    """I could not, and why."""


def submit_result(
    tx: Tx,
    *,
    agent_id: int,
    task_id: int,
    fencing_token: int,
    outcome: SubmittedOutcome,
    failure_reason: EndReason | None,
    handoff: Handoff,
) -> TaskState:
    """Take a result and return the task's new state.

    Raises StaleTokenError when the token is not the current one or the time allowed (with its grace) has
    passed: the caller then keeps it with `keep_late_result` in a transaction of its own.
    """
    task = posting.get_task(tx, task_id, lock=True)
    attempt = _current_attempt(tx, task, agent_id, fencing_token)
    duration_us = tx.now_us - attempt["leased_at_us"]
    if outcome is SubmittedOutcome.FAILED:
        if failure_reason not in REPORTABLE:
            msg = f"a failed result needs failure_reason, one of {[str(reason) for reason in REPORTABLE]}"
            raise InvalidValueError(msg, field="body.failure_reason")
        _store(tx, attempt, AttemptState.FAILED, handoff, failure_reason)
        sql.update(tx, tables.task, {"id": task_id}, duration_us=duration_us)
        settlement.record_outcome(tx, agent_id, task["type"], is_verified=False)
        settlement.end_unpaid(tx, task, TaskState.FAILED, failure_reason, is_stake_lost=True)
        return TaskState.FAILED
    _store(tx, attempt, AttemptState.SUBMITTED, handoff, None)
    where = {"id": task_id, "state": TaskState.LEASED}
    sql.update(tx, tables.task, where, state=TaskState.SUBMITTED, duration_us=duration_us)
    facts = {"task_id": task_id, "attempt_id": fencing_token, "kind": task["kind"]}
    publish(tx.in_lap(task["lap_id"]), Event(EventType.RESULT_SUBMITTED, f"task:{task_id}", facts))
    return TaskState.SUBMITTED


def keep_late_result(
    tx: Tx, *, agent_id: int, task_id: int, fencing_token: int, handoff: Handoff, reason: str
) -> int:
    """Keep a refused result for the operator and return its id."""
    return sql.insert(
        tx,
        tables.late_result,
        task_id=task_id,
        agent_id=agent_id,
        fencing_token=fencing_token,
        handoff=handoff.to_payload(),
        reason=reason[:64],
        received_at_us=tx.now_us,
    )


def _current_attempt(tx: Tx, task: Row, agent_id: int, fencing_token: int) -> Row:
    attempt = sql.find(tx, tables.attempt, id=fencing_token, task_id=task["id"], agent_id=agent_id)
    if attempt is None or attempt["state"] != AttemptState.LEASED or task["state"] != TaskState.LEASED:
        state = task["state"] if attempt is None else attempt["state"]
        msg = f"token {fencing_token} is not the current lease of task {task['id']} (it is {state})"
        raise StaleTokenError(msg, field="body.fencing_token", state=state)
    grace_us = seconds(production_config.number(tx, "market.lease_grace_seconds"))
    if tx.now_us > attempt["expires_at_us"] + grace_us:
        late_seconds = (tx.now_us - attempt["expires_at_us"]) / 1e6
        msg = f"the time allowed for task {task['id']} passed {late_seconds:.3f} s ago"
        raise StaleTokenError(msg, field="body.fencing_token", state=attempt["state"])
    return attempt


def _store(tx: Tx, attempt: Row, state: AttemptState, handoff: Handoff, reason: EndReason | None) -> None:
    where = {"id": attempt["id"], "state": AttemptState.LEASED}
    ended = None if state is AttemptState.SUBMITTED else tx.now_us
    sql.update(
        tx,
        tables.attempt,
        where,
        state=state,
        submitted_at_us=tx.now_us,
        ended_at_us=ended,
        handoff=handoff.to_payload(),
        reason=reason,
    )
