"""The `nacre` command run as a user would, and a whole closed lap for it to read, on both engines."""

import json
import shutil
from dataclasses import dataclass

import pytest
from starlette.testclient import TestClient

from app.api.application import build_api
from app.bootstrap import open_platform
from app.cli import main
from app.keys import OPERATOR_KEY_FILE
from app.settings import Settings
from tests.plugins.databases import url_of_file
from tests.simulation.world import World

ENVIRONMENT = (
    "NACRE_DATABASE_URL",
    "NACRE_HOST",
    "NACRE_PORT",
    "NACRE_PROFILE",
    "NACRE_OPERATOR_KEY",
    "NACRE_DOCUMENT_ORIGINS",
    "NACRE_DOCUMENT_ROOT",
)


@dataclass(frozen=True)
class Ran:
    """What came of one call."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        assert self.code == 0, self.err
        return json.loads(self.out)

    @property
    def rows(self):
        """The plain table as dicts."""
        header, *lines = self.out.splitlines()
        return [dict(zip(header.split("\t"), line.split("\t"), strict=True)) for line in lines]


@pytest.fixture
def nacre(monkeypatch, capfd, tmp_path):
    """Return a function that runs `nacre` with these words and returns what came of it."""
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NACRE_VAR", str(tmp_path))

    def run(*words):
        capfd.readouterr()
        code = main([str(word) for word in words])
        return Ran(code, *capfd.readouterr())

    return run


@pytest.fixture
def database(migrated_database_url):
    """The option that names a fresh, migrated database; the test runs once per engine."""
    return "--database", migrated_database_url


@pytest.fixture
def sqlite_database(migrated_sqlite_url):
    """The same on SQLite only, for what does not depend on the engine."""
    return "--database", migrated_sqlite_url


@pytest.fixture
def opened():
    """Return a function that opens the platform over a database, to look behind the command."""
    platforms = []

    def open_one(database, folder):
        platform = open_platform(Settings(database[1], var_directory=folder), is_migrated=True)
        platforms.append(platform)
        return platform

    yield open_one
    for platform in platforms:
        platform.close()


class ClosedLap:
    """A world whose lap has closed, the API over it, and the words that name its database."""

    def __init__(self, world):
        self.world = world
        self.database = ("--database", world.url)
        self.client = TestClient(build_api(world.platform))
        key = (world.folder / OPERATOR_KEY_FILE).read_text()
        self.headers = {"Authorization": f"Bearer {key}"}

    def get(self, path, **query):
        answer = self.client.get(f"/api/v1{path}", params=query, headers=self.headers)
        assert answer.status_code == 200, answer.text
        return answer


@pytest.fixture(scope="session")
def sqlite_lap(sqlite_template, tmp_path_factory):
    """A closed lap on SQLite that tests only read."""
    folder = tmp_path_factory.mktemp("lap_sqlite")
    shutil.copyfile(sqlite_template, folder / "lap.db")
    yield from closed_lap(url_of_file(folder / "lap.db"), folder)


@pytest.fixture(scope="session")
def postgresql_lap(postgresql_server, postgresql_template, tmp_path_factory):
    """A closed lap on PostgreSQL that tests only read."""
    name = postgresql_server.create_database(template=postgresql_template)
    yield from closed_lap(postgresql_server.url(name), tmp_path_factory.mktemp("lap_postgresql"))
    postgresql_server.drop_database(name)


def closed_lap(url, folder):
    world = World(url, folder, seed=5)
    assert world.run_lap() == "promoted", "seed 5"
    yield ClosedLap(world)
    world.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def lap(request):
    """A closed lap that tests only read, once per engine."""
    return request.getfixturevalue(f"{request.param}_lap")


@pytest.fixture
def in_lap(lap, monkeypatch, nacre):
    """Run `nacre` on the closed lap, in the profile it ran under."""
    monkeypatch.setenv("NACRE_VAR", str(lap.world.folder))
    monkeypatch.setenv("NACRE_PROFILE", "demonstration")
    return lambda *words: nacre(*words, *lap.database)
