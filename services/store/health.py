"""Queries of the platform's health: the counts that its score is made of, the newest answer of each check.

Stands under `services.operations.health`. Every query walks a small index or a small table, so that health
can be asked often. It never judges.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, bindparam, case, delete, func, literal_column, select

from services.domain.budget import DAY, Resource
from services.domain.checks import Layer, Status
from services.domain.states import DeliveryState, EpisodeState, TickState
from services.store import budgets, deliveries, sql
from services.store.config import CONFIG_ENTRIES
from services.store.sql import Row
from services.store.tables import (
    award,
    cron_job,
    cron_tick,
    delivery,
    episode,
    event,
    feed_mark,
    health_check,
    ledger_entry,
    review_item,
    snapshot,
)
from services.store.tx import Tx

PLATFORM: Final = "platform"
CORRECTNESS: Final = "correctness"
"""The metric of episodes that a check of correctness opened: the check counts, not its episode too."""
BAD_TICKS: Final = (TickState.FAILED, TickState.OVERRUN, TickState.MISSED)
AT_FAULT: Final = (TickState.FAILED, TickState.OVERRUN)
"""Ticks that a job itself is to blame for; a missed one says that no process ran, not that the job is bad."""

# Constants, not parameters: SQLite uses a partial index only where it can read its condition.
_PENDING: ColumnElement[str] = literal_column(f"'{DeliveryState.PENDING}'")
_DEAD: ColumnElement[str] = literal_column(f"'{DeliveryState.DEAD}'")
_OPEN: ColumnElement[str] = literal_column(f"'{EpisodeState.OPEN}'")

OPEN_EPISODES = (
    select(episode.c.dimension, func.count().label("count"))
    .where(episode.c.state == _OPEN, episode.c.metric != CORRECTNESS)
    .group_by(episode.c.dimension)
)
DEAD_LETTERS = select(func.count()).select_from(delivery).where(delivery.c.state == _DEAD)
TICKS_SINCE = (
    select(
        cron_tick.c.job,
        func.count().label("ticks"),
        func.sum(case((cron_tick.c.state.in_(BAD_TICKS), 1), else_=0)).label("bad"),
        func.sum(case((cron_tick.c.state.in_(AT_FAULT), 1), else_=0)).label("at_fault"),
        func.sum(case((cron_tick.c.state == TickState.MISSED, 1), else_=0)).label("missed"),
    )
    .where(cron_tick.c.ended_at_us > bindparam("since_us"))
    .group_by(cron_tick.c.job)
)
REVIEWS = select(
    func.sum(case((review_item.c.kind == bindparam("broken_kind"), 1), else_=0)).label("broken"),
    func.sum(
        case(
            (
                and_(
                    review_item.c.kind != bindparam("broken_kind"),
                    review_item.c.opened_at_us < bindparam("overdue_before_us"),
                ),
                1,
            ),
            else_=0,
        )
    ).label("overdue"),
).where(review_item.c.closed_at_us.is_(None))

DROP_CHECK = delete(health_check).where(health_check.c.id == bindparam("check_id"))
NEWEST_WINDOW = select(func.max(snapshot.c.window_end_us)).where(snapshot.c.grain == "window")
LAST_DONE = (
    select(cron_tick.c.started_at_us)
    .where(cron_tick.c.job == bindparam("of_job"), cron_tick.c.state == TickState.DONE)
    .order_by(cron_tick.c.due_at_us.desc())
    .limit(1)
)
OLDEST_TICK = (
    select(cron_tick.c.started_at_us)
    .where(cron_tick.c.job == bindparam("of_job"))
    .order_by(cron_tick.c.due_at_us)
    .limit(1)
)
NEWEST = (
    select(event.c.published_at_us).order_by(event.c.id.desc()).limit(1),
    select(cron_tick.c.started_at_us).order_by(cron_tick.c.id.desc()).limit(1),
    select(ledger_entry.c.at_us).order_by(ledger_entry.c.index.desc()).limit(1),
)
LAST_AWARD = select(func.max(award.c.id))
AWARD_FROM = select(award.c.task_id).where(award.c.id >= bindparam("first_id")).order_by(award.c.id).limit(1)
ENTRIES_FROM = (
    select(ledger_entry)
    .where(ledger_entry.c.index >= bindparam("first_index"))
    .order_by(ledger_entry.c.index)
    .limit(bindparam("entry_limit"))
)
CONFIG_LEAVES = (
    select(ledger_entry.c.leaf)
    .where(
        ledger_entry.c.index >= bindparam("first_index"),
        ledger_entry.c.type.in_([str(kind) for kind in CONFIG_ENTRIES]),
    )
    .order_by(ledger_entry.c.index)
)


def open_episodes(tx: Tx) -> tuple[int, int]:
    """Return how many episodes are open on the platform's series, and on others; not those of checks."""
    found = {row["dimension"]: row["count"] for row in sql.listed(tx, OPEN_EPISODES)}
    platform = found.pop(PLATFORM, 0)
    return platform, sum(found.values())


def dead_letters(tx: Tx) -> int:
    """Return how many deliveries were tried as often as allowed."""
    return int(sql.value(tx, DEAD_LETTERS))


def overdue_us(tx: Tx) -> int:
    """Return for how long the oldest delivery that is still to be made has waited; 0 when none does."""
    oldest = deliveries.oldest_published_us(tx)
    return 0 if oldest is None else max(0, tx.now_us - oldest)


