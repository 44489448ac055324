"""The budget governor: reserves before something is used, settles what was used, gives the rest back.

Stands beside the market as one of the brakes. A hold takes its amount from every scope that applies at once
(task, agent, workflow, day) or from none, and is resolved exactly once: settled, voided or expired. A
workflow is its owner's: those of two owners never meet, whatever they are called. Limits nobody set are
small. It may only restrain and account; it never raises a limit by itself.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from services.domain.budget import (
    DAY,
    PLATFORM_OWNER,
    WORKFLOW_LENGTH,
    BudgetKey,
    BudgetLine,
    BudgetScope,
    Resource,
    check_amount,
    first_exhausted,
    refusal,
    workflow_key,
)
from services.domain.clock import seconds, to_rfc3339
from services.domain.errors import ConflictError, ForbiddenError, InvalidValueError, NotFoundError
from services.domain.states import BudgetHoldState, EscrowState
from services.operations import agent_registry, budget_books, production_config
from services.store import budgets, sql, tables
from services.store.budgets import FREE, RESERVED, SPENT
from services.store.sql import Row
from services.store.tx import Tx

PURPOSE = "budget"
EXPIRED_AT_ONCE = 500
RETRIES_DEEP = 100
HOLD_SECONDS_HIGHEST = 86_400
REASON_LENGTH = 4_000
PRICE_FIELD = "body.reserve_price_microcredits"


@dataclass(frozen=True, slots=True)
class HoldTerms:
    """What an agent asks for: so much of a resource, for a task, in a workflow, or under a hold of its own.

    Without a task, `workflow` names one of the agent's owner; with one it is the workflow of the task.
    Without `expires_in_seconds` the parameter budget.hold_seconds applies.
    """

    agent_id: int
    resource: Resource
    amount: int
    task_id: int | None = None
    workflow: str | None = None
    expires_in_seconds: float | None = None
    parent_hold_id: int | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """What was reserved: its id, until when, and the budgets it was taken from, as they stand now."""

    hold_id: int
    expires_at_us: int
    lines: tuple[BudgetLine, ...]


@dataclass(frozen=True, slots=True)
class Resolution:
    """What came of a hold: amounts in the resource's unit."""

    hold_id: int
    state: BudgetHoldState
    held: int
    settled: int

    @property
    def returned(self) -> int:
        """Return what went back to the budgets."""
        return self.held - self.settled


def hold(tx: Tx, terms: HoldTerms) -> Hold:
    """Reserve an amount in every scope that applies, or nowhere.

    Raises InvalidValueError for an amount or a time limit out of bounds, NotFoundError and ForbiddenError for
    a task, a workflow or a parent that is not the agent's, ConflictError `budget_exhausted` with the first
    scope that has not so much left.
    """
    check_amount(terms.amount)
    task_id, workflow, keys = _scopes(tx, terms)
    expires_at_us = tx.now_us + seconds(_time_limit_seconds(tx, terms))
    books = budget_books.open_books(tx, [(key, terms.resource) for key in keys])
    drawn_on = [books.at(key, terms.resource) for key in keys]
    exhausted = first_exhausted([one.line for one in drawn_on], terms.amount)
    if exhausted is not None:
        raise refusal(exhausted, terms.amount, tx.now_us)
    hold_id = sql.insert(
        tx,
        tables.budget_hold,
        agent_id=terms.agent_id,
        resource=terms.resource,
        amount=terms.amount,
        task_id=task_id,
        workflow=workflow,
        parent_hold_id=terms.parent_hold_id,
        state=BudgetHoldState.HELD,
        held_at_us=tx.now_us,
        expires_at_us=expires_at_us,
    )
    for one in drawn_on:
        books.move(budget_books.HOLD, one, FREE, RESERVED, terms.amount, hold_id)
    books.write()
    escrow = {"purpose": PURPOSE, "attempt_number": 0, "amount": terms.amount, "state": EscrowState.HELD}
    sources = [{"source_account_id": one.account_ids[FREE], "budget_hold_id": hold_id} for one in drawn_on]
    sql.insert_many(tx, tables.escrow, [{**escrow, **source} for source in sources])
    return Hold(hold_id, expires_at_us, tuple(one.line for one in drawn_on))


def _time_limit_seconds(tx: Tx, terms: HoldTerms) -> float:
    if terms.expires_in_seconds is None:
        return production_config.number(tx, "budget.hold_seconds")
    if not 1 <= terms.expires_in_seconds <= HOLD_SECONDS_HIGHEST:
        msg = f"expires_in_seconds must lie in 1..{HOLD_SECONDS_HIGHEST}, not {terms.expires_in_seconds:g}"
        raise InvalidValueError(msg, field="expires_in_seconds")
    return terms.expires_in_seconds


