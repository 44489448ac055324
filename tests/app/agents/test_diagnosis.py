"""The diagnosis on planted worlds: it finds what was planted, and nothing where nothing was."""

from dataclasses import replace

import pytest

from app.agents.diagnosis import (
    Knowledge,
    Question,
    cap_for,
    diagnose,
    promised_effect,
    tasks_needed,
)
from app.agents.evidence import Attempted, attempted_of
from app.agents.excess import Dimension, excess_cells
from tests.app.agents.planted import (
    LIMIT,
    fact,
    healthy,
    heavy_tailed,
    limit_parameter,
    refused,
    stuck,
    timed_out,
)

OTHER = replace(limit_parameter(), name="easy_work.timeout_seconds")


def known(facts, *parameters, attempted=()) -> Knowledge:
    return Knowledge(facts, parameters or (OTHER, limit_parameter()), attempted)


def test_a_heavy_tail_leads_to_more_time_for_that_type():
    facts = heavy_tailed() + healthy(1000)
    draft = diagnose(known(facts), Question()).draft
    assert draft is not None
    assert draft.parameter == LIMIT
    assert draft.current == "2"
    assert 2.0 < float(draft.to) <= 4.0
    cut_off = sum(one.end_reason == "timed_out" for one in facts)
    assert 0.05 <= float(draft.expected_effect) < cut_off / 240
    by_id = {one.task_id: one for one in facts}
    assert {(by_id[i].type, by_id[i].end_reason) for i in draft.evidence} == {("slow_work", "timed_out")}
    assert len(draft.evidence) == min(100, cut_off)
    assert str(cut_off) in draft.root_cause
    assert "2 s" in draft.root_cause


@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
def test_what_it_proposes_follows_the_scale_of_the_data(scale):
    limit = limit_parameter(2.0 * scale, low=0.0001, high=1e6)
    draft = diagnose(known(heavy_tailed(limit=2.0 * scale) + healthy(1000), limit), Question()).draft
    base = diagnose(known(heavy_tailed() + healthy(1000)), Question()).draft
    assert float(draft.to) / scale == pytest.approx(float(base.to), rel=0.01)
    assert draft.expected_effect == base.expected_effect


def test_a_steeper_tail_needs_a_smaller_step():
    gentle = diagnose(known(heavy_tailed(exponent=1.0) + healthy(1000)), Question()).draft
    steep = diagnose(known(heavy_tailed(exponent=6.0) + healthy(1000)), Question()).draft
    assert float(steep.to) < float(gentle.to)
    assert float(steep.expected_effect) > float(gentle.expected_effect)


def test_the_promise_is_kept_by_the_planted_tail():
    facts = heavy_tailed(2000) + healthy(10_000, 800)
    draft = diagnose(known(facts), Question()).draft
    truly_gained = (1 - (2.0 / float(draft.to)) ** 2.5) / 3
    assert float(draft.expected_effect) <= truly_gained
    assert float(draft.expected_effect) >= 0.6 * truly_gained


def test_what_hangs_for_ever_is_not_cured_by_more_time():
    finding = diagnose(known(stuck() + healthy(1000)), Question())
    assert finding.draft is None
    assert "would not help" in finding.summary


def test_a_poor_agent_is_named_and_no_setting_is_touched():
    facts = [refused(i, agent_id=9) if i % 4 == 0 else fact(i, agent_id=i % 4) for i in range(1, 200)]
    finding = diagnose(known(facts + healthy(1000)), Question())
    assert finding.draft is None
    assert "Agent 9" in finding.summary
    assert "route around" in finding.summary


def test_a_slow_agent_is_not_taken_for_a_short_limit():
    facts = [timed_out(i, agent_id=9) if i % 5 == 0 else fact(i, agent_id=i % 5) for i in range(1, 250)]
    finding = diagnose(known(facts + healthy(1000)), Question())
    assert finding.draft is None
    assert "agent 9" in finding.summary.lower()


