"""Queries of the exposition of metrics: running totals, and the present figures, each over an index.

Stand under `services.operations.metric_totals` and the page `/metrics`. None of them reads history: totals
are kept, and what is added to them is at most what is newer. They never judge a metric.
"""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import BindParameter, bindparam, func, literal_column, select

from services.domain.budget import BudgetScope
from services.domain.states import DeliveryState, EpisodeState, ExperimentKind
from services.store import sql
from services.store.sql import Row
from services.store.tables import (
    account,
    agent,
    budget,
    cron_tick,
    episode,
    experiment,
    feed_mark,
    ledger_head,
    observation,
    review_item,
    snapshot,
    snapshot_correction,
    task,
    webhook,
    webhook_delivery,
)
from services.store.tx import Tx

TOTALS: Final = "metric_totals"
INVARIANT_LENGTH: Final = 3
"""So many letters of a breach's subject are the name of its invariant, such as `A8` or `W8`."""
END: BindParameter[int] = bindparam("end_us")
AFTER: BindParameter[int] = bindparam("after_id")
LIMIT: BindParameter[int] = bindparam("most_rows")
DIMENSIONS: BindParameter[str] = bindparam("dimensions", expanding=True)

NEXT_END = select(func.min(snapshot.c.window_end_us)).where(
    snapshot.c.grain == "window", snapshot.c.window_end_us > END
)
NEWEST_END = select(func.max(snapshot.c.window_end_us)).where(snapshot.c.grain == "window")
OF_WINDOW = select(snapshot).where(
    snapshot.c.grain == "window", snapshot.c.window_end_us == END, snapshot.c.dimension.in_(DIMENSIONS)
)
BUSIEST = (
    select(snapshot.c.key)
    .where(
        snapshot.c.grain == "window",
        snapshot.c.window_end_us == END,
        snapshot.c.dimension == "agent",
        snapshot.c.metric == "tasks_ended",
    )
    .order_by(snapshot.c.numerator.desc(), snapshot.c.key)
    .limit(LIMIT)
)
OF_AGENTS = select(snapshot).where(
    snapshot.c.grain == "window",
    snapshot.c.window_end_us == END,
    snapshot.c.dimension == "agent",
    snapshot.c.key.in_(bindparam("keys", expanding=True)),
)
CORRECTIONS = (
    select(snapshot_correction)
    .where(snapshot_correction.c.id > AFTER, snapshot_correction.c.window_end_us <= END)
    .order_by(snapshot_correction.c.id)
)
NEWEST_CORRECTION = select(func.coalesce(func.max(snapshot_correction.c.id), 0))
WAITING = select(
    observation.c.kind,
    observation.c.task_type,
    observation.c.is_success,
    observation.c.is_timeout,
    func.count().label("notes"),
).group_by(observation.c.kind, observation.c.task_type, observation.c.is_success, observation.c.is_timeout)
LAST_TICK = (
    select(cron_tick)
    .where(cron_tick.c.job == bindparam("job_name"))
    .order_by(cron_tick.c.due_at_us.desc())
    .limit(1)
)
OPEN_TASKS = select(func.count()).where(task.c.ended_at_us.is_(None))
EXPERIMENTS = (
    select(experiment.c.state, func.count().label("number"))
    .where(experiment.c.kind == ExperimentKind.CHANGE)
    .group_by(experiment.c.state)
)
EPISODES = (
    select(episode.c.metric, func.count().label("number"))
    .where(episode.c.state == EpisodeState.OPEN)
    .group_by(episode.c.metric)
)
BUDGETS = (
    select(budget.c.id, budget.c.scope, budget.c.resource, budget.c.period, budget.c.cap)
    .where(budget.c.scope == BudgetScope.DAY)
    .order_by(budget.c.id.desc())
    .limit(LIMIT)
)
BALANCES = select(account.c.owner, account.c.balance).where(
    account.c.owner.in_(bindparam("owners", expanding=True))
)
AGENTS = select(agent.c.standing, func.count().label("number")).group_by(agent.c.standing)
IS_OPEN = review_item.c.closed_at_us.is_(None)
REVIEWS = (
    select(review_item.c.kind, func.count().label("number"))
    .where(IS_OPEN)
    .group_by(review_item.c.kind)
    .order_by(func.count().desc(), review_item.c.kind)
)
INVARIANT: Final = func.substr(review_item.c.subject, 1, INVARIANT_LENGTH)
BREACHES = (
    select(INVARIANT.label("invariant"), func.count().label("number"))
    .where(IS_OPEN, review_item.c.kind == bindparam("broken_kind"))
    .group_by(INVARIANT)
)
WEBHOOKS = (
    select(webhook.c.is_active, func.count().label("number"))
    .where(webhook.c.deleted_at_us.is_(None))
    .group_by(webhook.c.is_active)
)
OF_WEBHOOKS = {
    state: select(func.count()).select_from(
        select(webhook_delivery.c.id)
        .where(webhook_delivery.c.state == literal_column(f"'{state}'"))  # as the partial indexes say it
        .limit(LIMIT)
        .subquery()
    )
    for state in (DeliveryState.PENDING, DeliveryState.DEAD)
}
BUDGETS_SHOWN: Final = 20


