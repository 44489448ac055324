"""Fixtures of the layers' tests: a laboratory over either engine."""

import pytest

from tests.services.laboratory import Laboratory


@pytest.fixture
def lab(platform):
    """A laboratory with a proposer, six voters and sixty ended research tasks, 60 % of them verified."""
    return Laboratory(platform).set_up()
