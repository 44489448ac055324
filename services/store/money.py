"""Queries of the accounts: guarded debits, credits, and the two journal entries of a transfer.

Stands under `services.operations.accounts`. It never moves one side alone without its caller's transaction.
"""

from sqlalchemy import BindParameter, bindparam, func, or_, select

from services.domain.states import EscrowState
from services.store import sql
from services.store.tables import account, escrow, journal_entry, transfer
from services.store.tx import Tx

OWNER: BindParameter[str] = bindparam("account_owner")
AMOUNT: BindParameter[int] = bindparam("amount")

TAKE = (
    account.update()
    .where(
        account.c.owner == OWNER,
        or_(account.c.is_overdraft_allowed, account.c.balance_microcredits >= AMOUNT),
    )
    .values(balance_microcredits=account.c.balance_microcredits - AMOUNT)
)
GIVE = (
    account.update()
    .where(account.c.owner == OWNER)
    .values(balance_microcredits=account.c.balance_microcredits + AMOUNT)
)
NUMBERS = select(account.c.id, account.c.owner).where(
    account.c.owner.in_([bindparam("debit"), bindparam("credit")])
)
UNBALANCED = (
    select(journal_entry.c.transfer_id)
    .group_by(journal_entry.c.transfer_id)
    .having(func.sum(journal_entry.c.amount_microcredits) != 0)
)
MISSTATED = (
    select(account.c.owner)
    .join(journal_entry, journal_entry.c.account_id == account.c.id, isouter=True)
    .group_by(account.c.id, account.c.owner, account.c.balance_microcredits)
    .having(func.coalesce(func.sum(journal_entry.c.amount_microcredits), 0) != account.c.balance_microcredits)
)
HELD = select(func.coalesce(func.sum(escrow.c.amount_microcredits), 0)).where(
    escrow.c.state == EscrowState.HELD
)


def take(tx: Tx, owner: str, amount_microcredits: int) -> bool:
    """Debit the account if it can bear it; tell whether it could."""
    return sql.change(tx, TAKE, account_owner=owner, amount=amount_microcredits) == 1


def give(tx: Tx, owner: str, amount_microcredits: int) -> None:
    """Credit the account; raise LookupError when there is none."""
    if sql.change(tx, GIVE, account_owner=owner, amount=amount_microcredits) != 1:
        msg = f"there is no account {owner!r}"
        raise LookupError(msg)


def record(
    tx: Tx, *, kind: str, debit: str, credit: str, amount_microcredits: int, task_id: int | None
) -> int:
    """Write the transfer with its two journal entries and return its id."""
    numbers = {row["owner"]: row["id"] for row in sql.listed(tx, NUMBERS, debit=debit, credit=credit)}
    transfer_id = sql.insert(
        tx,
        transfer,
        kind=kind,
        task_id=task_id,
        debit_account_id=numbers[debit],
        credit_account_id=numbers[credit],
        amount_microcredits=amount_microcredits,
        created_at_us=tx.now_us,
    )
    sql.insert_many(
        tx,
        journal_entry,
        [
            {
                "transfer_id": transfer_id,
                "account_id": numbers[debit],
                "amount_microcredits": -amount_microcredits,
            },
            {
                "transfer_id": transfer_id,
                "account_id": numbers[credit],
                "amount_microcredits": amount_microcredits,
            },
        ],
    )
    return transfer_id


def unbalanced_transfers(tx: Tx) -> list[int]:
    """Return the transfers whose journal entries do not sum to zero (invariant M1: none)."""
    return [row["transfer_id"] for row in sql.listed(tx, UNBALANCED)]


def misstated_accounts(tx: Tx) -> list[str]:
    """Return the accounts whose balance is not the sum of their journal entries (none, ever)."""
    return [row["owner"] for row in sql.listed(tx, MISSTATED)]


def held_microcredits(tx: Tx) -> int:
    """Return the sum of all holds that are still open (invariant M4: the escrow account's balance)."""
    return int(sql.value(tx, HELD))
