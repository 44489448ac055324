"""Money in double entry: every transfer debits one account and credits another by the same amount.

Stands under the market (L4). `Books` holds the accounts that a batch of decisions touches: they are locked
and read once, every move is decided in memory, and all of it is written at once. Holds are two-phase: money
is held in escrow first, and each hold is resolved exactly once (paid, returned or forfeited). The treasury
may go below zero: what it is short of is what was minted. Where rows are locked one by one, every
transaction locks in the order tasks, accounts by id, agents by id, so that no two wait for each other. One
transaction opens one set of books at a time. It never decides who is paid.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from services.domain.errors import ConflictError, InsufficientFundsError
from services.domain.states import EscrowState
from services.store import money, sql, tables
from services.store.sql import Row
from services.store.tx import Tx

TREASURY = "treasury"
ESCROW = "escrow"
RESERVE = "reserve"
STAKE = "stake"
PLATFORM = (TREASURY, ESCROW)


def agent_account(agent_id: int) -> str:
    """Return the owner name of an agent's account."""
    return f"agent:{agent_id}"


def account_of(agent_id: int | None) -> str:
    """Return the account that pays for a requester; without one the treasury pays."""
    return TREASURY if agent_id is None else agent_account(agent_id)


def open_account(
    tx: Tx, owner: str, *, is_overdraft_allowed: bool = False, unit: str = "microcredits"
) -> None:
    """Open an account with a balance of 0, once."""
    if sql.find(tx, tables.account, owner=owner) is None:
        sql.insert(
            tx,
            tables.account,
            owner=owner,
            unit=unit,
            balance=0,
            is_overdraft_allowed=is_overdraft_allowed,
        )


def balance_microcredits(tx: Tx, owner: str) -> int:
    """Return the balance of an account; 0 when it was never opened."""
    row = sql.find(tx, tables.account, owner=owner)
    return 0 if row is None else int(row["balance"])


@dataclass(slots=True)
class Account:
    """One account as it will be once the books are written."""

    id: int
    owner: str
    balance: int
    is_overdraft_allowed: bool
    is_changed: bool = False

    def can_bear(self, amount: int) -> bool:
        """Tell whether the account stays at or over its floor when it pays."""
        return self.is_overdraft_allowed or self.balance >= amount


