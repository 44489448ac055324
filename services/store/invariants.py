"""Queries of the watchdog: sums over all money, tasks and agents with everything that belongs to them.

Stands under `services.operations.watchdog`. It shares no statement with the market: what is checked must not
be read the way it was written. It never writes.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import (
    BindParameter,
    Select,
    String,
    Table,
    bindparam,
    case,
    cast,
    func,
    literal,
    or_,
    select,
    text,
)

from services.domain.states import BudgetHoldState, EscrowState, TaskKind, TaskState, TickState
from services.store import sql
from services.store.sql import Row
from services.store.tables import (
    account,
    agent,
    agent_counterparty,
    agent_outcome,
    agent_record,
    attempt,
    award,
    bid,
    budget,
    budget_hold,
    cron_tick,
    escrow,
    review_item,
    task,
    transfer,
)
from services.store.tx import Tx

AFTER: BindParameter[int] = bindparam("after_id")
LIMIT: BindParameter[int] = bindparam("most_rows")
IDS: BindParameter[int] = bindparam("wanted_ids", expanding=True)

CREDITS = (
    select(transfer.c.credit_account_id.label("account_id"), func.sum(transfer.c.amount).label("total"))
    .group_by(transfer.c.credit_account_id)
    .subquery("credits")
)
DEBITS = (
    select(transfer.c.debit_account_id.label("account_id"), func.sum(transfer.c.amount).label("total"))
    .group_by(transfer.c.debit_account_id)
    .subquery("debits")
)
ACCOUNTS = (
    select(
        account,
        (func.coalesce(CREDITS.c.total, 0) - func.coalesce(DEBITS.c.total, 0)).label("booked"),
    )
    .join(CREDITS, CREDITS.c.account_id == account.c.id, isouter=True)
    .join(DEBITS, DEBITS.c.account_id == account.c.id, isouter=True)
    .order_by(account.c.id)
)
DEBITED, CREDITED = account.alias("debited"), account.alias("credited")
LAME_TRANSFERS = (
    select(transfer.c.id)
    .join(DEBITED, DEBITED.c.id == transfer.c.debit_account_id, isouter=True)
    .join(CREDITED, CREDITED.c.id == transfer.c.credit_account_id, isouter=True)
    .where(
        or_(
            transfer.c.amount <= 0,
            transfer.c.debit_account_id == transfer.c.credit_account_id,
            DEBITED.c.unit.is_distinct_from(CREDITED.c.unit),
        )
    )
    .order_by(transfer.c.id)
    .limit(LIMIT)
)
HELD = select(func.coalesce(func.sum(escrow.c.amount), 0)).where(
    escrow.c.state == EscrowState.HELD, escrow.c.task_id.is_not(None)
)
BUDGET_PARTS = {part: account.alias(f"budget_{part}") for part in ("free", "reserved", "spent")}


def _with_parts() -> Select[*tuple[Any, ...]]:
    """Return the select of budgets with the balances of their accounts and the sum of their open holds."""
    held = (
        select(escrow.c.source_account_id, func.sum(escrow.c.amount).label("total"))
        .where(escrow.c.budget_hold_id.is_not(None), escrow.c.state == EscrowState.HELD)
        .group_by(escrow.c.source_account_id)
        .subquery("held")
    )
    balances = [func.coalesce(table.c.balance, 0).label(part) for part, table in BUDGET_PARTS.items()]
    found = select(
        budget.c.id, budget.c.name, budget.c.cap, *balances, func.coalesce(held.c.total, 0).label("held")
    )
    for part, table in BUDGET_PARTS.items():
        owner = literal("budget:") + cast(budget.c.id, String()) + literal(f":{part}")
        found = found.join(table, table.c.owner == owner, isouter=True)
    free = BUDGET_PARTS["free"]
    return found.join(held, held.c.source_account_id == free.c.id, isouter=True).order_by(budget.c.id)


BUDGETS = _with_parts()
PART_STATES = {
    BudgetHoldState.HELD: EscrowState.HELD,
    BudgetHoldState.SETTLED: EscrowState.PAID,
    BudgetHoldState.VOIDED: EscrowState.RETURNED,
    BudgetHoldState.EXPIRED: EscrowState.RETURNED,
}
UNLIKE_HOLDS = (
    select(budget_hold.c.id, budget_hold.c.state, budget_hold.c.amount)
    .join(escrow, escrow.c.budget_hold_id == budget_hold.c.id, isouter=True)
    .where(
        or_(
            escrow.c.state.is_distinct_from(
                case(
                    {str(state): str(part) for state, part in PART_STATES.items()}, value=budget_hold.c.state
                )
            ),
            escrow.c.amount != budget_hold.c.amount,
            budget_hold.c.settled_amount > budget_hold.c.amount,
        )
    )
    .order_by(budget_hold.c.id)
    .limit(LIMIT)
)
ACCOUNT_IDS = select(account.c.id, account.c.owner).where(
    account.c.owner.in_(bindparam("owners", expanding=True))
)

TASKS_AFTER = select(task.c.id).where(task.c.id > AFTER).order_by(task.c.id).limit(LIMIT)
TASKS = select(task).where(task.c.id.in_(IDS)).order_by(task.c.id)
OVERDUE = (
    select(task.c.id)
    .where(
        task.c.ended_at_us.is_(None),
        task.c.deadline_at_us < bindparam("deadline_before_us"),
        task.c.kind == TaskKind.USER,
    )
    .order_by(task.c.deadline_at_us)
    .limit(LIMIT)
)
LATE_BIDS = (
    select(bid.c.task_id)
    .join(task, task.c.id == bid.c.task_id)
    .where(
        bid.c.id > AFTER,
        bid.c.id <= AFTER + LIMIT,
        or_(
            bid.c.placed_at_us >= task.c.bids_close_at_us,
            bid.c.placed_at_us < task.c.posted_at_us,
            bid.c.agent_id == task.c.requester_id,
        ),
    )
    .distinct()
)
PART_TABLES: Final[Mapping[str, tuple[Table, str]]] = {
    "bids": (bid, "id"),
    "awards": (award, "attempt_number"),
    "attempts": (attempt, "number"),
    "holds": (escrow, "id"),
    "transfers": (transfer, "id"),
    "outcomes": (agent_outcome, "id"),
}
"""What belongs to a task: the name of the part, its table, and the column that orders it."""
PARTS: Final[Mapping[str, Select[*tuple[Any, ...]]]] = {
    name: select(table).where(table.c.task_id.in_(IDS)).order_by(table.c.task_id, table.c[order])
    for name, (table, order) in PART_TABLES.items()
}
FEEDS: Final[Mapping[str, Select[*tuple[Any, ...]]]] = {
    table.name: select(table.c.id, table.c.task_id)
    .where(table.c.id > AFTER)
    .order_by(table.c.id)
    .limit(LIMIT)
    for table in (transfer, award, attempt)
}
"""Tables in which every act on a task leaves a row with a new id."""

AGENTS_AFTER = select(agent.c.id).where(agent.c.id > AFTER).order_by(agent.c.id).limit(LIMIT)
OUTCOMES_AFTER = (
    select(agent_outcome.c.id, agent_outcome.c.agent_id)
    .where(agent_outcome.c.id > AFTER)
    .order_by(agent_outcome.c.id)
    .limit(LIMIT)
)
AGENTS = select(agent).where(agent.c.id.in_(IDS)).order_by(agent.c.id)
OUTCOMES = select(agent_outcome).where(agent_outcome.c.agent_id == AFTER).order_by(agent_outcome.c.id)
RECORDS = select(agent_record).where(agent_record.c.agent_id == AFTER)
COUNTERPARTIES = select(agent_counterparty).where(agent_counterparty.c.agent_id == AFTER)
OPEN_BIDS = (
    select(bid.c.agent_id, func.count().label("open_bids"))
    .join(task, task.c.id == bid.c.task_id)
    .where(task.c.state == TaskState.BIDDING, bid.c.agent_id.in_(IDS))
    .group_by(bid.c.agent_id)
)
LAST_RESULT = (
    select(cron_tick.c.result)
    .where(cron_tick.c.job == bindparam("job_name"), cron_tick.c.state == TickState.DONE)
    .order_by(cron_tick.c.due_at_us.desc())
    .limit(1)
)
SWEEP_JOB: Final = "lease_expiry"
SWEPT = (cron_tick.c.job == SWEEP_JOB, cron_tick.c.state != TickState.MISSED)
SWEEP_BEFORE = select(func.max(cron_tick.c.due_at_us)).where(
    *SWEPT, cron_tick.c.due_at_us <= bindparam("at_us")
)
SWEEPS = (
    select(cron_tick.c.due_at_us)
    .where(*SWEPT, cron_tick.c.due_at_us.between(bindparam("from_us"), bindparam("until_us")))
    .order_by(cron_tick.c.due_at_us)
)
ITEMS = select(review_item.c.subject, review_item.c.context, review_item.c.closed_at_us).where(
    review_item.c.kind == bindparam("item_kind"),
    review_item.c.subject.in_(bindparam("subjects", expanding=True)),
)


def hold_snapshot(tx: Tx) -> None:
    """Let every later statement of this transaction see one instant; must come before the first of them."""
    if tx.is_postgresql:
        tx.connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))


def accounts_with_sums(tx: Tx) -> list[Row]:
    """Return every account with `booked`, what its transfers add up to."""
    return [{**row, "booked": int(row["booked"])} for row in sql.listed(tx, ACCOUNTS)]


def lame_transfers(tx: Tx, limit: int) -> list[int]:
    """Return transfers that move nothing, go nowhere, or turn one unit into another; the first of them."""
    return [row["id"] for row in sql.listed(tx, LAME_TRANSFERS, most_rows=limit)]


def held_total(tx: Tx) -> int:
    """Return what all open holds add up to."""
    return int(sql.value(tx, HELD))


def budgets_with_parts(tx: Tx) -> list[Row]:
    """Return every budget: id, name, cap, free, reserved, spent, and held, the sum of its open holds."""
    return [{**row, "held": int(row["held"])} for row in sql.listed(tx, BUDGETS)]


def unlike_holds(tx: Tx, limit: int) -> list[Row]:
    """Return budget holds (id, state, amount) a part of which has another state or amount, or is missing."""
    return sql.listed(tx, UNLIKE_HOLDS, most_rows=limit)


def account_ids(tx: Tx, owners: Collection[str]) -> dict[str, int]:
    """Return the ids of these accounts by owner."""
    return {row["owner"]: row["id"] for row in sql.listed(tx, ACCOUNT_IDS, owners=list(owners))}


def task_ids_after(tx: Tx, task_id: int, limit: int) -> list[int]:
    """Return the next task ids."""
    return [row["id"] for row in sql.listed(tx, TASKS_AFTER, after_id=task_id, most_rows=limit)]


def overdue_tasks(tx: Tx, deadline_before_us: int, limit: int) -> list[int]:
    """Return users' tasks that have not ended and whose deadline was before this instant."""
    found = sql.listed(tx, OVERDUE, deadline_before_us=deadline_before_us, most_rows=limit)
    return [row["id"] for row in found]


