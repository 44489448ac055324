"""Fixtures of the proofs: two fresh databases of one engine."""

import shutil

import pytest

from tests.plugins.databases import ENGINES, url_of_file


@pytest.fixture(params=ENGINES)
def migrated_pair(request, tmp_path):
    """URLs of two fresh databases with every migration applied; the test runs once per engine."""
    if request.param == "sqlite":
        template = request.getfixturevalue("sqlite_template")
        files = [tmp_path / f"run-{number}.db" for number in range(2)]
        for file in files:
            shutil.copyfile(template, file)
        yield [url_of_file(file) for file in files]
        return
    server = request.getfixturevalue("postgresql_server")
    template = request.getfixturevalue("postgresql_template")
    names = [server.create_database(template=template) for _ in range(2)]
    yield [server.url(name) for name in names]
    for name in names:
        server.drop_database(name)
