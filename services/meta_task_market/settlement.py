"""Settlement: what the platform's verifier found decides pay, stake, record and standing, once.

Stands at the end of a task's life in layer 4. Success is only what was verified. It never verifies by itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.domain.events import Event, EventType
from services.domain.states import (
    TASK_ENDS,
    AttemptState,
    EndReason,
    OutcomeKind,
    TaskKind,
    TaskState,
)
from services.event_bus import publish
from services.meta_task_market.ending import Endings, stake_of
from services.meta_task_market.rules import rules_now
from services.store import market, sql, tables
from services.store.sql import Row
from services.store.tx import Tx


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the platform's verifier found about one attempt."""

    attempt_id: int
    is_verified: bool
    verification: Mapping[str, object]


def settle(tx: Tx, attempt_id: int, *, is_verified: bool, verification: Mapping[str, object]) -> bool:
    """Settle a submitted attempt by the verifier's word; tell whether it was this call that settled it."""
    return settle_all(tx, [Verdict(attempt_id, is_verified, verification)])[0]


def settle_all(tx: Tx, verdicts: Sequence[Verdict]) -> list[bool]:
    """Settle submitted attempts; tell of each whether it was this call that settled it."""
    asked = market.attempts(tx, {verdict.attempt_id for verdict in verdicts})
    tasks = market.locked_tasks(tx, {row["task_id"] for row in asked.values()})
    attempts = market.attempts(tx, asked) if tx.is_postgresql else asked
    answers: list[bool] = []
    settled: dict[int, Verdict] = {}
    for verdict in verdicts:
        attempt = attempts.get(verdict.attempt_id)
        is_waiting = attempt is not None and attempt["state"] == AttemptState.SUBMITTED
        answers.append(is_waiting and verdict.attempt_id not in settled)
        if answers[-1]:
            settled[verdict.attempt_id] = verdict
    if settled:
        _settle(tx, settled, attempts, tasks)
    return answers


def _settle(
    tx: Tx, verdicts: Mapping[int, Verdict], attempts: Mapping[int, Row], tasks: Mapping[int, Row]
) -> None:
    _write_verdicts(tx, list(verdicts.values()))
    concerned = [tasks[attempts[number]["task_id"]] for number in verdicts]
    agents = {attempts[number]["agent_id"] for number in verdicts}
    endings = Endings(tx, rules_now(tx, (task["type"] for task in concerned)), concerned, paid_to=agents)
    for verdict, task in zip(verdicts.values(), concerned, strict=True):
        attempt = attempts[verdict.attempt_id]
        endings.note_outcome(
            task,
            attempt["agent_id"],
            OutcomeKind.VERIFIED if verdict.is_verified else OutcomeKind.FAILED,
            confidence_percent=attempt["confidence_percent"],
        )
        if verdict.is_verified:
            endings.pay(task, attempt["agent_id"], attempt["price_microcredits"])
        else:
            is_meta = task["kind"] == TaskKind.META
            reason = EndReason.NOT_SUPPORTED if is_meta else EndReason.VERIFICATION_FAILED
            endings.come_to_nothing(task, reason, is_silent=False)
    endings.write()


def _write_verdicts(tx: Tx, verdicts: Sequence[Verdict]) -> None:
    rows = [
        {
            "id": verdict.attempt_id,
            "state": AttemptState.VERIFIED if verdict.is_verified else AttemptState.FAILED,
            "ended_at_us": tx.now_us,
            "verification": dict(verdict.verification),
            "reason": EndReason.VERIFIED if verdict.is_verified else EndReason.VERIFICATION_FAILED,
        }
        for verdict in verdicts
    ]
    sql.update_many(tx, tables.attempt, ("id",), rows, {"state": AttemptState.SUBMITTED})


def close_investigation(tx: Tx, task_id: int, *, is_supported: bool, reason: str) -> None:
    """End a meta-task when its lap has been decided: paid if what it found stood up, else not.

    A meta-task whose result is not in yet is taken back; one that has ended already stays as it is.
    """
    task = market.locked_tasks(tx, [task_id]).get(task_id)
    if task is None or task["state"] in TASK_ENDS:
        return
    attempt = market.live_attempts(tx, [task_id]).get(task_id)
    if attempt is None or attempt["state"] != AttemptState.SUBMITTED:
        endings = Endings(tx, rules_now(tx, (task["type"],)), [task])
        endings.end(task, TaskState.CANCELLED, EndReason.CANCELLED, stake=stake_of(task))
        endings.write()
    else:
        settle(tx, attempt["id"], is_verified=is_supported, verification={"reason": reason})
    facts = {"task_id": task_id, "is_supported": is_supported, "reason": reason}
    publish(tx.in_lap(task["lap_id"]), Event(EventType.INVESTIGATION_CLOSED, f"task:{task_id}", facts))