def tasks_with_late_bids(tx: Tx, bid_id: int, count: int) -> list[int]:
    """Return tasks with a bid outside its window, among the `count` ids of bids after this one."""
    return [row["task_id"] for row in sql.listed(tx, LATE_BIDS, after_id=bid_id, most_rows=count)]


def highest_bid(tx: Tx) -> int:
    """Return the highest id of a bid, 0 without any."""
    return int(sql.value(tx, select(func.coalesce(func.max(bid.c.id), 0))))


def tasks_of(tx: Tx, task_ids: Sequence[int]) -> tuple[list[Row], dict[str, list[Row]]]:
    """Return these tasks, and by name everything that belongs to them in the order of each part."""
    rows = sql.listed(tx, TASKS, wanted_ids=list(task_ids))
    return rows, {name: sql.listed(tx, part, wanted_ids=list(task_ids)) for name, part in PARTS.items()}


def fed(tx: Tx, feed: str, after_id: int, limit: int) -> list[Row]:
    """Return (id, task_id) of the next rows of one of `FEEDS`."""
    return sql.listed(tx, FEEDS[feed], after_id=after_id, most_rows=limit)


def outcomes_after(tx: Tx, outcome_id: int, limit: int) -> list[Row]:
    """Return (id, agent_id) of the next outcomes."""
    return sql.listed(tx, OUTCOMES_AFTER, after_id=outcome_id, most_rows=limit)


