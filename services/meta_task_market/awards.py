"""The award: when a window has closed, the rule picks the winner from the sealed bids and a recorded seed.

Stands in layer 4 between bidding and the lease. The first award of a task also fixes the values in force for
it, arm included: after the bid, so that agents cannot choose tasks by arm. A task that comes back goes to its
next-best bid by the same rule. It never reads claimed confidence.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.domain.auction import (
    ENTRY_WINDOW,
    AwardDecision,
    AwardTerms,
    SealedBid,
    decide_award,
)
from services.domain.award_replay import STAKE_SHORT, SUSPENDED, TRIED
from services.domain.errors import ConflictError
from services.domain.events import Event, EventType
from services.domain.states import EndReason, Standing, TaskState
from services.event_bus import publish_all
from services.meta_task_market import bidding
from services.meta_task_market.ending import Endings, Stake
from services.meta_task_market.rules import MarketRules, rules_now
from services.operations import accounts, records
from services.operations.accounts import Books
from services.operations.assignments import Assigner
from services.store import market, sql, tables
from services.store.sql import Row
from services.store.tx import Tx

BATCH = 500


def award_due(tx: Tx, entropy: Callable[[int], bytes]) -> dict[str, int]:
    """Award tasks whose window has closed, up to `BATCH`; return how many were awarded and had no bids."""
    return award(tx, market.due_windows(tx, BATCH), entropy)


def award(tx: Tx, tasks: Sequence[Row], entropy: Callable[[int], bytes]) -> dict[str, int]:
    """Award these tasks, which are locked and in `bidding`; return (awarded, without_bids)."""
    if not tasks:
        return {"awarded": 0, "without_bids": 0}
    awarding = _Awarding(tx, tasks)
    unbid = [task for task in tasks if not awarding.decide(task, entropy(16).hex())]
    awarding.write()
    _wait_for_bids(tx, awarding.rules, unbid)
    return {"awarded": len(tasks) - len(unbid), "without_bids": len(unbid)}


def _wait_for_bids(tx: Tx, rules: MarketRules, tasks: Sequence[Row]) -> None:
    """Open another window, unless the deadline comes first."""
    closes = tx.now_us + rules.microseconds("bid_window")
    waiting = [
        {"id": task["id"], "bids_close_at_us": closes, "awarded_at_us": None}
        for task in tasks
        if closes < task["deadline_at_us"]
    ]
    sql.update_many(tx, tables.task, ("id",), waiting, {"state": TaskState.BIDDING})
    over = [task for task in tasks if closes >= task["deadline_at_us"]]
    if over:
        endings = Endings(tx, rules, over)
        for task in over:
            endings.end(task, TaskState.EXPIRED, EndReason.NO_BIDS, stake=Stake.SETTLED)
        endings.write()


@dataclass(slots=True)
class _Awarding:
    """What a batch of awards reads, and the rows that it writes."""

    tx: Tx
    tasks: Sequence[Row]
    rules: MarketRules = field(init=False)
    _books: Books = field(init=False)
    _bids: dict[int, list[Row]] = field(init=False)
    _tried: set[tuple[int, int]] = field(init=False)
    _newest: list[bool] = field(init=False)
    _vouched: set[int] = field(init=False)
    _entrant_rate: float = field(init=False)
    _mark: int = field(init=False)
    _assigner: Assigner = field(init=False)
    _task_rows: list[dict[str, Any]] = field(default_factory=list)
    _award_rows: list[dict[str, object]] = field(default_factory=list)
    _events: list[tuple[int | None, Event]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Read everything once. Records are read while the books are held: no outcome comes in between."""
        tx, ids = self.tx, [task["id"] for task in self.tasks]
        self.rules = rules_now(tx, (task["type"] for task in self.tasks))
        self._assigner = Assigner(tx, {task["type"] for task in self.tasks})
        bidders = {row["agent_id"] for row in market.bidders_of(tx, ids)}
        self._books = accounts.open_books(tx, map(accounts.agent_account, bidders))
        self._bids = defaultdict(list)
        for row in market.bids_with_records(tx, ids):
            self._bids[row["task_id"]].append(row)
        self._tried = market.tried_agents(tx, [task["id"] for task in self.tasks if task["attempt_count"]])
        self._newest = market.newest_awards(tx, ENTRY_WINDOW)
        asked = {task["requester_id"] for task in self.tasks if task["requester_id"] is not None}
        self._vouched = {number for number, row in market.identities(tx, asked).items() if row["is_vouched"]}
        self._entrant_rate = records.entrant_rate(tx)
        self._mark = market.newest_outcome(tx)

    def decide(self, task: Row, seed: str) -> bool:
        """Award one task if any bid may win it; tell whether one did."""
        stake = self.rules.stake_microcredits(task["reserve_price_microcredits"])
        excluded = {row["agent_id"]: self._exclusion(task, row, stake) for row in self._bids[task["id"]]}
        bids = [_sealed(row) for row in self._bids[task["id"]] if excluded[row["agent_id"]] is None]
        terms = AwardTerms(
            rule=self._assigner.award_rule(task, seed=seed),
            value_microcredits=task["reserve_price_microcredits"],
            stake_microcredits=stake,
            seed=seed,
            cooling=self.rules.number("cooling"),
            quantile=self.rules.number("guard_quantile"),
            entrant_rate=self._entrant_rate,
            entry_jobs=self.rules.whole("entry_jobs"),
            is_entry_full=sum(self._newest[:ENTRY_WINDOW]) >= self.rules.whole("entry_percent"),
        )
        decision = decide_award(bids, terms)
        if decision is None:
            return False
        left_out = [(agent_id, reason) for agent_id, reason in excluded.items() if reason is not None]
        self._grant(task, decision, terms, self._inputs(bids, left_out, decision, terms))
        return True

    def _exclusion(self, task: Row, row: Row, stake: int) -> str | None:
        """Return why a bid may not win now, or None."""
        if row["standing"] == Standing.SUSPENDED:
            return SUSPENDED
        if (task["id"], row["agent_id"]) in self._tried:
            return TRIED
        is_able = self._books.can_pay(accounts.agent_account(row["agent_id"]), stake)
        return None if is_able else STAKE_SHORT

    def _grant(
        self, task: Row, decision: AwardDecision, terms: AwardTerms, inputs: dict[str, object]
    ) -> None:
        number = task["attempt_count"] + 1
        values, is_holdout = task["effective_values"], task["is_holdout"]
        if values is None:
            fixed = self._assigner.assign(task, agent_id=decision.agent_id, seed=terms.seed)
            values = {name: value.to_payload() for name, value in fixed.values.items()}
            is_holdout = fixed.is_holdout
        self._books.hold(
            task_id=task["id"],
            purpose=accounts.STAKE,
            attempt_number=number,
            source=accounts.agent_account(decision.agent_id),
            amount_microcredits=decision.stake_microcredits,
        )
        if task["requester_id"] is None or task["requester_id"] in self._vouched:
            self._newest.insert(0, decision.is_unproven)
        self._task_rows.append(
            {
                "id": task["id"],
                "state": TaskState.AWARDED,
                "awarded_agent_id": decision.agent_id,
                "model": self._model_of(task, decision.agent_id),
                "awarded_at_us": self.tx.now_us,
                "attempt_count": number,
                "effective_values": values,
                "is_holdout": is_holdout,
            }
        )
        self._award_rows.append(
            {
                "task_id": task["id"],
                "attempt_number": number,
                "agent_id": decision.agent_id,
                "rule": terms.rule.label,
                "seed": terms.seed,
                "price_microcredits": decision.price_microcredits,
                "stake_microcredits": decision.stake_microcredits,
                "is_unproven": decision.is_unproven,
                "inputs": inputs,
                "awarded_at_us": self.tx.now_us,
            }
        )
        facts = {"task_id": task["id"], "agent_id": decision.agent_id, "attempt_number": number}
        self._events.append((task["lap_id"], Event(EventType.TASK_AWARDED, f"task:{task['id']}", facts)))

    def _model_of(self, task: Row, agent_id: int) -> str | None:
        """Return the model that a bidder said it runs on when it was registered."""
        found: str | None = next(
            row["model"] for row in self._bids[task["id"]] if row["agent_id"] == agent_id
        )
        return found

    def _inputs(
        self,
        bids: Sequence[SealedBid],
        excluded: Iterable[tuple[int, str]],
        decision: AwardDecision,
        terms: AwardTerms,
    ) -> dict[str, object]:
        """Return everything the rule saw, so that the award can be recomputed."""
        drawn = {draw.agent_id: draw for draw in decision.draws}
        return {
            "rule": int(terms.rule),
            "value_microcredits": terms.value_microcredits,
            "cooling": terms.cooling,
            "quantile": terms.quantile,
            "entrant_rate": terms.entrant_rate,
            "entry_jobs": terms.entry_jobs,
            "entry_percent": self.rules.number("entry_percent"),
            "is_entry_full": terms.is_entry_full,
            "outcome_mark": self._mark,
            "counterparty_jobs": self.rules.number("counterparty_jobs"),
            "bids": [
                {
                    "agent_id": bid.agent_id,
                    "bid_id": bid.bid_id,
                    "ask_microcredits": bid.ask_microcredits,
                    "type_successes": bid.type_successes,
                    "type_failures": bid.type_failures,
                    "all_successes": bid.all_successes,
                    "all_failures": bid.all_failures,
                    "jobs": bid.jobs,
                    "theta": drawn[bid.agent_id].theta,
                    "score": drawn[bid.agent_id].score,
                }
                for bid in bids
                if bid.agent_id in drawn
            ],
            "excluded": [{"agent_id": agent_id, "reason": reason} for agent_id, reason in excluded],
        }

    def write(self) -> None:
        """Write what was decided; every task must still be as it was read."""
        tx = self.tx
        changed = sql.update_many(tx, tables.task, ("id",), self._task_rows, {"state": TaskState.BIDDING})
        if changed != len(self._task_rows):
            msg = "a task was awarded by another process"
            raise ConflictError(msg)
        sql.insert_many(tx, tables.award, self._award_rows)
        self._books.write()
        self._assigner.write()
        closed: Counter[int] = Counter()
        for item in self._task_rows:
            closed.subtract(row["agent_id"] for row in self._bids[item["id"]])
        bidding.move_open_bids(tx, closed)
        publish_all(tx, self._events)


def _sealed(row: Row) -> SealedBid:
    return SealedBid(
        row["agent_id"],
        row["bid_id"],
        row["ask_microcredits"],
        row["type_successes"],
        row["type_failures"],
        row["all_successes"],
        row["all_failures"],
        row["jobs"],
    )
