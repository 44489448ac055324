"""Queries of the snapshots: notes drained once, windows written, corrected, read back and down-sampled.

Stands under the observatory's snapshots. It never judges a metric.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import BindParameter, bindparam, delete, func, select

from services.domain.measures import Grain
from services.domain.states import DeliveryState, TaskKind
from services.domain.tallies import Series, Tally
from services.store import sql
from services.store.sql import Row
from services.store.tables import agent, delivery, observation, snapshot, task
from services.store.tx import Tx

DRAINED_AT_ONCE: Final = 200_000
"""Notes that are held in memory at a time."""

UNTIL: BindParameter[int] = bindparam("until_us")
SINCE: BindParameter[int] = bindparam("since_us")
END: BindParameter[int] = bindparam("end_us")
GRAIN: BindParameter[str] = bindparam("of_grain")
OF_THE_PLATFORM = (snapshot.c.dimension == "platform", snapshot.c.key == "all")
WINDOWS = (
    select(snapshot.c.grain, snapshot.c.window_start_us, snapshot.c.window_end_us)
    .where(snapshot.c.metric == "task_success", *OF_THE_PLATFORM, snapshot.c.window_end_us >= SINCE)
    .order_by(snapshot.c.window_end_us)
)
ROWS_OF_WINDOW = select(snapshot).where(snapshot.c.grain == GRAIN, snapshot.c.window_end_us == END)
POSTED_BY = (task.c.kind == TaskKind.USER, task.c.posted_at_us + 0 <= UNTIL)
"""The sum keeps a planner from reading the index of posting times: all of history was posted by now."""
OPEN_TASKS = select(func.count()).where(task.c.ended_at_us.is_(None), *POSTED_BY)
ENDING_TASKS = select(func.count()).where(task.c.ended_at_us > UNTIL, *POSTED_BY)
ACTIVE_AGENTS = select(func.count()).where(agent.c.last_active_at_us >= SINCE)
PENDING = select(func.count()).where(delivery.c.state == DeliveryState.PENDING)
SERIES = (
    select(snapshot)
    .where(
        snapshot.c.metric == bindparam("metric_name"),
        snapshot.c.dimension == bindparam("series_dimension"),
        snapshot.c.key == bindparam("series_key"),
        snapshot.c.grain == Grain.WINDOW,
        snapshot.c.window_end_us >= SINCE,
        snapshot.c.window_end_us <= UNTIL,
    )
    .order_by(snapshot.c.window_end_us.desc())
    .limit(bindparam("most_rows"))
)
SERIES_NAMES = (
    select(snapshot.c.metric, snapshot.c.dimension, snapshot.c.key)
    .where(
        snapshot.c.grain == Grain.WINDOW,
        snapshot.c.window_end_us >= SINCE,
        snapshot.c.metric.in_(bindparam("metrics", expanding=True)),
    )
    .distinct()
    .order_by(snapshot.c.metric, snapshot.c.dimension, snapshot.c.key)
)
OLDEST = select(func.min(snapshot.c.window_end_us)).where(snapshot.c.grain == GRAIN)
BETWEEN = (
    select(snapshot)
    .where(snapshot.c.grain == GRAIN, snapshot.c.window_end_us > SINCE, snapshot.c.window_end_us <= UNTIL)
    .order_by(snapshot.c.window_end_us, snapshot.c.id)
)
DELETE_BETWEEN = delete(snapshot).where(
    snapshot.c.grain == GRAIN, snapshot.c.window_end_us > SINCE, snapshot.c.window_end_us <= UNTIL
)
NOTE = (
    observation.c.kind,
    observation.c.at_us,
    observation.c.task_type,
    observation.c.agent_id,
    observation.c.model,
    observation.c.is_success,
    observation.c.is_timeout,
    observation.c.duration_us,
    observation.c.wait_us,
    observation.c.paid_microcredits,
)


def drain(tx: Tx, until_us: int) -> list[tuple[Any, ...]]:
    """Take up to `DRAINED_AT_ONCE` of the notes of this instant and before out of the queue.

    Each is (kind, at_us, task_type, agent_id, model, is_success, is_timeout, duration_us, wait_us,
    paid_microcredits). Reading and deleting is one statement: whatever is committed later is the next one's.
    """
    chosen = (
        select(observation.c.id)
        .where(observation.c.at_us <= until_us)
        .order_by(observation.c.id)
        .limit(DRAINED_AT_ONCE)
    )
    taken = delete(observation).where(observation.c.id.in_(chosen.scalar_subquery())).returning(*NOTE)
    return [tuple(row) for row in tx.connection.execute(taken)]


def windows_since(tx: Tx, since_us: int) -> list[Row]:
    """Return (grain, window_start_us, window_end_us) of the windows that ended since, oldest first."""
    return sql.listed(tx, WINDOWS, since_us=since_us)


def rows_of_window(tx: Tx, grain: str, end_us: int) -> dict[Series, Row]:
    """Return every series' row of one window."""
    found = sql.listed(tx, ROWS_OF_WINDOW, of_grain=grain, end_us=end_us)
    return {Series(row["metric"], row["dimension"], row["key"]): row for row in found}


