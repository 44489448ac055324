"""Queries of the metric watchdog: published windows, and the primary rows that fell into them.

Stand under `services.operations.metric_watchdog`. They share no statement with the observatory and read
nothing of what it has noted: what is checked must not be read the way it was written. Whether notes still
wait is asked for the verdict alone. It never writes.
"""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import BindParameter, and_, bindparam, case, func, select

from services.domain.clock import DAY_US
from services.domain.states import (
    EpisodeState,
    TaskKind,
    TaskState,
    TickState,
    ValueSource,
)
from services.store import sql
from services.store.sql import Row
from services.store.tables import (
    agent,
    attempt,
    award,
    cron_tick,
    episode,
    event,
    experiment,
    observation,
    parameter_change,
    proposal,
    snapshot,
    snapshot_correction,
    task,
)
from services.store.tx import Tx

WINDOW: Final = "window"
DAY: Final = "day"
LATE_SHOWN: Final = 50
EVENTS_SEARCHED: Final = 20_000
"""How many of the newest events are searched for the one that a lag names."""

START: BindParameter[int] = bindparam("start_us")
END: BindParameter[int] = bindparam("end_us")
LIMIT: BindParameter[int] = bindparam("most_rows")
AFTER: BindParameter[int] = bindparam("after_id")
GRAIN: BindParameter[str] = bindparam("of_grain")
IS_USERS: Final = task.c.kind == TaskKind.USER

NEXT_END = select(func.min(snapshot.c.window_end_us)).where(
    snapshot.c.grain == GRAIN, snapshot.c.window_end_us > END
)
END_BEFORE = select(func.max(snapshot.c.window_end_us)).where(
    snapshot.c.grain == GRAIN, snapshot.c.window_end_us < END
)
ROWS = (
    select(snapshot).where(snapshot.c.grain == GRAIN, snapshot.c.window_end_us == END).order_by(snapshot.c.id)
)
GAUGE = select(snapshot.c.numerator).where(
    snapshot.c.grain == WINDOW,
    snapshot.c.window_end_us == END,
    snapshot.c.metric == bindparam("of_metric"),
    snapshot.c.dimension == "platform",
)
CORRECTIONS = select(snapshot_correction).where(snapshot_correction.c.window_end_us == END)
CORRECTED = (
    select(snapshot_correction.c.id, snapshot_correction.c.window_end_us)
    .where(snapshot_correction.c.id > AFTER)
    .order_by(snapshot_correction.c.id)
    .limit(LIMIT)
)
LATER = select(func.coalesce(func.sum(snapshot_correction.c.numerator), 0)).where(
    snapshot_correction.c.window_end_us > START,
    snapshot_correction.c.window_end_us <= END,
    snapshot_correction.c.metric.in_(("tasks_posted", "tasks_ended")),
    snapshot_correction.c.dimension == "platform",
    snapshot_correction.c.corrected_at_us > END,
)
WAITING = (
    select(observation.c.id)
    .where(observation.c.at_us <= END, observation.c.id > AFTER)
    .order_by(observation.c.id)
    .limit(LIMIT)
)
STILL_WAITING = select(observation.c.id).where(
    observation.c.id.in_(bindparam("wanted_ids", expanding=True)), observation.c.at_us <= END
)

ENDED = (
    select(
        task.c.id,
        task.c.type,
        task.c.state,
        task.c.end_reason,
        task.c.posted_at_us,
        task.c.model,
        award.c.agent_id,
        award.c.price_microcredits,
        award.c.awarded_at_us,
    )
    .join(
        award,
        and_(award.c.task_id == task.c.id, award.c.attempt_number == task.c.attempt_count),
        isouter=True,
    )
    .where(IS_USERS, task.c.ended_at_us > START, task.c.ended_at_us <= END)
)
WORKED = (
    select(attempt.c.task_id, attempt.c.number, attempt.c.leased_at_us, attempt.c.submitted_at_us)
    .join(task, task.c.id == attempt.c.task_id)
    .where(
        IS_USERS,
        task.c.ended_at_us > START,
        task.c.ended_at_us <= END,
        attempt.c.submitted_at_us.is_not(None),
    )
)
POSTED = (
    select(task.c.type, func.count().label("tasks"))
    .where(IS_USERS, task.c.posted_at_us > START, task.c.posted_at_us <= END)
    .group_by(task.c.type)
)
TICKS = select(
    cron_tick.c.job, case((cron_tick.c.state == TickState.DONE, 1), else_=0).label("is_on_time")
).where(
    cron_tick.c.ended_at_us > START,
    cron_tick.c.ended_at_us <= END,
    cron_tick.c.state.in_((TickState.DONE, TickState.FAILED, TickState.OVERRUN, TickState.MISSED)),
)
OLDEST_TICK = select(cron_tick.c.id, cron_tick.c.due_at_us).order_by(cron_tick.c.id).limit(1)

