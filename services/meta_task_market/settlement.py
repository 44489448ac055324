"""Settlement: what the platform's verifier found decides pay, stake, record and standing, once.

Stands at the end of a task's life in layer 4. Success is only what was verified; every way a task can end
goes through here, returns its money and says TaskEnded. It never verifies by itself.
"""

from collections.abc import Mapping

from services.domain.events import Event, EventType
from services.domain.ledger_schema import EntryType
from services.domain.reputation import Record, fold_log_e, next_standing
from services.domain.states import AttemptState, EndReason, Standing, TaskKind, TaskState
from services.event_bus import publish
from services.operations import accounts, audit_log, review_queue
from services.store import sql, tables
from services.store.sql import Row
from services.store.tx import Tx


def settle(tx: Tx, attempt_id: int, *, is_verified: bool, verification: Mapping[str, object]) -> bool:
    """Settle a submitted attempt by the verifier's word; tell whether it was this call that settled it."""
    attempt = sql.find(tx, tables.attempt, id=attempt_id)
    if attempt is None:
        return False
    task = sql.find(tx, tables.task, lock=True, id=attempt["task_id"])
    assert task is not None  # noqa: S101 (a foreign key guarantees it)
    state = AttemptState.VERIFIED if is_verified else AttemptState.FAILED
    changed = sql.update(
        tx,
        tables.attempt,
        {"id": attempt_id, "state": AttemptState.SUBMITTED},
        state=state,
        ended_at_us=tx.now_us,
        verification=dict(verification),
        reason=EndReason.VERIFIED if is_verified else EndReason.VERIFICATION_FAILED,
    )
    if not changed:
        return False
    record_outcome(tx, attempt["agent_id"], task["type"], is_verified=is_verified)
    if is_verified:
        _pay(tx, task, attempt)
    else:
        reason = EndReason.NOT_SUPPORTED if task["kind"] == TaskKind.META else EndReason.VERIFICATION_FAILED
        end_unpaid(tx, task, TaskState.FAILED, reason, is_stake_lost=True)
    return True


def close_investigation(tx: Tx, task_id: int, *, is_supported: bool, reason: str) -> None:
    """End a meta-task when its lap has been decided: paid if what it found stood up, else not.

    A meta-task whose result is not in yet is taken back; one that has ended already stays as it is.
    """
    task = sql.find(tx, tables.task, lock=True, id=task_id)
    if task is None or task["state"] in (
        TaskState.SETTLED,
        TaskState.FAILED,
        TaskState.CANCELLED,
        TaskState.EXPIRED,
    ):
        return
    attempt = sql.find(tx, tables.attempt, task_id=task_id, state=AttemptState.SUBMITTED)
    if attempt is None:
        end_unpaid(tx, task, TaskState.CANCELLED, EndReason.CANCELLED, is_stake_lost=False)
    else:
        settle(tx, attempt["id"], is_verified=is_supported, verification={"reason": reason})
    facts = {"task_id": task_id, "is_supported": is_supported, "reason": reason}
    publish(tx.in_lap(task["lap_id"]), Event(EventType.INVESTIGATION_CLOSED, f"task:{task_id}", facts))


def end_unpaid(tx: Tx, task: Row, state: TaskState, reason: EndReason, *, is_stake_lost: bool | None) -> None:
    """End a task without pay: the reserve goes back, a held stake is lost or returned, TaskEnded is said.

    `is_stake_lost` None means that the stake was resolved already.
    """
    sql.update(
        tx,
        tables.attempt,
        {"task_id": task["id"], "state": (AttemptState.LEASED, AttemptState.SUBMITTED)},
        state=AttemptState.FAILED,
        ended_at_us=tx.now_us,
        reason=reason,
    )
    accounts.give_back(tx, task_id=task["id"], purpose=accounts.RESERVE, attempt_number=0)
    if is_stake_lost is not None and task["state"] != TaskState.BIDDING:
        resolve = accounts.forfeit if is_stake_lost else accounts.give_back
        resolve(tx, task_id=task["id"], purpose=accounts.STAKE, attempt_number=task["attempt_count"])
    _end(tx, task, state, reason, paid_microcredits=0)


