"""How attempts and tasks end: one batch of endings, with its money, outcomes and events, written at once.

Stands in layer 4 under settlement, expiry and cancellation. Every way a task can end goes through here,
returns its money and says TaskEnded; an attempt that came to nothing loses its stake and, while attempts and
time remain, sends the task to its next-best bid. It never verifies by itself.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from services.domain.errors import ConflictError
from services.domain.events import Event, EventType
from services.domain.states import AttemptState, EndReason, OutcomeKind, TaskKind, TaskState
from services.event_bus import publish_all
from services.meta_task_market import bidding
from services.meta_task_market.rules import MarketRules
from services.operations import accounts, measuring, records
from services.operations.accounts import Books
from services.operations.records import NewOutcome
from services.store import market, sql, tables
from services.store.sql import Row
from services.store.tx import Tx

LIVE_ATTEMPTS = (AttemptState.LEASED, AttemptState.SUBMITTED)
AT_WORK = (TaskState.LEASED, TaskState.SUBMITTED)
"""States in which the task has a live attempt."""


MARKET = "system:market"
"""Who acts where a rule of the market does."""


class Stake(Enum):
    """What becomes of the stake of the current attempt when a task ends."""

    RETURNED = "returned"
    LOST = "lost"
    SETTLED = "settled"
    """Nothing is held: it was resolved before, or nobody was awarded."""


@dataclass(slots=True)
class Endings:
    """A batch of endings over tasks that are locked; nothing is written before `write`.

    `paid_to` are agents besides the requesters and winners that money may go to. What is recorded bears the
    market as its actor, whoever's act it followed from, unless a person or a requester ended the task.
    """

    tx: Tx
    rules: MarketRules
    tasks: Collection[Row]
    paid_to: Collection[int] = ()
    actor: str = MARKET
    books: Books = field(init=False)
    _ends: list[dict[str, object]] = field(default_factory=list)
    _returns: list[dict[str, Any]] = field(default_factory=list)
    _attempts: list[dict[str, object]] = field(default_factory=list)
    _outcomes: list[NewOutcome] = field(default_factory=list)
    _closed_bids: list[int] = field(default_factory=list)
    _events: list[tuple[int | None, Event]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Hold the accounts that these tasks' money comes from and may go to."""
        self.books = accounts.open_books(
            self.tx,
            map(accounts.agent_account, self.paid_to),
            task_ids=[task["id"] for task in self.tasks],
        )

    def note_outcome(
        self, task: Row, agent_id: int, kind: OutcomeKind, *, confidence_percent: int | None
    ) -> None:
        """Put what came of the task's current attempt on the agent's record."""
        self._outcomes.append(
            NewOutcome(
                agent_id,
                kind,
                task["id"],
                task["attempt_count"],
                task["type"],
                task["requester_id"],
                confidence_percent,
            )
        )

    def pay(self, task: Row, agent_id: int, price_microcredits: int) -> None:
        """End a task whose work was verified: its agent gets the price and its stake back."""
        self.books.pay(
            task_id=task["id"],
            purpose=accounts.RESERVE,
            attempt_number=0,
            to=accounts.agent_account(agent_id),
            amount_microcredits=price_microcredits,
        )
        self._resolve_stake(task, Stake.RETURNED)
        self._end(task, TaskState.SETTLED, EndReason.VERIFIED, price_microcredits)

    def come_to_nothing(
        self, task: Row, reason: EndReason, *, is_silent: bool, stake: Stake = Stake.LOST
    ) -> bool:
        """Take the stake of the current attempt; hand the task to its next-best bid, or end it as failed.

        Tells whether the task goes on. Silence is always followed by the next-best bid while attempts and
        time remain; a failure only where the type's policy says so. The values fixed at the first award stay
        what they were.
        """
        policy = self.rules.retry_policy(task["type"])
        again_us = self.tx.now_us + policy.wait_us
        is_retried = (
            (is_silent or policy.is_failure_retried)
            and task["attempt_count"] < task["maximum_attempts"]
            and again_us < task["deadline_at_us"]
        )
        self._resolve_stake(task, stake)
        if not is_retried:
            self.end(task, TaskState.FAILED, reason, stake=Stake.SETTLED)
            return False
        self._returns.append(
            {
                "id": task["id"],
                "state": TaskState.BIDDING,
                "awarded_agent_id": None,
                "model": None,
                "bids_close_at_us": again_us if policy.wait_us else task["bids_close_at_us"],
            }
        )
        return True

    def end(self, task: Row, state: TaskState, reason: EndReason, *, stake: Stake) -> None:
        """End a task without pay: the reserve goes back, the stake as said, live attempts are over."""
        self.books.give_back(task_id=task["id"], purpose=accounts.RESERVE, attempt_number=0)
        self._resolve_stake(task, stake)
        self._close_attempt(task, reason)
        self._end(task, state, reason, 0)

    def end_with_fee(self, task: Row, agent_id: int, fee_microcredits: int) -> None:
        """End a task that its requester takes back: the agent gets its stake and a fee, the rest returns."""
        self.books.pay(
            task_id=task["id"],
            purpose=accounts.RESERVE,
            attempt_number=0,
            to=accounts.agent_account(agent_id),
            amount_microcredits=fee_microcredits,
        )
        self._resolve_stake(task, Stake.RETURNED)
        self._close_attempt(task, EndReason.CANCELLED)
        self._end(task, TaskState.CANCELLED, EndReason.CANCELLED, 0)

    def write(self) -> None:
        """Write all of it; every task must still be as it was read."""
        tx = replace(self.tx, actor=self.actor)
        ended = sql.update_many(tx, tables.task, ("id",), self._ends, {"ended_at_us": None})
        returned = sql.update_many(
            tx, tables.task, ("id",), self._returns, {"state": (TaskState.AWARDED, *AT_WORK)}
        )
        if (ended, returned) != (len(self._ends), len(self._returns)):
            msg = "a task was ended by another process"
            raise ConflictError(msg)
        sql.update_many(tx, tables.attempt, ("task_id",), self._attempts, {"state": LIVE_ATTEMPTS})
        self.books.write()
        moved = self._moved_bids()
        if moved:
            market.locked_agents(tx, {*moved, *(item.agent_id for item in self._outcomes)})
        measuring.note_ended(tx, [row["id"] for row in self._ends])
        records.record_outcomes(tx, self._outcomes, self.rules.standing)
        bidding.move_open_bids(tx, moved)
        publish_all(tx, self._events)

    def _moved_bids(self) -> dict[int, int]:
        """Return how many open bids more (or fewer) each agent has by tasks that take bids again (or not)."""
        returned = {row["id"] for row in self._returns}
        tasks = [*self._closed_bids, *returned]
        moved: Counter[int] = Counter()
        for row in market.bidders_of(self.tx, tasks) if tasks else ():
            moved[row["agent_id"]] += 1 if row["task_id"] in returned else -1
        return moved

    def _resolve_stake(self, task: Row, stake: Stake) -> None:
        if stake is not Stake.SETTLED:
            resolve = self.books.forfeit if stake is Stake.LOST else self.books.give_back
            resolve(task_id=task["id"], purpose=accounts.STAKE, attempt_number=task["attempt_count"])

    def _close_attempt(self, task: Row, reason: EndReason) -> None:
        if task["state"] in AT_WORK:
            self._attempts.append(
                {
                    "task_id": task["id"],
                    "state": AttemptState.FAILED,
                    "ended_at_us": self.tx.now_us,
                    "reason": reason,
                }
            )

    def _end(self, task: Row, state: TaskState, reason: EndReason, paid_microcredits: int) -> None:
        self._ends.append(
            {
                "id": task["id"],
                "state": state,
                "end_reason": reason,
                "ended_at_us": self.tx.now_us,
                "paid_microcredits": paid_microcredits,
            }
        )
        if task["state"] == TaskState.BIDDING:
            self._closed_bids.append(task["id"])
        facts = {
            "task_id": task["id"],
            "kind": task["kind"],
            "type": task["type"],
            "state": str(state),
            "end_reason": str(reason),
        }
        self._events.append((task["lap_id"], Event(EventType.TASK_ENDED, f"task:{task['id']}", facts)))
        if task["kind"] == TaskKind.META:
            ended = Event(EventType.INVESTIGATION_ENDED, f"task:{task['id']}", facts)
            self._events.append((task["lap_id"], ended))


def stake_of(task: Row) -> Stake:
    """Return what becomes of a stake that nobody is to blame for: back if there is one."""
    return Stake.SETTLED if task["state"] == TaskState.BIDDING else Stake.RETURNED