BEGAN = func.coalesce(episode.c.began_at_us, episode.c.opened_at_us)
OPENED = select((episode.c.opened_at_us - BEGAN).label("duration_us")).where(
    episode.c.dimension != "component", episode.c.opened_at_us > START, episode.c.opened_at_us <= END
)
RECOVERED = select((episode.c.closed_at_us - BEGAN).label("duration_us")).where(
    episode.c.state == EpisodeState.CLOSED,
    episode.c.closed_at_us > START,
    episode.c.closed_at_us <= END,
)
FIRST_OF_LAP = (
    select(func.min(proposal.c.id).label("id"))
    .where(proposal.c.lap_id.is_not(None))
    .group_by(proposal.c.lap_id)
    .subquery("first_of_lap")
)


PROPOSED = (
    select((proposal.c.opened_at_us - episode.c.opened_at_us).label("duration_us"))
    .join(episode, episode.c.lap_id == proposal.c.lap_id)
    .where(
        proposal.c.opened_at_us > START,
        proposal.c.opened_at_us <= END,
        proposal.c.id.in_(select(FIRST_OF_LAP.c.id)),
    )
)
PROMOTED = (
    select((parameter_change.c.changed_at_us - episode.c.opened_at_us).label("duration_us"))
    .join(experiment, experiment.c.id == parameter_change.c.experiment_id)
    .join(episode, episode.c.lap_id == experiment.c.lap_id)
    .where(
        parameter_change.c.source == ValueSource.PROMOTED,
        parameter_change.c.changed_at_us > START,
        parameter_change.c.changed_at_us <= END,
    )
)
STEPS: Final = {
    "time_to_detect": OPENED,
    "time_to_propose": PROPOSED,
    "time_to_promote": PROMOTED,
    "time_to_recover": RECOVERED,
}

POSTED_BY = task.c.posted_at_us + 0 <= END
"""A sum, so that no planner reads the index of posting times: nearly all of history was posted before."""
OPEN_NOW = select(func.count()).where(task.c.ended_at_us.is_(None), POSTED_BY, IS_USERS)
ENDED_LATER = select(func.count()).where(task.c.ended_at_us > END, POSTED_BY, IS_USERS)
POSTED_COUNT = select(func.count()).where(IS_USERS, task.c.posted_at_us > START, task.c.posted_at_us <= END)
ENDED_COUNT = select(func.count()).where(IS_USERS, task.c.ended_at_us > START, task.c.ended_at_us <= END)
CANCELLED = select(func.count()).where(
    IS_USERS,
    task.c.state == TaskState.CANCELLED,
    task.c.ended_at_us >= START,
    task.c.ended_at_us <= END,
)
NEWEST_INSTANTS: Final = (
    select(event.c.published_at_us.label("at_us")).order_by(event.c.id.desc()).limit(LIMIT),
    select(task.c.posted_at_us.label("at_us")).order_by(task.c.id.desc()).limit(LIMIT),
)
AGENTS = select(func.count()).where(agent.c.registered_at_us <= END)
NEWEST_EVENT = select(func.coalesce(func.max(event.c.id), 0))
PUBLISHED_AT = (
    select(event.c.id)
    .where(event.c.id > AFTER, event.c.published_at_us == bindparam("published_us"))
    .limit(1)
)
OLDEST_SEARCHED = select(event.c.published_at_us).where(event.c.id > AFTER).order_by(event.c.id).limit(1)
LAST_DONE = (
    select(cron_tick.c.ended_at_us)
    .where(cron_tick.c.job == bindparam("job_name"), cron_tick.c.state == TickState.DONE)
    .order_by(cron_tick.c.due_at_us.desc())
    .limit(1)
)
FIRST_BEAT = select(func.min(cron_tick.c.due_at_us)).where(cron_tick.c.job == bindparam("job_name"))


def ends_after(tx: Tx, end_us: int, limit: int, *, grain: str = WINDOW) -> list[int]:
    """Return the ends of the next windows, ascending; each is one step in the index, however many rows."""
    found: list[int] = []
    while len(found) < limit:
        later: int | None = sql.value(tx, NEXT_END, of_grain=grain, end_us=found[-1] if found else end_us)
        if later is None:
            break
        found.append(later)
    return found


def end_before(tx: Tx, end_us: int, *, grain: str = WINDOW) -> int | None:
    """Return the end of the window before, or None."""
    found: int | None = sql.value(tx, END_BEFORE, of_grain=grain, end_us=end_us)
    return found


def rows_of(tx: Tx, end_us: int, *, grain: str = WINDOW) -> list[Row]:
    """Return every published row of the window, or the day, that ended then."""
    return sql.listed(tx, ROWS, of_grain=grain, end_us=end_us)


def gauge_at(tx: Tx, metric: str, end_us: int) -> int | None:
    """Return what was published of a gauge at an instant, or None."""
    found: int | None = sql.value(tx, GAUGE, of_metric=metric, end_us=end_us)
    return found


def corrections_of(tx: Tx, end_us: int) -> list[Row]:
    """Return the corrections of a window."""
    return sql.listed(tx, CORRECTIONS, end_us=end_us)


def corrected_after(tx: Tx, correction_id: int, limit: int) -> list[Row]:
    """Return (id, window_end_us) of the next corrections."""
    return sql.listed(tx, CORRECTED, after_id=correction_id, most_rows=limit)