def test_a_poor_agent_beside_a_heavy_tail_hides_nothing():
    poor = [refused(i, type="easy_work", agent_id=9) for i in range(5000, 5040)]
    finding = diagnose(known(heavy_tailed() + healthy(1000) + poor), Question())
    assert finding.draft is not None
    assert finding.draft.parameter == LIMIT


def test_a_healthy_world_gives_no_pattern():
    finding = diagnose(known(healthy(1) + healthy(1000, kind="slow_work")), Question())
    assert finding.draft is None
    assert "no pattern" in finding.summary


def test_no_tasks_at_all_are_no_pattern():
    assert diagnose(known([]), Question()).draft is None


def test_few_failures_are_used_as_they_are():
    draft = diagnose(known(heavy_tailed(30) + healthy(1000, 30)), Question()).draft
    assert draft is not None
    assert draft.parameter == LIMIT


def test_a_fixed_parameter_is_left_alone():
    finding = diagnose(known(heavy_tailed() + healthy(1000), limit_parameter(risk="fixed")), Question())
    assert finding.draft is None
    assert "no open parameter" in finding.summary


def test_bounds_and_step_are_kept():
    tight = diagnose(known(heavy_tailed() + healthy(1000), limit_parameter(high=2.5)), Question()).draft
    small = diagnose(known(heavy_tailed() + healthy(1000), limit_parameter(step_max=1.3)), Question()).draft
    assert float(tight.to) <= 2.5
    assert float(small.to) <= 2.6
    assert (
        diagnose(known(heavy_tailed() + healthy(1000), limit_parameter(high=2.0)), Question()).draft is None
    )


def test_a_value_that_was_tried_in_vain_is_not_tried_again():
    facts = heavy_tailed() + healthy(1000)
    first = diagnose(known(facts), Question()).draft
    lost = Attempted(LIMIT, float(first.to), "inconclusive")
    second = diagnose(known(facts, attempted=[lost]), Question()).draft
    assert second is None or abs(float(second.to) / float(first.to) - 1) > 0.05
    running = Attempted(LIMIT, float(first.to), None)
    assert diagnose(known(facts, attempted=[running]), Question()).draft == first


def test_an_episode_on_another_type_is_not_explained_by_this_one():
    facts = heavy_tailed() + healthy(1000)
    assert diagnose(known(facts), Question("task_type", "easy_work")).draft is None
    assert diagnose(known(facts), Question("task_type", "slow_work", 0.9)).draft.parameter == LIMIT


def test_the_baseline_lowers_what_is_expected():
    facts = [refused(i) if i % 5 == 0 else fact(i) for i in range(1, 101)]
    cells = excess_cells(facts, baseline_rate=0.98)
    mine = next(cell for cell in cells if cell.dimension is Dimension.TASK_TYPE)
    assert mine.expected == pytest.approx(2.0)
    assert mine.excess == pytest.approx(18.0)


def test_tasks_needed_matches_the_published_bound():
    assert tasks_needed(0.67, 0.27) == pytest.approx(1.3 * 48, rel=0.05)
    with pytest.raises(ValueError, match="rates"):
        tasks_needed(0.9, 0.1)


def test_the_promise_stays_possible():
    assert str(promised_effect(0.2, 0.65, 0.8)) == "0.16"
    assert str(promised_effect(0.055, 0.65, 0.8)) == "0.05"
    assert str(promised_effect(0.5, 0.9, 0.8)) in {"0.08", "0.09"}
    assert promised_effect(0.2, 0.97, 0.8) is None


def test_the_cap_holds_three_times_what_is_needed():
    assert cap_for(0.67, 0.16) == 3 * tasks_needed(0.67, 0.16)
    assert cap_for(0.0, 0.9) == 200
    assert cap_for(0.93, 0.05) <= 20_000


def test_a_win_that_did_not_hold_in_production_counts_as_tried():
    shown = {"parameter": LIMIT, "treatment_value": "3.4", "verdict": "win", "state": "confirmed"}
    assert attempted_of(shown) == Attempted(LIMIT, 3.4, "win")
    assert attempted_of({**shown, "state": "rolled_back"}).verdict == "rolled_back"
    assert attempted_of({**shown, "verdict": None, "state": "running"}).verdict is None
