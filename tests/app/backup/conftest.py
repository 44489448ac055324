"""Lived-in platforms to back up, and empty databases to restore into, on either engine."""

import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.backup import making, restoring
from app.backup.restoring import Terms
from app.simulation.world import World
from services.domain.clock import WallClock
from services.store import tables
from services.store.tx import Store
from tests.plugins.databases import ENGINES, url_of_file
from tests.services.laboratory import Laboratory

SEED = 5


def file_of(url):
    """Return the file of an SQLite URL, None for PostgreSQL."""
    return Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite") else None


@contextmanager
def opened(url):
    store = Store(url, WallClock())
    try:
        yield store
    finally:
        store.close()


def backed_up(url, path, var_directory=Path("/nonexistent"), **how):
    with opened(url) as store:
        return making.make(store, path, var_directory, **how)


def restored(path, url, **terms):
    return restoring.restore(path, url, file_of(url), Terms(**terms))


def everything(url):
    """Return every row of every table, as the platform reads it."""
    found = {}
    with opened(url) as store, store.read() as tx:
        for table in tables.metadata.sorted_tables:
            rows = tx.connection.execute(table.select()).mappings()
            found[table.name] = sorted((dict(row) for row in rows), key=repr)
    return found


@pytest.fixture(params=ENGINES)
def empty_url(request):
    """URL of an empty database to restore into; the test runs once per engine."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def lab(platform):
    """A laboratory with a proposer, six voters and sixty ended research tasks."""
    return Laboratory(platform).set_up()


@pytest.fixture(scope="module", params=ENGINES)
def lived_in(request, tmp_path_factory):
    """URL of a platform whose first lap has closed and whose tasks go on; shared, so tests only read it."""
    folder = tmp_path_factory.mktemp("lived_in")
    name = None
    if request.param == "sqlite":
        shutil.copyfile(request.getfixturevalue("sqlite_template"), folder / "nacre.db")
        url = url_of_file(folder / "nacre.db")
    else:
        server = request.getfixturevalue("postgresql_server")
        name = server.create_database(template=request.getfixturevalue("postgresql_template"))
        url = server.url(name)
    made = World(url, folder, seed=SEED)
    print(f"world of seed {made.seed}")
    made.run_lap(at_most_seconds=60)
    made.run(until=lambda _: False, at_most_seconds=2)
    made.close()
    yield url
    if name is not None:
        server.drop_database(name)
