"""Two weeks of work, a night, and a diagnosis with and without what it left: how much shorter the way is."""

import random

import pytest

from app.agents.diagnosis import Draft
from app.simulation.nights import DIALS, LIMIT, WORLDS, true_rate
from app.simulation.recollection import HORIZON_TASKS, compare, is_right
from tests.benchmarks.observatory.dreaming import interval, rows_of
from tests.plugins.databases import url_of_file


@pytest.fixture
def ways(migrated_sqlite_url, tmp_path):
    """Return a function that gives the ways without and with memory in one world."""
    return lambda name: compare(WORLDS[name], 3, url_of_file(tmp_path / "nacre-migrated.db"), tmp_path)


def test_memory_finds_the_dial_where_the_limit_is_blamed_without(ways):
    without, remembering = ways("hang")
    assert not without.is_found
    assert without.wrong > 1
    assert without.trial_tasks > 0
    assert (remembering.is_found, remembering.wrong, remembering.tasks) == (True, 0, 60)


def test_memory_tells_the_harmful_dial_from_the_harmless(ways):
    without, remembering = ways("several")
    assert (without.is_found, without.tasks) == (False, HORIZON_TASKS)
    assert (remembering.is_found, remembering.wrong) == (True, 0)


def test_what_nothing_cures_is_left_alone_when_it_is_remembered(ways):
    without, remembering = ways("incurable")
    assert without.wrong > 1
    assert (remembering.is_found, remembering.wrong, remembering.trial_tasks) == (False, 0, 0)


def test_one_seed_is_one_story(ways, tmp_path, sqlite_template):
    first = ways("coincidence")
    (tmp_path / "nacre-migrated.db").write_bytes(sqlite_template.read_bytes())
    assert ways("coincidence") == first


def draft(parameter, to):
    return Draft(parameter, "1", str(to), "0.1", "", (1,), 200, 7)


@pytest.mark.parametrize(
    ("world", "parameter", "to", "is_cure"),
    [
        ("hang", DIALS[1], 1.0, True),
        ("hang", DIALS[1], 4.0, False),
        ("hang", LIMIT, 4.0, False),
        ("late", LIMIT, 3.0, True),
        ("late", LIMIT, 2.1, False),
        ("incurable", LIMIT, 4.0, False),
    ],
)
def test_what_is_right_follows_from_the_truth(world, parameter, to, is_cure):
    assert is_right(WORLDS[world], draft(parameter, to)) is is_cure


def test_the_truth_is_as_the_worlds_say():
    hang = WORLDS["hang"]
    assert true_rate(hang, hang.today) == pytest.approx(0.65 * 0.97, abs=0.02)
    assert true_rate(hang, {**hang.today, DIALS[1]: 1.0}) == pytest.approx(0.97 * 0.97, abs=0.02)


def test_the_figures_say_what_the_pairs_say(ways):
    rows = rows_of(WORLDS["hang"], [ways("hang")])
    assert rows[0].value == 60
    assert rows[0].is_reached
    draws = random.Random(4)
    low, high = interval([draws.gauss(1.0, 0.5) for _ in range(100)])
    assert 0.8 < low < 1.0 < high < 1.2