def kept(tx: Tx) -> dict[str, Any] | None:
    """Return the kept totals with their marks; None before the first."""
    row = sql.find(tx, feed_mark, name=TOTALS)
    return None if row is None else dict(row["marks"])


def keep(tx: Tx, marks: dict[str, Any], *, is_first: bool) -> None:
    """Write the totals with their marks."""
    values = {"marks": marks, "changed_at_us": tx.now_us}
    if is_first:
        sql.insert(tx, feed_mark, name=TOTALS, **values)
    else:
        sql.update(tx, feed_mark, {"name": TOTALS}, **values)


def next_end(tx: Tx, end_us: int) -> int | None:
    """Return the end of the window after one, or None."""
    found: int | None = sql.value(tx, NEXT_END, end_us=end_us)
    return found


def newest_end(tx: Tx) -> int | None:
    """Return the end of the newest window, or None."""
    found: int | None = sql.value(tx, NEWEST_END)
    return found


def of_window(tx: Tx, end_us: int, dimensions: Sequence[str]) -> list[Row]:
    """Return the rows of a window that are of these dimensions."""
    return sql.listed(tx, OF_WINDOW, end_us=end_us, dimensions=list(dimensions))


def of_busiest_agents(tx: Tx, end_us: int, limit: int) -> list[Row]:
    """Return the rows of the agents for whom most tasks ended in a window."""
    keys = [row["key"] for row in sql.listed(tx, BUSIEST, end_us=end_us, most_rows=limit)]
    return sql.listed(tx, OF_AGENTS, end_us=end_us, keys=keys) if keys else []


def corrections(tx: Tx, after_id: int, end_us: int) -> list[Row]:
    """Return the corrections after one, of windows that ended up to an instant."""
    return sql.listed(tx, CORRECTIONS, after_id=after_id, end_us=end_us)


def newest_correction(tx: Tx) -> int:
    """Return the id of the newest correction, 0 without any."""
    return int(sql.value(tx, NEWEST_CORRECTION))


def waiting(tx: Tx) -> list[Row]:
    """Return (kind, task_type, is_success, is_timeout, notes) of what no snapshot has taken up."""
    return sql.listed(tx, WAITING)


def last_ticks(tx: Tx, jobs: Sequence[str]) -> list[Row]:
    """Return the newest tick of each of these jobs that has one."""
    found = [sql.first(tx, LAST_TICK, job_name=job) for job in jobs]
    return [row for row in found if row is not None]


def open_tasks(tx: Tx) -> int:
    """Return how many tasks have not ended."""
    return int(sql.value(tx, OPEN_TASKS))


def numbers(tx: Tx, what: str) -> dict[str, int]:
    """Return counts by state: `experiments`, `agents`; or by metric: `episodes`."""
    statement = {"experiments": EXPERIMENTS, "agents": AGENTS, "episodes": EPISODES}[what]
    return {next(iter(row.values())): row["number"] for row in sql.listed(tx, statement)}


def budgets(tx: Tx) -> list[Row]:
    """Return the newest budget of the whole deployment for each resource: resource, cap, reserved, spent."""
    newest: dict[str, Row] = {}
    for row in sql.listed(tx, BUDGETS, most_rows=BUDGETS_SHOWN):
        newest.setdefault(row["resource"], row)
    owners = [f"budget:{row['id']}:{part}" for row in newest.values() for part in ("reserved", "spent")]
    balances = {row["owner"]: row["balance"] for row in sql.listed(tx, BALANCES, owners=owners)}
    return [
        {
            **row,
            **{part: balances.get(f"budget:{row['id']}:{part}", 0) for part in ("reserved", "spent")},
        }
        for row in newest.values()
    ]


def ledger_size(tx: Tx) -> int:
    """Return how many entries the ledger has."""
    head = sql.find(tx, ledger_head, id=1)
    return 0 if head is None else int(head["size"])


def open_reviews(tx: Tx) -> dict[str, int]:
    """Return how many items wait for a person by kind, most first."""
    return {row["kind"]: row["number"] for row in sql.listed(tx, REVIEWS)}


def open_breaches(tx: Tx, broken_kind: str) -> dict[str, int]:
    """Return how many open items of that kind there are by the invariant that they name first."""
    found: dict[str, int] = {}
    for row in sql.listed(tx, BREACHES, broken_kind=broken_kind):
        name = row["invariant"].strip()
        found[name] = found.get(name, 0) + row["number"]
    return found


def webhooks(tx: Tx) -> tuple[int, int]:
    """Return how many webhooks are active, and how many are paused."""
    found = {bool(row["is_active"]): row["number"] for row in sql.listed(tx, WEBHOOKS)}
    return found.get(True, 0), found.get(False, 0)


def webhook_deliveries(tx: Tx, limit: int) -> dict[str, int]:
    """Return how many deliveries to webhooks are pending, and dead; each counted up to `limit`."""
    return {
        str(state): int(sql.value(tx, statement, most_rows=limit)) for state, statement in OF_WEBHOOKS.items()
    }
