"""Money in double entry: every transfer debits one account and credits another by the same amount.

Stands under the market (L4). Holds are two-phase: money is held in escrow first and each hold is resolved
exactly once (paid, returned or forfeited). The treasury may go below zero: what it is short of is what was
minted. Where rows are locked one by one, every transaction locks in the order task, escrow account, other
accounts and agents, so that no two wait for each other. It never decides who is paid.
"""

from collections.abc import Collection

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
            balance=0,
            is_overdraft_allowed=is_overdraft_allowed,
        )


def balance_microcredits(tx: Tx, owner: str) -> int:
    """Return the balance of an account; 0 when it was never opened."""
    row = sql.find(tx, tables.account, owner=owner)
    return 0 if row is None else int(row["balance"])


def balances_microcredits(tx: Tx, owners: Collection[str]) -> dict[str, int]:
    """Return the balances of several accounts by owner; 0 for one that was never opened."""
    return {**dict.fromkeys(owners, 0), **money.balances(tx, owners)}


def take_turn(tx: Tx) -> None:
    """Wait for the escrow account, through which all money of tasks flows, and keep it until the end.

    Whoever is going to move money takes its turn before it locks an agent or another account.
    """
    if tx.is_postgresql:
        sql.find(tx, tables.account, lock=True, owner=ESCROW)


def move(
    tx: Tx, *, kind: str, debit: str, credit: str, amount_microcredits: int, task_id: int | None = None
) -> int | None:
    """Move money and write the transfer; return the transfer's id (None for nothing to move).

    Raises InsufficientFundsError when the debited account would fall under zero.
    """
    if amount_microcredits == 0:
        return None
    transfer_id, _ = _transfer(tx, kind, debit, credit, amount_microcredits, task_id)
    return transfer_id


def _transfer(
    tx: Tx, kind: str, debit: str, credit: str, amount_microcredits: int, task_id: int | None
) -> tuple[int, int]:
    """Move money that is more than nothing; return the ids of the transfer and of the debited account."""
    if ESCROW in (debit, credit):
        take_turn(tx)
    debit_account_id = money.take(tx, debit, amount_microcredits)
    if debit_account_id is None:
        raise _short(tx, debit, amount_microcredits)
    transfer_id = money.record(
        tx,
        kind=kind,
        debit_account_id=debit_account_id,
        credit_account_id=money.give(tx, credit, amount_microcredits),
        amount_microcredits=amount_microcredits,
        task_id=task_id,
    )
    return transfer_id, debit_account_id


def _short(tx: Tx, owner: str, amount_microcredits: int) -> InsufficientFundsError:
    """Return the refusal of an account that cannot pay, or that is not there."""
    if sql.find(tx, tables.account, owner=owner) is None:
        return InsufficientFundsError(f"{owner} has no account", account=owner)
    msg = f"{owner} cannot pay {amount_microcredits} micro-credits"
    return InsufficientFundsError(msg, account=owner, amount_microcredits=amount_microcredits)


def hold(
    tx: Tx, *, task_id: int, purpose: str, attempt_number: int, source: str, amount_microcredits: int
) -> None:
    """Set money aside in escrow for a task (`reserve`) or for one attempt (`stake`)."""
    if amount_microcredits:
        _, account_id = _transfer(tx, f"hold_{purpose}", source, ESCROW, amount_microcredits, task_id)
    else:
        account_id = _account_id(tx, source)
    sql.insert(
        tx,
        tables.escrow,
        task_id=task_id,
        purpose=purpose,
        attempt_number=attempt_number,
        source_account_id=account_id,
        amount=amount_microcredits,
        state=EscrowState.HELD,
    )


def _account_id(tx: Tx, owner: str) -> int:
    account = sql.find(tx, tables.account, owner=owner)
    if account is None:
        raise _short(tx, owner, 0)
    return int(account["id"])


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
    held = money.resolve(tx, task_id=task_id, purpose=purpose, attempt_number=attempt_number, state=state)
    if held is None:
        msg = f"the {purpose} of task {task_id}, attempt {attempt_number}, is not held"
        raise ConflictError(msg)
    return held
