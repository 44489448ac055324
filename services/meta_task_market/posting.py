"""Posting and taking back: a task enters the market with its reserve price in escrow.

Stands at the start of a task's life in layer 4. It never looks at bids.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from services.domain.clock import seconds
from services.domain.errors import ConflictError, ForbiddenError, InvalidValueError, NotFoundError
from services.domain.states import EndReason, TaskKind, TaskState
from services.meta_task_market import settlement
from services.operations import accounts, production_config
from services.store import sql, tables
from services.store.sql import Row
from services.store.tx import Tx

PRICE_LIMIT_MICROCREDITS = 10**15


@dataclass(frozen=True, slots=True)
class TaskTerms:
    """What is posted. `private` stays with the platform, `deadline_us` counts from now.

    Without a requester the platform itself asks, and the treasury pays.
    """

    kind: TaskKind
    type: str
    public: Mapping[str, object]
    private: Mapping[str, object]
    requester_id: int | None
    reserve_price_microcredits: int
    deadline_us: int


def post_task(tx: Tx, terms: TaskTerms) -> int:
    """Post a task, reserve its price in escrow, open its bid window; return its id.

    Raises InvalidValueError for terms that cannot be, InsufficientFundsError when the requester cannot pay.
    """
    if not 1 <= terms.reserve_price_microcredits <= PRICE_LIMIT_MICROCREDITS:
        msg = f"the reserve price must be 1 to {PRICE_LIMIT_MICROCREDITS} micro-credits"
        raise InvalidValueError(msg, field="body.reserve_price_microcredits")
    window_us = seconds(production_config.number(tx, "market.bid_window_seconds"))
    if terms.deadline_us <= window_us:
        msg = f"the deadline must lie behind the bid window of {window_us / 1e6:g} s"
        raise InvalidValueError(msg, field="body.deadline_seconds")
    task_id = sql.insert(
        tx,
        tables.task,
        kind=terms.kind,
        type=terms.type,
        state=TaskState.BIDDING,
        requester_id=terms.requester_id,
        lap_id=tx.lap,
        public=dict(terms.public),
        private=dict(terms.private),
        reserve_price_microcredits=terms.reserve_price_microcredits,
        attempt_count=0,
        maximum_attempts=int(production_config.number(tx, "market.maximum_attempts")),
        posted_at_us=tx.now_us,
        bids_close_at_us=tx.now_us + window_us,
        deadline_at_us=tx.now_us + terms.deadline_us,
    )
    source = accounts.TREASURY if terms.requester_id is None else accounts.agent_account(terms.requester_id)
    accounts.hold(
        tx,
        task_id=task_id,
        purpose=accounts.RESERVE,
        attempt_number=0,
        source=source,
        amount_microcredits=terms.reserve_price_microcredits,
    )
    return task_id


def get_task(tx: Tx, task_id: int, *, lock: bool = False) -> Row:
    """Return the task's row; raise NotFoundError when there is none."""
    row = sql.find(tx, tables.task, lock=lock, id=task_id)
    if row is None:
        msg = f"there is no task {task_id}"
        raise NotFoundError(msg, field="task_id")
    return row


def cancel_task(tx: Tx, *, task_id: int, agent_id: int | None) -> None:
    """Take a task back before a result is in; `agent_id` None is an operator.

    Raises ForbiddenError for anybody else's task, ConflictError once a result is in or the task has ended.
    """
    task = get_task(tx, task_id, lock=True)
    if agent_id is not None and task["requester_id"] != agent_id:
        msg = f"task {task_id} was posted by somebody else"
        raise ForbiddenError(msg, field="task_id")
    if task["state"] not in (TaskState.BIDDING, TaskState.AWARDED, TaskState.LEASED):
        msg = f"task {task_id} is {task['state']}; only bidding, awarded or leased tasks can be cancelled"
        raise ConflictError(msg, field="task_id", state=task["state"])
    settlement.end_unpaid(tx, task, TaskState.CANCELLED, EndReason.CANCELLED, is_stake_lost=False)
