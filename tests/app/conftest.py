"""A sandbox with a history, shared by the tests of commands, pages and the API: read it, or take a copy."""

import pytest

from tests.app.sandbox_history import make_history


@pytest.fixture(scope="session")
def kept_history(sqlite_template, tmp_path_factory):
    """Experiments by how they ended; for tests that only read."""
    return make_history(sqlite_template, tmp_path_factory.mktemp("history"))


@pytest.fixture
def history(kept_history, tmp_path):
    """The same in a folder of the test's own, to write to."""
    return kept_history.copy_to(tmp_path)