def _scopes(tx: Tx, terms: HoldTerms) -> tuple[int | None, str | None, list[BudgetKey]]:
    """Return task, workflow and budgets of a hold, in the order task, agent, workflow, day.

    A hold inherits what its parent and its task belong to and cannot name another. Money that is held draws
    on no day of the platform: it leaves no account, and would keep others from posting.
    """
    task_id, workflow = terms.task_id, terms.workflow
    given: BudgetKey | None = None
    if terms.parent_hold_id is not None:
        parent = get_hold(tx, terms.parent_hold_id, agent_id=terms.agent_id, field="parent_hold_id")
        _require_held(tx, parent, field="parent_hold_id")
        task_id = _inherited("task_id", task_id, parent["task_id"], f"hold {parent['id']}")
        workflow = _inherited("workflow", workflow, parent["workflow"], f"hold {parent['id']}")
        if parent["task_id"] is None and workflow is not None and workflow == parent["workflow"]:
            given = workflow_key(_owner_of(tx, terms.agent_id), workflow)
    own: BudgetKey | None = None
    keys = [BudgetKey(BudgetScope.AGENT, str(terms.agent_id))]
    if task_id is not None:
        task = _task_at_work(tx, task_id, terms.agent_id)
        own = _workflow_of(tx, task)
        workflow = _inherited("workflow", workflow, task["workflow"], f"task {task_id}")
        if given is not None and own not in (None, given):
            msg = f"hold {terms.parent_hold_id} draws on {given}; task {task_id} belongs to {own}"
            raise InvalidValueError(msg, field="task_id")
        keys.insert(0, BudgetKey(BudgetScope.TASK, str(_first_try(tx, task))))
    if workflow is not None:
        if own is None and not budgets.has_posted(tx, terms.agent_id, workflow):
            msg = f"agent {terms.agent_id} has posted no task of the workflow {workflow!r}; name a task of it"
            raise ForbiddenError(msg, field="workflow")
        keys.append(own or workflow_key(_owner_of(tx, terms.agent_id), workflow))
    if terms.resource is not Resource.MICROCREDITS:
        keys.append(DAY)
    return task_id, workflow, keys


def _owner_of(tx: Tx, agent_id: int | None) -> str:
    """Return who owns an agent, and with it the workflows it posts in; without an agent the platform."""
    return PLATFORM_OWNER if agent_id is None else str(agent_registry.get(tx, agent_id)["owner"])


def _workflow_of(tx: Tx, task: Row) -> BudgetKey | None:
    """Return the workflow that a task belongs to: one of its requester's owner."""
    if task["workflow"] is None:
        return None
    return workflow_key(_owner_of(tx, task["requester_id"]), task["workflow"])


def _inherited(field: str, asked: Any, given: Any, whose: str) -> Any:
    """Return what is given by a parent, else what is asked for; raise InvalidValueError for another."""
    if given is None or asked is None or asked == given:
        return asked if given is None else given
    msg = f"{whose} draws on the {field.removesuffix('_id')} {given}; leave {field} out, or say {given}"
    raise InvalidValueError(msg, field=field)


def _task_at_work(tx: Tx, task_id: int, agent_id: int) -> Row:
    """Return a task that an agent may spend for: its own or one it has won, and not over."""
    task = sql.find(tx, tables.task, id=task_id)
    if task is None:
        msg = f"there is no task {task_id}"
        raise NotFoundError(msg, field="task_id")
    if agent_id not in (task["requester_id"], task["awarded_agent_id"]):
        msg = f"task {task_id} was neither posted nor won by agent {agent_id}"
        raise ForbiddenError(msg, field="task_id")
    if task["ended_at_us"] is not None:
        msg = f"task {task_id} is {task['state']}; nothing more is reserved for it"
        raise ConflictError(msg, field="task_id", state=task["state"])
    return task


def _first_try(tx: Tx, task: Row) -> int:
    """Return the task that this one tries again (after others, perhaps): they share one budget."""
    for _ in range(RETRIES_DEEP):
        if task["retry_of_id"] is None:
            break
        before = sql.find(tx, tables.task, id=task["retry_of_id"])
        assert before is not None  # noqa: S101 (a foreign key leads there)
        task = before
    return int(task["id"])


def get_hold(tx: Tx, hold_id: int, *, agent_id: int, field: str = "hold_id", lock: bool = False) -> Row:
    """Return an agent's hold; raise NotFoundError for none, ForbiddenError for somebody else's."""
    row = sql.find(tx, tables.budget_hold, lock=lock, id=hold_id)
    if row is None:
        msg = f"there is no budget hold {hold_id}"
        raise NotFoundError(msg, field=field)
    if row["agent_id"] != agent_id:
        msg = f"budget hold {hold_id} is somebody else's"
        raise ForbiddenError(msg, field=field)
    return row


