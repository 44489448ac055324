"""Our market in process: whole lives of tasks through the verbs, singly, grouped and in sets, on each engine.

A life is: posted, three bids, awarded, leased, handed in, verified and settled, with every event delivered to
every subscriber. Time is virtual (bid windows of five minutes close at once), everything else is the platform
as it is opened for service. After each case the watchdog's full check recounts every invariant from the rows.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

from sqlalchemy import event

from app.bootstrap import Platform, calm_collector
from services import event_bus, meta_task_market
from services.domain.clock import HOUR_US, seconds
from services.domain.handoff import Handoff
from services.domain.states import Scope, TaskKind, TaskState
from services.meta_task_market import SubmittedOutcome, TaskTerms
from services.operations import agent_registry, watchdog
from services.store import migrate, sql, tables
from services.store.group_commit import GroupWriter, Verb
from services.store.tx import Tx
from tests.benchmarks.market.measure import Sample, in_threads, until, watching
from tests.plugins.platforms import WINDOW_SECONDS, platform_over

REQUESTERS = 10
WORKERS = 40
BIDS = 3
SET = 500
CALLERS = 32
THREADS = 8
PER_THREAD = 20
RESERVE = 1_000
TASK_TYPE = "monte_carlo"
GOOD = Handoff("worked", {"is_good": True}, "")
STARTING_VALUES = {"market.open_bids_per_agent": "100000"}
"""The limit that keeps one agent from crowding out others; forty bidders here do the work of thousands."""


class BrokenInvariantError(Exception):
    """The rows left behind by a case are not as they must be."""


@dataclass
class OurMarket:
    """A platform over a database of its own, with ten requesters and forty workers."""

    platform: Platform
    requesters: Iterator[int] = field(init=False)
    workers: list[int] = field(init=False)

    def __post_init__(self) -> None:
        """Register the agents."""
        with self.platform.store.write(actor="operator") as tx:
            agents = [
                agent_registry.register(
                    tx,
                    name=f"bench_{number}",
                    owner=f"owner_{number}",
                    scopes=list(Scope),
                    is_vouched=True,
                    key_hash=f"bench_{number}",
                )
                for number in range(REQUESTERS + WORKERS)
            ]
        self.requesters = cycle(agents[:REQUESTERS])
        self.workers = agents[REQUESTERS:]

    @classmethod
    def over(cls, url: str, folder: Path) -> "OurMarket":
        """Return the market over a fresh database."""
        migrate.upgrade(url)
        folder.mkdir(parents=True, exist_ok=True)
        return cls(platform_over(url, folder, starting_values=STARTING_VALUES))

    def close(self) -> None:
        """Close the database."""
        self.platform.close()

    def post(self) -> int:
        """Post one task in a commit of its own and return its id."""
        with self.platform.store.write(actor="bench") as tx:
            return meta_task_market.post_task(tx, self._terms())

    def bid(self, task_id: int, nth: int) -> None:
        """Place one bid in a commit of its own."""
        with self.platform.store.write(actor="bench") as tx:
            meta_task_market.place_bid(
                tx,
                agent_id=self._bidder(task_id, nth),
                task_id=task_id,
                ask_microcredits=RESERVE // 2 + nth,
                confidence_percent=60,
            )

    def award(self) -> int:
        """Award what is due in one commit and return how many tasks were awarded."""
        with self.platform.store.write(actor="bench") as tx:
            return meta_task_market.award_due(tx, self.platform.context.entropy)["awarded"]

    def winner(self, task_id: int) -> int:
        """Return the agent that won a task."""
        with self.platform.store.read() as tx:
            found = sql.find(tx, tables.task, id=task_id)
        assert found is not None
        return int(found["awarded_agent_id"])

    def work(self, task_id: int, agent_id: int) -> None:
        """Take the lease and hand in, each in a commit of its own."""
        with self.platform.store.write(actor="bench") as tx:
            lease = meta_task_market.take_lease(tx, agent_id=agent_id, task_id=task_id)
        with self.platform.store.write(actor="bench") as tx:
            meta_task_market.submit_result(
                tx,
                agent_id=agent_id,
                task_id=task_id,
                fencing_token=lease.fencing_token,
                outcome=SubmittedOutcome.COMPLETED,
                failure_reason=None,
                handoff=GOOD,
            )

    def deliver(self) -> None:
        """Deliver until nothing is due: results are verified and settled, every subscriber has heard."""
        event_bus.drain(self.platform.store, self.platform.subscribers)

    def close_windows(self) -> None:
        """Let the time of every open bid window pass."""
        self.platform.store.clock.advance(seconds(WINDOW_SECONDS))

    def one_life(self) -> int:
        """Bring one task through its life, each step by itself, and return 1."""
        task_id = self.post()
        for nth in range(BIDS):
            self.bid(task_id, nth)
        self.close_windows()
        self.award()
        self.work(task_id, self.winner(task_id))
        self.deliver()
        return 1

    def lives_in_threads(self) -> int:
        """Bring tasks through their lives in threads, single calls but for the award; return how many."""
        posted: list[int] = []

        def begin(_thread: int) -> int:
            for _ in range(PER_THREAD):
                task_id = self.post()
                for nth in range(BIDS):
                    self.bid(task_id, nth)
                posted.append(task_id)
            return PER_THREAD

        count = in_threads(begin, THREADS)
        self.close_windows()
        while self.award():
            pass
        mine = [posted[thread::THREADS] for thread in range(THREADS)]

        def finish(thread: int) -> int:
            for task_id in mine[thread]:
                self.work(task_id, self.winner(task_id))
            return 0

        in_threads(finish, THREADS)
        self.deliver()
        return count

    def lives_in_sets(self, size: int = SET) -> int:
        """Bring `size` tasks through their lives together, each verb one call for all; return how many."""
        store = self.platform.store
        with store.write(actor="bench") as tx:
            posted = _all_good(meta_task_market.post_tasks(tx, [self._terms() for _ in range(size)]))
        bids = [
            meta_task_market.NewBid(self._bidder(task_id, nth), task_id, RESERVE // 2 + nth, 60)
            for task_id in posted
            for nth in range(BIDS)
        ]
        with store.write(actor="bench") as tx:
            _all_good(meta_task_market.place_bids(tx, bids))
        self.close_windows()
        while self.award():
            pass
        with store.read() as tx:
            won = sql.find_all(tx, tables.task, state=TaskState.AWARDED)
        claims = [meta_task_market.Claim(row["awarded_agent_id"], row["id"]) for row in won]
        with store.write(actor="bench") as tx:
            leases = _all_good(meta_task_market.take_leases(tx, claims))
        results = [_result(claim, lease) for claim, lease in zip(claims, leases, strict=True)]
        with store.write(actor="bench") as tx:
            _all_good(meta_task_market.submit_results(tx, results))
        self.deliver()
        return len(won)

    def lives_grouped(self, callers: int = CALLERS) -> int:
        """Bring tasks of so many callers at once through their lives: each asks the writer and waits."""
        store = self.platform.store
        with GroupWriter(store) as writer:
            posted = _answers(writer, _posting, [self._terms() for _ in range(callers)])
            for nth in range(BIDS):
                bids = [
                    meta_task_market.NewBid(self._bidder(task_id, nth), task_id, RESERVE // 2 + nth, 60)
                    for task_id in posted
                ]
                _answers(writer, _bidding, bids)
            self.close_windows()
            while self.award():
                pass
            claims = [meta_task_market.Claim(self.winner(task_id), task_id) for task_id in posted]
            leases = _answers(writer, _leasing, claims)
            _answers(writer, _submitting, [_result(*pair) for pair in zip(claims, leases, strict=True)])
        self.deliver()
        return len(posted)

    def _bidder(self, task_id: int, nth: int) -> int:
        return self.workers[(task_id * BIDS + nth) % WORKERS]

    def _terms(self) -> TaskTerms:
        return TaskTerms(TaskKind.USER, TASK_TYPE, {}, {}, next(self.requesters), RESERVE, 24 * HOUR_US)

    def settled(self) -> int:
        """Return how many tasks have been settled."""
        with self.platform.store.read() as tx:
            found = tx.connection.exec_driver_sql("SELECT count(*) FROM task WHERE state = 'settled'")
            return int(found.scalar_one())

    def measure(self, way: Callable[[], int], seconds_given: float) -> Sample:
        """Run one way of living for a while; every task begun must have been settled."""
        before, done = self.settled(), 0
        with calm_collector(), watching() as watch:
            for _ in until(seconds_given):
                done += way()
        if self.settled() - before != done:
            raise BrokenInvariantError(f"{done} lives were driven and {self.settled() - before} settled")
        return watch.sample(done)

    def check(self) -> None:
        """Raise BrokenInvariantError unless every invariant of the market holds."""
        with self.platform.store.read() as tx:
            found = sorted(watchdog.check_all(tx))
        if found:
            raise BrokenInvariantError(f"{len(found)} breaches, the first: {found[0]}")


def _all_good(answers: Sequence[object]) -> list:
    """Return the answers of a set-wise verb; raise the first refusal among them."""
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return list(answers)


def _result(claim: meta_task_market.Claim, lease: meta_task_market.Lease) -> meta_task_market.NewResult:
    """Return the good result of one claim."""
    return meta_task_market.NewResult(
        claim.agent_id, claim.task_id, lease.fencing_token, SubmittedOutcome.COMPLETED, None, GOOD
    )


def _answers(writer: GroupWriter, verb: Verb, items: Sequence[object]) -> list:
    """Let every item be asked by a caller of its own at the same time; return the answers of all."""
    waiting = [writer.submit_merged(verb, "bench", item) for item in items]
    return [future.result() for future in waiting]


def _posting(tx: Tx, asked: Sequence[tuple[str, TaskTerms]]) -> Sequence[object]:
    return meta_task_market.post_tasks(tx, [item for _, item in asked])


def _bidding(tx: Tx, asked: Sequence[tuple[str, meta_task_market.NewBid]]) -> Sequence[object]:
    return meta_task_market.place_bids(tx, [item for _, item in asked])


def _leasing(tx: Tx, asked: Sequence[tuple[str, meta_task_market.Claim]]) -> Sequence[object]:
    return meta_task_market.take_leases(tx, [item for _, item in asked])


def _submitting(tx: Tx, asked: Sequence[tuple[str, meta_task_market.NewResult]]) -> Sequence[object]:
    return meta_task_market.submit_results(tx, [item for _, item in asked])


@contextmanager
def counting(market: OurMarket) -> Iterator[dict[str, int]]:
    """Count the statements and the write transactions of a market on SQLite, as the engine executes them."""
    counts = {"statements": 0, "transactions": 0}

    def seen(statement: str) -> None:
        counts["statements"] += 1
        counts["transactions"] += statement.startswith("BEGIN IMMEDIATE")

    def listen(connection: sqlite3.Connection, _entry: object) -> None:
        connection.set_trace_callback(seen)

    engine = market.platform.store.engine
    event.listen(engine, "connect", listen)
    engine.dispose()
    try:
        yield counts
    finally:
        event.remove(engine, "connect", listen)
        engine.dispose()
