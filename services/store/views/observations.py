"""Read models of the observatory: snapshots (counts, never only a ratio) and episodes.

Stands in the store beside the observatory's queries (L1). It never judges a metric.
"""

from sqlalchemy import select

from services.domain.measures import Grain
from services.store.sql import Row, find
from services.store.tables import episode, snapshot
from services.store.tx import Tx
from services.store.views.paging import LIMIT_DEFAULT, JsonObject, Page, at, fetch_page


def list_snapshots(
    tx: Tx,
    *,
    metric: str = "task_success",
    dimension: str | None = None,
    key: str | None = None,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
    oldest_first: bool = False,
) -> Page:
    """Return a page of snapshots of one dimension (`platform`, `task_type` or `agent`) and key."""
    statement = select(snapshot).where(snapshot.c.metric == metric, snapshot.c.grain == Grain.WINDOW)
    for column, value in (
        (snapshot.c.dimension, dimension),
        (snapshot.c.key, key),
    ):
        if value is not None:
            statement = statement.where(column == value)
    found, following = fetch_page(
        tx, statement, snapshot.c.id, limit=limit, cursor=cursor, oldest_first=oldest_first
    )
    return {"items": [_snapshot(row) for row in found], "next_cursor": following}


def list_episodes(
    tx: Tx,
    *,
    state: str | None = None,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
    oldest_first: bool = False,
) -> Page:
    """Return a page of episodes, open or closed."""
    statement = select(episode)
    if state is not None:
        statement = statement.where(episode.c.state == state)
    found, following = fetch_page(
        tx, statement, episode.c.id, limit=limit, cursor=cursor, oldest_first=oldest_first
    )
    return {"items": [episode_of(row) for row in found], "next_cursor": following}


def get_episode(tx: Tx, episode_id: int) -> JsonObject | None:
    """Return one episode, or None."""
    found = find(tx, episode, id=episode_id)
    return episode_of(found) if found else None


def episode_of(row: Row) -> JsonObject:
    """Return an episode row as the Episode of the API."""
    return {
        "episode_id": row["id"],
        "metric": row["metric"],
        "kind": row["kind"],
        "dimension": row["dimension"],
        "key": row["key"],
        "state": row["state"],
        "shape": row["shape"],
        "observed": row["evidence"].get("observed"),
        "expected": row["evidence"].get("expected"),
        "interval": row["evidence"].get("interval"),
        "unit": row["evidence"].get("unit"),
        "rule": row["rule"],
        "numerator": row["numerator"],
        "denominator": row["denominator"],
        "baseline_rate": row["baseline_rate"],
        "p_value": row["p_value"],
        "evidence": row["evidence"],
        "lap_id": row["lap_id"],
        "meta_task_id": row["meta_task_id"],
        "began_at": at(row["began_at_us"]),
        "opened_at": at(row["opened_at_us"]),
        "updated_at": at(row["updated_at_us"]),
        "accepted_ledger_index": row["accepted_ledger_index"],
        "closed_at": at(row["closed_at_us"]),
    }


def _snapshot(row: Row) -> JsonObject:
    return {
        "metric": row["metric"],
        "dimension": row["dimension"],
        "key": row["key"],
        "window_start": at(row["window_start_us"]),
        "window_end": at(row["window_end_us"]),
        "numerator": row["numerator"],
        "denominator": row["denominator"],
    }