def _require_held(tx: Tx, row: Row, field: str = "hold_id") -> None:
    if row["state"] != BudgetHoldState.HELD:
        msg = f"budget hold {row['id']} is {row['state']}; each is resolved once"
        raise ConflictError(msg, field=field, code="hold_resolved", state=row["state"])
    if row["expires_at_us"] <= tx.now_us:
        msg = f"budget hold {row['id']} expired at {to_rfc3339(row['expires_at_us'])}; hold anew"
        raise ConflictError(msg, field=field, code="hold_expired", state=str(BudgetHoldState.EXPIRED))


def settle(tx: Tx, hold_id: int, *, agent_id: int, amount: int) -> Resolution:
    """Say what was used of a hold; the rest goes back.

    Raises InvalidValueError `more_than_held` for more than was held, ConflictError for a hold that is
    resolved or past its time limit.
    """
    row = get_hold(tx, hold_id, agent_id=agent_id, lock=True)
    _require_held(tx, row)
    check_amount(amount, lowest=0)
    if amount > row["amount"]:
        msg = f"{amount} {row['resource']} are more than the {row['amount']} held; hold the difference first"
        raise InvalidValueError(msg, field="amount", code="more_than_held", held=row["amount"])
    return _resolve(tx, [row], BudgetHoldState.SETTLED, amount)[0]


def void(tx: Tx, hold_id: int, *, agent_id: int) -> Resolution:
    """Give a whole hold back; raises ConflictError for one that is resolved or past its time limit."""
    row = get_hold(tx, hold_id, agent_id=agent_id, lock=True)
    _require_held(tx, row)
    return _resolve(tx, [row], BudgetHoldState.VOIDED)[0]


def expire_due(tx: Tx) -> dict[str, int]:
    """Give back the holds whose time limit has passed (500 at once); return how many."""
    due = budgets.due_holds(tx, EXPIRED_AT_ONCE)
    found = sql.find_all(tx, tables.budget_hold, lock=True, id=due) if due else []
    rows = [row for row in found if row["state"] == BudgetHoldState.HELD]
    return {"expired": len(_resolve(tx, rows, BudgetHoldState.EXPIRED))}


def _resolve(tx: Tx, rows: Sequence[Row], state: BudgetHoldState, amount: int = 0) -> list[Resolution]:
    """Move held, locked holds on: `amount` of each is spent, what is left goes back to where it came from."""
    if not rows:
        return []
    for row in rows:
        if not budgets.resolve(tx, row["id"], state, amount):
            msg = f"budget hold {row['id']} was resolved by another process"
            raise ConflictError(msg, field="hold_id", code="hold_resolved")
    parts = budgets.open_escrow(tx, [row["id"] for row in rows])
    books = budget_books.books_of_sources(tx, [part["source_account_id"] for part in parts])
    for part in parts:
        one, hold_id = books.of_source(part["source_account_id"]), part["budget_hold_id"]
        books.move(budget_books.SETTLE, one, RESERVED, SPENT, amount, hold_id)
        books.move(budget_books.RETURN, one, RESERVED, FREE, part["amount"] - amount, hold_id)
        books.trim(one)
    books.write()
    after = EscrowState.PAID if state is BudgetHoldState.SETTLED else EscrowState.RETURNED
    sql.update_many(tx, tables.escrow, ("id",), [{"id": part["id"], "state": after} for part in parts])
    return [Resolution(row["id"], state, row["amount"], amount) for row in rows]


def set_limit(tx: Tx, key: BudgetKey, resource: Resource, amount: int, *, reason: str) -> BudgetLine:
    """Set a limit, an operator's recorded act, and move the budget that is open now; return it.

    The cap goes to the limit at once, but never under what is reserved or spent; it follows as holds come
    back. Raises InvalidValueError for an amount out of bounds or no reason, NotFoundError for an unknown
    agent or task, ConflictError for a retry, which draws on the budget of the task it tries again.
    """
    check_amount(amount, lowest=0)
    if not reason.strip() or len(reason) > REASON_LENGTH:
        msg = f"a limit needs a reason of 1 to {REASON_LENGTH} characters"
        raise InvalidValueError(msg, field="reason", code="reason_missing")
    _require_subject(tx, key)
    sql.insert(
        tx,
        tables.budget_limit,
        scope=key.scope,
        subject=key.subject,
        resource=resource,
        amount=amount,
        actor=tx.actor,
        reason=reason,
        set_at_us=tx.now_us,
    )
    books = budget_books.open_books(tx, [(key, resource)])
    one = books.at(key, resource)
    books.set_limit(one, amount)
    books.write()
    return one.line


