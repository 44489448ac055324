"""Database engines: SQLite (embedded default) and PostgreSQL (psycopg 3), set up so that writers cannot lose.

SQLite runs in WAL with `synchronous=FULL`, foreign keys on, and every write transaction is `BEGIN IMMEDIATE`
(with deferred transactions most concurrent read-then-write pairs die with "database is locked").
It never opens a transaction itself.
"""

import sqlite3

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from services.domain.errors import InvalidValueError
from services.store import prepared

BUSY_TIMEOUT_MILLISECONDS = 30_000
SQLITE_STATEMENTS_KEPT = 512
"""Statements that a connection keeps parsed; SQLite's driver alone would keep 128."""
READ_ONLY = "nacre_read_only"


def open_engine(url: str) -> Engine:
    """Return an engine for `url` (`sqlite:///file.db` or `postgresql://…`); InvalidValueError else."""
    parsed = make_url(url)
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        arguments = {"check_same_thread": False, "cached_statements": SQLITE_STATEMENTS_KEPT}
        engine = create_engine(parsed, pool_size=32, max_overflow=32, connect_args=arguments)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    if backend == "postgresql":
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        return create_engine(parsed, pool_size=16, max_overflow=32, pool_pre_ping=True)
    msg = f"the database must be sqlite:///… or postgresql://…, not {backend}"
    raise InvalidValueError(msg, field="database_url")


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
