"""Queries of the accounts: guarded debits, credits, and transfers, each with both its sides.

Stands under `services.operations.accounts`. It never moves one side alone without its caller's transaction.
"""

from collections.abc import Collection

from sqlalchemy import BindParameter, bindparam, case, func, or_, select

from services.domain.states import EscrowState
from services.store import sql
from services.store.tables import account, escrow, transfer
from services.store.tx import Tx

OWNER: BindParameter[str] = bindparam("account_owner")
AMOUNT: BindParameter[int] = bindparam("amount")

TAKE = (
    account.update()
    .where(
        account.c.owner == OWNER,
        or_(account.c.is_overdraft_allowed, account.c.balance >= AMOUNT),
    )
    .values(balance=account.c.balance - AMOUNT)
    .returning(account.c.id)
)
GIVE = (
    account.update()
    .where(account.c.owner == OWNER)
    .values(balance=account.c.balance + AMOUNT)
    .returning(account.c.id)
)
BALANCES = select(account.c.owner, account.c.balance).where(
    account.c.owner.in_(bindparam("owners", expanding=True))
)
RESOLVE = (
    escrow.update()
    .where(
        escrow.c.task_id == bindparam("of_task_id"),
        escrow.c.purpose == bindparam("of_purpose"),
        escrow.c.attempt_number == bindparam("of_attempt_number"),
        escrow.c.state == EscrowState.HELD,
    )
    .values(state=bindparam("resolved_state"))
    .returning(
        escrow.c.amount,
        select(account.c.owner)
        .where(account.c.id == escrow.c.source_account_id)
        .correlate(escrow)
        .scalar_subquery()
        .label("source"),
    )
)
BOOKED = select(
    func.coalesce(
        func.sum(
            case((transfer.c.credit_account_id == account.c.id, transfer.c.amount), else_=-transfer.c.amount)
        ),
        0,
    )
).where(or_(transfer.c.credit_account_id == account.c.id, transfer.c.debit_account_id == account.c.id))
MISSTATED = (
    select(account.c.owner)
    .where(account.c.balance != BOOKED.correlate(account).scalar_subquery())
    .order_by(account.c.id)
)
HELD = select(func.coalesce(func.sum(escrow.c.amount), 0)).where(escrow.c.state == EscrowState.HELD)


def take(tx: Tx, owner: str, amount_microcredits: int) -> int | None:
    """Debit the account if it can bear it and return its id; None when it cannot or is not there."""
    found: int | None = sql.value(tx, TAKE, account_owner=owner, amount=amount_microcredits)
    return found


def give(tx: Tx, owner: str, amount_microcredits: int) -> int:
    """Credit the account and return its id; raise LookupError when there is none."""
    found: int | None = sql.value(tx, GIVE, account_owner=owner, amount=amount_microcredits)
    if found is None:
        msg = f"there is no account {owner!r}"
        raise LookupError(msg)
    return found


def record(
    tx: Tx,
    *,
    kind: str,
    debit_account_id: int,
    credit_account_id: int,
    amount_microcredits: int,
    task_id: int | None,
) -> int:
    """Write the transfer, which names both its sides, and return its id."""
    return sql.insert(
        tx,
        transfer,
        kind=kind,
        task_id=task_id,
        debit_account_id=debit_account_id,
        credit_account_id=credit_account_id,
        amount=amount_microcredits,
        created_at_us=tx.now_us,
    )


def resolve(
    tx: Tx, *, task_id: int, purpose: str, attempt_number: int, state: EscrowState
) -> tuple[int, str] | None:
    """Mark a hold as resolved; return (amount in micro-credits, owner of its source), or None."""
    row = sql.first(
        tx,
        RESOLVE,
        of_task_id=task_id,
        of_purpose=purpose,
        of_attempt_number=attempt_number,
        resolved_state=state,
    )
    return None if row is None else (int(row["amount"]), str(row["source"]))


def balances(tx: Tx, owners: Collection[str]) -> dict[str, int]:
    """Return the balances of accounts in micro-credits, by owner; those never opened are left out."""
    found = sql.listed(tx, BALANCES, owners=list(owners))
    return {row["owner"]: int(row["balance"]) for row in found}


def misstated_accounts(tx: Tx) -> list[str]:
    """Return the accounts whose balance is not the sum of their transfers (invariant M2: none)."""
    return [row["owner"] for row in sql.listed(tx, MISSTATED)]


def held_microcredits(tx: Tx) -> int:
    """Return the sum of all holds that are still open (invariant M4: the escrow account's balance)."""
    return int(sql.value(tx, HELD))
