"""The fixtures keep their word: fresh databases, no way out to the net, and an honest closing line."""

import socket

import pytest
from sqlalchemy import create_engine, inspect, text

from tests.plugins.emptying import emptied, fingerprint
from tests.plugins.loopback import SocketRefusedError
from tests.plugins.optional_parts import CHROMIUM, missing, what_was_left_out

TEST_NET_ADDRESS = ("192.0.2.1", 80)  # RFC 5737: reserved for documentation, belongs to nobody


@pytest.mark.parametrize("turn", ["first", "second"])
def test_a_database_is_fresh_in_every_test(database_url, turn):
    engine = create_engine(database_url)
    with engine.begin() as connection:
        assert inspect(connection).get_table_names() == []
        connection.execute(text("CREATE TABLE left_behind (turn TEXT)"))
    engine.dispose()


def test_a_migrated_database_has_tables_and_no_rows_of_another_test(migrated_database_url):
    engine = create_engine(migrated_database_url)
    with engine.connect() as connection:
        tables = set(inspect(connection).get_table_names())
    engine.dispose()
    assert "alembic_version" in tables
    assert len(tables) > 10


CHANGES = (
    "ALTER TABLE ledger_entry DISABLE TRIGGER ALL",
    "DROP INDEX ix_agent_outcome_task",
    "ALTER TABLE lap ADD COLUMN surplus INTEGER",
    "CREATE TABLE surplus (id INTEGER)",
)


def test_a_used_database_is_as_good_as_new_or_not_used_again(postgresql_server, postgresql_template):
    expected = fingerprint(postgresql_server.conninfo(postgresql_template))
    name = postgresql_server.create_database(template=postgresql_template)
    engine = create_engine(postgresql_server.url(name))
    entry = "INSERT INTO ledger_entry VALUES (0, 't', 'a', NULL, 1, '', '')"
    lap = "INSERT INTO lap (opened_at_us) SELECT generate_series(1, :count) RETURNING id"
    for count in (3, 9_000, 3, 3):  # few rows are deleted, a table of many is truncated
        with engine.begin() as connection:
            connection.execute(text(entry))
            assert connection.scalar(text(lap), {"count": count}) == 1
            assert connection.scalar(text("SELECT count(*) FROM lap")) == count
        assert emptied(postgresql_server.conninfo(name), expected)
        engine.dispose()  # whoever was connected is cut off
    for change in CHANGES:
        changed = postgresql_server.create_database(template=postgresql_template)
        engine = create_engine(postgresql_server.url(changed))
        with engine.begin() as connection:
            connection.execute(text(change))
        assert not emptied(postgresql_server.conninfo(changed), expected), change
        engine.dispose()
        postgresql_server.drop_database(changed)
    postgresql_server.drop_database(name)


def test_the_two_engines_are_the_two_engines(sqlite_url, postgresql_url):
    assert create_engine(sqlite_url).dialect.name == "sqlite"
    engine = create_engine(postgresql_url)
    with engine.connect() as connection:
        assert connection.scalar(text("SHOW server_version_num")) >= "160000"
    engine.dispose()


def test_a_socket_beyond_loopback_is_refused():
    with socket.socket() as outside, pytest.raises(SocketRefusedError, match="serve what it needs"):
        outside.connect(TEST_NET_ADDRESS)
    with socket.socket() as outside, pytest.raises(SocketRefusedError):
        outside.connect_ex(("a-name.example", 80))


def test_a_socket_on_loopback_works():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
        client.connect(server.getsockname())


def test_a_missing_part_skips_and_fails_where_it_is_required(monkeypatch):
    monkeypatch.delenv("TEST_REQUIRE", raising=False)
    with pytest.raises(pytest.skip.Exception, match="needs Chromium: none"):
        missing(CHROMIUM, "none")
    monkeypatch.setenv("TEST_REQUIRE", "postgresql chromium")
    with pytest.raises(pytest.fail.Exception, match="TEST_REQUIRE asks for it"):
        missing(CHROMIUM, "none")


def test_the_closing_lines_count_by_part_and_keep_other_reasons():
    lines = what_was_left_out(["needs Chromium: none", "needs Chromium: gone", "too cold"])
    assert lines[0].startswith("2 for lack of Chromium - ")
    assert lines[1:] == ["1 because: too cold"]
    assert what_was_left_out([]) == ["nothing: every test had what it needs"]