def _require_subject(tx: Tx, key: BudgetKey) -> None:
    """Raise NotFoundError for an agent or a task that is not there, ConflictError for a retry."""
    if key.scope is BudgetScope.AGENT:
        agent_registry.get(tx, int(key.subject))
    if key.scope is BudgetScope.TASK:
        task = sql.find(tx, tables.task, id=int(key.subject))
        if task is None:
            msg = f"there is no task {key.subject}"
            raise NotFoundError(msg, field="budget")
        first = _first_try(tx, task)
        if first != task["id"]:
            msg = f"task {key.subject} tries task {first} again and draws on its budget; set task:{first}"
            raise ConflictError(msg, field="budget")


def keys_of(
    tx: Tx, *, agent_id: int | None, task_id: int | None = None, workflow: str | None = None
) -> list[BudgetKey]:
    """Return the scopes that work of an agent draws on.

    `workflow` names one of the agent's owner, unless the task has one. Raises NotFoundError for a task or an
    agent that is not there, InvalidValueError for a workflow that neither says whose it is.
    """
    keys = []
    of_task: BudgetKey | None = None
    if task_id is not None:
        task = sql.find(tx, tables.task, id=task_id)
        if task is None:
            msg = f"there is no task {task_id}"
            raise NotFoundError(msg, field="task_id")
        keys.append(BudgetKey(BudgetScope.TASK, str(_first_try(tx, task))))
        of_task = _workflow_of(tx, task)
    if agent_id is not None:
        keys.append(BudgetKey(BudgetScope.AGENT, str(agent_id)))
    if of_task is not None:
        keys.append(of_task)
    elif workflow is not None:
        if agent_id is None:
            msg = f"a workflow is its owner's: name with {workflow!r} an agent of that owner"
            raise InvalidValueError(msg, field="workflow")
        keys.append(workflow_key(_owner_of(tx, agent_id), workflow))
    return [*keys, DAY]


def standing(tx: Tx, keys: Iterable[BudgetKey]) -> list[BudgetLine]:
    """Return the budgets of these scopes for every resource; what was never used stands at its limit."""
    wanted = [(key, resource, key.period(tx.now_us)) for key in keys for resource in Resource]
    names = [budgets.name_of(*one) for one in wanted]
    open_now = {(line.key, line.resource): line for line in budgets.standing(tx, names)}
    lines = []
    for key, resource, period in wanted:
        line = open_now.get((key, resource))
        if line is None:
            limit = budget_books.limit_now(tx, key, resource)
            line = BudgetLine(key, resource, period, limit, limit, 0, 0)
        lines.append(line)
    return lines


class PostingBudgets:
    """The money budgets that a batch of postings draws on, locked once; what is taken is written at the end.

    Posting commits its reserve price for the UTC day, for good: what comes back from escrow later does not
    renew the day's budget. The platform's own postings (no requester) draw on none.
    """

    def __init__(self, tx: Tx, postings: Iterable[tuple[int | None, str | None]]) -> None:
        """Lock the budgets of (requester id, workflow) pairs."""
        pairs = set(postings)
        asking = {requester_id for requester_id, workflow in pairs if requester_id is not None and workflow}
        found = sql.find_all(tx, tables.agent, id=sorted(asking)) if asking else []
        self._owners: dict[int, str] = {row["id"]: row["owner"] for row in found}
        keys = {key for pair in pairs for key in self._keys(*pair)}
        self._tx = tx
        self._books = budget_books.open_books(tx, [(key, Resource.MICROCREDITS) for key in sorted(keys)])

    def require(self, requester_id: int | None, workflow: str | None, amount_microcredits: int) -> None:
        """Raise ConflictError `budget_exhausted` when a posting does not fit; nothing is taken yet."""
        lines = [one.line for one in self._drawn_on(requester_id, workflow)]
        exhausted = first_exhausted(lines, amount_microcredits)
        if exhausted is not None:
            raise refusal(exhausted, amount_microcredits, self._tx.now_us, field=PRICE_FIELD)

    def take(self, requester_id: int | None, workflow: str | None, amount_microcredits: int) -> None:
        """Take a posting that fits."""
        for one in self._drawn_on(requester_id, workflow):
            self._books.move(budget_books.POST, one, FREE, SPENT, amount_microcredits)

    def write(self) -> None:
        """Write what was taken."""
        self._books.write()

    def _drawn_on(self, requester_id: int | None, workflow: str | None) -> list[budget_books.Budget]:
        keys = self._keys(requester_id, workflow)
        return [self._books.at(key, Resource.MICROCREDITS) for key in keys]

    def _keys(self, requester_id: int | None, workflow: str | None) -> list[BudgetKey]:
        """Return what a posting draws on; a workflow's name that cannot be is left to who checks terms."""
        if requester_id is None:
            return []
        keys = [BudgetKey(BudgetScope.AGENT, str(requester_id))]
        if workflow and len(workflow) <= WORKFLOW_LENGTH:
            keys.append(workflow_key(self._owners[requester_id], workflow))
        return [*keys, DAY]