def agent_ids_after(tx: Tx, agent_id: int, limit: int) -> list[int]:
    """Return the next agent ids."""
    return [row["id"] for row in sql.listed(tx, AGENTS_AFTER, after_id=agent_id, most_rows=limit)]


def agents_of(tx: Tx, agent_ids: Sequence[int]) -> list[Row]:
    """Return the rows of these agents."""
    return sql.listed(tx, AGENTS, wanted_ids=list(agent_ids))


def record_of(tx: Tx, agent_id: int) -> tuple[list[Row], list[Row], list[Row]]:
    """Return an agent's outcomes in their order, its records by type, and its evidence by counterparty."""
    found = [sql.listed(tx, part, after_id=agent_id) for part in (OUTCOMES, RECORDS, COUNTERPARTIES)]
    return found[0], found[1], found[2]


def open_bids(tx: Tx, agent_ids: Sequence[int]) -> dict[int, int]:
    """Return how many bids these agents have on tasks that still take bids; none are left out."""
    found = sql.listed(tx, OPEN_BIDS, wanted_ids=list(agent_ids))
    return {row["agent_id"]: row["open_bids"] for row in found}


def sweeps_of(tx: Tx, leased_us: int, ended_us: int) -> list[int] | None:
    """Return the last sweep of the market up to `leased_us` and those up to `ended_us`, in order.

    None where they are no longer kept, or none had been made when the lease was taken.
    """
    first_us = sql.value(tx, SWEEP_BEFORE, at_us=leased_us)
    if first_us is None:
        return None
    return [row["due_at_us"] for row in sql.listed(tx, SWEEPS, from_us=first_us, until_us=ended_us)]


def last_result(tx: Tx, job: str) -> Mapping[str, Any]:
    """Return what the newest finished tick of a job said; empty before its first."""
    found: Mapping[str, Any] | None = sql.value(tx, LAST_RESULT, job_name=job)
    return found or {}


def items_about(tx: Tx, kind: str, subjects: Sequence[str]) -> list[Row]:
    """Return the review items of a kind about these subjects, open or closed."""
    return sql.listed(tx, ITEMS, item_kind=kind, subjects=list(subjects))
