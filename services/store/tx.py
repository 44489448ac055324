"""The one owner of the transaction: `Tx` is what every decision reads and writes through.

One instant per transaction, one actor, one lap. This is the only module that commits; whatever fails inside
rolls everything back. It never retries and never swallows an error.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection, Engine, event, text

from services.domain.clock import Clock
from services.domain.errors import BudgetExceededError
from services.store.engine import READ_ONLY, open_engine


@dataclass(frozen=True, slots=True)
class Tx:
    """A transaction: its connection, its single instant, who acts, and the lap it belongs to."""

    connection: Connection
    now_us: int
    actor: str
    lap: int | None
    routes: Mapping[str, tuple[str, ...]]
    published: list[int] = field(default_factory=list)

    @property
    def is_postgresql(self) -> bool:
        """Tell whether rows can be locked one by one."""
        return self.connection.dialect.name == "postgresql"

    def in_lap(self, lap: int | None) -> "Tx":
        """Return the same transaction acting within another lap."""
        return replace(self, lap=lap)


class Store:
    """A database with its clock and the routes of events (`event type → subscriber names`)."""

    def __init__(self, url: str, clock: Clock, routes: Mapping[str, tuple[str, ...]] | None = None) -> None:
        self.url = url
        self.clock = clock
        self.routes: Mapping[str, tuple[str, ...]] = routes or {}
        self.engine: Engine = open_engine(url)
        self.on_published: Callable[[], None] = lambda: None

    @contextmanager
    def write(self, *, actor: str, lap: int | None = None, budget_us: int | None = None) -> Iterator[Tx]:
        """Yield a Tx and commit it when the block ends; any exception rolls it back.

        With `budget_us`, statements after the budget raise BudgetExceededError and a running statement is
        interrupted by the engine, so a job cannot hold the database beyond its budget.
        """
        with self.engine.connect() as connection, connection.begin() as transaction:
            tx = Tx(connection, self.clock.now_us(), actor, lap, self.routes)
            with _deadline(connection, self.clock, budget_us):
                yield tx
            transaction.commit()
        if tx.published:
            self.on_published()

    @contextmanager
    def read(self, *, actor: str = "reader") -> Iterator[Tx]:
        """Yield a Tx that sees one snapshot and leaves nothing behind."""
        with self.engine.connect() as raw:
            connection = raw.execution_options(**{READ_ONLY: True})
            with connection.begin() as transaction:
                yield Tx(connection, self.clock.now_us(), actor, None, {})
                transaction.rollback()

    def close(self) -> None:
        """Return every connection to the system."""
        self.engine.dispose()


@contextmanager
def _deadline(connection: Connection, clock: Clock, budget_us: int | None) -> Iterator[None]:
    """Refuse statements after the budget and interrupt the one that runs when it passes."""
    if budget_us is None:
        yield
        return
    ends_us = clock.now_us() + budget_us

    def check(*_arguments: object) -> None:
        if clock.now_us() >= ends_us:
            msg = f"the budget of {budget_us / 1e6:g} s is used up"
            raise BudgetExceededError(msg)

    event.listen(connection, "before_cursor_execute", check)
    restore = _arm_interrupt(connection, clock, ends_us, budget_us)
    try:
        yield
        check()
    finally:
        event.remove(connection, "before_cursor_execute", check)
        restore()


def _arm_interrupt(connection: Connection, clock: Clock, ends_us: int, budget_us: int) -> Callable[[], None]:
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SET LOCAL statement_timeout = {max(1, budget_us // 1000)}"))
        return lambda: None
    raw = connection.connection.driver_connection
    assert raw is not None  # noqa: S101 (a checked-out connection has its driver connection)
    raw.set_progress_handler(lambda: int(clock.now_us() >= ends_us), 100_000)
    return lambda: raw.set_progress_handler(None, 0)