def lose_stake(tx: Tx, task: Row) -> None:
    """Take the stake of the current attempt."""
    accounts.forfeit(tx, task_id=task["id"], purpose=accounts.STAKE, attempt_number=task["attempt_count"])


def record_outcome(tx: Tx, agent_id: int, task_type: str, *, is_verified: bool) -> None:
    """Fold one outcome into the agent's record and standing; a move on the ladder is a ledger entry."""
    accounts.take_turn(tx)
    _fold_record(tx, agent_id, task_type, is_verified=is_verified)
    agent = sql.find(tx, tables.agent, lock=True, id=agent_id)
    assert agent is not None  # noqa: S101 (a foreign key guarantees it)
    verified_jobs = agent["verified_jobs"] + int(is_verified)
    log_e = fold_log_e(agent["standing_log_e"], is_verified=is_verified)
    before = Standing(agent["standing"])
    after = next_standing(before, verified_jobs=verified_jobs, log_e=log_e)
    sql.update(
        tx,
        tables.agent,
        {"id": agent_id},
        settled_jobs=agent["settled_jobs"] + 1,
        verified_jobs=verified_jobs,
        standing_log_e=log_e,
        standing=after,
    )
    if after is not before:
        reason = f"{verified_jobs} verified of {agent['settled_jobs'] + 1} jobs"
        facts = {"agent": f"agent:{agent_id}", "from": str(before), "to": str(after), "reason": reason}
        audit_log.append(tx, EntryType.STANDING, facts)
        if after is Standing.SUSPENDED:
            review_queue.open_item(tx, kind="agent_suspended", subject=agent["name"], context=facts)


def _fold_record(tx: Tx, agent_id: int, task_type: str, *, is_verified: bool) -> None:
    key = {"agent_id": agent_id, "task_type": task_type}
    row = sql.find(tx, tables.agent_record, lock=True, **key)
    before = (
        Record()
        if row is None
        else Record(row["success_weight"], row["failure_weight"], row["jobs"], row["verified"])
    )
    after = before.with_outcome(is_verified=is_verified)
    values = {
        "success_weight": after.success_weight,
        "failure_weight": after.failure_weight,
        "jobs": after.jobs,
        "verified": after.verified,
    }
    if row is None:
        sql.insert(tx, tables.agent_record, **key, **values)
    else:
        sql.update(tx, tables.agent_record, key, **values)


def _pay(tx: Tx, task: Row, attempt: Row) -> None:
    award = sql.find(tx, tables.award, task_id=task["id"], attempt_number=attempt["number"])
    assert award is not None  # noqa: S101 (an attempt follows an award)
    accounts.pay(
        tx,
        task_id=task["id"],
        purpose=accounts.RESERVE,
        attempt_number=0,
        to=accounts.agent_account(attempt["agent_id"]),
        amount_microcredits=award["price_microcredits"],
    )
    accounts.give_back(tx, task_id=task["id"], purpose=accounts.STAKE, attempt_number=attempt["number"])
    _end(tx, task, TaskState.SETTLED, EndReason.VERIFIED, paid_microcredits=award["price_microcredits"])


def _end(tx: Tx, task: Row, state: TaskState, reason: EndReason, *, paid_microcredits: int) -> None:
    sql.update(
        tx,
        tables.task,
        {"id": task["id"]},
        state=state,
        end_reason=reason,
        ended_at_us=tx.now_us,
        paid_microcredits=paid_microcredits,
    )
    facts = {
        "task_id": task["id"],
        "kind": task["kind"],
        "type": task["type"],
        "state": str(state),
        "end_reason": str(reason),
    }
    publish(tx.in_lap(task["lap_id"]), Event(EventType.TASK_ENDED, f"task:{task['id']}", facts))
