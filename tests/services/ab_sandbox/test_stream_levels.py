"""Levels of the stream: fixed at the start from what was confirmed by then, written down, never changed."""

import pytest

from services.domain.stream import StreamRule, gamma, next_level
from services.store import tables
from tests.services.laboratory import TIMEOUT, TYPE


def level(lab, experiment_id):
    """Return (level stored, level in the ledger, position, rule)."""
    row = lab.experiment(experiment_id)
    entry = next(
        found for found in lab.payloads("EXPERIMENT_STARTED") if found["experiment_id"] == experiment_id
    )
    assert entry["confirm_alpha"] == repr(row["confirm_alpha"])
    assert entry["stream_position"] == row["stream_position"]
    return row["confirm_alpha"], row["stream_position"], entry["stream_rule"]


def test_the_first_level_is_half_of_alpha_times_gamma(lab):
    assert level(lab, lab.running()) == (pytest.approx(0.025 * gamma(1)), 1, "lord")


@pytest.mark.parametrize("is_confirmed", [True, False])
def test_a_confirmation_raises_the_level_of_the_next_experiment(lab, is_confirmed):
    if is_confirmed:
        lab.confirmed()
    else:
        lab.run_experiment(lab.running(), rates=(0.9, 0.2))
        lab.deliver()
    found, position, rule = level(lab, lab.running(**lab.other_type()))
    without, after = 0.025 * gamma(2), 0.025 * gamma(2) + 0.025 * gamma(1)
    assert (position, rule) == (2, "lord")
    assert found == pytest.approx(after if is_confirmed else without)
    assert after > 1.5 * without
    assert lab.audit().ok, lab.audit().reason


def test_a_win_that_was_taken_back_raises_nothing(lab_with):
    lab = lab_with(probation_tasks="100")
    experiment = lab.promoted(expected_effect="0.39")
    lab.run_experiment(experiment["id"], rates=(0.6, 0.6), at_most=150)
    lab.deliver()
    assert lab.experiment(experiment["id"])["state"] == "rolled_back"
    second = lab.running(**lab.other_type(), expected_effect="0.39")
    assert level(lab, second)[0] == pytest.approx(0.025 * gamma(2))


def test_a_level_depends_on_what_was_known_at_the_start_and_never_changes(lab):
    first = lab.promoted()["id"]
    second = lab.running(**lab.other_type())
    before = level(lab, second)
    assert before[0] == pytest.approx(0.025 * gamma(2)), "the first is not confirmed yet"
    lab.run_experiment(first, at_most=1000, batch=50)
    lab.deliver()
    assert lab.experiment(first)["known_after"] == 2
    assert level(lab, second) == before
    parameter = lab.experiment(second)["parameter"]
    lab.run_experiment(second, type_="monte_carlo", parameter=parameter)
    lab.deliver()
    assert lab.probation(second)["plan"]["alpha"] == repr(before[0])
    third, position, _ = level(lab, lab.running(**lab.other_type("ml_training")))
    assert (third, position) == (pytest.approx(next_level(StreamRule.LORD, 0.05, 3, [2])), 3)
    assert lab.audit().ok, lab.audit().reason


def test_dependent_experiments_get_the_levels_of_e_lond(lab_with):
    lab = lab_with(dependence="1")
    first = lab.confirmed()
    assert level(lab, first["id"]) == (pytest.approx(0.05 * gamma(1)), 1, "e_lond")
    found, _, rule = level(lab, lab.running(**lab.other_type()))
    assert (found, rule) == (pytest.approx(0.05 * gamma(2) * 2), "e_lond")
    assert lab.audit().ok, lab.audit().reason


def test_a_level_is_what_confirmation_needs_and_twenty_is_not_enough(lab):
    """E = 1/alpha makes a win provisional; confirming takes 1/α_j."""
    experiment = lab.promoted()
    assert lab.value(TIMEOUT).source == "promoted"
    assert lab.bet(experiment["id"]).e_log >= 2.99
    lab.evaluate()
    assert lab.experiment(experiment["id"])["state"] == "probation"
    assert lab.rows(tables.task, type=TYPE, state="awarded") == []
