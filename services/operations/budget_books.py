"""The books of budgets: opens them, locks them with their accounts, and writes what was moved, all at once.

Stands under the budget governor. Every amount moves by a transfer between two accounts of one unit: caps come
from the resource's issuer, holds go from free to reserved, use ends in spent. Budgets are opened first (in
the order of their names), then locked (by id), the issuers last, so that no two transactions wait for each
other. It never decides whether something fits.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from services.domain.budget import BudgetKey, BudgetLine, BudgetScope, Resource, cap_for
from services.domain.errors import ConflictError
from services.operations import agent_registry, production_config
from services.store import budgets, sql, tables
from services.store.budgets import FREE, PARTS, RESERVED, SPENT
from services.store.sql import Row
from services.store.tx import Tx

CAP = "budget_cap"
HOLD = "budget_hold"
SETTLE = "budget_settle"
RETURN = "budget_return"
POST = "budget_post"

Wanted = tuple[BudgetKey, Resource]


@dataclass(slots=True)
class Budget:
    """One locked budget as it will be once the books are written."""

    id: int
    line: BudgetLine
    account_ids: Mapping[str, int]
    touched: set[str] = field(default_factory=set)
    is_cap_moved: bool = False

    def balance(self, part: str) -> int:
        """Return what stands on one of its accounts."""
        line = self.line
        return {FREE: line.free, RESERVED: line.reserved, SPENT: line.spent}[part]


@dataclass(slots=True)
class BudgetBooks:
    """Some budgets, locked; what is moved is kept in memory until `write`."""

    tx: Tx
    budgets: Sequence[Budget]
    _by_key: dict[tuple[BudgetKey, Resource], Budget] = field(init=False)
    _by_source: dict[int, Budget] = field(init=False)
    _moved: dict[tuple[str, int, int, int | None], int] = field(default_factory=dict)
    _issued: dict[tuple[int, Resource], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Index the budgets by what they are and by their free accounts."""
        self._by_key = {
            (one.line.key, one.line.resource): one
            for one in self.budgets
            if one.line.period == one.line.key.period(self.tx.now_us)
        }
        self._by_source = {one.account_ids[FREE]: one for one in self.budgets}

    def at(self, key: BudgetKey, resource: Resource) -> Budget:
        """Return the budget of a scope in its present period."""
        return self._by_key[key, resource]

    def of_source(self, account_id: int) -> Budget:
        """Return the budget whose free account this is."""
        return self._by_source[account_id]

    def move(
        self, kind: str, one: Budget, source: str, target: str, amount: int, hold_id: int | None = None
    ) -> None:
        """Move an amount between two accounts of a budget; RuntimeError when it is not there."""
        if amount > one.balance(source):
            msg = f"{one.line.key} has {one.balance(source)} {source}, not {amount}"
            raise RuntimeError(msg)
        if amount == 0:
            return
        line = one.line
        moved = {source: -amount, target: amount}
        one.line = replace(
            line,
            reserved=line.reserved + moved.get(RESERVED, 0),
            spent=line.spent + moved.get(SPENT, 0),
        )
        one.touched |= {source, target}
        place = (kind, one.account_ids[source], one.account_ids[target], hold_id)
        self._moved[place] = self._moved.get(place, 0) + amount

    def set_limit(self, one: Budget, limit: int) -> None:
        """Set a budget's limit and move its cap there, but never under what is reserved or spent."""
        line = one.line
        cap = cap_for(limit, reserved=line.reserved, spent=line.spent)
        one.line = replace(line, limit=limit, cap=cap)
        one.touched.add(FREE)
        one.is_cap_moved = True
        place = (one.account_ids[FREE], line.resource)
        self._issued[place] = self._issued.get(place, 0) + cap - line.cap

    def trim(self, one: Budget) -> None:
        """Let the cap follow a lowered limit as far as what came back allows."""
        if one.line.cap > one.line.limit:
            self.set_limit(one, one.line.limit)

    def write(self) -> None:
        """Write balances, caps and transfers; issuers are locked last."""
        balances = [
            {"id": one.account_ids[part], "balance": one.balance(part)}
            for one in self.budgets
            for part in PARTS
            if part in one.touched
        ]
        sql.update_many(self.tx, tables.account, ("id",), balances)
        caps = [
            {"id": one.id, "limit_amount": one.line.limit, "cap": one.line.cap}
            for one in self.budgets
            if one.is_cap_moved
        ]
        sql.update_many(self.tx, tables.budget, ("id",), caps)
        sql.insert_many(self.tx, tables.transfer, [*self._issues(), *self._transfers()])
        for one in self.budgets:
            one.touched, one.is_cap_moved = set(), False
        self._moved, self._issued = {}, {}

    def _transfers(self) -> list[dict[str, object]]:
        return [
            self._transfer(kind, debit_id, credit_id, amount, hold_id)
            for (kind, debit_id, credit_id, hold_id), amount in self._moved.items()
        ]

    def _issues(self) -> list[dict[str, object]]:
        """Move what the caps changed by on the issuers' balances; return the transfers of it."""
        made = []
        for resource in sorted({resource for (_, resource), net in self._issued.items() if net}):
            issuer = _locked_issuer(self.tx, resource)
            nets = {place: net for (place, kind), net in self._issued.items() if kind is resource and net}
            for free_id, net in nets.items():
                debit_id, credit_id = (issuer["id"], free_id) if net > 0 else (free_id, issuer["id"])
                made.append(self._transfer(CAP, debit_id, credit_id, abs(net), None))
            left = issuer["balance"] - sum(nets.values())
            sql.update(self.tx, tables.account, {"id": issuer["id"]}, balance=left)
        return made

    def _transfer(
        self, kind: str, debit_id: int, credit_id: int, amount: int, hold_id: int | None
    ) -> dict[str, object]:
        return {
            "kind": kind,
            "debit_account_id": debit_id,
            "credit_account_id": credit_id,
            "amount": amount,
            "budget_hold_id": hold_id,
            "created_at_us": self.tx.now_us,
        }