def row_of(
    name: Series, grain: str, start_us: int, end_us: int, tally: Tally, windows: int
) -> dict[str, Any]:
    """Return a window of a series as its row; `windows` is the denominator of a count, else 0."""
    has_values = tally.lowest is not None
    return {
        "metric": name.metric,
        "dimension": name.dimension,
        "key": name.key,
        "grain": grain,
        "window_start_us": start_us,
        "window_end_us": end_us,
        "numerator": tally.numerator,
        "denominator": windows or tally.denominator,
        "squares": tally.squares if has_values else None,
        "lowest": tally.lowest,
        "highest": tally.highest,
        "histogram": _kept(tally.histogram) if has_values else None,
    }


def tally_of(row: Row) -> Tally:
    """Return a window's row as a tally."""
    tally = Tally(row["numerator"], row["denominator"], row["squares"] or 0.0, row["lowest"], row["highest"])
    tally.histogram.update({int(bucket): count for bucket, count in (row["histogram"] or {}).items()})
    return tally


def _kept(histogram: Mapping[int, int]) -> dict[str, int]:
    return {str(bucket): histogram[bucket] for bucket in sorted(histogram)}


def open_tasks(tx: Tx) -> int:
    """Return how many users' tasks are open at this instant, by their times: clocks may be apart."""
    until = {"until_us": tx.now_us}
    return int(sql.value(tx, OPEN_TASKS, **until)) + int(sql.value(tx, ENDING_TASKS, **until))


def active_agents(tx: Tx, since_us: int) -> int:
    """Return how many agents have acted since."""
    return int(sql.value(tx, ACTIVE_AGENTS, since_us=since_us))


def pending_deliveries(tx: Tx) -> int:
    """Return how many deliveries are still to be made."""
    return int(sql.value(tx, PENDING))


def newest(tx: Tx, name: Series, since_us: int, limit: int, until_us: int | None = None) -> list[Row]:
    """Return the newest windows of a series that ended since (and until an instant), oldest first."""
    found = sql.listed(
        tx,
        SERIES,
        metric_name=name.metric,
        series_dimension=name.dimension,
        series_key=name.key,
        since_us=since_us,
        until_us=tx.now_us if until_us is None else until_us,
        most_rows=limit,
    )
    return found[::-1]


def names_since(tx: Tx, metrics: Sequence[str], since_us: int) -> list[Series]:
    """Return the series of these metrics that had a window since."""
    found = sql.listed(tx, SERIES_NAMES, metrics=list(metrics), since_us=since_us)
    return [Series(row["metric"], row["dimension"], row["key"]) for row in found]


def oldest_end(tx: Tx, grain: str) -> int | None:
    """Return the end of the oldest window of a grain, or None."""
    found: int | None = sql.value(tx, OLDEST, of_grain=grain)
    return found


def between(tx: Tx, grain: str, since_us: int, until_us: int) -> list[Row]:
    """Return the windows of a grain that ended in (since, until], oldest first."""
    return sql.listed(tx, BETWEEN, of_grain=grain, since_us=since_us, until_us=until_us)


def delete_between(tx: Tx, grain: str, since_us: int, until_us: int) -> int:
    """Delete the windows of a grain that ended in (since, until]; return how many rows went."""
    return sql.change(tx, DELETE_BETWEEN, of_grain=grain, since_us=since_us, until_us=until_us)
