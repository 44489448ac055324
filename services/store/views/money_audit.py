"""The audit of the books: every balance, hold and budget recounted from the transfers, by sums in SQL.

Stands in the store beside the read models. It shares no code with what moves money (`services.operations`),
so that a fault there cannot hide itself here. It names each difference and never mends one.
"""

from collections.abc import Callable, Sequence

from sqlalchemy import ColumnElement, Select, Table, and_, case, func, literal, or_, select, union_all

from services.domain.budget import breaches
from services.domain.states import BudgetHoldState, EscrowState
from services.store import budgets
from services.store.sql import rows
from services.store.tables import account, budget_hold, escrow, transfer
from services.store.tx import Tx
from services.store.views.paging import JsonObject

TREASURY = "treasury"
ESCROW = "escrow"
BUDGET_RESERVED = "budget:%:reserved"
DIFFERENCES_TOLD = 20

Found = tuple[int, Sequence[str]]
"""How many things were checked, and a sentence for each difference."""


def audit_money(tx: Tx) -> JsonObject:
    """Check every invariant of the books at one instant; `ok` tells whether all hold."""
    checks = [_check(tx, name, says, find) for name, says, find in CHECKS]
    return {"ok": all(one["ok"] for one in checks), "checks": checks}


def _check(tx: Tx, name: str, says: str, find: Callable[[Tx], Found]) -> JsonObject:
    checked, differences = find(tx)
    return {
        "invariant": name,
        "says": says,
        "ok": not differences,
        "checked": checked,
        "differences": list(differences[:DIFFERENCES_TOLD]),
        "differences_more": max(0, len(differences) - DIFFERENCES_TOLD),
    }


def _count(tx: Tx, table: Table) -> int:
    return int(rows(tx, select(func.count().label("number")).select_from(table))[0]["number"])


def _lame_transfers(tx: Tx) -> Found:
    """M1: both sides of a transfer are there, of one unit, not the same, and the amount is positive."""
    debit, credit = account.alias("debit"), account.alias("credit")
    lame = (
        select(transfer.c.id, transfer.c.amount, debit.c.owner.label("debit"), credit.c.owner.label("credit"))
        .join(debit, debit.c.id == transfer.c.debit_account_id, isouter=True)
        .join(credit, credit.c.id == transfer.c.credit_account_id, isouter=True)
        .where(
            or_(
                debit.c.id.is_(None),
                credit.c.id.is_(None),
                debit.c.unit != credit.c.unit,
                transfer.c.debit_account_id == transfer.c.credit_account_id,
                transfer.c.amount <= 0,
            )
        )
        .order_by(transfer.c.id)
    )
    told = [
        f"transfer {row['id']} moves {row['amount']} from {row['debit']} to {row['credit']}"
        for row in rows(tx, lame)
    ]
    return _count(tx, transfer), told


def _sums(tx: Tx) -> dict[int, tuple[int, int]]:
    """Return (what came in, what went out) of every account that a transfer names."""
    legs = union_all(
        select(
            transfer.c.credit_account_id.label("account_id"),
            transfer.c.amount.label("came"),
            literal(0).label("went"),
        ),
        select(transfer.c.debit_account_id, literal(0), transfer.c.amount),
    ).subquery()
    summed = select(
        legs.c.account_id, func.sum(legs.c.came).label("came"), func.sum(legs.c.went).label("went")
    ).group_by(legs.c.account_id)
    return {row["account_id"]: (int(row["came"]), int(row["went"])) for row in rows(tx, summed)}


def _misstated_balances(tx: Tx) -> Found:
    """M2: a balance is the sum of its transfers; what is in hands is what was minted and not burned."""
    sums = _sums(tx)
    accounts = rows(tx, select(account).order_by(account.c.id))
    told = []
    in_hands = issued = 0
    treasury = 0
    for row in accounts:
        came, went = sums.get(row["id"], (0, 0))
        if row["balance"] != came - went:
            told.append(f"{row['owner']} says {row['balance']}, its transfers add up to {came - went}")
        if row["owner"] == TREASURY:
            issued, treasury = went - came, row["balance"]
        elif not row["owner"].startswith("budget:"):
            in_hands += row["balance"]
    if issued != -treasury:
        told.append(f"minted − burned is {issued}, the treasury is short of {-treasury}")
    if issued != in_hands:
        told.append(f"minted − burned is {issued}, all other accounts hold {in_hands}")
    return len(accounts), told


def _under_the_floor(tx: Tx) -> Found:
    """M3: no account is under its floor of 0, except those that what there is comes from."""
    is_source = or_(account.c.owner == TREASURY, account.c.owner.startswith(budgets.ISSUER))
    wrong = or_(
        and_(account.c.balance < 0, account.c.is_overdraft_allowed.is_(False)),
        and_(account.c.is_overdraft_allowed.is_(True), ~is_source),
    )
    found = rows(tx, select(account.c.owner, account.c.balance).where(wrong).order_by(account.c.id))
    told = [f"{row['owner']} stands at {row['balance']}, or may be overdrawn" for row in found]
    return _count(tx, account), told


