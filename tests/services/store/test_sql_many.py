"""Many rows at once: reserved ids, values of every kind, unique rows, guarded updates; on both engines."""

import math
import threading

import pytest
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    select,
    text,
)
from sqlalchemy.exc import DatabaseError, IntegrityError, StatementError

from services.domain.clock import VirtualClock
from services.domain.errors import NotFoundError
from services.operations import production_config
from services.store import pruning, sql, tables
from services.store.tables.columns import Identity64
from services.store.tx import Store

SAMPLE = Table(
    "sample",
    MetaData(),
    Column("id", Identity64, primary_key=True, autoincrement=True),
    Column("json", JSON),
    Column("flag", Boolean),
    Column("ratio", Float),
    Column("instant_us", BigInteger),
    Column("content", LargeBinary),
    Column("name", String(40)),
    Column("state", String(8)),
    UniqueConstraint("name", "instant_us"),
)
COLUMNS = ("json", "flag", "ratio", "instant_us", "content", "name", "state")
VALUES = [
    (
        {"a": [1, None, 'é "q" \\'], "b": {"c": 1.5}},
        True,
        0.1,
        2**62,
        b"\x00\xff\\",
        '100 %s :n\n\t"\\ é𝄞',
        None,
    ),
    ([], False, -0.0, -1, b"", "", "x"),
    (None, None, None, None, None, None, None),
    ("null", True, 1e308, 0, b"a", "null", "{}"),
    (0.1, True, 5e-324, 7, b"b", "[1]", "\\N"),
]
ROWS = [dict(zip(COLUMNS, values, strict=True)) for values in VALUES]


@pytest.fixture
def store(database_url):
    made = Store(database_url, VirtualClock())
    with made.write(actor="test") as tx:
        SAMPLE.create(tx.connection)
    yield made
    made.close()


@pytest.fixture
def tx(store):
    with store.write(actor="test") as made:
        yield made


def all_of(tx):
    return [dict(row) for row in sql.find_all(tx, SAMPLE)]


def stored(tx):
    json_text = SAMPLE.c.json.cast(String)
    return tx.connection.execute(select(json_text, *SAMPLE.c[2:]).order_by(SAMPLE.c.id)).all()


def test_many_rows_are_stored_as_one_by_one(tx):
    sql.insert_many(tx, SAMPLE, ROWS)
    together = stored(tx)
    tx.connection.execute(SAMPLE.delete())
    for row in ROWS:
        sql.insert(tx, SAMPLE, **row)
    assert together == stored(tx)
    assert len(together) == len(ROWS)


def test_many_rows_get_ascending_ids_in_their_order(tx):
    rows = [{"name": str(number), "json": {"n": number}} for number in range(2_000)]
    sql.insert_many(tx, SAMPLE, rows)
    found = all_of(tx)
    assert [row["name"] for row in found] == [row["name"] for row in rows]
    assert [row["json"] for row in found] == [row["json"] for row in rows]


def test_numbers_that_json_has_no_word_for(tx):
    rows = [
        {"ratio": math.inf, "name": "a"},
        {"ratio": -math.inf, "name": "b"},
        {"ratio": 0.5, "name": "inf"},
    ]
    sql.insert_many(tx, SAMPLE, rows)
    assert [(row["ratio"], row["name"]) for row in all_of(tx)] == [(r["ratio"], r["name"]) for r in rows]


def test_one_column_alone(tx):
    sql.insert_many(tx, SAMPLE, [{"name": "a"}, {"name": None}])
    assert [row["name"] for row in all_of(tx)] == ["a", None]


@pytest.mark.parametrize("value", [object(), {"a": [object()]}, 1j], ids=["object", "inside", "complex"])
def test_a_value_that_cannot_be_stored_is_refused_and_nothing_written(tx, value):
    with pytest.raises(StatementError, match="cannot be stored"):
        sql.insert_many(tx, SAMPLE, [{"json": 1}, {"json": value}])
    assert all_of(tx) == []


def test_a_missing_value_is_refused(tx):
    with pytest.raises(StatementError, match="flag"):
        sql.insert_many(tx, SAMPLE, [{"name": "a", "flag": True}, {"name": "b"}])
    with pytest.raises(StatementError, match="flag"):
        sql.update_many(tx, SAMPLE, ["id"], [{"id": 1, "flag": True}, {"id": 2}])


def test_text_that_postgresql_refuses_is_an_error_of_the_statement(migrated_postgresql_url):
    store = Store(migrated_postgresql_url, VirtualClock())
    row = {"key": "a\x00b", "value": "1"}
    with pytest.raises(DatabaseError), store.write(actor="test") as tx:
        sql.insert_many(tx, tables.deployment, [row])
    store.close()


