"""Read model of the market as it stands: how many tasks wait where and for how long, and what an hour ended.

Stands in the store beside the market's queries (L4). Live tasks are counted over the indexes that the market
works by; ended ones only within the last hour. It never judges.
"""

from typing import Any

from sqlalchemy import Select, case, func, select

from services.domain.clock import HOUR_US, MINUTE_US
from services.domain.states import AttemptState, TaskState
from services.store.sql import rows
from services.store.tables import attempt, task
from services.store.tx import Tx
from services.store.views.paging import JsonObject, at, seconds_of

BUCKET_US = 5 * MINUTE_US


def market_now(tx: Tx) -> JsonObject:
    """Return waiting work by stage (count, since when the oldest waits) and the last hour's endings.

    Stages: `open` (bids come in or await their award), `awarded` (the winner has not begun), `leased` (at
    work), `submitted` (the platform verifies). `hour` has windows of five minutes, oldest first.
    """
    return {
        "stages": [
            _stage(tx, "open", _tasks_in(TaskState.BIDDING, task.c.posted_at_us)),
            _stage(tx, "awarded", _tasks_in(TaskState.AWARDED, task.c.awarded_at_us)),
            _stage(tx, "leased", _attempts_in(AttemptState.LEASED, attempt.c.leased_at_us)),
            _stage(tx, "submitted", _attempts_in(AttemptState.SUBMITTED, attempt.c.submitted_at_us)),
        ],
        "hour": _hour(tx),
    }


def _tasks_in(state: TaskState, since: Any) -> Select[Any]:
    waits = task.c.state == state
    if state == TaskState.BIDDING:
        oldest = select(since).where(waits).order_by(task.c.id).limit(1).scalar_subquery()
        return select(func.count().label("count"), oldest.label("since_us")).select_from(task).where(waits)
    return select(func.count().label("count"), func.min(since).label("since_us")).where(waits)


def _attempts_in(state: AttemptState, since: Any) -> Select[Any]:
    """Return the count of live attempts; those handed in are found among tasks that have not ended."""
    waits = select(func.count().label("count"), func.min(since).label("since_us"))
    if state == AttemptState.LEASED:
        return waits.where(attempt.c.state == state)
    return (
        waits.select_from(task)
        .join(attempt, attempt.c.task_id == task.c.id)
        .where(task.c.ended_at_us.is_(None), task.c.state == TaskState.SUBMITTED, attempt.c.state == state)
    )


def _stage(tx: Tx, name: str, statement: Select[Any]) -> JsonObject:
    (row,) = rows(tx, statement)
    since_us = row["since_us"]
    return {
        "stage": name,
        "count": row["count"],
        "oldest_at": at(since_us),
        "oldest_seconds": None if since_us is None else seconds_of(tx.now_us - since_us),
    }


def _hour(tx: Tx) -> list[JsonObject]:
    """Return settled and unsettled endings per window of the last hour, windows without any included."""
    last = tx.now_us // BUCKET_US
    first = last - HOUR_US // BUCKET_US + 1
    bucket = (task.c.ended_at_us // BUCKET_US).label("bucket")
    statement = (
        select(
            bucket,
            func.sum(case((task.c.state == TaskState.SETTLED, 1), else_=0)).label("settled"),
            func.count().label("ended"),
        )
        .where(task.c.ended_at_us >= first * BUCKET_US)
        .group_by(bucket)
    )
    found = {int(row["bucket"]): row for row in rows(tx, statement)}
    return [
        {
            "from": at(number * BUCKET_US),
            "settled": int(found[number]["settled"]) if number in found else 0,
            "ended": found[number]["ended"] if number in found else 0,
        }
        for number in range(first, last + 1)
    ]
