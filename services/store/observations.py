"""Queries of the observatory: ended tasks by window, series of snapshots, cells of failures.

Stands under layer 1. Meta-tasks never enter: the platform does not measure itself by its own homework.
"""

from collections.abc import Sequence

from sqlalchemy import BindParameter, String, and_, bindparam, case, func, null, or_, select

from services.domain.states import EndReason, EpisodeState, TaskKind, TaskState
from services.store import sql
from services.store.sql import Row
from services.store.tables import episode, observation, parameter_change, snapshot, task
from services.store.tx import Tx

PLATFORM = "platform"
ALL = "all"
"""The one series that has a row for every window, idle ones too."""
COUNTED = (TaskState.SETTLED, TaskState.FAILED, TaskState.EXPIRED)
METRIC_NAME: BindParameter[str] = bindparam("metric_name")
SERIES_DIMENSION: BindParameter[str] = bindparam("series_dimension")
SERIES_KEY: BindParameter[str] = bindparam("series_key")
SINCE: BindParameter[int] = bindparam("since_us")
START: BindParameter[int] = bindparam("start_us")
END: BindParameter[int] = bindparam("end_us")
LIMIT: BindParameter[int] = bindparam("limit")
NOTED_KIND: BindParameter[str] = bindparam("noted_kind", type_=String)

TIMED_OUT = (EndReason.TIMED_OUT, EndReason.DEADLINE_PASSED)
NOTED_TASKS = task.c.id.in_(bindparam("task_ids", expanding=True)), task.c.kind == TaskKind.USER
NOTE_ENDED = observation.insert().from_select(
    [
        "kind",
        "at_us",
        "task_type",
        "agent_id",
        "model",
        "is_success",
        "is_timeout",
        "duration_us",
        "wait_us",
        "paid_microcredits",
    ],
    select(
        NOTED_KIND,
        task.c.ended_at_us,
        task.c.type,
        task.c.awarded_agent_id,
        task.c.model,
        task.c.state == TaskState.SETTLED,
        task.c.end_reason.in_(TIMED_OUT),
        case((task.c.state != TaskState.EXPIRED, task.c.duration_us), else_=null()),
        task.c.awarded_at_us - task.c.posted_at_us,
        case((task.c.state == TaskState.SETTLED, task.c.paid_microcredits), else_=null()),
    )
    .where(*NOTED_TASKS, task.c.state.in_(COUNTED))
    .order_by(task.c.id),
)
NOTE_POSTED = observation.insert().from_select(
    ["kind", "at_us", "task_type"],
    select(NOTED_KIND, task.c.posted_at_us, task.c.type).where(*NOTED_TASKS).order_by(task.c.id),
)
LAST_WINDOW_END = select(func.max(snapshot.c.window_end_us)).where(
    snapshot.c.metric == METRIC_NAME, snapshot.c.dimension == PLATFORM, snapshot.c.key == ALL
)
FIRST_POSTED = (
    select(task.c.posted_at_us).where(task.c.kind == TaskKind.USER).order_by(task.c.posted_at_us).limit(1)
)
ENDED_TASKS = (
    select(
        task.c.id,
        task.c.type,
        task.c.awarded_agent_id,
        task.c.model,
        task.c.state,
        task.c.end_reason,
        task.c.duration_us,
        task.c.effective_values,
    )
    .where(
        task.c.kind == TaskKind.USER,
        task.c.state.in_(COUNTED),
        task.c.ended_at_us > START,
        task.c.ended_at_us <= END,
    )
    .order_by(task.c.ended_at_us.desc(), task.c.id.desc())
    .limit(LIMIT)
)
BEFORE = (
    select(task.c.type, task.c.awarded_agent_id, task.c.model, task.c.state)
    .where(task.c.kind == TaskKind.USER, task.c.state.in_(COUNTED), task.c.ended_at_us <= END)
    .order_by(task.c.ended_at_us.desc())
    .limit(LIMIT)
    .subquery("before")
)
USUAL_CELLS = select(
    BEFORE.c.type,
    BEFORE.c.awarded_agent_id,
    BEFORE.c.model,
    func.count().label("attempts"),
    func.sum(case((BEFORE.c.state == TaskState.SETTLED, 1), else_=0)).label("successes"),
).group_by(BEFORE.c.type, BEFORE.c.awarded_agent_id, BEFORE.c.model)
CLOSED_EPISODES = select(episode).where(
    episode.c.metric == METRIC_NAME, episode.c.state != EpisodeState.OPEN, episode.c.closed_at_us >= SINCE
)
CLOSED_EPISODES_TOUCHING = CLOSED_EPISODES.where(
    or_(
        and_(episode.c.dimension == SERIES_DIMENSION, episode.c.key == SERIES_KEY),
        episode.c.dimension == PLATFORM,
    )
)
CHANGES_SINCE = (
    select(parameter_change)
    .where(parameter_change.c.version > 1, parameter_change.c.changed_at_us >= SINCE)
    .order_by(parameter_change.c.id.desc())
    .limit(LIMIT)
)


def note_ended(tx: Tx, task_ids: Sequence[object], kind: str) -> int:
    """Copy what the observatory counts of these users' tasks, as far as they count, into its queue."""
    return sql.change(tx, NOTE_ENDED, task_ids=list(task_ids), noted_kind=kind)


def note_posted(tx: Tx, task_ids: Sequence[object], kind: str) -> int:
    """Copy the posting of these users' tasks into the observatory's queue."""
    return sql.change(tx, NOTE_POSTED, task_ids=list(task_ids), noted_kind=kind)


def last_window_end(tx: Tx, metric: str) -> int | None:
    """Return the end of the newest snapshot's window, or None before the first."""
    found: int | None = sql.value(tx, LAST_WINDOW_END, metric_name=metric)
    return found


def first_posted(tx: Tx) -> int | None:
    """Return when the first user's task was posted, or None."""
    found: int | None = sql.value(tx, FIRST_POSTED)
    return found


def ended_tasks(tx: Tx, start_us: int, end_us: int, limit: int) -> list[Row]:
    """Return the newest users' tasks that count and ended in (start, end], newest first."""
    return sql.listed(tx, ENDED_TASKS, start_us=start_us, end_us=end_us, limit=limit)


def usual_cells(tx: Tx, end_us: int, limit: int) -> list[Row]:
    """Return attempts and successes by type, agent and model of the newest tasks ended up to an instant."""
    return sql.listed(tx, USUAL_CELLS, end_us=end_us, limit=limit)


def closed_episodes(tx: Tx, metric: str, dimension: str, key: str, since_us: int) -> list[Row]:
    """Return the episodes that touched a series and ended, recovered or given up, since an instant.

    The platform's series contains every other one, so its episodes touch them, and theirs touch it.
    """
    if dimension == PLATFORM:
        return sql.listed(tx, CLOSED_EPISODES, metric_name=metric, since_us=since_us)
    return sql.listed(
        tx,
        CLOSED_EPISODES_TOUCHING,
        metric_name=metric,
        series_dimension=dimension,
        series_key=key,
        since_us=since_us,
    )


def changes_since(tx: Tx, since_us: int, limit: int) -> list[Row]:
    """Return the newest changes of parameters (not their registration) since an instant."""
    return sql.listed(tx, CHANGES_SINCE, since_us=since_us, limit=limit)
