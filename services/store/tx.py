"""The one owner of the transaction: `Tx` is what every decision reads and writes through.

One instant per transaction, one actor, one lap. This is the only module that commits; whatever fails inside
rolls everything back. It never retries and never swallows an error.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.exc import OperationalError

from services.domain.clock import Clock, WallClock
from services.domain.errors import BudgetExceededError, BusyError, UnavailableError
from services.store import prepared
from services.store.engine import BUSY_TIMEOUT_MILLISECONDS, READ_ONLY, open_engine
from services.store.holds import Hold, Turn

STOPPED_BY_THE_ENGINE = ("interrupted", "statement timeout")
"""What SQLite's progress handler and PostgreSQL's statement_timeout say when they stop a statement."""

GIVEN_UP_FOR_ANOTHER = ("database is locked", "deadlock detected", "could not serialize")
"""What the engines say when they end one of two transactions that wait for each other."""

REARMED_AT = 0.9
"""PostgreSQL times each statement anew; its limit is lowered when so much of it, or less, remains."""


@dataclass(frozen=True, slots=True)
class Tx:
    """A transaction: its connection, its single instant, who acts, and the lap it belongs to.

    `published` collects the ids of its events; `reserved` the last id reserved in each table (SQLite only).
    """

    connection: Connection
    now_us: int
    actor: str
    lap: int | None
    routes: Mapping[str, tuple[str, ...]]
    published: list[int] = field(default_factory=list)
    reserved: dict[str, int] = field(default_factory=dict)

    @property
    def is_postgresql(self) -> bool:
        """Tell whether rows can be locked one by one."""
        return self.connection.dialect.name == "postgresql"

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Keep what the block wrote, or, when it raises, take back that alone; the transaction goes on."""
        published = len(self.published)
        is_kept = False
        prepared.control(self.connection, "SAVEPOINT part")
        try:
            yield
            is_kept = True
        finally:
            if not is_kept:
                prepared.control(self.connection, "ROLLBACK TO SAVEPOINT part")
                del self.published[published:]
            prepared.control(self.connection, "RELEASE SAVEPOINT part")

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
        self.listeners: list[Callable[[], None]] = []
        self._writing = threading.Lock()

    @property
    def keeps_real_time(self) -> bool:
        """Tell whether a second of the clock is a second for threads that wait."""
        return isinstance(self.clock, WallClock)

    @contextmanager
    def write(
        self,
        *,
        actor: str,
        lap: int | None = None,
        budget_us: int | None = None,
        hold: Hold | None = None,
    ) -> Iterator[Tx]:
        """Yield a Tx and commit it when the block ends; any exception rolls it back.

        With `budget_us`, a statement after the budget, one that the engine had to interrupt when it passed,
        and the commit itself raise BudgetExceededError: a job cannot hold the database beyond its budget.
        With `hold`, another thread can take the transaction back meanwhile; then the commit fails.
        """
        with (
            _told_when_busy(),
            self._turn(hold),
            self.engine.connect() as connection,
            hold.over(connection) if hold is not None else nullcontext(),
            connection.begin() as transaction,
        ):
            tx = Tx(connection, self.clock.now_us(), actor, lap, self.routes)
            if hold is not None:
                hold.begin()
            with _deadline(connection, self.clock, budget_us):
                yield tx
            transaction.commit()
        if tx.published:
            self.on_published()

    @contextmanager
    def _turn(self, hold: Hold | None) -> Iterator[None]:
        """Let the threads of one process write to SQLite one after the other.

        SQLite has one writer anyway, but who waits in it sleeps in steps and is not served in order.
        """
        if self.engine.dialect.name != "sqlite":
            yield
            return
        if not self._writing.acquire(timeout=BUSY_TIMEOUT_MILLISECONDS / 1_000):
            msg = "another thread has been writing for too long; nothing was done, try again"
            raise BusyError(msg)
        turn = Turn(self._writing)
        if hold is not None:
            hold.take_turn(turn)
        try:
            yield
        finally:
            turn.free()

    @contextmanager
    def read(self, *, actor: str = "reader") -> Iterator[Tx]:
        """Yield a Tx that sees one snapshot and leaves nothing behind."""
        with _told_when_busy(), self.engine.connect() as raw:
            connection = raw.execution_options(**{READ_ONLY: True})
            if connection.dialect.name == "postgresql":
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin() as transaction:
                yield Tx(connection, self.clock.now_us(), actor, None, {})
                transaction.rollback()

    def on_published(self) -> None:
        """Wake everybody in `listeners`; called after each commit that published."""
        for wake in tuple(self.listeners):
            wake()

    def close(self) -> None:
        """Return every connection to the system."""
        self.engine.dispose()


