"""Leases: the winner takes the task under a fencing token and a time allowed, and says that it is alive.

Stands in layer 4 between the award and the result. The time allowed is the value in force for this task (its
arm), and it is enforced here, whatever the agent does. The lease itself runs from one heartbeat to the next,
never beyond the time allowed. It never judges a result.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from services.domain.clock import seconds
from services.domain.errors import ConflictError, ForbiddenError, NacreError, NotFoundError
from services.domain.states import AttemptState, TaskState
from services.meta_task_market.rules import MarketRules, only, rules_now
from services.store import market, sql, tables
from services.store.sql import Row
from services.store.tx import Tx


@dataclass(frozen=True, slots=True)
class Claim:
    """An agent that wants to start work on what it has won."""

    agent_id: int
    task_id: int


@dataclass(frozen=True, slots=True)
class Lease:
    """What the holder of a lease may do, until when, and under which values.

    The lease expires at `expires_at_us` unless a heartbeat renews it, at the latest at `allowed_until_us`.
    """

    task_type: str
    fencing_token: int
    expires_at_us: int
    allowed_until_us: int
    timeout_seconds: float
    parameters: dict[str, dict[str, object]]
    payload: dict[str, object]


@dataclass(frozen=True, slots=True)
class Renewal:
    """A heartbeat of the holder of a lease."""

    agent_id: int
    task_id: int
    fencing_token: int


def take_lease(tx: Tx, *, agent_id: int, task_id: int) -> Lease:
    """Start work on an award: a new fencing token, and the time allowed starts to run.

    Raises ForbiddenError when the award is somebody else's, ConflictError when the task does not wait for it
    or its deadline has passed.
    """
    return only(take_leases(tx, [Claim(agent_id, task_id)]))


def take_leases(tx: Tx, claims: Sequence[Claim]) -> list[Lease | NacreError]:
    """Start work on awards; answer each claim with its lease or its refusal."""
    tasks = market.locked_tasks(tx, {claim.task_id for claim in claims})
    rules = rules_now(tx)
    answers: list[Lease | NacreError] = []
    attempts: list[dict[str, object]] = []
    leased: set[int] = set()
    for token, claim in zip(sql.reserve_ids(tx, tables.attempt, len(claims)), claims, strict=True):
        task = tasks.get(claim.task_id)
        refusal = refusal_of(claim, task, tx.now_us, is_leased=claim.task_id in leased)
        if refusal is not None or task is None:
            answers.append(refusal or NotFoundError(f"there is no task {claim.task_id}", field="task_id"))
            continue
        lease = _lease(task, token, tx.now_us, rules)
        answers.append(lease)
        leased.add(claim.task_id)
        attempts.append(_attempt(tx, task, claim, lease))
    sql.insert_many(tx, tables.attempt, attempts)
    changed = [{"id": number, "state": TaskState.LEASED} for number in sorted(leased)]
    sql.update_many(tx, tables.task, ("id",), changed, {"state": TaskState.AWARDED})
    return answers


def refusal_of(claim: Claim, task: Row | None, now_us: int, *, is_leased: bool) -> NacreError | None:
    """Return why a claim cannot be granted, or None."""
    if task is None:
        return NotFoundError(f"there is no task {claim.task_id}", field="task_id")
    if task["state"] != TaskState.AWARDED or is_leased:
        state = TaskState.LEASED if is_leased else task["state"]
        msg = f"task {claim.task_id} is {state}; a lease is taken on an awarded task"
        return ConflictError(msg, field="task_id", state=state)
    if task["awarded_agent_id"] != claim.agent_id:
        msg = f"task {claim.task_id} was awarded to another agent"
        return ForbiddenError(msg, field="task_id")
    if task["deadline_at_us"] <= now_us:
        msg = f"the deadline of task {claim.task_id} has passed"
        return ConflictError(msg, field="task_id", code="deadline_passed", state=task["state"])
    return None


def _lease(task: Row, token: int, now_us: int, rules: MarketRules) -> Lease:
    values: dict[str, dict[str, object]] = task["effective_values"]
    timeout_seconds = float(str(values[f"{task['type']}.timeout_seconds"]["value"]))
    latest_us = task["deadline_at_us"] + rules.microseconds("deadline_grace")
    allowed_until_us = min(now_us + seconds(timeout_seconds), latest_us)
    return Lease(
        task["type"],
        token,
        min(now_us + rules.microseconds("heartbeat"), allowed_until_us),
        allowed_until_us,
        timeout_seconds,
        values,
        task["public"],
    )


def _attempt(tx: Tx, task: Row, claim: Claim, lease: Lease) -> dict[str, object]:
    return {
        "id": lease.fencing_token,
        "task_id": claim.task_id,
        "agent_id": claim.agent_id,
        "number": task["attempt_count"],
        "state": AttemptState.LEASED,
        "leased_at_us": tx.now_us,
        "allowed_until_us": lease.allowed_until_us,
        "expires_at_us": lease.expires_at_us,
        "heartbeat_at_us": tx.now_us,
    }


def heartbeat(tx: Tx, *, agent_id: int, task_id: int, fencing_token: int) -> int:
    """Renew one lease and return when it expires now (never beyond the time allowed).

    Raises ConflictError when the token is not that of a live lease of this agent.
    """
    return only(renew_leases(tx, [Renewal(agent_id, task_id, fencing_token)]))


def renew_leases(tx: Tx, renewals: Sequence[Renewal]) -> list[int | NacreError]:
    """Renew leases by the heartbeats of their holders; answer each with its expiry or its refusal.

    A lease that has run out by itself and was not taken back yet is still its holder's, within the time
    allowed and its grace.
    """
    held = {row["id"]: row for row in market.held_leases(tx, {item.fencing_token for item in renewals})}
    rules = rules_now(tx)
    window_us, grace_us = rules.microseconds("heartbeat"), rules.microseconds("lease_grace")
    answers: list[int | NacreError] = []
    rows: dict[int, dict[str, object]] = {}
    for item in renewals:
        row = held.get(item.fencing_token)
        is_own = row is not None and (row["task_id"], row["agent_id"]) == (item.task_id, item.agent_id)
        if row is None or not is_own or tx.now_us > row["allowed_until_us"] + grace_us:
            msg = f"token {item.fencing_token} holds no lease of task {item.task_id} for this agent"
            answers.append(ConflictError(msg, field="body.fencing_token", code="lease_lost"))
            continue
        expires_at_us = min(tx.now_us + window_us, row["allowed_until_us"])
        answers.append(expires_at_us)
        rows[row["id"]] = {"id": row["id"], "expires_at_us": expires_at_us, "heartbeat_at_us": tx.now_us}
    sql.update_many(
        tx, tables.attempt, ("id",), [rows[key] for key in sorted(rows)], {"state": AttemptState.LEASED}
    )
    return answers