def test_reserved_ids_are_those_that_come_next(tx):
    first = sql.insert(tx, SAMPLE, name="a")
    ids = sql.reserve_ids(tx, SAMPLE, 3)
    more = sql.reserve_ids(tx, SAMPLE, 2)
    assert ids == [first + 1, first + 2, first + 3]
    assert more == [first + 4, first + 5]
    assert sql.reserve_ids(tx, SAMPLE, 0) == []


def test_rows_inserted_between_do_not_take_reserved_ids(tx):
    ids = sql.reserve_ids(tx, SAMPLE, 2)
    between = sql.insert(tx, SAMPLE, name="between")
    sql.insert_many(tx, SAMPLE, [{"name": "m"}, {"name": "n"}])
    assert sql.insert_many_unique(tx, SAMPLE, [{"name": "u", "instant_us": 1}], ["name"]) == [True]
    sql.insert_many(tx, SAMPLE, [{"id": number, "name": f"r{number}"} for number in ids])
    last = sql.insert(tx, SAMPLE, name="last")
    names = {row["id"]: row["name"] for row in all_of(tx)}
    assert len(names) == 7
    assert [names[number] for number in ids] == [f"r{number}" for number in ids]
    assert names[between] == "between"
    assert last == max(names)


def test_ids_reserved_in_a_lap_are_the_transactions(tx):
    first = sql.reserve_ids(tx, SAMPLE, 2)
    assert not {*first} & {*sql.reserve_ids(tx.in_lap(3), SAMPLE, 2)}


def test_ids_of_rows_taken_back_do_not_confuse_later_transactions(store):
    def fail():
        with store.write(actor="test") as tx:
            sql.insert_many(tx, SAMPLE, [{"id": n} for n in sql.reserve_ids(tx, SAMPLE, 3)])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with store.write(actor="test") as tx:
        ids = sql.reserve_ids(tx, SAMPLE, 3)
        sql.insert_many(tx, SAMPLE, [{"id": number} for number in ids])
        assert [row["id"] for row in all_of(tx)] == ids


def test_ids_of_pruned_rows_are_not_given_again(migrated_database_url):
    store = Store(migrated_database_url, VirtualClock())
    shared = {"aggregate": "a", "payload": {}, "actor": "test", "published_at_us": 1}
    with store.write(actor="test") as tx:
        ids = sql.reserve_ids(tx, tables.event, 3)
        sql.insert_many(tx, tables.event, [{"id": number, "type": "t", **shared} for number in ids])
    with store.write(actor="test") as tx:
        pruned = pruning.prune(tx, ticks_before_us=2, keys_before_us=2, events_before_us=2, limit=10)
        assert pruned["events"] == 2
        assert min(sql.reserve_ids(tx, tables.event, 1)) > max(ids)
        assert sql.insert(tx, tables.event, type="t", **shared) > max(ids)
    store.close()


