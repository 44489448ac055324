"""The table of scenarios: what each declares to be true is what its ideas are."""

import random
from itertools import islice

import pytest

from app.simulation.environment import expit, logit
from app.simulation.scenarios import (
    LAPS,
    SCENARIOS,
    STREAM_GAIN_LOG_ODDS,
    harmful,
    one_in_ten,
    spread,
    useless,
)
from app.simulation.task_types import made_up_types
from services.domain.parameters import PLATFORM_PARAMETERS
from services.meta_task_market import awards


def drawn(ideas, count=4_000):
    return list(islice(ideas(random.Random(5), SCENARIOS["stream"].bases), count))


def test_useless_ideas_claim_something_and_do_nothing():
    found = drawn(useless)
    assert {idea.log_odds for idea in found} == {0.0}
    assert all(0.05 <= idea.effect <= 0.20 for idea in found)


def test_one_in_ten_ideas_is_truly_better():
    better = [idea for idea in drawn(one_in_ten) if idea.log_odds]
    low, high = STREAM_GAIN_LOG_ODDS
    assert len(better) / 4_000 == pytest.approx(0.10, abs=0.015)
    assert all(low <= idea.log_odds <= high for idea in better)


def test_harmful_ideas_take_success_from_90_to_75_per_cent():
    assert {round(expit(logit(0.9) + idea.log_odds), 9) for idea in drawn(harmful, 50)} == {0.75}


def test_baselines_are_spread_evenly():
    assert spread(0.6, 0.9, 3) == (0.65, 0.75, 0.85)


def test_small_runs_have_no_more_kinds_of_work_than_proposals():
    stream = SCENARIOS["stream"]
    assert [len(stream.with_count(count).bases) for count in (None, 1, 5, 500)] == [20, 1, 5, 20]
    assert stream.with_count(5).count == 5


@pytest.mark.parametrize("name", SCENARIOS)
def test_starting_values_are_parameters_that_there_are(name):
    scenario = SCENARIOS[name]
    known = {parameter.name for parameter in PLATFORM_PARAMETERS}
    assert set(scenario.starting_values) <= known
    declared = {spec.suffix for kind in made_up_types(1).values() for spec in kind.parameters}
    assert set(scenario.suffixes) <= declared
    assert (scenario.counted == LAPS) == (name == "null")


@pytest.mark.parametrize("name", SCENARIOS)
def test_traffic_of_a_step_fits_into_one_round_of_awards(name):
    scenario = SCENARIOS[name]
    assert len(scenario.bases) * scenario.tasks_per_step <= awards.BATCH
