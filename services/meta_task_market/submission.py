"""Handing in: a result is taken once, from the holder of the current fencing token, within the time allowed.

Stands in layer 4 between the lease and the settlement. A late or foreign completion is refused and kept for
the operator to see. It never believes a result: `completed` only asks the platform to verify.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from services.domain.errors import InvalidValueError, NacreError, NotFoundError, StaleTokenError
from services.domain.events import Event, EventType
from services.domain.handoff import Handoff
from services.domain.states import AttemptState, EndReason, OutcomeKind, TaskState
from services.event_bus import publish_all
from services.meta_task_market.ending import Endings
from services.meta_task_market.rules import only, rules_now
from services.store import market, sql, tables
from services.store.sql import Row
from services.store.tx import Tx

REPORTABLE = (EndReason.TIMED_OUT, EndReason.AGENT_ERROR)


class SubmittedOutcome(StrEnum):
    """What the agent says of its own work."""

    COMPLETED = "completed"
    """Please verify this."""
    FAILED = "failed"
    """I could not, and why."""


@dataclass(frozen=True, slots=True)
class NewResult:
    """A result as its agent hands it in; `failure_reason` belongs to a failed one."""

    agent_id: int
    task_id: int
    fencing_token: int
    outcome: SubmittedOutcome
    failure_reason: EndReason | None
    handoff: Handoff


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
    result = NewResult(agent_id, task_id, fencing_token, outcome, failure_reason, handoff)
    return only(submit_results(tx, [result]))


def submit_results(tx: Tx, results: Sequence[NewResult]) -> list[TaskState | NacreError]:
    """Take results; answer each with its task's new state or its refusal."""
    tasks = market.locked_tasks(tx, {result.task_id for result in results})
    attempts = market.attempts(tx, {result.fencing_token for result in results})
    grace_us = rules_now(tx).microseconds("lease_grace")
    answers: list[TaskState | NacreError] = []
    taken: dict[int, NewResult] = {}
    for result in results:
        refusal = refusal_of(
            result,
            tasks.get(result.task_id),
            attempts.get(result.fencing_token),
            now_us=tx.now_us,
            grace_us=grace_us,
            is_taken=result.fencing_token in taken,
        )
        is_failed = result.outcome is SubmittedOutcome.FAILED
        answers.append(refusal or (TaskState.FAILED if is_failed else TaskState.SUBMITTED))
        if refusal is None:
            taken[result.fencing_token] = result
    _store(tx, list(taken.values()), tasks, attempts)
    again = _end_failed(tx, [taken[key] for key in sorted(taken)], tasks, attempts)
    return [
        TaskState.BIDDING if result.task_id in again and answer is TaskState.FAILED else answer
        for result, answer in zip(results, answers, strict=True)
    ]


def refusal_of(
    result: NewResult, task: Row | None, attempt: Row | None, *, now_us: int, grace_us: int, is_taken: bool
) -> NacreError | None:
    """Return why a result cannot be taken, or None."""
    if task is None:
        return NotFoundError(f"there is no task {result.task_id}", field="task_id")
    is_own = attempt is not None and (
        (attempt["task_id"], attempt["agent_id"]) == (result.task_id, result.agent_id)
    )
    if attempt is None or not is_own or is_taken or attempt["state"] != AttemptState.LEASED:
        state = attempt["state"] if attempt is not None and is_own else task["state"]
        msg = f"token {result.fencing_token} is not the current lease of task {task['id']} (it is {state})"
        return StaleTokenError(msg, field="body.fencing_token", state=state)
    if now_us > attempt["allowed_until_us"] + grace_us:
        late_seconds = (now_us - attempt["allowed_until_us"]) / 1e6
        msg = f"the time allowed for task {task['id']} passed {late_seconds:.3f} s ago"
        return StaleTokenError(msg, field="body.fencing_token", state=attempt["state"])
    if result.outcome is SubmittedOutcome.FAILED and result.failure_reason not in REPORTABLE:
        msg = f"a failed result needs failure_reason, one of {[str(reason) for reason in REPORTABLE]}"
        return InvalidValueError(msg, field="body.failure_reason")
    return None


def _store(tx: Tx, results: Sequence[NewResult], tasks: dict[int, Row], attempts: dict[int, Row]) -> None:
    """Write what was handed in; what is said to be complete waits for the verifier."""
    rows, changes, events = [], [], []
    for result in results:
        is_failed = result.outcome is SubmittedOutcome.FAILED
        attempt = attempts[result.fencing_token]
        rows.append(
            {
                "id": result.fencing_token,
                "state": AttemptState.FAILED if is_failed else AttemptState.SUBMITTED,
                "submitted_at_us": tx.now_us,
                "ended_at_us": tx.now_us if is_failed else None,
                "handoff": result.handoff.to_payload(),
                "reason": result.failure_reason if is_failed else None,
            }
        )
        changes.append(
            {
                "id": result.task_id,
                "state": TaskState.LEASED if is_failed else TaskState.SUBMITTED,
                "duration_us": tx.now_us - attempt["leased_at_us"],
            }
        )
        if not is_failed:
            task = tasks[result.task_id]
            facts = {
                "task_id": result.task_id,
                "attempt_id": result.fencing_token,
                "kind": task["kind"],
            }
            actor = f"agent:{result.agent_id}"
            event = Event(EventType.RESULT_SUBMITTED, f"task:{result.task_id}", facts, actor)
            events.append((task["lap_id"], event))
    sql.update_many(tx, tables.attempt, ("id",), rows, {"state": AttemptState.LEASED})
    sql.update_many(tx, tables.task, ("id",), changes, {"state": TaskState.LEASED})
    publish_all(tx, events)


def _end_failed(
    tx: Tx, results: Sequence[NewResult], tasks: dict[int, Row], attempts: dict[int, Row]
) -> set[int]:
    """Take back what its agents could not do; return the tasks that go to their next-best bid."""
    failed = [result for result in results if result.outcome is SubmittedOutcome.FAILED]
    if not failed:
        return set()
    concerned = [tasks[result.task_id] for result in failed]
    endings = Endings(tx, rules_now(tx, (task["type"] for task in concerned)), concerned)
    again = set()
    for result, task in zip(failed, concerned, strict=True):
        assert result.failure_reason is not None  # noqa: S101 (a failed result without one was refused)
        endings.note_outcome(
            task,
            result.agent_id,
            OutcomeKind.FAILED,
            confidence_percent=attempts[result.fencing_token]["confidence_percent"],
        )
        if endings.come_to_nothing(task, result.failure_reason, is_silent=False):
            again.add(task["id"])
    endings.write()
    return again


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
