"""Worlds for the tests of the loop: opened on demand, closed at the end, their seed printed for a failure."""

import shutil
from contextlib import contextmanager

import pytest

from app.simulation.world import World
from tests.plugins.databases import url_of_file

SEED = 5
ENGINES = ("sqlite", "postgresql")


@pytest.fixture
def open_world(migrated_sqlite_url, tmp_path):
    """Return a function that opens a world over a fresh SQLite database (a new one at each call)."""
    opened = []

    def open_one(**changes):
        folder = tmp_path / f"world_{len(opened)}"
        folder.mkdir()
        shutil.copyfile(tmp_path / "nacre-migrated.db", folder / "nacre.db")
        made = World(url_of_file(folder / "nacre.db"), folder, **{"seed": SEED, **changes})
        print(f"world of seed {made.seed}, {made.latency.__name__} source")
        opened.append(made)
        return made

    yield open_one
    for made in opened:
        made.close()


@contextmanager
def fresh_database(request, engine, folder):
    """Yield the URL of a fresh, migrated database that may live longer than one test."""
    if engine == "sqlite":
        shutil.copyfile(request.getfixturevalue("sqlite_template"), folder / "nacre.db")
        yield url_of_file(folder / "nacre.db")
        return
    server = request.getfixturevalue("postgresql_server")
    name = server.create_database(template=request.getfixturevalue("postgresql_template"))
    yield server.url(name)
    server.drop_database(name)


@pytest.fixture(scope="module", params=ENGINES)
def closed(request, tmp_path_factory):
    """A world whose first lap has closed and whose later tasks have run; shared, so tests only read it."""
    folder = tmp_path_factory.mktemp("closed")
    with fresh_database(request, request.param, folder) as url:
        made = World(url, folder, seed=SEED)
        print(f"world of seed {made.seed}")
        made.run_lap(at_most_seconds=60)
        made.run(until=lambda _: False, at_most_seconds=2)
        yield made
        made.close()
