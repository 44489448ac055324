"""A write transaction as another thread sees it: it can be taken back from outside when its own thread hangs.

Stands in the store under `Store.write`, for the cron runner, which ends jobs at their budget. Taking back
rolls the transaction back in the engine at once, so that its locks are free; whatever its thread does with
the connection later fails. It never decides when, and never touches a transaction that has ended.
"""

import contextlib
import logging
import os
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

log = logging.getLogger(__name__)


class Turn:
    """The right to write of one thread of the process; freed once, whoever frees it."""

    def __init__(self, writing: threading.Lock) -> None:
        self._writing = writing
        self._is_held = threading.Lock()

    def free(self) -> None:
        """Let the next thread write; the second call does nothing."""
        if self._is_held.acquire(blocking=False):
            self._writing.release()


class Hold:
    """What it takes to end one write transaction from another thread, from its begin to its end.

    `on_begin` is called in the transaction's own thread when it has begun. Whoever stops the code of the
    transaction sets `is_stopped` before: its connection is not lent again then, since it may have been left
    in the middle of a statement.
    """

    def __init__(self, on_begin: Callable[[], None]) -> None:
        self.is_stopped = False
        self._on_begin = on_begin
        self._guard = threading.Lock()
        self._turn: Turn | None = None
        self._connection: Connection | None = None
        self._end: Callable[[Engine], None] | None = None

    def take_turn(self, turn: Turn) -> None:
        """Note the turn to free with the transaction."""
        self._turn = turn

    @contextmanager
    def over(self, connection: Connection) -> Iterator[None]:
        """Let the connection's transaction be taken back until the block ends."""
        raw: Any = connection.connection.driver_connection
        if connection.dialect.name == "postgresql":
            pid, descriptor = int(raw.info.backend_pid), int(raw.fileno())
            end: Callable[[Engine], None] = lambda engine: _end_backend(engine, pid, descriptor)  # noqa: E731
        else:
            end = lambda _engine: _end_sqlite(raw, connection)  # noqa: E731
        with self._guard:
            self._connection, self._end = connection, end
        try:
            yield
        finally:
            with self._guard:
                self._connection = self._end = None
            if self.is_stopped and not connection.closed:
                connection.invalidate()

    def begin(self) -> None:
        """Say that the transaction has begun."""
        self._on_begin()

    def take_back(self, engine: Engine) -> bool:
        """Roll the transaction back from this thread and free what it held; tell whether there was one."""
        with self._guard:
            if self._end is None:
                return False
            end, self._end = self._end, None
            self.is_stopped = True
            try:
                end(engine)
            finally:
                if self._turn is not None:
                    self._turn.free()
        return True


def _end_sqlite(raw: sqlite3.Connection, connection: Connection) -> None:
    """Interrupt what runs, roll back, and close: a statement on a closed connection is an error."""
    raw.interrupt()
    try:
        raw.rollback()
    finally:
        connection.invalidate()


def _end_backend(engine: Engine, pid: int, descriptor: int) -> None:
    """End PostgreSQL's process behind the connection; without a way to ask for it, cut the connection."""
    try:
        with engine.connect() as other:
            other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
            other.rollback()
    except SQLAlchemyError as error:
        log.warning("PostgreSQL could not be asked to end process %s (%s); its connection is cut", pid, error)
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as copy:
            copy.shutdown(socket.SHUT_RDWR)
