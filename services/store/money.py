"""Queries of the accounts: accounts locked for a batch, open holds, and the recount of balances.

Stands under `services.operations.accounts`. It never moves money.
"""

from collections.abc import Collection

from sqlalchemy import bindparam, case, func, or_, select

from services.domain.states import EscrowState
from services.store import sql
from services.store.sql import Row
from services.store.tables import account, escrow, transfer
from services.store.tx import Tx

LOCKED = (
    select(account)
    .where(account.c.owner.in_(bindparam("owners", expanding=True)))
    .order_by(account.c.id)
    .with_for_update(key_share=True)
)
OPEN_HOLDS = (
    select(
        escrow.c.id,
        escrow.c.task_id,
        escrow.c.purpose,
        escrow.c.attempt_number,
        escrow.c.amount,
        account.c.owner.label("source"),
    )
    .join(account, account.c.id == escrow.c.source_account_id)
    .where(escrow.c.task_id.in_(bindparam("task_ids", expanding=True)), escrow.c.state == EscrowState.HELD)
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
HELD = select(func.coalesce(func.sum(escrow.c.amount), 0)).where(
    escrow.c.state == EscrowState.HELD, escrow.c.task_id.is_not(None)
)


def locked_accounts(tx: Tx, owners: Collection[str]) -> list[Row]:
    """Return the accounts of these owners, held until the end; those never opened are left out."""
    return sql.listed(tx, LOCKED, owners=list(owners))


def open_holds(tx: Tx, task_ids: Collection[int]) -> list[Row]:
    """Return the holds of these tasks that are not resolved, with the owner of each source account."""
    return sql.listed(tx, OPEN_HOLDS, task_ids=list(task_ids))


def misstated_accounts(tx: Tx) -> list[str]:
    """Return the accounts whose balance is not the sum of their transfers (invariant M2: none)."""
    return [row["owner"] for row in sql.listed(tx, MISSTATED)]


def held_microcredits(tx: Tx) -> int:
    """Return the sum of all holds that are still open (invariant M4: the escrow account's balance)."""
    return int(sql.value(tx, HELD))
