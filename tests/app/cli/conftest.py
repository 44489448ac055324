"""The `nacre` command run as a user would, and a whole closed lap for it to read."""

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
from app.simulation.world import World
from tests.plugins.databases import url_of_file

ENVIRONMENT = (
    "NACRE_DATABASE_URL",
    "NACRE_HOST",
    "NACRE_PORT",
    "NACRE_PROFILE",
    "NACRE_OPERATOR_KEY",
    "NACRE_DOCUMENT_ORIGINS",
    "NACRE_DOCUMENT_ROOT",
    "NACRE_PARAMETERS",
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


class ReadOverHttp:
    """What the API answers about a platform's database, and the words that name it to `nacre`."""

    def __init__(self, platform):
        self.folder = platform.settings.var_directory
        self.database = ("--database", platform.settings.database_url)
        self.client = TestClient(build_api(platform))
        key = platform.settings.operator_key or (self.folder / OPERATOR_KEY_FILE).read_text()
        self.headers = {"Authorization": f"Bearer {key}"}

    def get(self, path, **query):
        answer = self.client.get(f"/api/v1{path}", params=query, headers=self.headers)
        assert answer.status_code == 200, answer.text
        return answer


@pytest.fixture(scope="session")
def lap(sqlite_template, tmp_path_factory):
    """A whole closed lap that tests only read."""
    folder = tmp_path_factory.mktemp("lap")
    shutil.copyfile(sqlite_template, folder / "lap.db")
    world = World(url_of_file(folder / "lap.db"), folder, seed=5)
    assert world.run_lap() == "promoted", "seed 5"
    yield ReadOverHttp(world.platform)
    world.close()


@pytest.fixture
def in_lap(lap, monkeypatch, nacre):
    """Run `nacre` on the closed lap, in the profile it ran under."""
    monkeypatch.setenv("NACRE_VAR", str(lap.folder))
    monkeypatch.setenv("NACRE_PROFILE", "demonstration")
    return lambda *words: nacre(*words, *lap.database)