def committed_late(tx: Tx, start_us: int, end_us: int) -> int:
    """Return how many posts and ends of windows that ended in (start, end] came in after the end."""
    return int(sql.value(tx, LATER, start_us=start_us, end_us=end_us))


def waiting(tx: Tx, end_us: int) -> list[int]:
    """Return ids of the first notes about the time up to an instant that no snapshot has taken up."""
    return [row["id"] for row in sql.listed(tx, WAITING, end_us=end_us, after_id=0, most_rows=LATE_SHOWN)]


def still_waiting(tx: Tx, ids: Sequence[int], end_us: int) -> bool:
    """Tell whether any of these notes still waits."""
    return bool(sql.listed(tx, STILL_WAITING, wanted_ids=list(ids), end_us=end_us))


def ended(tx: Tx, start_us: int, end_us: int) -> list[Row]:
    """Return users' tasks that ended in (start, end], each with its newest award."""
    return sql.listed(tx, ENDED, start_us=start_us, end_us=end_us)


def worked(tx: Tx, start_us: int, end_us: int) -> list[Row]:
    """Return the attempts, with a result handed in, of users' tasks that ended in (start, end]."""
    return sql.listed(tx, WORKED, start_us=start_us, end_us=end_us)


def posted(tx: Tx, start_us: int, end_us: int) -> list[Row]:
    """Return (type, tasks) of users' tasks posted in (start, end]."""
    return sql.listed(tx, POSTED, start_us=start_us, end_us=end_us)


def ticks(tx: Tx, start_us: int, end_us: int) -> list[Row]:
    """Return (job, is_on_time) of the ticks that ended, or were missed, in (start, end]."""
    return sql.listed(tx, TICKS, start_us=start_us, end_us=end_us)


def steps(tx: Tx, start_us: int, end_us: int) -> list[tuple[str, int]]:
    """Return (metric, duration) of the steps of laps in (start, end]; there are few laps in a year."""
    return [
        (metric, max(0, row["duration_us"]))
        for metric, statement in STEPS.items()
        for row in sql.listed(tx, statement, start_us=start_us, end_us=end_us)
    ]


def ticks_kept_from_us(tx: Tx) -> int:
    """Return the instant after which every tick that ended is still there.

    Old ticks are deleted by when they were due; a tick ends within a day of that, or is missed by two.
    """
    oldest = sql.first(tx, OLDEST_TICK)
    if oldest is None or oldest["id"] == 1:
        return 0
    return int(oldest["due_at_us"]) + 2 * DAY_US


def open_at(tx: Tx, at_us: int) -> int:
    """Return how many users' tasks were open; cost: the open ones, and what ended since."""
    return int(sql.value(tx, OPEN_NOW, end_us=at_us)) + int(sql.value(tx, ENDED_LATER, end_us=at_us))


def flow(tx: Tx, start_us: int, end_us: int) -> tuple[int, int]:
    """Return how many users' tasks were posted, and how many ended in any way, in (start, end]."""
    bounds = {"start_us": start_us, "end_us": end_us}
    return int(sql.value(tx, POSTED_COUNT, **bounds)), int(sql.value(tx, ENDED_COUNT, **bounds))


def cancelled_between(tx: Tx, start_us: int, end_us: int) -> int:
    """Return how many users' tasks were taken back in [start, end]."""
    return int(sql.value(tx, CANCELLED, start_us=start_us, end_us=end_us))


def disorder_us(tx: Tx, limit: int) -> int:
    """Return how far the clocks of those who write are seen to be apart: the longest step back in time.

    Of the newest `limit` events and of as many tasks, in the order in which they were written.
    """
    longest = 0
    for statement in NEWEST_INSTANTS:
        earliest: int | None = None
        for row in sql.listed(tx, statement, most_rows=limit):
            if earliest is not None:
                longest = max(longest, row["at_us"] - earliest)
            earliest = row["at_us"] if earliest is None else min(earliest, row["at_us"])
    return longest


def agents_at(tx: Tx, at_us: int) -> int:
    """Return how many agents were registered."""
    return int(sql.value(tx, AGENTS, end_us=at_us))


def was_published_at(tx: Tx, at_us: int) -> bool | None:
    """Tell whether any of the newest events was published then; None when they do not reach so far back."""
    after_id = int(sql.value(tx, NEWEST_EVENT)) - EVENTS_SEARCHED
    oldest_us: int | None = sql.value(tx, OLDEST_SEARCHED, after_id=after_id)
    if oldest_us is None or oldest_us > at_us:
        return None
    return sql.value(tx, PUBLISHED_AT, after_id=after_id, published_us=at_us) is not None


def last_done_us(tx: Tx, job: str) -> int | None:
    """Return when the newest finished run of a job ended; when its oldest was due if none did; or None."""
    found: int | None = sql.value(tx, LAST_DONE, job_name=job)
    first: int | None = sql.value(tx, FIRST_BEAT, job_name=job) if found is None else None
    return first if found is None else found