@dataclass(slots=True)
class Books:
    """The accounts of one batch, locked; what is moved, held and resolved is written by `write`."""

    tx: Tx
    accounts: dict[str, Account]
    holds: dict[tuple[int, str, int], Row] = field(default_factory=dict)
    _transfers: list[dict[str, object]] = field(default_factory=list)
    _held: list[dict[str, object]] = field(default_factory=list)
    _resolved: list[dict[str, object]] = field(default_factory=list)

    def can_pay(self, owner: str, amount_microcredits: int) -> bool:
        """Tell whether the account is there and can pay."""
        account = self.accounts.get(owner)
        return account is not None and account.can_bear(amount_microcredits)

    def require(self, owner: str, amount_microcredits: int) -> None:
        """Raise InsufficientFundsError unless the account is there and can pay; nothing is moved."""
        if not self._account(owner).can_bear(amount_microcredits):
            msg = f"{owner} cannot pay {amount_microcredits} micro-credits"
            raise InsufficientFundsError(msg, account=owner, amount_microcredits=amount_microcredits)

    def move(
        self, *, kind: str, debit: str, credit: str, amount_microcredits: int, task_id: int | None = None
    ) -> None:
        """Move money; nothing happens for 0.

        Raises InsufficientFundsError when the debited account would fall under its floor or is not there,
        LookupError when the credited one is not there.
        """
        source = self._account(debit)
        self.require(debit, amount_microcredits)
        if amount_microcredits == 0:
            return
        target = self.accounts.get(credit)
        if target is None:
            msg = f"there is no account {credit!r}"
            raise LookupError(msg)
        source.balance -= amount_microcredits
        target.balance += amount_microcredits
        source.is_changed = target.is_changed = True
        self._transfers.append(
            {
                "kind": kind,
                "task_id": task_id,
                "debit_account_id": source.id,
                "credit_account_id": target.id,
                "amount": amount_microcredits,
                "created_at_us": self.tx.now_us,
            }
        )

    def hold(
        self, *, task_id: int, purpose: str, attempt_number: int, source: str, amount_microcredits: int
    ) -> None:
        """Set money aside in escrow for a task (`reserve`) or for one attempt (`stake`)."""
        self.move(
            kind=f"hold_{purpose}",
            debit=source,
            credit=ESCROW,
            amount_microcredits=amount_microcredits,
            task_id=task_id,
        )
        self._held.append(
            {
                "task_id": task_id,
                "purpose": purpose,
                "attempt_number": attempt_number,
                "source_account_id": self._account(source).id,
                "amount": amount_microcredits,
                "state": EscrowState.HELD,
            }
        )

    def pay(
        self, *, task_id: int, purpose: str, attempt_number: int, to: str, amount_microcredits: int
    ) -> None:
        """Resolve a hold: `amount_microcredits` to `to`, what is left back to its source."""
        held = self._resolve(task_id, purpose, attempt_number, EscrowState.PAID)
        if amount_microcredits > held["amount"]:
            msg = f"task {task_id} holds {held['amount']} micro-credits, not {amount_microcredits}"
            raise InsufficientFundsError(msg, account=ESCROW)
        self._out_of_escrow("pay", to, amount_microcredits, task_id)
        self._out_of_escrow("return_rest", held["source"], held["amount"] - amount_microcredits, task_id)

    def give_back(self, *, task_id: int, purpose: str, attempt_number: int) -> None:
        """Resolve a hold: all of it back to its source."""
        held = self._resolve(task_id, purpose, attempt_number, EscrowState.RETURNED)
        self._out_of_escrow(f"return_{purpose}", held["source"], held["amount"], task_id)

    def forfeit(self, *, task_id: int, purpose: str, attempt_number: int) -> None:
        """Resolve a hold: all of it to the treasury."""
        held = self._resolve(task_id, purpose, attempt_number, EscrowState.FORFEITED)
        self._out_of_escrow(f"forfeit_{purpose}", TREASURY, held["amount"], task_id)

    def write(self) -> None:
        """Write balances, transfers and holds; the tasks that they belong to must be there."""
        changed = [
            {"id": account.id, "balance": account.balance}
            for account in self.accounts.values()
            if account.is_changed
        ]
        sql.update_many(self.tx, tables.account, ("id",), changed)
        sql.insert_many(self.tx, tables.transfer, self._transfers)
        sql.insert_many(self.tx, tables.escrow, self._held)
        held = {"state": EscrowState.HELD}
        resolved = sql.update_many(self.tx, tables.escrow, ("id",), self._resolved, held)
        if resolved != len(self._resolved):
            msg = "a hold was resolved by another process"
            raise ConflictError(msg)
        for account in self.accounts.values():
            account.is_changed = False
        self._transfers, self._held, self._resolved = [], [], []

    def _out_of_escrow(self, kind: str, to: str, amount: int, task_id: int) -> None:
        self.move(kind=kind, debit=ESCROW, credit=to, amount_microcredits=amount, task_id=task_id)

    def _account(self, owner: str) -> Account:
        found = self.accounts.get(owner)
        if found is None:
            raise InsufficientFundsError(f"{owner} has no account", account=owner)
        return found

    def _resolve(self, task_id: int, purpose: str, attempt_number: int, state: EscrowState) -> Row:
        """Take the hold out of what is open, once."""
        held = self.holds.pop((task_id, purpose, attempt_number), None)
        if held is None:
            msg = f"the {purpose} of task {task_id}, attempt {attempt_number}, is not held"
            raise ConflictError(msg)
        self._resolved.append({"id": held["id"], "state": state})
        return held


def open_books(tx: Tx, owners: Iterable[str] = (), *, task_ids: Collection[int] = ()) -> Books:
    """Lock and read the accounts of `owners`, the platform's own, and those of the tasks' open holds."""
    holds = money.open_holds(tx, task_ids) if task_ids else []
    wanted = {*PLATFORM, *owners, *(row["source"] for row in holds)}
    accounts = {
        row["owner"]: Account(row["id"], row["owner"], row["balance"], row["is_overdraft_allowed"])
        for row in money.locked_accounts(tx, wanted)
    }
    keyed = {(row["task_id"], row["purpose"], row["attempt_number"]): row for row in holds}
    return Books(tx, accounts, keyed)


def move(
    tx: Tx, *, kind: str, debit: str, credit: str, amount_microcredits: int, task_id: int | None = None
) -> None:
    """Move money between two accounts, by itself.

    Raises InsufficientFundsError when the debited account would fall under its floor.
    """
    books = open_books(tx, (debit, credit))
    books.move(
        kind=kind, debit=debit, credit=credit, amount_microcredits=amount_microcredits, task_id=task_id
    )
    books.write()
