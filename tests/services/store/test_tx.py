"""`Tx`: all or nothing, one instant, one snapshot, and a budget that really ends a job."""

import time

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from services.domain.clock import SECOND_US, VirtualClock, WallClock, seconds
from services.domain.errors import BudgetExceededError, UnavailableError
from services.store import sql, tables
from services.store.tx import Store

LONG_STATEMENT = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000000) "
    "SELECT count(*) FROM n",
    "postgresql": "SELECT pg_sleep(20)",
}


@pytest.fixture
def store(migrated_database_url):
    made = Store(migrated_database_url, VirtualClock())
    yield made
    made.close()


@pytest.fixture
def real_store(migrated_database_url):
    made = Store(migrated_database_url, WallClock())
    yield made
    made.close()


def keys(store):
    with store.read() as tx:
        return [row["key"] for row in sql.find_all(tx, tables.deployment, order_by="key")]


def insert(tx, key):
    sql.insert(tx, tables.deployment, key=key, value="1")


def run(store, job, budget_seconds=None):
    budget_us = None if budget_seconds is None else seconds(budget_seconds)
    with store.write(actor="job", budget_us=budget_us) as tx:
        job(tx)


def run_long(tx):
    tx.connection.execute(text(LONG_STATEMENT[tx.connection.dialect.name])).all()


def test_what_the_block_wrote_is_there_after_it(store):
    with store.write(actor="test") as tx:
        sql.insert(tx, tables.deployment, key="a", value="1")
    assert keys(store) == ["a"]


def test_an_error_takes_everything_back(store):
    def fail_half_way(tx):
        insert(tx, "a")
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        run(store, fail_half_way)
    assert keys(store) == []


def test_a_transaction_has_one_instant_and_one_actor(store):
    with store.write(actor="somebody", lap=3) as tx:
        before = tx.now_us
        store.clock.advance(SECOND_US)
        assert (tx.now_us, tx.actor, tx.lap) == (before, "somebody", 3)
        assert tx.in_lap(4).lap == 4
        assert tx.in_lap(4).connection is tx.connection


def test_a_savepoint_takes_back_its_own_part_and_nothing_else(store):
    def part(tx, key, error=None):
        with tx.savepoint():
            insert(tx, key)
            tx.published.append(key)
            if error is not None:
                raise error

    def nested(tx):
        with tx.savepoint():
            part(tx, "inner")
            raise RuntimeError("outer")

    with store.write(actor="test") as tx:
        insert(tx, "before")
        part(tx, "kept")
        with pytest.raises(RuntimeError, match="half way"):
            part(tx, "lost", RuntimeError("half way"))
        with pytest.raises(RuntimeError, match="outer"):
            nested(tx)
        insert(tx, "after")
        assert tx.published == ["kept"]
    assert keys(store) == ["after", "before", "kept"]


def test_a_reader_leaves_nothing_behind(store):
    with store.read() as tx:
        sql.insert(tx, tables.deployment, key="a", value="1")
    assert keys(store) == []


def test_a_reader_sees_one_snapshot(store):
    with store.read() as reader:
        assert sql.find_all(reader, tables.deployment, order_by="key") == []
        with store.write(actor="test") as tx:
            sql.insert(tx, tables.deployment, key="a", value="1")
        assert sql.find_all(reader, tables.deployment, order_by="key") == []
    assert keys(store) == ["a"]


def test_a_writer_after_a_reader_sees_what_others_commit(store):
    with store.read():
        pass
    with store.write(actor="test") as tx:
        level = tx.connection.get_isolation_level()
    assert level in {"READ COMMITTED", "SERIALIZABLE"}
    if tx.is_postgresql:
        assert level == "READ COMMITTED"


def test_waking_happens_after_the_commit_and_only_when_something_was_published(store):
    seen = []
    store.listeners.append(lambda: seen.append(keys(store)))
    with store.write(actor="test") as tx:
        sql.insert(tx, tables.deployment, key="quiet", value="1")
    with store.write(actor="test") as tx:
        sql.insert(tx, tables.deployment, key="said", value="1")
        tx.published.append(1)
    assert seen == [["quiet", "said"]]


def test_a_long_statement_is_stopped_at_the_budget(real_store):
    def job(tx):
        insert(tx, "a")
        run_long(tx)

    began = time.perf_counter()
    with pytest.raises(BudgetExceededError, match=r"0\.3 s"):
        run(real_store, job, 0.3)
    assert 0.25 < time.perf_counter() - began < 5
    assert keys(real_store) == []


def test_the_last_of_many_statements_cannot_double_the_budget(migrated_postgresql_url):
    def job(tx):
        time.sleep(1.4)
        run_long(tx)

    store = Store(migrated_postgresql_url, WallClock())
    began = time.perf_counter()
    with pytest.raises(BudgetExceededError):
        run(store, job, 2)
    assert time.perf_counter() - began < 3
    store.close()


def test_a_job_is_stopped_between_statements(store):
    def job(tx):
        insert(tx, "a")
        store.clock.advance(SECOND_US)
        insert(tx, "b")

    with pytest.raises(BudgetExceededError):
        run(store, job, 1)
    assert keys(store) == []


def test_a_job_that_is_late_at_its_end_is_rolled_back(store):
    def job(tx):
        insert(tx, "a")
        store.clock.advance(SECOND_US)

    with pytest.raises(BudgetExceededError):
        run(store, job, 1)
    assert keys(store) == []


def test_a_job_just_within_its_budget_is_kept(store):
    def job(tx):
        insert(tx, "a")
        store.clock.advance(SECOND_US - 1)

    run(store, job, 1)
    assert keys(store) == ["a"]


def test_another_database_error_within_a_budget_stays_what_it_is(store):
    with pytest.raises(DatabaseError, match="no_such_table"):
        run(store, lambda tx: tx.connection.execute(text("SELECT * FROM no_such_table")), 1)


def test_the_budget_of_one_job_does_not_bind_the_next_on_the_same_connection(real_store):
    with pytest.raises(BudgetExceededError):
        run(real_store, run_long, 0.1)
    run(real_store, lambda tx: insert(tx, "a"))
    assert keys(real_store) == ["a"]


def test_a_database_that_is_not_there_is_an_error_at_once(tmp_path):
    lost = Store(f"sqlite:///{tmp_path}/no/folder/nacre.db", VirtualClock())
    with pytest.raises(UnavailableError), lost.write(actor="test"):
        pass