def _escrow_difference(tx: Tx) -> Found:
    """M4: the escrow account is the sum of the open holds of tasks."""
    of_tasks = and_(escrow.c.state == EscrowState.HELD, escrow.c.task_id.is_not(None))
    total = func.coalesce(func.sum(escrow.c.amount), 0).label("total")
    held = rows(tx, select(func.count().label("holds"), total).where(of_tasks))[0]
    balance = sum(
        row["balance"] for row in rows(tx, select(account.c.balance).where(account.c.owner == ESCROW))
    )
    told = []
    if balance != int(held["total"]):
        told.append(f"escrow stands at {balance}, {held['holds']} open holds add up to {held['total']}")
    return int(held["holds"]), told


def _holds_resolved_otherwise(tx: Tx) -> Found:
    """M5: what went into escrow for a hold came out of it once, if it is resolved, and never otherwise."""
    escrow_ids = select(account.c.id).where(account.c.owner == ESCROW)
    reserved_ids = select(account.c.id).where(account.c.owner.like(BUDGET_RESERVED))
    told = [
        *_unlike_flows(tx, "task", escrow.c.task_id, transfer.c.task_id, escrow_ids),
        *_unlike_flows(tx, "budget hold", escrow.c.budget_hold_id, transfer.c.budget_hold_id, reserved_ids),
        *_holds_apart(tx),
    ]
    return _count(tx, escrow), told


def _unlike_flows(
    tx: Tx,
    noun: str,
    held_for: ColumnElement[int],
    moved_for: ColumnElement[int],
    account_ids: Select[*tuple[int]],
) -> list[str]:
    """Return where holds and transfers through these accounts differ, for each task or budget hold."""
    is_resolved = escrow.c.state != EscrowState.HELD
    is_in = transfer.c.credit_account_id.in_(account_ids)
    is_out = transfer.c.debit_account_id.in_(account_ids)
    both = union_all(
        select(
            held_for.label("cause"),
            (-escrow.c.amount).label("into"),
            case((is_resolved, -escrow.c.amount), else_=0).label("out"),
        ).where(held_for.is_not(None)),
        select(
            moved_for,
            case((is_in, transfer.c.amount), else_=0),
            case((is_out, transfer.c.amount), else_=0),
        ).where(or_(is_in, is_out)),
    ).subquery()
    into, out = func.sum(both.c.into), func.sum(both.c.out)
    unlike = (
        select(both.c.cause, into.label("into"), out.label("out"))
        .group_by(both.c.cause)
        .having(or_(into != 0, out != 0))
        .order_by(both.c.cause)
    )
    return [
        f"{noun} {row['cause']}: {row['into']} more went in than was held, {row['out']} more came out than "
        "was resolved"
        for row in rows(tx, unlike)
    ]


def _holds_apart(tx: Tx) -> list[str]:
    """Return the budget holds whose parts are not in the state that the hold is in."""
    is_open = budget_hold.c.state == BudgetHoldState.HELD
    is_part_open = escrow.c.state == EscrowState.HELD
    apart = (
        select(budget_hold.c.id, budget_hold.c.state, escrow.c.state.label("part"))
        .join(escrow, escrow.c.budget_hold_id == budget_hold.c.id)
        .where(or_(and_(is_open, ~is_part_open), and_(~is_open, is_part_open)))
        .order_by(budget_hold.c.id)
    )
    return [f"budget hold {row['id']} is {row['state']}, a part is {row['part']}" for row in rows(tx, apart)]


def _budgets_overdrawn(tx: Tx) -> Found:
    """B1: settled + reserved ≤ cap in every scope, by transfers, by accounts and by open holds."""
    recounted, kept = budgets.recounted(tx), budgets.all_lines(tx)
    told = breaches(recounted)
    for line, found in zip(kept, recounted, strict=True):
        if line != found:
            said = (line.cap, line.reserved, line.spent)
            summed = (found.cap, found.reserved, found.spent)
            place = f"{line.key} {line.period} {line.resource}"
            told.append(f"{place}: kept (cap, reserved, spent) {said}, transfers add up to {summed}")
    held = budgets.held_by_budget(tx)
    told += [
        f"{line.key} {line.period}: {line.reserved} {line.resource} are reserved, open holds say {total}"
        for line, total in zip(kept, held, strict=True)
        if line.reserved != total
    ]
    return len(kept), told


CHECKS: Sequence[tuple[str, str, Callable[[Tx], Found]]] = (
    ("M1", "every transfer takes from one account what it gives another", _lame_transfers),
    ("M2", "every balance is the sum of its transfers; money is what was minted and not burned",
     _misstated_balances),
    ("M3", "no account is under its floor", _under_the_floor),
    ("M4", "escrow is the sum of the open holds of tasks", _escrow_difference),
    ("M5", "every hold is resolved at most once", _holds_resolved_otherwise),
    ("B1", "settled and reserved stay within the cap in every budget", _budgets_overdrawn),
)  # fmt: skip
