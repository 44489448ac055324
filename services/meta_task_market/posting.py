"""Posting: tasks enter the market, each with its reserve price in escrow and its bid window open.

Stands at the start of a task's life in layer 4. It never looks at bids.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.domain.errors import ConflictError, InvalidValueError, NacreError
from services.domain.states import TaskKind, TaskState
from services.meta_task_market.rules import MarketRules, only, rules_now
from services.operations import accounts, measuring
from services.operations.budget_governor import PostingBudgets
from services.store import postings, sql, tables
from services.store.tx import Tx

PRICE_LIMIT_MICROCREDITS = 10**15
WORKFLOW_LIMIT = 80
NO_LIMIT = 2**62
UNVOUCHED_SHARE = 10
"""An agent that nobody vouched for may have one task open where a vouched one may have so many."""


@dataclass(frozen=True, slots=True)
class TaskTerms:
    """What is posted. `private` stays with the platform, `deadline_us` counts from now.

    Without a requester the platform itself asks, and the treasury pays. `retry_of_id` names the task that
    this one tries again.
    """

    kind: TaskKind
    type: str
    public: Mapping[str, object]
    private: Mapping[str, object]
    requester_id: int | None
    reserve_price_microcredits: int
    deadline_us: int
    workflow: str | None = None
    retry_of_id: int | None = None


def post_task(tx: Tx, terms: TaskTerms) -> int:
    """Post one task and return its id.

    Raises InvalidValueError for terms that cannot be, InsufficientFundsError when the requester cannot pay,
    ConflictError `budget_exhausted` when its budgets of the day do not allow it, `too_many_open_tasks` when
    it has as many open as it may.
    """
    return only(post_tasks(tx, [terms]))


def post_tasks(tx: Tx, terms: Sequence[TaskTerms]) -> list[int | NacreError]:
    """Post tasks, reserve their prices in escrow, open their windows; answer each with its id or refusal."""
    rules = rules_now(tx, (item.type for item in terms))
    budgets = PostingBudgets(tx, [(item.requester_id, item.workflow) for item in terms])
    books = accounts.open_books(tx, {accounts.account_of(item.requester_id) for item in terms})
    room = _room(tx, rules, terms)
    answers: list[int | NacreError] = []
    rows: list[dict[str, object]] = []
    for task_id, item in zip(sql.reserve_ids(tx, tables.task, len(terms)), terms, strict=True):
        try:
            _check(item, rules)
            room.require(item.requester_id)
            books.require(accounts.account_of(item.requester_id), item.reserve_price_microcredits)
            budgets.require(item.requester_id, item.workflow, item.reserve_price_microcredits)
            books.hold(
                task_id=task_id,
                purpose=accounts.RESERVE,
                attempt_number=0,
                source=accounts.account_of(item.requester_id),
                amount_microcredits=item.reserve_price_microcredits,
            )
        except NacreError as refusal:
            answers.append(refusal)
        else:
            room.take(item.requester_id)
            budgets.take(item.requester_id, item.workflow, item.reserve_price_microcredits)
            answers.append(task_id)
            rows.append(_row(tx, task_id, item, rules))
    sql.insert_many(tx, tables.task, rows)
    measuring.note_posted(tx, [row["id"] for row in rows])
    books.write()
    budgets.write()
    return answers


@dataclass(frozen=True, slots=True)
class _Room:
    """How many more tasks each agent of a batch may have open, and how many it may have in all."""

    left: dict[int, int]
    limits: Mapping[int, int]

    def require(self, requester_id: int | None) -> None:
        """Raise ConflictError when the agent may have no more; the platform itself always may."""
        if requester_id is not None and self.left[requester_id] <= 0:
            msg = f"an agent may have {self.limits[requester_id]} tasks that have not ended"
            raise ConflictError(msg, code="too_many_open_tasks")

    def take(self, requester_id: int | None) -> None:
        """Count one more open task."""
        if requester_id is not None:
            self.left[requester_id] -= 1


def _room(tx: Tx, rules: MarketRules, terms: Sequence[TaskTerms]) -> _Room:
    """Count what the requesters have open; their accounts are held, so that nobody else adds to it."""
    limit = rules.whole("open_tasks_per_requester")
    agents = {item.requester_id for item in terms if item.requester_id is not None}
    requesters = postings.requesters(tx, agents, limit)
    limits = {
        row["id"]: NO_LIMIT if row["is_vouched"] else max(1, limit // UNVOUCHED_SHARE) for row in requesters
    }
    return _Room({row["id"]: limits[row["id"]] - row["open_tasks"] for row in requesters}, limits)


def _check(terms: TaskTerms, rules: MarketRules) -> None:
    if not 1 <= terms.reserve_price_microcredits <= PRICE_LIMIT_MICROCREDITS:
        msg = f"the reserve price must be 1 to {PRICE_LIMIT_MICROCREDITS} micro-credits"
        raise InvalidValueError(msg, field="body.reserve_price_microcredits")
    window_us = rules.microseconds("bid_window")
    if terms.deadline_us <= window_us:
        msg = f"the deadline must lie behind the bid window of {window_us / 1e6:g} s"
        raise InvalidValueError(msg, field="body.deadline_seconds")
    if terms.workflow is not None and not 1 <= len(terms.workflow) <= WORKFLOW_LIMIT:
        msg = f"a workflow's name has 1 to {WORKFLOW_LIMIT} characters"
        raise InvalidValueError(msg, field="body.workflow")


def _row(tx: Tx, task_id: int, terms: TaskTerms, rules: MarketRules) -> dict[str, object]:
    return {
        "id": task_id,
        "kind": terms.kind,
        "type": terms.type,
        "state": TaskState.BIDDING,
        "requester_id": terms.requester_id,
        "lap_id": tx.lap,
        "public": dict(terms.public),
        "private": dict(terms.private),
        "reserve_price_microcredits": terms.reserve_price_microcredits,
        "attempt_count": 0,
        "maximum_attempts": rules.retry_policy(terms.type).maximum_attempts,
        "workflow": terms.workflow,
        "retry_of_id": terms.retry_of_id,
        "posted_at_us": tx.now_us,
        "bids_close_at_us": tx.now_us + rules.microseconds("bid_window"),
        "deadline_at_us": tx.now_us + terms.deadline_us,
    }
