"""Histories over fresh databases of either engine, one for each."""

import shutil

from tests.plugins.databases import url_of_file
from tests.proofs.market_machine import run_machine


def run_on_sqlite(template, *, examples, steps):
    """Run histories over copies of a migrated file; return how many steps were taken."""

    def copy(folder):
        path = folder / "nacre.db"
        shutil.copyfile(template, path)
        return url_of_file(path)

    return run_machine(copy, examples=examples, steps=steps)


def run_on_postgresql(server, template, *, examples, steps):
    """Run histories over copies of a migrated database; return how many steps were taken."""
    names = []

    def copy(_folder):
        for name in names:
            server.drop_database(name)
        names[:] = [server.create_database(template=template)]
        return server.url(names[0])

    try:
        return run_machine(copy, examples=examples, steps=steps)
    finally:
        for name in names:
            server.drop_database(name)
