"""Fixtures of the layers' tests: a laboratory over either engine."""

import pytest

from tests.plugins.platforms import platform_over
from tests.services.laboratory import Laboratory


@pytest.fixture
def lab(platform):
    """A laboratory with a proposer, six voters and sixty ended research tasks, 60 % of them verified."""
    return Laboratory(platform).set_up()


@pytest.fixture
def lab_with(migrated_database_url, tmp_path):
    """A laboratory whose sandbox starts from other values: `lab_with(ramp_percent="10")`."""
    opened = []

    def make(**sandbox):
        values = {f"sandbox.{name}": value for name, value in sandbox.items()}
        opened.append(platform_over(migrated_database_url, tmp_path, starting_values=values))
        return Laboratory(opened[-1]).set_up()

    yield make
    for platform in opened:
        platform.close()
