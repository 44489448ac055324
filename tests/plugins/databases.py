"""Fresh databases, one per test, on either engine: empty, or with every migration applied.

Migrations run once per test process into a template; tests get copies of it (a file copy on SQLite,
CREATE DATABASE ... TEMPLATE on PostgreSQL), or on PostgreSQL a database that an earlier test has used, which
was emptied and still has the template's schema. No row is shared between two tests.
"""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from services.store import migrate
from tests.plugins.emptying import emptied, fingerprint
from tests.plugins.postgresql import PostgresqlServer

ENGINES = ("sqlite", "postgresql")


@dataclass
class SpareDatabases:
    """Names of emptied databases, all with the schema of this fingerprint."""

    fingerprint: str
    names: list[str] = field(default_factory=list)


def url_of_file(path: Path) -> str:
    """Return the SQLAlchemy URL of a SQLite file."""
    return f"sqlite:///{path}"


@pytest.fixture(params=ENGINES)
def database_url(request: pytest.FixtureRequest) -> str:
    """URL of a fresh, empty database; the test runs once per engine."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture(params=ENGINES)
def migrated_database_url(request: pytest.FixtureRequest) -> str:
    """URL of a fresh database with every migration applied; the test runs once per engine."""
    return str(request.getfixturevalue(f"migrated_{request.param}_url"))


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """URL of a SQLite file that does not exist yet."""
    return url_of_file(tmp_path / "nacre.db")


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file with nothing left in its write-ahead log."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    migrate.upgrade(url_of_file(path))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


@pytest.fixture
def migrated_sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """URL of a fresh, migrated SQLite file."""
    copy = tmp_path / "nacre-migrated.db"
    shutil.copyfile(sqlite_template, copy)
    return url_of_file(copy)


@pytest.fixture
def postgresql_url(postgresql_server: PostgresqlServer) -> Iterator[str]:
    """URL of a fresh, empty PostgreSQL database, dropped after the test."""
    name = postgresql_server.create_database()
    yield postgresql_server.url(name)
    postgresql_server.drop_database(name)


@pytest.fixture(scope="session")
def postgresql_template(postgresql_server: PostgresqlServer) -> Iterator[str]:
    """Name of a migrated PostgreSQL database that nobody is connected to."""
    name = postgresql_server.create_database()
    migrate.upgrade(postgresql_server.url(name))
    yield name
    postgresql_server.drop_database(name)


@pytest.fixture(scope="session")
def spare_databases(
    postgresql_server: PostgresqlServer, postgresql_template: str
) -> Iterator[SpareDatabases]:
    """Databases that are as good as new, and what the schema of such a one is."""
    spare = SpareDatabases(fingerprint(postgresql_server.conninfo(postgresql_template)))
    yield spare
    for name in spare.names:
        postgresql_server.drop_database(name)


@pytest.fixture
def migrated_postgresql_url(
    postgresql_server: PostgresqlServer, postgresql_template: str, spare_databases: SpareDatabases
) -> Iterator[str]:
    """URL of a migrated PostgreSQL database without a row."""
    spare = spare_databases.names
    name = spare.pop() if spare else postgresql_server.create_database(template=postgresql_template)
    yield postgresql_server.url(name)
    if emptied(postgresql_server.conninfo(name), spare_databases.fingerprint):
        spare.append(name)
    else:
        postgresql_server.drop_database(name)
