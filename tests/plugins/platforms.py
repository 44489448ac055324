"""A whole platform over a fresh database of either engine: virtual clock, seeded entropy, scripted verifier.

`platform` is what `open_platform` builds; `market` drives it the way agents do, one transaction per act. The
verifier agrees with every result that says `{"is_good": true}`. Nothing here decides: the platform does.
"""

import random
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from app.bootstrap import Platform, open_platform
from app.settings import Settings
from services import event_bus, meta_task_market
from services.domain.clock import SECOND_US, VirtualClock, seconds
from services.domain.handoff import Handoff
from services.domain.states import Scope, TaskKind
from services.meta_task_market import Lease, SubmittedOutcome, TaskTerms
from services.operations import accounts, agent_registry
from services.store import sql, tables
from services.store.sql import Row
from services.store.tx import Tx
from services.store.views.money_audit import audit_money

WINDOW_SECONDS = 300
TASK_TYPE = "monte_carlo"
RESERVE = 1_000_000


def scripted_verdict(_type, _public, _private, result) -> tuple[bool, dict[str, object]]:
    """Agree with a result that says it is good."""
    return bool(result.get("is_good")), {"reason": "scripted"}


PLAIN_TRIALS = {
    "sandbox.minimum_cycle_seconds": "0",
    "sandbox.ramp_percent": "50",
    "sandbox.holdout_percent": "0",
    "sandbox.placebo_tasks": "0",
    "sandbox.probation_tasks": "8000",
}
"""What tests of other things start from: trials of equal shares at once, no holdout, no placebo."""


def platform_over(
    url: str, folder: Path, seed: int = 7, starting_values: Mapping[str, str] | None = None
) -> Platform:
    """Return a platform over a migrated database, on a virtual clock."""
    return open_platform(
        Settings(url, var_directory=folder, operator_key="operator"),
        clock=VirtualClock(),
        entropy=random.Random(seed).randbytes,
        verify=scripted_verdict,
        starting_values={**PLAIN_TRIALS, **(starting_values or {})},
        is_migrated=True,
    )


@dataclass
class Market:
    """Acts on a platform, each in a transaction of its own; time passes only when it is told to."""

    platform: Platform
    names: Iterator[int] = field(default_factory=lambda: iter(range(10**6)))

    def write(self, actor: str = "test") -> AbstractContextManager[Tx]:
        return self.platform.store.write(actor=actor)

    def read(self) -> AbstractContextManager[Tx]:
        return self.platform.store.read()

    def row(self, table, **where) -> Row:
        with self.read() as tx:
            found = sql.find(tx, table, **where)
        assert found is not None, f"no {table.name} with {where}"
        return found

    def rows(self, table, **where) -> list[Row]:
        with self.read() as tx:
            return sql.find_all(tx, table, order_by=next(iter(table.primary_key)).name, **where)

    def task(self, task_id: int) -> Row:
        return self.row(tables.task, id=task_id)

    def balance(self, owner: int | str) -> int:
        name = owner if isinstance(owner, str) else accounts.agent_account(owner)
        with self.read() as tx:
            return accounts.balance_microcredits(tx, name)

    def agent(self, *, owner: str = "tests", is_vouched: bool = True) -> int:
        name = f"agent_{next(self.names)}"
        with self.write("operator") as tx:
            return agent_registry.register(
                tx, name=name, owner=owner, scopes=list(Scope), is_vouched=is_vouched, key_hash=name
            )

    def post(self, requester: int | None, **changes) -> int:
        terms = {
            "kind": TaskKind.USER,
            "type": TASK_TYPE,
            "public": {},
            "private": {},
            "requester_id": requester,
            "reserve_price_microcredits": RESERVE,
            "deadline_us": 24 * 3600 * SECOND_US,
        }
        with self.write() as tx:
            return meta_task_market.post_task(tx, TaskTerms(**{**terms, **changes}))

    def bid(self, agent_id: int, task_id: int, ask: int = RESERVE // 2, confidence: int | None = None) -> int:
        with self.write() as tx:
            return meta_task_market.place_bid(
                tx, agent_id=agent_id, task_id=task_id, ask_microcredits=ask, confidence_percent=confidence
            )

    def award(self) -> dict[str, int]:
        with self.write() as tx:
            return meta_task_market.award_due(tx, self.platform.context.entropy)

    def lease(self, agent_id: int, task_id: int) -> Lease:
        with self.write() as tx:
            return meta_task_market.take_lease(tx, agent_id=agent_id, task_id=task_id)

    def submit(self, agent_id: int, task_id: int, token: int, *, is_good: bool = True, failed=None):
        with self.write() as tx:
            return meta_task_market.submit_result(
                tx,
                agent_id=agent_id,
                task_id=task_id,
                fencing_token=token,
                outcome=SubmittedOutcome.FAILED if failed else SubmittedOutcome.COMPLETED,
                failure_reason=failed,
                handoff=Handoff("worked", {"is_good": is_good}, ""),
            )

    def expire(self) -> dict[str, int]:
        with self.write() as tx:
            return meta_task_market.expire_due(tx, self.platform.context.entropy)

    def cancel(self, task_id: int, agent_id: int | None) -> None:
        with self.write() as tx:
            meta_task_market.cancel_task(tx, task_id=task_id, agent_id=agent_id)

    def deliver(self) -> int:
        return event_bus.drain(self.platform.store, self.platform.subscribers)

    def pass_seconds(self, value: float) -> None:
        self.platform.store.clock.advance(seconds(value))

    def close_windows(self) -> dict[str, int]:
        self.pass_seconds(WINDOW_SECONDS)
        return self.award()

    def awarded(self, requester: int, agent_id: int, **changes) -> int:
        """Return a task that this agent has just won."""
        task_id = self.post(requester, **changes)
        self.bid(agent_id, task_id)
        self.close_windows()
        return task_id

    def done(self, requester: int, agent_id: int, *, is_good: bool = True) -> int:
        """Return a task that this agent has won, worked on, and seen settled."""
        task_id = self.awarded(requester, agent_id)
        self.submit(agent_id, task_id, self.lease(agent_id, task_id).fencing_token, is_good=is_good)
        self.deliver()
        return task_id


def broken_books(tx: Tx) -> list[tuple[str, list[str]]]:
    """Return the invariants of the books that do not hold, with what differs."""
    return [(one["invariant"], one["differences"]) for one in audit_money(tx)["checks"] if not one["ok"]]


@pytest.fixture
def platform(migrated_database_url: str, tmp_path: Path) -> Iterator[Platform]:
    """A fresh platform on a virtual clock; the test runs once per engine."""
    made = platform_over(migrated_database_url, tmp_path)
    yield made
    made.close()


@pytest.fixture
def market(platform: Platform) -> Market:
    """What agents do on `platform`."""
    return Market(platform)


@pytest.fixture
def requester(market: Market) -> int:
    """An agent that posts tasks."""
    return market.agent()


@pytest.fixture
def worker(market: Market) -> int:
    """An agent that bids and works."""
    return market.agent()
