"""The engines: SQLite's pragmas and BEGIN IMMEDIATE, the URLs taken, and writers that do not lose updates."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from services.domain.clock import VirtualClock
from services.domain.errors import BusyError, InvalidValueError, UnavailableError
from services.store import engine, sql, tables
from services.store import tx as tx_module
from services.store.engine import open_engine
from services.store.tx import Store

THREADS = 12
WRITES_EACH = 5


@pytest.fixture
def store(migrated_database_url):
    made = Store(migrated_database_url, VirtualClock())
    yield made
    made.close()


@pytest.fixture
def sqlite_engine(sqlite_url):
    engine = open_engine(sqlite_url)
    yield engine
    engine.dispose()


@pytest.mark.parametrize(
    ("pragma", "expected"),
    [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("busy_timeout", 30_000)],
)
def test_sqlite_is_set_up_to_keep_what_it_was_told(sqlite_engine, pragma, expected):
    with sqlite_engine.connect() as connection:
        assert connection.scalar(text(f"PRAGMA {pragma}")) == expected


def test_an_sqlite_writer_holds_the_lock_from_its_first_word(migrated_sqlite_url):
    store = Store(migrated_sqlite_url, VirtualClock())
    with (
        closing(sqlite3.connect(store.engine.url.database, timeout=0)) as outsider,
        store.write(actor="test"),
        pytest.raises(sqlite3.OperationalError, match="database is locked"),
    ):
        outsider.execute("BEGIN IMMEDIATE")
    store.close()


def test_an_sqlite_writer_that_waits_too_long_is_told_so_and_may_try_again(sqlite_url, monkeypatch):
    monkeypatch.setattr(engine, "BUSY_TIMEOUT_MILLISECONDS", 20)
    store, other_process = Store(sqlite_url, VirtualClock()), Store(sqlite_url, VirtualClock())
    with store.write(actor="first"), pytest.raises(BusyError) as told, other_process.write(actor="second"):
        pass
    assert isinstance(told.value.__cause__, OperationalError)
    with other_process.write(actor="second") as tx:
        assert tx.connection.in_transaction()
    other_process.close()
    store.close()


def test_a_thread_that_waits_too_long_for_another_is_told_so_too(sqlite_url, monkeypatch):
    monkeypatch.setattr(tx_module, "BUSY_TIMEOUT_MILLISECONDS", 20)
    store = Store(sqlite_url, VirtualClock())
    with store.write(actor="first"), pytest.raises(BusyError, match="another thread"), store.write(actor="2"):
        pass
    with store.write(actor="second") as tx:
        assert tx.connection.in_transaction()
    store.close()


def test_an_sqlite_reader_neither_waits_nor_makes_wait(migrated_sqlite_url):
    store = Store(migrated_sqlite_url, VirtualClock())
    with store.write(actor="test") as tx, store.read() as reader:
        sql.insert(tx, tables.deployment, key="k", value="v")
        assert sql.find(reader, tables.deployment, key="k") is None
    store.close()


def test_concurrent_read_then_write_loses_no_update(store):
    with store.write(actor="test") as tx:
        sql.insert(tx, tables.deployment, key="counter", value="0")

    def count(_):
        for _ in range(WRITES_EACH):
            with store.write(actor="test") as tx:
                row = sql.find(tx, tables.deployment, lock=True, key="counter")
                sql.update(tx, tables.deployment, {"key": "counter"}, value=str(int(row["value"]) + 1))

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(count, range(THREADS)))
    with store.read() as tx:
        assert sql.find(tx, tables.deployment, key="counter")["value"] == str(THREADS * WRITES_EACH)


def test_a_locked_row_still_lets_others_refer_to_it(migrated_postgresql_url):
    store = Store(migrated_postgresql_url, VirtualClock())
    with store.write(actor="test") as tx:
        lap_id = sql.insert(tx, tables.lap, opened_at_us=1)
    with store.write(actor="holder") as holder, store.write(actor="other") as other:
        sql.find(holder, tables.lap, lock=True, id=lap_id)
        other.connection.execute(text("SET LOCAL lock_timeout = '2s'"))
        sql.insert(
            other, tables.episode, metric="m", dimension="d", key="k", state="open", rule="line",
            numerator=0, denominator=1, evidence={}, lap_id=lap_id, opened_at_us=1,
        )  # fmt: skip
    store.close()


@pytest.mark.parametrize("url", ["mysql://somewhere/db", "oracle://somewhere/db"])
def test_another_database_is_refused_by_name(url):
    with pytest.raises(InvalidValueError, match="must be sqlite:///… or postgresql://") as refusal:
        open_engine(url)
    assert refusal.value.field == "database_url"


def test_a_plain_postgresql_url_gets_the_driver_that_is_installed():
    engine = open_engine("postgresql://somebody@localhost/nacre")
    assert engine.url.drivername == "postgresql+psycopg"


def backends(store, count):
    """The processes of the server behind `count` connections that are in use at the same time, then idle."""
    with ExitStack() as stack:
        open_ = [stack.enter_context(store.write(actor="test")) for _ in range(count)]
        return [tx.connection.scalar(text("SELECT pg_backend_pid()")) for tx in open_]


def end_backends(url, numbers):
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as outsider:
        for number in numbers:
            outsider.execute("SELECT pg_terminate_backend(%s, 5000)", [number])


def test_connections_that_died_idle_are_replaced_before_anybody_gets_them(postgresql_url, monkeypatch):
    monkeypatch.setattr(engine, "UNCHECKED_SECONDS", 0)
    store = Store(postgresql_url, VirtualClock())
    dead = backends(store, 3)
    end_backends(postgresql_url, dead)
    assert not {*backends(store, 3)} & {*dead}
    store.close()


def test_one_loss_makes_every_older_connection_suspect(postgresql_url, monkeypatch):
    monkeypatch.setattr(engine, "UNCHECKED_SECONDS", 3_600)
    store = Store(postgresql_url, VirtualClock())
    dead = backends(store, 3)
    end_backends(postgresql_url, dead)
    with pytest.raises(UnavailableError):
        backends(store, 1)
    assert not {*backends(store, 3)} & {*dead}
    store.close()


def test_a_connection_used_a_moment_ago_is_lent_without_asking(postgresql_url, monkeypatch):
    monkeypatch.setattr(engine, "UNCHECKED_SECONDS", 3_600)
    store = Store(postgresql_url, VirtualClock())
    asked = []
    real = store.engine.dialect.do_ping
    monkeypatch.setattr(store.engine.dialect, "do_ping", lambda made: (asked.append(1), real(made))[1])
    used = backends(store, 2)
    assert {*backends(store, 2)} == {*used}
    assert asked == []
    monkeypatch.setattr(engine, "UNCHECKED_SECONDS", 0)
    assert {*backends(store, 2)} == {*used}
    assert asked == [1, 1]
    store.close()


@pytest.mark.parametrize("how", ["read", "write"])
def test_a_database_that_is_not_there_is_told_and_may_be_asked_again(how):
    store = Store("postgresql://nobody@127.0.0.1:1/nothing", VirtualClock())
    with (
        pytest.raises(UnavailableError) as told,
        store.read() if how == "read" else store.write(actor="test"),
    ):
        pass
    assert told.value.transient
    store.close()


def test_a_database_that_is_lost_on_the_way_is_told_so(migrated_postgresql_url):
    store = Store(migrated_postgresql_url, VirtualClock())
    outside = Store(migrated_postgresql_url, VirtualClock())

    def write_and_lose():
        with store.write(actor="test") as tx:
            number = tx.connection.scalar(text("SELECT pg_backend_pid()"))
            with outside.write(actor="test") as other:
                end = text("SELECT pg_terminate_backend(:number, 5000)")
                other.connection.execute(end, {"number": number})
            sql.find(tx, tables.deployment, key="k")

    with pytest.raises(UnavailableError):
        write_and_lose()
    with store.write(actor="test") as tx:
        assert sql.find(tx, tables.deployment, key="k") is None
    outside.close()
    store.close()
