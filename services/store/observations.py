"""Queries of the observatory: ended tasks by window, series of snapshots, cells of failures.

Stands under layer 1. Meta-tasks never enter: the platform does not measure itself by its own homework.
"""

from sqlalchemy import and_, case, func, or_, select, true

from services.domain.states import EpisodeState, TaskKind, TaskState
from services.store.sql import Row, rows
from services.store.tables import episode, parameter_change, snapshot, task
from services.store.tx import Tx

PLATFORM = "platform"
ALL = "all"
"""The one series that has a row for every window, idle ones too."""
COUNTED = (TaskState.SETTLED, TaskState.FAILED, TaskState.EXPIRED)
VERIFIED = case((task.c.state == TaskState.SETTLED, 1), else_=0)


def last_window_end(tx: Tx, metric: str) -> int | None:
    """Return the end of the newest snapshot's window, or None before the first."""
    statement = select(func.max(snapshot.c.window_end_us)).where(
        snapshot.c.metric == metric, snapshot.c.dimension == PLATFORM, snapshot.c.key == ALL
    )
    found: int | None = tx.connection.execute(statement).scalar_one()
    return found


def first_posted(tx: Tx) -> int | None:
    """Return when the first task was posted, or None."""
    found: int | None = tx.connection.execute(select(func.min(task.c.posted_at_us))).scalar_one()
    return found


def ended_between(tx: Tx, start_us: int, end_us: int) -> list[Row]:
    """Return (type, awarded_agent_id, numerator, denominator) of user tasks ended in (start, end]."""
    statement = (
        select(
            task.c.type,
            task.c.awarded_agent_id,
            func.sum(VERIFIED).label("numerator"),
            func.count().label("denominator"),
        )
        .where(
            task.c.kind == TaskKind.USER,
            task.c.state.in_(COUNTED),
            task.c.ended_at_us > start_us,
            task.c.ended_at_us <= end_us,
        )
        .group_by(task.c.type, task.c.awarded_agent_id)
    )
    return rows(tx, statement)


def series_names(tx: Tx, metric: str, since_us: int) -> list[tuple[str, str]]:
    """Return the (dimension, key) pairs of a metric that had a snapshot since an instant."""
    statement = (
        select(snapshot.c.dimension, snapshot.c.key)
        .where(snapshot.c.metric == metric, snapshot.c.window_end_us >= since_us)
        .distinct()
        .order_by(snapshot.c.dimension, snapshot.c.key)
    )
    return [(row["dimension"], row["key"]) for row in rows(tx, statement)]


def series(tx: Tx, metric: str, dimension: str, key: str, since_us: int) -> list[Row]:
    """Return the snapshots of one series since an instant, oldest first."""
    statement = (
        select(snapshot)
        .where(
            snapshot.c.metric == metric,
            snapshot.c.dimension == dimension,
            snapshot.c.key == key,
            snapshot.c.window_end_us >= since_us,
        )
        .order_by(snapshot.c.window_end_us)
    )
    return rows(tx, statement)


def closed_episodes(tx: Tx, metric: str, dimension: str, key: str, since_us: int) -> list[Row]:
    """Return the episodes that touched a series and ended, recovered or given up, since an instant.

    The platform's series contains every other one, so its episodes touch them, and theirs touch it.
    """
    is_own = and_(episode.c.dimension == dimension, episode.c.key == key)
    statement = select(episode).where(
        episode.c.metric == metric,
        true() if dimension == PLATFORM else or_(is_own, episode.c.dimension == PLATFORM),
        episode.c.state != EpisodeState.OPEN,
        episode.c.closed_at_us >= since_us,
    )
    return rows(tx, statement)


def failing_ids(tx: Tx, task_type: str | None, start_us: int, end_us: int, limit: int) -> list[int]:
    """Return the newest failed user tasks (of a type) that ended in (start, end]."""
    statement = select(task.c.id).where(
        task.c.kind == TaskKind.USER,
        task.c.state.in_((TaskState.FAILED, TaskState.EXPIRED)),
        task.c.ended_at_us > start_us,
        task.c.ended_at_us <= end_us,
    )
    if task_type is not None:
        statement = statement.where(task.c.type == task_type)
    newest = statement.order_by(task.c.ended_at_us.desc(), task.c.id.desc()).limit(limit)
    return [row["id"] for row in rows(tx, newest)]


def changes_since(tx: Tx, since_us: int, limit: int) -> list[Row]:
    """Return the newest changes of parameters (not their registration) since an instant."""
    statement = (
        select(parameter_change)
        .where(parameter_change.c.version > 1, parameter_change.c.changed_at_us >= since_us)
        .order_by(parameter_change.c.id.desc())
        .limit(limit)
    )
    return rows(tx, statement)
