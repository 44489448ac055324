"""Read models for operators: the cron history, and what waits for a person.

Stands in the store beside the cron runner (L3) and the brakes. It never closes anything.
"""

from sqlalchemy import func, select

from services.store.sql import Row, rows
from services.store.tables import cron_tick, review_item
from services.store.tx import Tx
from services.store.views.paging import (
    LIMIT_DEFAULT,
    JsonObject,
    Page,
    at,
    fetch_page,
    seconds_of,
)


def cron_history(
    tx: Tx,
    *,
    job: str | None = None,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
    oldest_first: bool = False,
) -> Page:
    """Return a page of ticks: when each was due, who ran it, how it ended."""
    statement = select(cron_tick)
    if job is not None:
        statement = statement.where(cron_tick.c.job == job)
    found, following = fetch_page(
        tx, statement, cron_tick.c.id, limit=limit, cursor=cursor, oldest_first=oldest_first
    )
    return {"items": [_tick(row) for row in found], "next_cursor": following}


def latest_ticks(tx: Tx) -> list[JsonObject]:
    """Return the last tick of every job that ever fired, by job name."""
    latest = select(func.max(cron_tick.c.id)).group_by(cron_tick.c.job)
    statement = select(cron_tick).where(cron_tick.c.id.in_(latest)).order_by(cron_tick.c.job)
    return [_tick(row) for row in rows(tx, statement)]


def list_review_items(
    tx: Tx,
    *,
    is_open: bool | None = None,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
    oldest_first: bool = False,
) -> Page:
    """Return a page of what waits (or waited) for a person."""
    statement = select(review_item)
    if is_open is not None:
        closed = review_item.c.closed_at_us
        statement = statement.where(closed.is_(None) if is_open else closed.is_not(None))
    found, following = fetch_page(
        tx, statement, review_item.c.id, limit=limit, cursor=cursor, oldest_first=oldest_first
    )
    return {"items": [_review_item(row) for row in found], "next_cursor": following}


def _tick(row: Row) -> JsonObject:
    return {
        "tick_id": row["id"],
        "job": row["job"],
        "due_at": at(row["due_at_us"]),
        "trigger": row["trigger"],
        "claimed_by": row["claimed_by"],
        "state": row["state"],
        "reason": row["reason"],
        "priority": row["priority"],
        "budget_seconds": seconds_of(row["budget_us"]),
        "started_at": at(row["started_at_us"]),
        "late_seconds": seconds_of(row["started_at_us"] - row["due_at_us"]),
        "ended_at": at(row["ended_at_us"]),
        "result": row["result"],
        "error": row["error"],
    }


def _review_item(row: Row) -> JsonObject:
    return {
        "item_id": row["id"],
        "kind": row["kind"],
        "subject": row["subject"],
        "context": row["context"],
        "opened_at": at(row["opened_at_us"]),
        "closed_at": at(row["closed_at_us"]),
    }
