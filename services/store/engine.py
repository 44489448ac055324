"""Database engines: SQLite (embedded default) and PostgreSQL (psycopg 3), set up so that writers cannot lose.

SQLite runs in WAL with `synchronous=FULL`, foreign keys on, and every write transaction is `BEGIN IMMEDIATE`
(with deferred transactions most concurrent read-then-write pairs die with "database is locked").
It never opens a transaction itself.
"""

import math
import sqlite3
import time
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry

from services.domain.errors import InvalidValueError
from services.store import json_text, prepared

BUSY_TIMEOUT_MILLISECONDS = 30_000
SQLITE_STATEMENTS_KEPT = 512
"""Statements that a connection keeps parsed; SQLite's driver alone would keep 128."""
READ_ONLY = "nacre_read_only"
USED_AT = "nacre_used_at_seconds"
UNCHECKED_SECONDS = 0.5
"""How long after its last use a pooled connection to PostgreSQL is lent without asking whether it lives."""
JSON_BY: Final[dict[str, Any]] = {"json_serializer": json_text.write, "json_deserializer": json_text.read}


def open_engine(url: str) -> Engine:
    """Return an engine for `url` (`sqlite:///file.db` or `postgresql://…`); InvalidValueError else."""
    parsed = make_url(url)
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        arguments = {"check_same_thread": False, "cached_statements": SQLITE_STATEMENTS_KEPT}
        engine = create_engine(parsed, pool_size=32, max_overflow=32, connect_args=arguments, **JSON_BY)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    if backend == "postgresql":
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        engine = create_engine(parsed, pool_size=16, max_overflow=32, **JSON_BY)
        _check_what_was_idle(engine)
        return engine
    msg = f"the database must be sqlite:///… or postgresql://…, not {backend}"
    raise InvalidValueError(msg, field="database_url")


def _check_what_was_idle(engine: Engine) -> None:
    """Ask a pooled connection whether it lives before it is lent, unless it was at work a moment ago.

    Asking every time would be one round trip more for every transaction. Once any connection was lost, all
    that are older than the loss are asked.
    """
    suspected_at_seconds = -math.inf

    def note_use(_connection: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:
        record.info[USED_AT] = time.monotonic()

    def note_loss(_connection: DBAPIConnection, _record: ConnectionPoolEntry, _error: object) -> None:
        nonlocal suspected_at_seconds
        suspected_at_seconds = time.monotonic()

    def check(connection: DBAPIConnection, record: ConnectionPoolEntry, _lent: object) -> None:
        used_at_seconds = record.info.get(USED_AT)
        if used_at_seconds is None:  # it was made this instant
            return
        is_fresh = time.monotonic() - used_at_seconds < UNCHECKED_SECONDS
        if is_fresh and used_at_seconds > suspected_at_seconds:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError from error

    event.listen(engine, "checkin", note_use)
    event.listen(engine, "invalidate", note_loss)
    event.listen(engine, "checkout", check)


def _prepare_sqlite(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    assert isinstance(connection, sqlite3.Connection)  # noqa: S101 (the listener is bound to SQLite engines only)
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MILLISECONDS}")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    is_read_only = connection.get_execution_options().get(READ_ONLY, False)
    text = "BEGIN" if is_read_only else "BEGIN IMMEDIATE"
    cursor = connection.connection.cursor()
    try:
        cursor.execute(text)
    except sqlite3.Error as error:
        raise prepared.refusal(connection, cursor, error, text, ()) from error
    finally:
        cursor.close()
