"""Money in double entry: every transfer debits one account and credits another by the same micro-credits.

Stands under the market (L4). Holds are two-phase: money is held in escrow first and each hold is resolved
exactly once (paid, returned or forfeited). The treasury may go below zero: what it is short of is what was
minted. Where rows are locked one by one, every transaction locks in the order task, escrow account, other
accounts and agents, so that no two wait for each other. It never decides who is paid.
"""

from typing import Any

from services.domain.errors import ConflictError, InsufficientFundsError
from services.domain.states import EscrowState
from services.store import money, sql, tables
from services.store.tx import Tx

TREASURY = "treasury"
ESCROW = "escrow"
RESERVE = "reserve"
STAKE = "stake"


def agent_account(agent_id: int) -> str:
    """Return the owner name of an agent's account."""
    return f"agent:{agent_id}"


def open_account(tx: Tx, owner: str, *, is_overdraft_allowed: bool = False) -> None:
    """Open an account with a balance of 0, once."""
    if sql.find(tx, tables.account, owner=owner) is None:
        sql.insert(
            tx,
            tables.account,
            owner=owner,
            balance_microcredits=0,
            is_overdraft_allowed=is_overdraft_allowed,
        )


def balance_microcredits(tx: Tx, owner: str) -> int:
    """Return the balance of an account; 0 when it was never opened."""
    row = sql.find(tx, tables.account, owner=owner)
    return 0 if row is None else int(row["balance_microcredits"])


def take_turn(tx: Tx) -> None:
    """Wait for the escrow account, through which all money of tasks flows, and keep it until the end.

    Whoever is going to move money takes its turn before it locks an agent or another account.
    """
    if tx.is_postgresql:
        sql.find(tx, tables.account, lock=True, owner=ESCROW)


def move(
    tx: Tx, *, kind: str, debit: str, credit: str, amount_microcredits: int, task_id: int | None = None
) -> int | None:
    """Move money and write both journal entries; return the transfer's id (None for nothing to move).

    Raises InsufficientFundsError when the debited account would fall under zero.
    """
    if amount_microcredits == 0:
        return None
    if ESCROW in (debit, credit):
        take_turn(tx)
    if not money.take(tx, debit, amount_microcredits):
        msg = f"{debit} cannot pay {amount_microcredits} micro-credits"
        raise InsufficientFundsError(msg, account=debit, amount_microcredits=amount_microcredits)
    money.give(tx, credit, amount_microcredits)
    return money.record(
        tx, kind=kind, debit=debit, credit=credit, amount_microcredits=amount_microcredits, task_id=task_id
    )


def hold(
    tx: Tx, *, task_id: int, purpose: str, attempt_number: int, source: str, amount_microcredits: int
) -> None:
    """Set money aside in escrow for a task (`reserve`) or for one attempt (`stake`)."""
    account = sql.find(tx, tables.account, owner=source)
    if account is None:
        msg = f"{source} has no account"
        raise InsufficientFundsError(msg, account=source)
    move(
        tx,
        kind=f"hold_{purpose}",
        debit=source,
        credit=ESCROW,
        amount_microcredits=amount_microcredits,
        task_id=task_id,
    )
    sql.insert(
        tx,
        tables.escrow,
        task_id=task_id,
        purpose=purpose,
        attempt_number=attempt_number,
        source_account_id=account["id"],
        amount_microcredits=amount_microcredits,
        state=EscrowState.HELD,
    )


def pay(
    tx: Tx, *, task_id: int, purpose: str, attempt_number: int, to: str, amount_microcredits: int
) -> None:
    """Resolve a hold: `amount_microcredits` to `to`, what is left back to its source."""
    held, source = _resolve(tx, task_id, purpose, attempt_number, EscrowState.PAID)
    if amount_microcredits > held:
        msg = f"task {task_id} holds {held} micro-credits, not {amount_microcredits}"
        raise InsufficientFundsError(msg, account=ESCROW)
    move(tx, kind="pay", debit=ESCROW, credit=to, amount_microcredits=amount_microcredits, task_id=task_id)
    move(
        tx,
        kind="return_rest",
        debit=ESCROW,
        credit=source,
        amount_microcredits=held - amount_microcredits,
        task_id=task_id,
    )


def give_back(tx: Tx, *, task_id: int, purpose: str, attempt_number: int) -> None:
    """Resolve a hold: all of it back to its source."""
    held, source = _resolve(tx, task_id, purpose, attempt_number, EscrowState.RETURNED)
    move(
        tx,
        kind=f"return_{purpose}",
        debit=ESCROW,
        credit=source,
        amount_microcredits=held,
        task_id=task_id,
    )


def forfeit(tx: Tx, *, task_id: int, purpose: str, attempt_number: int) -> None:
    """Resolve a hold: all of it to the treasury."""
    held, _ = _resolve(tx, task_id, purpose, attempt_number, EscrowState.FORFEITED)
    move(
        tx,
        kind=f"forfeit_{purpose}",
        debit=ESCROW,
        credit=TREASURY,
        amount_microcredits=held,
        task_id=task_id,
    )


def _resolve(tx: Tx, task_id: int, purpose: str, attempt_number: int, state: EscrowState) -> tuple[int, str]:
    """Mark the hold as resolved, once; return (amount in micro-credits, owner of the source account)."""
    key: dict[str, Any] = {"task_id": task_id, "purpose": purpose, "attempt_number": attempt_number}
    row = sql.find(tx, tables.escrow, **key)
    if row is None or not sql.update(tx, tables.escrow, {**key, "state": EscrowState.HELD}, state=state):
        msg = f"the {purpose} of task {task_id}, attempt {attempt_number}, is not held"
        raise ConflictError(msg)
    source = sql.find(tx, tables.account, id=row["source_account_id"])
    assert source is not None  # noqa: S101 (a foreign key guarantees it)
    return int(row["amount_microcredits"]), str(source["owner"])