def open_books(tx: Tx, wanted: Iterable[Wanted]) -> BudgetBooks:
    """Open what is missing of the budgets of the present period, lock them all, and return their books."""
    named = {budgets.name_of(key, kind, key.period(tx.now_us)): (key, kind) for key, kind in wanted}
    if not named:
        return BudgetBooks(tx, ())
    missing = named.keys() - budgets.known_names(tx, named)
    opened = {_open(tx, name, *named[name]) for name in sorted(missing)}
    books = _books(tx, budgets.locked(tx, named))
    for one in books.budgets:
        if one.id in opened:
            limit = one.line.limit
            one.line = replace(one.line, cap=0)
            books.set_limit(one, limit)
    return books


def books_of_sources(tx: Tx, account_ids: Sequence[int]) -> BudgetBooks:
    """Lock the budgets whose free accounts these are and return their books."""
    return _books(tx, budgets.locked_sources(tx, account_ids))


def limit_now(tx: Tx, key: BudgetKey, resource: Resource) -> int:
    """Return the limit in force: what an operator last set, else the small default.

    An agent's default of money is at most what it was granted; raises NotFoundError for an unknown agent.
    """
    found = budgets.newest_limit(tx, key, resource)
    if found is not None:
        return found
    default = int(production_config.number(tx, f"budget.{key.scope}_{resource}"))
    if key.scope is BudgetScope.AGENT and resource is Resource.MICROCREDITS:
        agent = agent_registry.get(tx, int(key.subject))
        return min(default, agent_registry.grant_microcredits(is_vouched=agent["is_vouched"]))
    return default


def _books(tx: Tx, rows: Sequence[Row]) -> BudgetBooks:
    return BudgetBooks(tx, [_budget(row) for row in rows])


def _budget(row: Row) -> Budget:
    return Budget(row["id"], budgets.line_of(row), {part: row[f"{part}_id"] for part in PARTS})


def _open(tx: Tx, name: str, key: BudgetKey, resource: Resource) -> int | None:
    """Open a budget with empty accounts; return its id, None when another transaction came first."""
    limit = limit_now(tx, key, resource)
    try:
        budget_id = sql.insert_unique(
            tx,
            tables.budget,
            ConflictError(f"the budget {name} is open"),
            name=name,
            scope=key.scope,
            subject=key.subject,
            resource=resource,
            period=key.period(tx.now_us),
            limit_amount=limit,
            cap=limit,
            opened_at_us=tx.now_us,
        )
    except ConflictError:
        return None
    for part in PARTS:
        owner = budgets.owner_of(budget_id, part)
        sql.insert(tx, tables.account, owner=owner, unit=resource, balance=0, is_overdraft_allowed=False)
    return budget_id


def _locked_issuer(tx: Tx, resource: Resource) -> Row:
    """Return the account that a resource's caps come from, locked; it is opened when first needed."""
    owner = budgets.issuer_of(resource)
    found = sql.find(tx, tables.account, lock=True, owner=owner)
    if found is None:
        with suppress(ConflictError):
            sql.insert_unique(
                tx,
                tables.account,
                ConflictError(f"{owner} is open"),
                owner=owner,
                unit=resource,
                balance=0,
                is_overdraft_allowed=True,
            )
        found = sql.find(tx, tables.account, lock=True, owner=owner)
    assert found is not None  # noqa: S101 (it was found, or inserted by this or another transaction)
    return found
