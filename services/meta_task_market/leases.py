"""Leases: the winner takes the task under a fencing token and a time allowed; silence gives it back.

Stands in layer 4 between the award and the result. The time allowed is the value in force for this task (its
arm), and it is enforced here, whatever the agent does. It never judges a result.
"""

from dataclasses import dataclass

from services.domain.clock import seconds
from services.domain.errors import ConflictError, ForbiddenError
from services.domain.states import AttemptState, EndReason, TaskState
from services.meta_task_market import posting, settlement
from services.operations import production_config
from services.store import market, sql, tables
from services.store.sql import Row
from services.store.tx import Tx

BATCH = 200


@dataclass(frozen=True, slots=True)
class Lease:
    """What the holder of a lease may do, until when, and under which values."""

    task_type: str
    fencing_token: int
    expires_at_us: int
    timeout_seconds: float
    parameters: dict[str, dict[str, object]]
    payload: dict[str, object]


def take_lease(tx: Tx, *, agent_id: int, task_id: int) -> Lease:
    """Start work on an award: a new fencing token, and the time allowed starts to run.

    Raises ForbiddenError when the award is somebody else's, ConflictError when the task does not wait for it
    or its deadline has passed.
    """
    task = posting.get_task(tx, task_id, lock=True)
    if task["state"] != TaskState.AWARDED:
        msg = f"task {task_id} is {task['state']}; a lease is taken on an awarded task"
        raise ConflictError(msg, field="task_id", state=task["state"])
    if task["awarded_agent_id"] != agent_id:
        msg = f"task {task_id} was awarded to another agent"
        raise ForbiddenError(msg, field="task_id")
    if task["deadline_at_us"] <= tx.now_us:
        msg = f"the deadline of task {task_id} has passed"
        raise ConflictError(msg, field="task_id", code="deadline_passed", state=task["state"])
    values: dict[str, dict[str, object]] = task["effective_values"]
    timeout_seconds = float(str(values[f"{task['type']}.timeout_seconds"]["value"]))
    expires_at_us = tx.now_us + seconds(timeout_seconds)
    token = sql.insert(
        tx,
        tables.attempt,
        task_id=task_id,
        agent_id=agent_id,
        number=task["attempt_count"],
        state=AttemptState.LEASED,
        leased_at_us=tx.now_us,
        expires_at_us=expires_at_us,
        heartbeat_at_us=tx.now_us,
    )
    sql.update(tx, tables.task, {"id": task_id, "state": TaskState.AWARDED}, state=TaskState.LEASED)
    return Lease(task["type"], token, expires_at_us, timeout_seconds, values, task["public"])


def heartbeat(tx: Tx, *, agent_id: int, task_id: int, fencing_token: int) -> int:
    """Record that the holder is alive and return when the lease expires (heartbeats do not move that).

    Raises ConflictError when the token is not that of a live lease of this agent.
    """
    where = {"id": fencing_token, "task_id": task_id, "agent_id": agent_id, "state": AttemptState.LEASED}
    if not sql.update(tx, tables.attempt, where, heartbeat_at_us=tx.now_us):
        msg = f"token {fencing_token} holds no lease of task {task_id} for this agent"
        raise ConflictError(msg, field="body.fencing_token", code="lease_lost")
    attempt = sql.find(tx, tables.attempt, id=fencing_token)
    assert attempt is not None  # noqa: S101 (updated just above)
    return int(attempt["expires_at_us"])


def expire_due(tx: Tx) -> dict[str, int]:
    """Take back what fell silent: leases past their time, unclaimed awards, tasks past their deadline."""
    grace_us = seconds(production_config.number(tx, "market.lease_grace_seconds"))
    start_us = seconds(production_config.number(tx, "market.start_window_seconds"))
    lapsed = market.expired_leases(tx, grace_us, BATCH)
    unclaimed = market.unclaimed_awards(tx, start_us, BATCH)
    taken_back = {task["id"] for task in unclaimed}
    late = [task for task in market.past_deadline(tx, BATCH) if task["id"] not in taken_back]
    for attempt in lapsed:
        _lapse(tx, attempt)
    for task in unclaimed:
        _note_unclaimed(tx, task)
        _try_again_or_fail(tx, task)
    for task in late:
        state = TaskState.EXPIRED if task["state"] == TaskState.BIDDING else TaskState.FAILED
        settlement.end_unpaid(tx, task, state, EndReason.DEADLINE_PASSED, is_stake_lost=False)
    return {"lapsed": len(lapsed), "unclaimed": len(unclaimed), "late": len(late)}


def _lapse(tx: Tx, attempt: Row) -> None:
    task = posting.get_task(tx, attempt["task_id"], lock=True)
    where = {"id": attempt["id"], "state": AttemptState.LEASED}
    if sql.update(
        tx,
        tables.attempt,
        where,
        state=AttemptState.LAPSED,
        ended_at_us=tx.now_us,
        reason=EndReason.LEASE_LAPSED,
    ):
        _try_again_or_fail(tx, task)


def _note_unclaimed(tx: Tx, task: Row) -> None:
    """Record the award nobody claimed as a lapsed attempt, so that the same agent is not asked again."""
    sql.insert(
        tx,
        tables.attempt,
        task_id=task["id"],
        agent_id=task["awarded_agent_id"],
        number=task["attempt_count"],
        state=AttemptState.LAPSED,
        leased_at_us=task["awarded_at_us"],
        expires_at_us=tx.now_us,
        heartbeat_at_us=task["awarded_at_us"],
        ended_at_us=tx.now_us,
        reason=EndReason.LEASE_LAPSED,
    )


def _try_again_or_fail(tx: Tx, task: Row) -> None:
    """Hand the task to the next-best bid while attempts and time remain; its arm stays what it was."""
    settlement.lose_stake(tx, task)
    settlement.record_outcome(tx, task["awarded_agent_id"], task["type"], is_verified=False)
    if task["attempt_count"] >= task["maximum_attempts"] or tx.now_us >= task["deadline_at_us"]:
        settlement.end_unpaid(tx, task, TaskState.FAILED, EndReason.LEASE_LAPSED, is_stake_lost=None)
        return
    sql.update(
        tx,
        tables.task,
        {"id": task["id"], "state": (TaskState.AWARDED, TaskState.LEASED)},
        state=TaskState.BIDDING,
        awarded_agent_id=None,
        bids_close_at_us=tx.now_us,
    )
