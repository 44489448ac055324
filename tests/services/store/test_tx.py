"""`Tx`: all or nothing, one instant, one snapshot, and a budget that really ends a job."""

import time

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from services.domain.clock import SECOND_US, VirtualClock, WallClock
from services.domain.errors import BudgetExceededError
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


def run_long(tx):
    tx.connection.execute(text(LONG_STATEMENT[tx.connection.dialect.name])).all()


def test_what_the_block_wrote_is_there_after_it(store):
    with store.write(actor="test") as tx:
        sql.insert(tx, tables.deployment, key="a", value="1")
    assert keys(store) == ["a"]


def test_an_error_takes_everything_back(store):
    with pytest.raises(RuntimeError, match="half way"), store.write(actor="test") as tx:
        sql.insert(tx, tables.deployment, key="a", value="1")
        raise RuntimeError("half way")
    assert keys(store) == []


def test_a_transaction_has_one_instant_and_one_actor(store):
    with store.write(actor="somebody", lap=3) as tx:
        before = tx.now_us
        store.clock.advance(SECOND_US)
        assert (tx.now_us, tx.actor, tx.lap) == (before, "somebody", 3)
        assert tx.in_lap(4).lap == 4
        assert tx.in_lap(4).connection is tx.connection


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
    store.on_published = lambda: seen.append(keys(store))
    with store.write(actor="test") as tx:
        sql.insert(tx, tables.deployment, key="quiet", value="1")
    with store.write(actor="test") as tx:
        sql.insert(tx, tables.deployment, key="said", value="1")
        tx.published.append(1)
    assert seen == [["quiet", "said"]]


def test_a_long_statement_is_stopped_at_the_budget(real_store):
    began = time.perf_counter()
    with (
        pytest.raises(BudgetExceededError, match=r"0\.3 s"),
        real_store.write(actor="job", budget_us=SECOND_US * 3 // 10) as tx,
    ):
        sql.insert(tx, tables.deployment, key="a", value="1")
        run_long(tx)
    assert 0.25 < time.perf_counter() - began < 3
    assert keys(real_store) == []


def test_the_last_of_many_statements_cannot_double_the_budget(real_store):
    began = time.perf_counter()
    with (
        pytest.raises(BudgetExceededError),
        real_store.write(actor="job", budget_us=SECOND_US) as tx,
    ):
        time.sleep(0.7)
        run_long(tx)
    assert time.perf_counter() - began < 1.5


def test_a_job_is_stopped_between_statements(store):
    with pytest.raises(BudgetExceededError), store.write(actor="job", budget_us=SECOND_US) as tx:
        sql.insert(tx, tables.deployment, key="a", value="1")
        store.clock.advance(SECOND_US)
        sql.insert(tx, tables.deployment, key="b", value="1")
    assert keys(store) == []


def test_a_job_that_is_late_at_its_end_is_rolled_back(store):
    with pytest.raises(BudgetExceededError), store.write(actor="job", budget_us=SECOND_US) as tx:
        sql.insert(tx, tables.deployment, key="a", value="1")
        store.clock.advance(SECOND_US)
    assert keys(store) == []


def test_another_database_error_within_a_budget_stays_what_it_is(store):
    with pytest.raises(Exception, match="no_such_table") as caught:  # noqa: SIM117
        with store.write(actor="job", budget_us=SECOND_US) as tx:
            tx.connection.execute(text("SELECT * FROM no_such_table"))
    assert not isinstance(caught.value, BudgetExceededError)


def test_the_budget_of_one_job_does_not_bind_the_next_on_the_same_connection(real_store):
    with pytest.raises(BudgetExceededError), real_store.write(actor="job", budget_us=SECOND_US // 10) as tx:
        run_long(tx)
    time.sleep(0.1)
    with real_store.write(actor="next") as tx:
        sql.insert(tx, tables.deployment, key="a", value="1")
    assert keys(real_store) == ["a"]


def test_a_database_that_is_not_there_is_an_error_at_once(tmp_path):
    lost = Store(f"sqlite:///{tmp_path}/no/folder/nacre.db", VirtualClock())
    with pytest.raises(OperationalError), lost.write(actor="test"):
        pass
