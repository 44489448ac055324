"""The row operations: guarded updates judged by their count, conditions by value, null, set; unique rows."""

import pytest
from sqlalchemy.exc import IntegrityError

from services.domain.clock import VirtualClock
from services.domain.errors import ConflictError
from services.store import deployment, sql, tables
from services.store.tx import Store


@pytest.fixture
def tx(migrated_database_url):
    store = Store(migrated_database_url, VirtualClock())
    with store.write(actor="test") as made:
        yield made
    store.close()


def item(tx, kind, closed=None):
    return sql.insert(
        tx, tables.review_item, kind=kind, subject=kind, context={}, opened_at_us=1, closed_at_us=closed
    )


def test_inserting_answers_with_the_new_key(tx):
    first, second = item(tx, "c"), item(tx, "d")
    assert second == first + 1


def test_conditions_by_value_null_and_set(tx):
    numbers = [item(tx, "a"), item(tx, "b", closed=5), item(tx, "c", closed=6)]

    def found(**where):
        return [row["id"] for row in sql.find_all(tx, tables.review_item, **where)]

    assert found(kind="b") == [numbers[1]]
    assert found(closed_at_us=None) == [numbers[0]]
    assert found(kind=("a", "c")) == [numbers[0], numbers[2]]
    assert found(kind={"b"}, closed_at_us=5) == [numbers[1]]
    assert found(kind=()) == []
    assert [row["id"] for row in sql.find_all(tx, tables.review_item, limit=2)] == numbers[:2]
    assert [row["kind"] for row in sql.find_all(tx, tables.review_item, order_by="kind")] == ["a", "b", "c"]
    assert sql.find(tx, tables.review_item, kind="z") is None


def test_only_one_of_two_guarded_updates_wins(tx):
    number = item(tx, "a")
    where = {"id": number, "closed_at_us": None}
    assert sql.update(tx, tables.review_item, where, closed_at_us=7) == 1
    assert sql.update(tx, tables.review_item, where, closed_at_us=8) == 0
    assert sql.find(tx, tables.review_item, id=number)["closed_at_us"] == 7


def test_a_guard_and_a_change_of_the_same_column_do_not_mix(tx):
    number = item(tx, "a")
    assert sql.update(tx, tables.review_item, {"id": number, "kind": "a"}, kind="b") == 1
    assert sql.find(tx, tables.review_item, id=number)["kind"] == "b"


def test_a_second_unique_row_is_refused_and_the_transaction_goes_on(tx):
    refusal = ConflictError("there already")
    row = {"name": "x", "value": "1", "version": 1, "source": "default", "changed_at_us": 1}
    sql.insert_unique(tx, tables.parameter, refusal, **row)
    with pytest.raises(ConflictError, match="there already"):
        sql.insert_unique(tx, tables.parameter, refusal, **row)
    assert sql.find(tx, tables.parameter, name="x")["value"] == "1"


def test_foreign_keys_are_enforced(tx):
    with pytest.raises(IntegrityError), tx.connection.begin_nested():
        sql.insert(tx, tables.elector, proposal_id=99, agent_id=99, unit="agent:99")


def test_no_rows_are_no_statement(tx):
    sql.insert_many(tx, tables.review_item, [])
    assert sql.find_all(tx, tables.review_item) == []


def test_the_origin_of_a_deployment_is_decided_once(tx):
    assert deployment.origin(tx, "first") == "first"
    assert deployment.origin(tx, "second") == "first"
