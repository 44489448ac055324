"""Queries of the nightly consolidation: what ended since its mark, what was tried, and the patterns it keeps.

Stands under `services.operations.dreaming`. Ended tasks are read by their end, a bounded number at a time;
agents' texts are cut by the database before they travel. It never touches anything but patterns and the mark.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Text, and_, bindparam, cast, delete, func, or_, select

from services.domain.patterns import PatternKind
from services.domain.states import (
    AttemptState,
    EndReason,
    ExperimentKind,
    ExperimentState,
    ProposalState,
    TaskKind,
    TaskState,
)
from services.store import sql
from services.store.sql import Row
from services.store.tables import attempt, experiment, feed_mark, parameter, pattern, proposal, task
from services.store.tx import Tx

MARK: Final = "autodream"
COUNTED: Final = (TaskState.SETTLED, TaskState.FAILED, TaskState.EXPIRED)
ENDED_IN_VAIN: Final = (ProposalState.REJECTED, ProposalState.INQUORATE)
IN_FORCE: Final = (ExperimentState.PROVISIONAL, ExperimentState.PROBATION, ExperimentState.CONFIRMED)
IDS_AT_ONCE: Final = 500
TRIED_READ: Final = 2_000
TEXT_READ: Final = 4_096
"""Characters of the JSON text of a handoff or a verification that are read."""

NEXT_ENDED = (
    select(task.c.ended_at_us)
    .where(
        task.c.kind == TaskKind.USER, task.c.state.in_(COUNTED), task.c.ended_at_us > bindparam("after_us")
    )
    .order_by(task.c.ended_at_us)
    .limit(1)
)
ENDED = (
    select(
        task.c.id,
        task.c.type,
        task.c.awarded_agent_id,
        task.c.state,
        task.c.end_reason,
        task.c.duration_us,
        task.c.attempt_count,
        task.c.ended_at_us,
        cast(task.c.effective_values, Text).label("values_text"),
    )
    .where(
        task.c.kind == TaskKind.USER,
        task.c.state.in_(COUNTED),
        task.c.ended_at_us >= bindparam("after_us"),
        task.c.ended_at_us <= bindparam("until_us"),
        or_(
            task.c.ended_at_us > bindparam("after_us"),
            and_(task.c.ended_at_us == bindparam("after_us"), task.c.id > bindparam("after_id")),
        ),
    )
    .order_by(task.c.ended_at_us, task.c.id)
    .limit(bindparam("limit"))
)
FAILED_ATTEMPTS = (
    select(
        attempt.c.task_id,
        attempt.c.agent_id,
        attempt.c.number,
        attempt.c.reason,
        attempt.c.ended_at_us,
        func.substr(cast(attempt.c.verification, Text), 1, TEXT_READ).label("verification_text"),
        func.substr(cast(attempt.c.handoff, Text), 1, TEXT_READ).label("handoff_text"),
    )
    .where(
        attempt.c.task_id.in_(bindparam("task_ids", expanding=True)),
        attempt.c.state.in_((AttemptState.FAILED, AttemptState.LAPSED)),
        attempt.c.reason.is_distinct_from(EndReason.PLATFORM_AWAY),
    )
    .order_by(attempt.c.task_id, attempt.c.number)
)
WEIGHTS = select(pattern.c.id, pattern.c.tasks, pattern.c.last_seen_us).where(
    pattern.c.kind == bindparam("pattern_kind")
)
TYPES = (
    select(pattern.c.task_type)
    .where(pattern.c.kind == PatternKind.SETTING)
    .distinct()
    .order_by(pattern.c.task_type)
)
LAST_EVIDENCE = (
    select(
        pattern.c.task_type,
        pattern.c.agent_id,
        func.max(pattern.c.last_seen_us).label("last_seen_us"),
        func.min(pattern.c.first_seen_us).label("first_seen_us"),
        func.sum(pattern.c.tasks).label("tasks"),
        func.sum(pattern.c.failures).label("failures"),
    )
    .where(pattern.c.kind == PatternKind.AGENT)
    .group_by(pattern.c.task_type, pattern.c.agent_id)
)
EXPERIMENTS_TRIED = (
    select(
        experiment.c.id,
        experiment.c.parameter,
        experiment.c.treatment_value,
        experiment.c.state,
        experiment.c.verdict,
        experiment.c.started_at_us,
        experiment.c.ended_at_us,
    )
    .where(experiment.c.kind == ExperimentKind.CHANGE)
    .order_by(experiment.c.id.desc())
    .limit(TRIED_READ)
)
VOTED_DOWN = (
    select(proposal.c.parameter, proposal.c.to_value, proposal.c.state, proposal.c.decided_at_us)
    .where(proposal.c.state.in_(ENDED_IN_VAIN))
    .order_by(proposal.c.id.desc())
    .limit(TRIED_READ)
)
VALUES = select(parameter.c.name, parameter.c.value)


def mark(tx: Tx) -> tuple[int, int] | None:
    """Return (end, id) of the newest task that was consolidated, or None before the first night.

    Nobody else gets it until the transaction ends; a mark that is not there yet is made, without a place.
    """
    first = {"name": MARK, "marks": {}, "changed_at_us": tx.now_us}
    sql.insert_many_unique(tx, feed_mark, [first], ("name",))
    row = sql.find(tx, feed_mark, lock=True, name=MARK)
    if row is None or not row["marks"]:
        return None
    return int(row["marks"]["ended_at_us"]), int(row["marks"]["task_id"])


def set_mark(tx: Tx, ended_at_us: int, task_id: int) -> None:
    """Keep how far the consolidation has come; `mark` holds the row."""
    marks = {"ended_at_us": ended_at_us, "task_id": task_id}
    sql.update(tx, feed_mark, {"name": MARK}, marks=marks, changed_at_us=tx.now_us)


def next_ended(tx: Tx, after_us: int) -> int | None:
    """Return when the first user task after an instant ended, or None."""
    found: int | None = sql.value(tx, NEXT_ENDED, after_us=after_us)
    return found


def ended(tx: Tx, after_us: int, after_id: int, until_us: int, limit: int) -> list[Row]:
    """Return user tasks that ended behind (after_us, after_id) and up to an instant, in that order."""
    return sql.listed(tx, ENDED, after_us=after_us, after_id=after_id, until_us=until_us, limit=limit)


def failed_attempts(tx: Tx, task_ids: Sequence[int]) -> list[Row]:
    """Return the attempts of these tasks that failed, with the beginnings of the texts about them."""
    found: list[Row] = []
    for start in range(0, len(task_ids), IDS_AT_ONCE):
        found += sql.listed(tx, FAILED_ATTEMPTS, task_ids=list(task_ids[start : start + IDS_AT_ONCE]))
    return found


def by_key(tx: Tx, kind: PatternKind, keys: Collection[str]) -> dict[str, Row]:
    """Return the patterns of a kind with these keys, by key."""
    ordered = sorted(keys)
    found: dict[str, Row] = {}
    for start in range(0, len(ordered), IDS_AT_ONCE):
        part = ordered[start : start + IDS_AT_ONCE]
        found |= {row["key"]: row for row in sql.find_all(tx, pattern, kind=kind, key=part)}
    return found


def of_types(tx: Tx, kind: PatternKind, task_types: Collection[str]) -> list[Row]:
    """Return the patterns of a kind for these task types, oldest first."""
    return sql.find_all(tx, pattern, kind=kind, task_type=sorted(task_types)) if task_types else []


def of_kind(tx: Tx, kind: PatternKind) -> dict[str, Row]:
    """Return all patterns of a kind, by key."""
    return {row["key"]: row for row in sql.find_all(tx, pattern, kind=kind)}


def keep(tx: Tx, new: Sequence[Mapping[str, Any]], changed: Sequence[Mapping[str, Any]]) -> None:
    """Insert new patterns, and update changed ones by their id."""
    sql.insert_many(tx, pattern, new)
    sql.update_many(tx, pattern, ("id",), changed)


def weights(tx: Tx, kind: PatternKind) -> list[Row]:
    """Return id, tasks and last_seen_us of every pattern of a kind."""
    return sql.listed(tx, WEIGHTS, pattern_kind=kind)


def forget(tx: Tx, ids: Sequence[int]) -> int:
    """Delete patterns and return how many."""
    count = 0
    for start in range(0, len(ids), IDS_AT_ONCE):
        statement = delete(pattern).where(pattern.c.id.in_(list(ids[start : start + IDS_AT_ONCE])))
        count += tx.connection.execute(statement).rowcount
    return count


def task_types(tx: Tx) -> list[str]:
    """Return the types of task that settings are known of."""
    return [row["task_type"] for row in sql.listed(tx, TYPES)]


def last_evidence(tx: Tx) -> list[Row]:
    """Return when each agent was last seen at each type of task, with its counts."""
    return sql.listed(tx, LAST_EVIDENCE)


def experiments_tried(tx: Tx) -> list[Row]:
    """Return the newest experiments on changes, newest first."""
    return sql.listed(tx, EXPERIMENTS_TRIED)


def voted_down(tx: Tx) -> list[Row]:
    """Return the newest proposals that did not get to an experiment, newest first."""
    return sql.listed(tx, VOTED_DOWN)


def values_in_force(tx: Tx) -> dict[str, str]:
    """Return the value in production of every parameter."""
    return {row["name"]: row["value"] for row in sql.listed(tx, VALUES)}
