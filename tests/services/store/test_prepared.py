"""Statements compiled once: the same values, errors, events and budgets as through SQLAlchemy's own way."""

import pytest
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    bindparam,
    event,
    func,
    literal,
    select,
    text,
)
from sqlalchemy.exc import (
    DatabaseError,
    IntegrityError,
    InvalidRequestError,
    StatementError,
)

from services.domain.clock import SECOND_US, VirtualClock, WallClock
from services.domain.errors import BudgetExceededError, ConflictError, UnavailableError
from services.store import prepared, sql, tables
from services.store.tx import Store

SAMPLE = Table(
    "sample",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("json", JSON),
    Column("flag", Boolean),
    Column("ratio", Float),
    Column("instant_us", BigInteger),
    Column("content", LargeBinary),
    Column("name", String(40)),
)
FULL = {
    "json": {"a": [1, None, "é"], "b": {"c": 1.5}},
    "flag": True,
    "ratio": 0.1,
    "instant_us": 2**62,
    "content": b"\x00\xff",
    "name": "it's 100 %s :name",
}
OTHER = {"json": [], "flag": False, "ratio": -0.0, "instant_us": -1, "content": b"", "name": ""}
NULLS = dict.fromkeys(FULL)
VALUES = pytest.mark.parametrize("values", [FULL, OTHER, NULLS], ids=["full", "other", "nulls"])
BY_NAME = (
    select(SAMPLE.c.id).where(SAMPLE.c.name.in_(bindparam("names", expanding=True))).order_by(SAMPLE.c.id)
)
RENAME = SAMPLE.update().where(SAMPLE.c.name == bindparam("old")).values(name=bindparam("new"), flag=True)

EVERY_WAY = {
    "insert": lambda tx: sql.insert(tx, SAMPLE, name="x"),
    "insert_unique": lambda tx: sql.insert_unique(tx, SAMPLE, ConflictError("there"), name="x"),
    "insert_many": lambda tx: sql.insert_many(tx, SAMPLE, [{"name": "x"}, {"name": "y"}]),
    "find": lambda tx: sql.find(tx, SAMPLE, id=1),
    "find_all": lambda tx: sql.find_all(tx, SAMPLE, limit=3),
    "update": lambda tx: sql.update(tx, SAMPLE, {"id": 1}, name="x"),
    "update_many": lambda tx: sql.update_many(tx, SAMPLE, ["id"], [{"id": 1, "name": "x"}]),
    "listed": lambda tx: sql.listed(tx, BY_NAME, names=["a"]),
    "first": lambda tx: sql.first(tx, BY_NAME, names=["a"]),
    "value": lambda tx: sql.value(tx, BY_NAME, names=["a"]),
    "change": lambda tx: sql.change(tx, RENAME, old="a", new="b"),
}
WAYS = pytest.mark.parametrize("way", EVERY_WAY.values(), ids=EVERY_WAY)


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


def named(tx, *names):
    return [sql.insert(tx, SAMPLE, name=name) for name in names]


def through_sqlalchemy(tx):
    return [dict(row) for row in tx.connection.execute(select(SAMPLE).order_by(SAMPLE.c.id)).mappings()]


@VALUES
def test_what_goes_in_is_what_sqlalchemy_would_have_stored(tx, values):
    number = sql.insert(tx, SAMPLE, **values)
    sql.insert_many(tx, SAMPLE, [values])
    sql.insert(tx, SAMPLE)
    sql.update(tx, SAMPLE, {"id": 3}, **values)
    tx.connection.execute(SAMPLE.insert(), values)
    stored = tx.connection.execute(
        select(SAMPLE.c.json.cast(String), *[SAMPLE.c[name] for name in values if name != "json"])
    ).all()
    assert number == 1
    assert len(stored) == 4
    assert len(set(stored)) == 1
    assert through_sqlalchemy(tx)[0] == {"id": 1, **values}


@VALUES
def test_what_comes_out_is_what_sqlalchemy_would_have_read(tx, values):
    tx.connection.execute(SAMPLE.insert(), values)
    row = sql.find(tx, SAMPLE, id=1)
    assert dict(row) == through_sqlalchemy(tx)[0] == {"id": 1, **values}
    assert [type(row[name]) for name in values] == [type(value) for value in values.values()]
    assert sql.find_all(tx, SAMPLE) == [row] == sql.rows(tx, select(SAMPLE))


def test_what_is_not_given_is_null_and_a_json_null_is_not(tx):
    sql.insert(tx, SAMPLE, json=None)
    sql.insert(tx, SAMPLE, name=None)
    kinds = tx.connection.execute(select(SAMPLE.c.json.cast(String)).order_by(SAMPLE.c.id)).scalars().all()
    assert kinds == ["null", None]
    assert [row["json"] for row in sql.find_all(tx, SAMPLE)] == [None, None]