def ticks_since(tx: Tx, since_us: int) -> list[Row]:
    """Return (job, ticks, bad, at_fault, missed) of the ticks that ended since an instant, per job.

    Bad ticks are those at fault and the missed ones.
    """
    return sql.listed(tx, TICKS_SINCE, since_us=since_us)


def reviews(tx: Tx, broken_kind: str, overdue_before_us: int) -> tuple[int, int]:
    """Return how many open review items are of a kind, and how many others were opened before an instant."""
    row = sql.first(tx, REVIEWS, broken_kind=broken_kind, overdue_before_us=overdue_before_us)
    return (0, 0) if row is None else (int(row["broken"] or 0), int(row["overdue"] or 0))


def exhausted_days(tx: Tx) -> int:
    """Return how many of the whole platform's budgets of this UTC day have nothing free any more."""
    names = [budgets.name_of(DAY, resource, DAY.period(tx.now_us)) for resource in Resource]
    found = sql.listed(tx, budgets.BY_NAME, names=names)
    return sum(row["cap"] > 0 and row[budgets.FREE] <= 0 for row in found)


def checks(tx: Tx, layer: str) -> list[Row]:
    """Return the newest answer of every check of a layer, by component and measurement."""
    found = sql.find_all(tx, health_check, order_by="component", layer=layer)
    return sorted(found, key=lambda row: (row["component"], row["measurement"]))


def put_check(
    tx: Tx,
    layer: str,
    component: str,
    measurement: str,
    *,
    before: Row | None,
    values: dict[str, object],
) -> None:
    """Write the newest answer of a check over the one `before`, or as its first."""
    if before is None:
        sql.insert(
            tx, health_check, layer=layer, component=component, measurement=measurement,
            checked_at_us=tx.now_us, **values,
        )  # fmt: skip
        return
    sql.update(tx, health_check, {"id": before["id"]}, checked_at_us=tx.now_us, **values)


def check_of(tx: Tx, layer: str, component: str, measurement: str) -> Row | None:
    """Return the newest answer of one check, held until the transaction ends; None before its first."""
    return sql.find(tx, health_check, lock=True, layer=layer, component=component, measurement=measurement)


def failing_of(tx: Tx, component: str) -> list[Row]:
    """Return the checks of correctness of a component that fail."""
    return sql.find_all(tx, health_check, layer=Layer.CORRECT, component=component, status=Status.FAIL)


def drop_checks(tx: Tx, kept: Collection[tuple[str, str]]) -> list[Row]:
    """Forget the checks of correctness but those (component, measurement) `kept`; return the forgotten."""
    gone = [row for row in checks(tx, Layer.CORRECT) if (row["component"], row["measurement"]) not in kept]
    for row in gone:
        sql.change(tx, DROP_CHECK, check_id=row["id"])
    return gone


def marks(tx: Tx, name: str) -> Row | None:
    """Return how far a reader has come, held until the transaction ends; None before its first time."""
    return sql.find(tx, feed_mark, lock=True, name=name)


def peek_marks(tx: Tx, name: str) -> Mapping[str, Any]:
    """Return how far a reader has come, without holding it; nothing before its first time."""
    row = sql.find(tx, feed_mark, name=name)
    found: Mapping[str, Any] = {} if row is None else row["marks"]
    return found


def keep_marks(tx: Tx, name: str, values: Mapping[str, object], *, is_first: bool) -> None:
    """Keep how far a reader has come."""
    if is_first:
        sql.insert(tx, feed_mark, name=name, marks=dict(values), changed_at_us=tx.now_us)
    else:
        sql.update(tx, feed_mark, {"name": name}, marks=dict(values), changed_at_us=tx.now_us)


def newest_window_end(tx: Tx) -> int | None:
    """Return the end of the newest window of the metrics, or None before the first."""
    found: int | None = sql.value(tx, NEWEST_WINDOW)
    return found


def last_done(tx: Tx, job: str) -> int | None:
    """Return when the newest tick of a job that ended well began, or None without one."""
    found: int | None = sql.value(tx, LAST_DONE, of_job=job)
    return found


def first_tick(tx: Tx, job: str) -> int | None:
    """Return when the oldest kept tick of a job began, or None without one."""
    found: int | None = sql.value(tx, OLDEST_TICK, of_job=job)
    return found


def paused(tx: Tx) -> set[str]:
    """Return the jobs that an operator has paused."""
    return {row["job"] for row in sql.find_all(tx, cron_job, order_by="job", is_paused=True)}


def newest_instant(tx: Tx) -> int | None:
    """Return the latest instant among the newest event, tick and ledger entry; None when there are none."""
    found = [sql.value(tx, statement) for statement in NEWEST]
    return max((one for one in found if one is not None), default=None)


def awards_near(tx: Tx, shares: Sequence[float], among: int) -> list[int]:
    """Return task ids of some of the newest `among` awards: for each share (0 to 1) one that far along."""
    last = int(sql.value(tx, LAST_AWARD) or 0)
    first = max(1, last - among + 1)
    count = last - first + 1
    found = [sql.value(tx, AWARD_FROM, first_id=first + int(share * count)) for share in shares]
    return sorted({task_id for task_id in found if task_id is not None})


def entries_from(tx: Tx, index: int, limit: int) -> list[Row]:
    """Return so many ledger entries from an index on, whole rows in order."""
    return sql.listed(tx, ENTRIES_FROM, first_index=index, entry_limit=limit)


def config_entries(tx: Tx, index: int) -> list[Row]:
    """Return the leaf of every ledger entry from an index on that may have changed the config, in order."""
    return sql.listed(tx, CONFIG_LEAVES, first_index=index)
