"""Queries of the accounts: accounts locked for a batch, and open holds.

Stands under `services.operations.accounts`. It never moves money.
"""

from collections.abc import Collection

from sqlalchemy import bindparam, select

from services.domain.states import EscrowState
from services.store import sql
from services.store.sql import Row
from services.store.tables import account, escrow
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


def locked_accounts(tx: Tx, owners: Collection[str]) -> list[Row]:
    """Return the accounts of these owners, held until the end; those never opened are left out."""
    return sql.listed(tx, LOCKED, owners=list(owners))


def open_holds(tx: Tx, task_ids: Collection[int]) -> list[Row]:
    """Return the holds of these tasks that are not resolved, with the owner of each source account."""
    return sql.listed(tx, OPEN_HOLDS, task_ids=list(task_ids))
