"""Limits of this machine: what the two databases do when nothing stands before them but their driver.

One-row commits, and the shortest work queue that can be written: enqueue, claim, finish. Everything of ours
is a share of these. Durable throughout (SQLite WAL with synchronous=FULL, PostgreSQL with fsync and
synchronous_commit=on), except where the name says NORMAL.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg

from tests.benchmarks.market.measure import Case, Sample, in_threads, until, watching

THREADS = 8
BATCH = 32

INSERT_BID = "INSERT INTO bid (task_id, agent_id, ask, confidence, placed_at) VALUES (?, ?, ?, ?, ?)"
SQLITE_TABLES = """
CREATE TABLE bid (id INTEGER PRIMARY KEY, task_id INTEGER, agent_id INTEGER, ask INTEGER,
                  confidence INTEGER, placed_at INTEGER);
CREATE TABLE job (id INTEGER PRIMARY KEY, state INTEGER NOT NULL, payload TEXT, agent INTEGER,
                  leased_until INTEGER, result TEXT);
CREATE INDEX job_open ON job (id) WHERE state = 0;
"""
SQLITE_CLAIM = """
UPDATE job SET state = 1, agent = 7, leased_until = 60
WHERE id IN (SELECT id FROM job WHERE state = 0 ORDER BY id LIMIT ?) RETURNING id
"""
SQLITE_FINISH = "UPDATE job SET state = 2, result = '{}', leased_until = NULL WHERE id = ? AND state = 1"

POSTGRESQL_TABLES = """
CREATE TABLE IF NOT EXISTS bid (id bigserial PRIMARY KEY, task_id bigint, agent_id bigint, ask bigint,
                                confidence int, placed_at bigint);
CREATE TABLE IF NOT EXISTS job (id bigserial PRIMARY KEY, state smallint NOT NULL, payload jsonb, agent int,
                                leased_until bigint, result jsonb) WITH (fillfactor = 70);
CREATE INDEX IF NOT EXISTS job_open ON job (id) WHERE state = 0;
"""
POSTGRESQL_INSERT_BID = INSERT_BID.replace("?", "%s")
POSTGRESQL_ENQUEUE = (
    "INSERT INTO job (state, payload) SELECT 0, '{\"a\": 1}'::jsonb FROM generate_series(1, %s::int)"
)
POSTGRESQL_CLAIM = """
WITH claimed AS (SELECT id FROM job WHERE state = 0 ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED)
UPDATE job SET state = 1, agent = 7, leased_until = 60 FROM claimed WHERE job.id = claimed.id RETURNING job.id
"""
POSTGRESQL_FINISH = "UPDATE job SET state = 2, result = '{}', leased_until = NULL WHERE id = ANY(%s)"


def sqlite_limits(folder: Path) -> dict[str, Case]:
    """Return the cases on SQLite files in `folder`."""
    return {
        "limit: SQLite FULL, one-row commits": lambda seconds: _sqlite_commits(folder, "FULL", seconds),
        "limit: SQLite NORMAL, one-row commits": lambda seconds: _sqlite_commits(folder, "NORMAL", seconds),
        "limit: SQLite FULL, bare queue": lambda seconds: _sqlite_queue(folder, 1, seconds),
        f"limit: SQLite FULL, bare queue by {BATCH}": lambda seconds: _sqlite_queue(folder, BATCH, seconds),
    }


def postgresql_limits(conninfo: str) -> dict[str, Case]:
    """Return the cases on a database that is theirs alone."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(POSTGRESQL_TABLES)
    return {
        "limit: PostgreSQL, one-row commits, 1 client": lambda seconds: _inserts(conninfo, 1, seconds),
        f"limit: PostgreSQL, one-row commits, {THREADS} clients": (
            lambda seconds: _inserts(conninfo, THREADS, seconds)
        ),
        "limit: PostgreSQL, bare SKIP LOCKED, 1 client": lambda seconds: _queue(conninfo, 1, 1, seconds),
        f"limit: PostgreSQL, bare SKIP LOCKED, {THREADS} clients": (
            lambda seconds: _queue(conninfo, THREADS, 1, seconds)
        ),
        f"limit: PostgreSQL, bare SKIP LOCKED by {BATCH}, 4 clients": (
            lambda seconds: _queue(conninfo, 4, BATCH, seconds)
        ),
    }


@contextmanager
def _file(folder: Path, synchronous: str) -> Iterator[sqlite3.Connection]:
    path = folder / f"limit_{synchronous}.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={synchronous}")
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'job'").fetchone():
            connection.executescript(SQLITE_TABLES)
        yield connection


def _sqlite_commits(folder: Path, synchronous: str, seconds: float) -> Sample:
    done = 0
    with _file(folder, synchronous) as connection, watching() as watch:
        for done in until(seconds):
            connection.execute(INSERT_BID, (done, done % 50, 500_000, 60, done))
    return watch.sample(done)


def _sqlite_queue(folder: Path, batch: int, seconds: float) -> Sample:
    """Enqueue, claim and finish `batch` jobs over and over, each in one commit; count whole cycles."""
    done = 0
    with _file(folder, "FULL") as connection, watching() as watch:
        for _ in until(seconds):
            with _commit(connection):
                connection.executemany(
                    "INSERT INTO job (state, payload) VALUES (0, ?)", [('{"a": 1}',)] * batch
                )
            with _commit(connection):
                claimed = connection.execute(SQLITE_CLAIM, (batch,)).fetchall()
            with _commit(connection):
                connection.executemany(SQLITE_FINISH, claimed)
            done += len(claimed)
    return watch.sample(done)


@contextmanager
def _commit(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    yield
    connection.execute("COMMIT")


def _clients(
    conninfo: str, clients: int, work: Callable[[psycopg.Cursor[tuple[int, ...]]], int]
) -> Callable[[], int]:
    def one(_thread: int) -> int:
        with psycopg.connect(conninfo, autocommit=True) as connection, connection.cursor() as cursor:
            return work(cursor)

    return lambda: in_threads(one, clients)


def _inserts(conninfo: str, clients: int, seconds: float) -> Sample:
    def insert(cursor: psycopg.Cursor[tuple[int, ...]]) -> int:
        done = 0
        for done in until(seconds):
            cursor.execute(POSTGRESQL_INSERT_BID, (done, done % 50, 500_000, 60, done), prepare=True)
        return done

    with watching() as watch:
        done = _clients(conninfo, clients, insert)()
    return watch.sample(done)


def _queue(conninfo: str, clients: int, batch: int, seconds: float) -> Sample:
    def cycle(cursor: psycopg.Cursor[tuple[int, ...]]) -> int:
        done = 0
        for _ in until(seconds):
            cursor.execute(POSTGRESQL_ENQUEUE, (batch,), prepare=True)
            cursor.execute(POSTGRESQL_CLAIM, (batch,), prepare=True)
            claimed = [row[0] for row in cursor.fetchall()]
            cursor.execute(POSTGRESQL_FINISH, (claimed,), prepare=True)
            done += len(claimed)
        return done

    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("TRUNCATE job")
    with watching() as watch:
        done = _clients(conninfo, clients, cycle)()
    return watch.sample(done)