def is_given_up(error: Exception) -> bool:
    """Tell whether the engine ended a transaction, or a statement of it, for another one's sake."""
    return isinstance(error, OperationalError) and any(
        words in str(error.orig) for words in GIVEN_UP_FOR_ANOTHER
    )


@contextmanager
def _told_when_busy() -> Iterator[None]:
    """Say in words of the platform that the engine gave a transaction up, or that it is not there."""
    try:
        yield
    except OperationalError as error:
        if is_given_up(error):
            msg = "the database gave this transaction up for another one; nothing was done, try again"
            raise BusyError(msg) from error
        if error.connection_invalidated or error.statement is None:
            msg = "the database cannot be reached; send the same again under the same key, it acts once"
            raise UnavailableError(msg) from error
        raise


@contextmanager
def _deadline(connection: Connection, clock: Clock, budget_us: int | None) -> Iterator[None]:
    """Refuse statements after the budget and interrupt the one that runs when it passes."""
    if budget_us is None:
        yield
        return
    ends_us = clock.now_us() + budget_us

    def check(*_arguments: object) -> None:
        if clock.now_us() >= ends_us:
            raise used_up(budget_us)

    event.listen(connection, "before_cursor_execute", check)
    disarm = _arm_interrupt(connection, clock, ends_us)
    try:
        yield
        check()
    except OperationalError as error:
        if any(words in str(error.orig) for words in STOPPED_BY_THE_ENGINE):
            raise used_up(budget_us, "the engine stopped its statement") from error
        raise
    finally:
        event.remove(connection, "before_cursor_execute", check)
        disarm()


def used_up(budget_us: int, how: str = "") -> BudgetExceededError:
    """Return the error of a budget that is used up, with how the job was stopped."""
    return BudgetExceededError(f"the budget of {budget_us / 1e6:g} s is used up{how and ': '}{how}")


def _arm_interrupt(connection: Connection, clock: Clock, ends_us: int) -> Callable[[], None]:
    """Let the engine stop a statement that runs when the budget passes; return how to take that back."""
    if connection.dialect.name == "postgresql":
        return _arm_statement_timeout(connection, clock, ends_us)
    raw = connection.connection.driver_connection
    assert raw is not None  # noqa: S101 (a checked-out connection has its driver connection)
    raw.set_progress_handler(lambda: int(clock.now_us() >= ends_us), 100_000)
    return lambda: raw.set_progress_handler(None, 0)


def _arm_statement_timeout(connection: Connection, clock: Clock, ends_us: int) -> Callable[[], None]:
    """Keep PostgreSQL's limit per statement near what remains of the whole budget."""
    armed_us = ends_us - clock.now_us()
    connection.execute(text(f"SET LOCAL statement_timeout = {max(1, armed_us // 1000)}"))

    def rearm(_connection: Connection, cursor: DBAPICursor, *_arguments: object) -> None:
        nonlocal armed_us
        remaining_us = ends_us - clock.now_us()
        if 0 < remaining_us <= armed_us * REARMED_AT:
            armed_us = remaining_us
            cursor.execute(f"SET LOCAL statement_timeout = {max(1, armed_us // 1000)}")

    event.listen(connection, "before_cursor_execute", rearm)
    return lambda: event.remove(connection, "before_cursor_execute", rearm)