def test_writers_that_reserve_at_once_get_different_ids(store):
    taken, lock = [], threading.Lock()

    def reserve():
        for _ in range(10):
            with store.write(actor="test") as tx:
                ids = sql.reserve_ids(tx, SAMPLE, 5)
                sql.insert_many(tx, SAMPLE, [{"id": number} for number in ids])
            with lock:
                taken.extend(ids)

    threads = [threading.Thread(target=reserve) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == 200


def test_rows_that_are_there_already_are_told_and_passed_over(tx):
    sql.insert(tx, SAMPLE, name="old", instant_us=1, ratio=1.0)
    rows = [
        {"name": "new", "instant_us": 1, "ratio": 2.0},
        {"name": "old", "instant_us": 1, "ratio": 2.0},
        {"name": "old", "instant_us": 2, "ratio": 2.0},
        {"name": "new", "instant_us": 1, "ratio": 3.0},
    ]
    assert sql.insert_many_unique(tx, SAMPLE, rows, ("name", "instant_us")) == [True, False, True, False]
    found = sorted((row["name"], row["instant_us"], row["ratio"]) for row in all_of(tx))
    assert found == [("new", 1, 2.0), ("old", 1, 1.0), ("old", 2, 2.0)]
    assert sql.insert_many_unique(tx, SAMPLE, rows, ("name", "instant_us")) == [False] * 4
    assert sql.insert_many_unique(tx, SAMPLE, [], ("name",)) == []


def test_of_many_unique_rows_another_broken_rule_is_an_error(migrated_database_url):
    store = Store(migrated_database_url, VirtualClock())
    rows = [{"proposal_id": 99, "agent_id": 99, "unit": "agent:99"}]
    with pytest.raises(IntegrityError), store.write(actor="test") as tx:
        sql.insert_many_unique(tx, tables.elector, rows, ("proposal_id", "agent_id"))
    store.close()


@pytest.fixture(params=[0, 8], ids=["as a set", "one by one"])
def ways_to_update(request, monkeypatch):
    """Few rows travel one by one to PostgreSQL and many as a set; the answers are the same."""
    monkeypatch.setattr(sql, "UPDATED_ONE_BY_ONE", request.param)


@pytest.mark.usefixtures("ways_to_update")
def test_an_update_of_many_rows_counts_those_that_were_as_expected(tx):
    numbers = [sql.insert(tx, SAMPLE, name=name, state="open", ratio=0.5) for name in "abcd"]
    sql.update(tx, SAMPLE, {"id": numbers[3]}, state="held")
    rows = [
        {"id": number, "ratio": number / 10, "json": {"n": number}, "content": b"x"}
        for number in (*numbers, 99)
    ]
    changed = sql.update_many(
        tx, SAMPLE, ["id"], rows, {"state": "open", "flag": None}, state="shut", flag=True
    )
    assert changed == 3
    found = [(row["ratio"], row["json"], row["content"], row["state"], row["flag"]) for row in all_of(tx)]
    assert found[:3] == [(number / 10, {"n": number}, b"x", "shut", True) for number in numbers[:3]]
    assert found[3] == (0.5, None, None, "held", None)
    assert sql.update_many(tx, SAMPLE, ["id"], rows, {"state": ["open", "shut"], "flag": True}) == 3
    assert sql.update_many(tx, SAMPLE, ["id"], rows, {"state": "open"}) == 0


@pytest.mark.usefixtures("ways_to_update")
def test_an_update_of_many_rows_compares_what_each_must_be_like(tx):
    numbers = [sql.insert(tx, SAMPLE, name=name, instant_us=place) for place, name in enumerate("abc")]
    rows = [
        {"id": number, "instant_us": expected, "flag": True}
        for number, expected in zip(numbers, (0, 99, 2), strict=True)
    ]
    assert sql.update_many(tx, SAMPLE, ["id", "instant_us"], rows) == 2
    assert [row["flag"] for row in all_of(tx)] == [True, None, True]
    assert sql.update_many(tx, SAMPLE, ["id"], [{"id": number} for number in numbers], name="z") == 3
    assert [row["name"] for row in all_of(tx)] == ["z", "z", "z"]


def test_an_update_of_a_thousand_rows(tx):
    sql.insert_many(tx, SAMPLE, [{"name": str(number), "state": "open"} for number in range(1_000)])
    rows = [{"id": row["id"], "ratio": row["id"] / 2} for row in all_of(tx)]
    assert sql.update_many(tx, SAMPLE, ["id"], rows, {"state": "open"}) == 1_000
    assert [{"id": row["id"], "ratio": row["ratio"]} for row in all_of(tx)] == rows


def test_no_plan_over_a_set_of_rows_outlives_the_size_of_its_table(postgresql_url):
    store = Store(postgresql_url, VirtualClock())
    kept = text("SELECT statement FROM pg_prepared_statements")
    with store.write(actor="test") as tx:
        SAMPLE.create(tx.connection)
        for _ in range(8):
            sql.update_many(tx, SAMPLE, ["id"], [{"id": number, "state": "s"} for number in range(20)])
            sql.find_all(tx, SAMPLE, name=[str(number) for number in range(20)])
            sql.find_all(tx, SAMPLE, name=["a", "b"], state="s")
        statements = tx.connection.execute(kept).scalars().all()
    assert [said.count("$") for said in statements if "sample" in said] == [3]
    store.close()


def test_parameters_as_numbers_in_one_statement(migrated_database_url):
    store = Store(migrated_database_url, VirtualClock())
    with store.write(actor="test") as tx:
        shared = {"version": 1, "source": "default", "changed_at_us": 1}
        for name, value in {"a": "1", "b": "0.25", "c": "x"}.items():
            sql.insert(tx, tables.parameter, name=name, value=value, **shared)
        assert production_config.numbers(tx, ["b", "a", "b"]) == {"a": 1.0, "b": 0.25}
        with pytest.raises(NotFoundError, match="'missing'") as refusal:
            production_config.numbers(tx, ["a", "missing"])
        assert refusal.value.field == "parameter"
    store.close()
