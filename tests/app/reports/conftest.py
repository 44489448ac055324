"""Two ledgers for reports: one with every kind of end of an experiment, one of a whole lap that closed."""

import shutil
from dataclasses import dataclass

import pytest

from app.keys import CheckpointSigner
from app.reports import source
from app.simulation.world import World
from services import evolution_ledger
from services.domain.clock import VirtualClock
from services.domain.report_model import LedgerRecord
from services.store.tx import Store
from tests.plugins.databases import url_of_file


@dataclass(frozen=True)
class Kept:
    """The store, its record, the lines of its export, and the experiments by how they ended."""

    store: Store
    record: LedgerRecord
    lines: list
    ids: dict


def kept_of(store, folder, ids):
    with store.read() as tx:
        record = source.of_database(tx)
        lines = list(evolution_ledger.export_lines(tx, CheckpointSigner.from_directory(folder)))
    return Kept(store, record, lines, ids)


@pytest.fixture(scope="session")
def kept(kept_history):
    store = Store(kept_history.url, VirtualClock())
    yield kept_of(store, kept_history.folder, kept_history.ids)
    store.close()


@pytest.fixture(scope="session")
def turned(sqlite_template, tmp_path_factory):
    """A lap that closed with a promotion; the platform's clock stands at its end."""
    folder = tmp_path_factory.mktemp("reported-lap")
    shutil.copyfile(sqlite_template, folder / "lap.db")
    world = World(url_of_file(folder / "lap.db"), folder)
    assert world.run_lap() == "promoted"
    yield kept_of(world.platform.store, folder, {"lap": 1})
    world.close()