def test_a_row_is_a_mapping_that_nobody_can_change(tx):
    sql.insert(tx, SAMPLE, name="a")
    row = sql.find(tx, SAMPLE, id=1)
    assert list(row) == [column.name for column in SAMPLE.c]
    assert (row["name"], row.get("name"), row.get("nothing"), "nothing" in row) == ("a", "a", None, False)
    assert {**row, "id": 7} == {**dict(row), "id": 7}
    with pytest.raises(TypeError):
        row["name"] = "b"
    with pytest.raises(KeyError):
        row["nothing"]


@pytest.mark.parametrize("count", range(6))
def test_in_lists_of_every_length(tx, count):
    numbers = named(tx, *"abcdef")
    wanted = list("abcdef")[:count]
    assert [row["id"] for row in sql.find_all(tx, SAMPLE, name=wanted)] == numbers[:count]
    assert [row["id"] for row in sql.listed(tx, BY_NAME, names=set(wanted))] == numbers[:count]
    assert sql.update(tx, SAMPLE, {"name": tuple(wanted), "flag": None}, flag=True) == count
    assert len(sql.find_all(tx, SAMPLE, flag=True)) == count


def test_in_lists_are_compiled_for_few_lengths():
    lengths = {len(prepared.padded(range(count))) for count in range(1_025)}
    assert lengths == {0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024}
    assert prepared.padded({"a"}) == ["a"]
    assert prepared.padded((1, 2, 3)) == [1, 2, 3, 3]
    assert len(prepared.padded(range(1_025))) == 1_025


def test_a_long_in_list_finds_its_rows(tx):
    sql.insert_many(tx, SAMPLE, [{"name": str(number)} for number in range(1_500)])
    wanted = [str(number) for number in range(0, 3_000, 2)]
    assert len(sql.find_all(tx, SAMPLE, name=wanted)) == 750


def test_conditions_on_null_and_value_keep_apart(tx):
    first, second = named(tx, "a", None)
    assert sql.find(tx, SAMPLE, name=None)["id"] == second
    assert sql.find(tx, SAMPLE, name="a")["id"] == first
    assert sql.find(tx, SAMPLE, name="a", flag=None)["id"] == first


def test_updates_are_judged_by_their_row_count(tx):
    first, second, third = named(tx, "a", "b", "b")
    assert sql.update(tx, SAMPLE, {"id": first, "flag": None}, flag=True) == 1
    assert sql.update(tx, SAMPLE, {"id": first, "flag": None}, flag=False) == 0
    assert sql.change(tx, RENAME, old="b", new="c") == 2
    assert sql.update_many(tx, SAMPLE, ["id"], []) == 0
    many = [
        {"id": second, "name": "x", "json": [2]},
        {"id": third, "name": "y", "json": None},
    ]
    assert sql.update_many(tx, SAMPLE, ["id"], [*many, {"id": 99, "name": "z", "json": None}]) == 2
    assert sql.update_many(tx, SAMPLE, ("id", "name"), [{"id": second, "name": "no", "flag": False}]) == 0
    found = [(row["name"], row["json"], row["flag"]) for row in sql.find_all(tx, SAMPLE)]
    assert found == [("a", None, True), ("x", [2], True), ("y", None, True)]


def test_the_key_of_an_insert_is_the_new_one_or_the_one_given(tx):
    assert sql.insert(tx, SAMPLE, id=41, name="a") == 41
    assert sql.insert_unique(tx, SAMPLE, ConflictError("there"), id=50, name="a") == 50
    with pytest.raises(ConflictError, match="there"):
        sql.insert_unique(tx, SAMPLE, ConflictError("there"), id=50, name="b")
    assert [row["name"] for row in sql.find_all(tx, SAMPLE)] == ["a", "a"]


def test_only_a_unique_rule_is_refused_by_name(migrated_database_url):
    store = Store(migrated_database_url, VirtualClock())
    row = {"name": "x", "version": 1, "source": "default", "changed_at_us": 1}
    for broken in ({**row, "value": None}, {**row, "value": "1", "ledger_index": 1, "experiment_id": None}):
        table = tables.parameter if broken["value"] is None else tables.parameter_change
        values = broken if table is tables.parameter else {**broken, "actor": "nobody"}
        with pytest.raises(IntegrityError), store.write(actor="test") as tx:
            sql.insert_unique(tx, table, ConflictError("there"), **values)
    store.close()


@WAYS
def test_no_way_gets_around_the_budget(store, way):
    def job():
        with store.write(actor="job", budget_us=SECOND_US) as tx:
            way(tx)
            store.clock.advance(SECOND_US)
            with pytest.raises(BudgetExceededError):
                way(tx)

    with pytest.raises(BudgetExceededError):
        job()
    with store.read() as tx:
        assert sql.find_all(tx, SAMPLE) == []


