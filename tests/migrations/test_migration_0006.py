"""Migration 0006 over workflows' budgets that belonged to nobody: each gets an owner, and loses it again."""

import pytest
from sqlalchemy import select

from services.store import migrate
from services.store.engine import open_engine
from tests.migrations.test_migration_0002 import tables_of
from tests.migrations.test_migration_0004 import put

SUBJECTS = ("report", "acme/report", "of nobody")
OWNED = ["acme/report", "x%2Fy/acme/report", "/of nobody"]


@pytest.fixture
def lived(database_url):
    """A database at 0005 with a budget and a limit for each of three workflows: (url, engine)."""
    migrate.upgrade(database_url, "0005")
    engine = open_engine(database_url)
    known = tables_of(engine)
    with engine.begin() as connection:
        for number, owner in enumerate(("acme", "x/y"), start=1):
            put(connection, known["agent"], id=number, name=owner, owner=owner, key_hash=owner, scopes=[])
        posted = ((1, "report"), (2, "report"), (2, "acme/report"), (1, "acme/report"), (None, "of nobody"))
        for number, (requester_id, workflow) in enumerate(posted, start=1):
            put(connection, known["task"], id=number, requester_id=requester_id, workflow=workflow)
        for number, subject in enumerate((*SUBJECTS, ""), start=1):
            key = {"scope": "workflow" if subject else "day", "subject": subject, "resource": "tokens"}
            name = f"tokens D workflow:{subject}" if subject else "tokens D day"
            put(connection, known["budget"], id=number, name=name, period="D", **key)
            put(connection, known["budget_limit"], id=number, **key)
    yield database_url, engine
    engine.dispose()


def columns(engine, table, *names):
    known = tables_of(engine)[table]
    with engine.connect() as connection:
        found = connection.execute(select(*(known.c[name] for name in names)).order_by(known.c.id)).all()
    return [row[0] for row in found] if len(names) == 1 else [tuple(row) for row in found]


def test_who_posted_in_a_workflow_first_owns_it_and_all_is_undone(lived):
    url, engine = lived
    for _ in range(2):
        migrate.upgrade(url, "0006")
        named = [(f"tokens D workflow:{subject}", subject) for subject in OWNED]
        assert columns(engine, "budget", "name", "subject") == [*named, ("tokens D day", "")]
        assert columns(engine, "budget_limit", "subject") == [*OWNED, ""]
        migrate.downgrade(url, "0005")
        named = [(f"tokens D workflow:{subject}", subject) for subject in SUBJECTS]
        assert columns(engine, "budget", "name", "subject") == [*named, ("tokens D day", "")]
        assert columns(engine, "budget_limit", "subject") == [*SUBJECTS, ""]


def test_on_the_way_down_two_owners_budgets_of_one_name_stay_apart(lived):
    url, engine = lived
    migrate.upgrade(url, "0006")
    known = tables_of(engine)
    with engine.begin() as connection:
        owned = f"{'%25' * 80}/report"
        key = {"scope": "workflow", "subject": owned, "resource": "tokens", "period": "D"}
        put(connection, known["budget"], id=5, name=f"tokens D workflow:{owned}", **key)
    migrate.downgrade(url, "0005")
    assert columns(engine, "budget", "subject") == [*SUBJECTS, "", "report#5"]
