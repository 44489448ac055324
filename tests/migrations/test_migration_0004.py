"""Migration 0004 over a database that lived under 0003: money stays as it was, both ways."""

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.exc import IntegrityError

from services.store import migrate
from services.store.engine import open_engine
from tests.migrations.test_migration_0002 import defaults, tables_of

KEPT = ("account", "transfer", "escrow", "task")
HOLD = {
    "id": 1,
    "agent_id": 1,
    "resource": "tokens",
    "amount": 5,
    "state": "held",
    "held_at_us": 1,
    "expires_at_us": 2,
}


def put(connection, table, **values):
    connection.execute(insert(table).values(**values, **defaults(table, tuple(values))))


@pytest.fixture
def lived(database_url):
    """A database at 0003 with a task, its escrow and the transfer into it: (url, engine)."""
    migrate.upgrade(database_url, "0003")
    engine = open_engine(database_url)
    known = tables_of(engine)
    with engine.begin() as connection:
        put(connection, known["agent"], id=1, name="ada", key_hash="h", scopes=[])
        put(connection, known["task"], id=1, state="bidding", workflow="report")
        for number, owner in ((1, "agent:1"), (2, "escrow")):
            put(connection, known["account"], id=number, owner=owner, balance=number)
        put(
            connection, known["transfer"], id=1, kind="hold_reserve", task_id=1, debit_account_id=1,
            credit_account_id=2, amount=5,
        )  # fmt: skip
        put(
            connection, known["escrow"], id=1, task_id=1, purpose="reserve", state="held", source_account_id=1
        )
    yield database_url, engine
    engine.dispose()


def everything(engine):
    known = tables_of(engine)
    with engine.connect() as connection:
        return {
            name: [dict(row) for row in connection.execute(select(known[name])).mappings()] for name in KEPT
        }


def test_money_stays_as_it_was_both_ways(lived):
    url, engine = lived
    before = everything(engine)
    migrate.upgrade(url, "0004")
    after = everything(engine)
    assert after["escrow"] == [{**before["escrow"][0], "budget_hold_id": None}]
    assert after["transfer"] == [{**before["transfer"][0], "budget_hold_id": None}]
    assert (after["account"], after["task"]) == (before["account"], before["task"])
    known = tables_of(engine)
    with engine.begin() as connection:
        put(connection, known["budget_hold"], **HOLD)
        for number, part in enumerate(("free", "reserved"), start=3):
            put(connection, known["account"], id=number, owner=f"budget:1:{part}", unit="tokens")
        put(
            connection,
            known["escrow"],
            id=2,
            purpose="budget",
            source_account_id=3,
            budget_hold_id=1,
            state="held",
        )
        put(
            connection, known["transfer"], id=2, kind="budget_hold", debit_account_id=3, credit_account_id=4,
            budget_hold_id=1, amount=5,
        )  # fmt: skip
    migrate.downgrade(url, "0003")
    assert everything(engine) == before
    migrate.upgrade(url, "0004")
    assert everything(engine) == after


def test_an_escrow_is_of_one_task_or_one_budget_hold(lived):
    url, engine = lived
    migrate.upgrade(url, "0004")
    known = tables_of(engine)
    with engine.begin() as connection:
        put(connection, known["budget_hold"], **HOLD)
    for spoiling in ("task_id = NULL", "budget_hold_id = 1"):
        with pytest.raises(IntegrityError, match="one_cause"), engine.begin() as connection:
            connection.execute(text(f"UPDATE escrow SET {spoiling}"))