def test_a_long_statement_is_stopped_at_the_budget(database_url):
    store = Store(database_url, WallClock())
    numbers = select(literal(1).label("n")).cte("numbers", recursive=True)
    numbers = numbers.union_all(select(numbers.c.n + 1).where(numbers.c.n < 2_000_000_000))
    with pytest.raises(BudgetExceededError), store.write(actor="job", budget_us=SECOND_US // 5) as tx:
        sql.value(tx, select(func.count()).select_from(numbers))
    store.close()


@WAYS
def test_every_way_is_seen_by_who_listens(store, way):
    before, after = [], []
    event.listen(store.engine, "before_cursor_execute", lambda *said: before.append((said[2], said[5])))
    event.listen(store.engine, "after_cursor_execute", lambda *said: after.append((said[2], said[5])))
    with store.write(actor="test") as tx:
        before.clear()
        after.clear()
        way(tx)
        assert len(before) == 1
        assert before == after
        assert "sample" in before[0][0]


@WAYS
def test_a_reader_leaves_nothing_behind(store, way):
    with store.write(actor="test") as tx:
        named(tx, "a")
        kept = through_sqlalchemy(tx)
    with store.read() as tx:
        way(tx)
    with store.read() as tx:
        assert through_sqlalchemy(tx) == kept


@WAYS
def test_nothing_runs_after_the_transaction(store, way):
    def job():
        with store.write(actor="test") as tx:
            tx.connection.get_transaction().rollback()
            way(tx)

    with pytest.raises(InvalidRequestError):
        job()
    with store.read() as tx:
        assert sql.find_all(tx, SAMPLE) == []


@pytest.mark.parametrize(
    ("way", "statement"),
    [
        (lambda tx: sql.insert(tx, SAMPLE, id=1), "INSERT INTO sample (id) VALUES (1)"),
        (lambda tx: sql.insert_many(tx, SAMPLE, [{"id": 1}]), "INSERT INTO sample (id) VALUES (1)"),
        (lambda tx: sql.find_all(tx, tables.lap), "SELECT * FROM lap"),
    ],
    ids=["unique", "unique of many", "no such table"],
)
def test_errors_are_sqlalchemys_of_the_same_kind(tx, way, statement):
    named(tx, "a")
    with pytest.raises(DatabaseError) as expected, tx.connection.begin_nested():
        tx.connection.execute(text(statement))
    with pytest.raises(DatabaseError) as found, tx.connection.begin_nested():
        way(tx)
    assert found.type is expected.type
    assert type(found.value.orig) is type(expected.value.orig)
    assert sql.find(tx, SAMPLE, id=1)["name"] == "a"


def test_a_value_that_cannot_be_stored_is_refused(tx):
    with pytest.raises((StatementError, TypeError), match="no JSON value"):
        sql.insert(tx, SAMPLE, json=object())
    assert sql.find_all(tx, SAMPLE) == []


def test_a_value_that_is_missing_is_refused(tx):
    with pytest.raises(StatementError, match="new"):
        sql.change(tx, RENAME, old="a")
    with pytest.raises(StatementError, match="name"):
        sql.insert_many(tx, SAMPLE, [{"id": 1, "name": "a"}, {"id": 2}])


def test_a_connection_that_was_lost_is_given_up_and_the_next_one_works(postgresql_url):
    store = Store(postgresql_url, VirtualClock())
    ask = select(func.pg_backend_pid())

    def lose():
        with store.write(actor="test") as tx:
            number = sql.value(tx, ask)
            with store.write(actor="other") as other:
                sql.value(other, select(func.pg_terminate_backend(number)))
            sql.value(tx, ask)

    with pytest.raises(UnavailableError) as lost:
        lose()
    assert lost.value.__cause__.connection_invalidated
    with store.write(actor="test") as tx:
        assert sql.value(tx, ask) > 0
    store.close()


def test_a_shape_is_compiled_once(tx):
    dialect = tx.connection.dialect
    assert prepared.prepare(dialect, RENAME) is prepared.prepare(dialect, RENAME)
    before = prepared.prepare.cache_info().misses
    for number in range(3):
        sql.find(tx, SAMPLE, id=number)
        sql.find_all(tx, SAMPLE, name=["a", "b", "c", "d"][: 3 + number % 2], limit=number)
    assert prepared.prepare.cache_info().misses == before + 2


def test_a_default_that_python_computes_is_refused_not_forgotten(tx):
    made = Table(
        "made", MetaData(), Column("id", Integer, primary_key=True), Column("at", Integer, default=5)
    )
    with pytest.raises(InvalidRequestError, match="computed by Python"):
        sql.insert(tx, made, id=1)
