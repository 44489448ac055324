"""What the pages make of the read models, before any template: pure functions over the sample's dicts."""

import math

import pytest

from app.web.clockwork import tick_row
from app.web.episodes import episode_words, observed_window
from app.web.evidence_pages import (
    STATE_WORDS,
    drawn_arm,
    drawn_legs,
    experiment_context,
    guardrail_rows,
    holdout_words,
    leg_words,
    placebo_words,
    verdict_words,
    wilson,
)
from app.web.loop_pages import (
    drawn_stages,
    recovery_chart,
    running_lap,
    stage_rows,
    success_rows,
    total_share,
    turning_points,
)
from app.web.market_pages import life_of, parameter_rows
from app.web.record_pages import lap_asked
from app.web.review_pages import commands
from app.web.visits import LARGEST_ID, Visit, next_link, reference, rows
from app.web.vote_pages import proposal_context, silent_units, tally_words
from services.domain.states import ExperimentState
from tests.app.web.sample_market import SampleMarket
from tests.app.web.sample_tasks import at

MARKET = SampleMarket()
RUNNING = SampleMarket(running=True)


def test_a_life_is_told_in_the_order_it_happened():
    life = life_of(MARKET.get_task(None, 11))
    steps = [moment["step"] for moment in life]
    assert steps == [
        "posted",
        "money",
        "bids",
        "award",
        "lease",
        "handoff",
        "verification",
        "money",
        "ended",
        "late",
    ]
    assert [moment["at"] for moment in life] == sorted(moment["at"] for moment in life)
    assert life[0]["after_seconds"] == 0
    assert life[-1]["after_seconds"] == pytest.approx(9)


def test_sealed_bids_leave_no_moment():
    assert [moment["step"] for moment in life_of(MARKET.get_task(None, 4))] == ["posted"]


def test_a_lease_still_running_has_no_end():
    task = MARKET.get_task(None, 11)
    open_attempt = {**task["attempts"][0], "submitted_at": None, "ended_at": None}
    steps = {moment["step"] for moment in life_of({**task, "attempts": [open_attempt]})}
    assert "lease" in steps
    assert not {"handoff", "verification"} & steps


def test_settings_of_a_task_by_name():
    values = parameter_rows(MARKET.task(11)["parameters"])
    assert [row["name"] for row in values] == ["market.cooling", "research_synthesis.timeout_seconds"]
    assert parameter_rows(None) == []


def test_stages_lead_to_what_they_are_about():
    stages = stage_rows(MARKET.get_lap(None, 3))
    assert [stage["href"] for stage in stages] == [
        "/anomalies#episode-6",
        "/tasks/41",
        "/proposals/4",
        "/proposals/4",
        "/experiments/5",
        "/ledger/18",
        "/ledger/19",
    ]
    assert stages[2]["after"] == "19 s"


def test_before_the_first_lap_all_stages_wait():
    assert [stage.state for stage in drawn_stages(None)] == ["waiting"] * 7
    assert len(stage_rows(None)) == 7


def test_an_open_lap_is_shown_before_a_newer_closed_one():
    laps = [
        {"lap_id": 9, "closed_at": at(5)},
        {"lap_id": 8, "closed_at": None},
        {"lap_id": 7, "closed_at": at(1)},
    ]
    assert running_lap(laps)["lap_id"] == 8
    assert running_lap(laps[:1])["lap_id"] == 9
    assert running_lap([]) is None


def test_success_under_the_line_is_marked_and_no_evidence_is_not():
    recent = {"a": {"numerator": 6, "denominator": 10}, "b": {"numerator": 0, "denominator": 0}}
    shown = {row["type"]: row for row in success_rows([], recent, 0.7)}
    assert shown["a"]["is_low"]
    assert shown["b"]["share"] is None
    assert not shown["b"]["is_low"]
    assert total_share(recent) == (0.6, 6, 10)
    assert total_share({}) == (None, 0, 0)


def test_an_episode_in_words():
    assert (
        episode_words(MARKET.episode())
        == "task success of research_synthesis was 65.1 % (41 of 63), usually 93.0 %"
    )
    assert "usually" not in episode_words({**MARKET.episode(), "baseline_rate": None, "expected": None})
    by_line = {**MARKET.episode(), "baseline_rate": None, "expected": 0.7}
    assert episode_words(by_line).endswith("(41 of 63), the line is 70.0 %")
    assert episode_words({**by_line, "rule": "baseline"}).endswith(", expected 70.0 %")
    assert observed_window(MARKET.episode()) == (at(0), at(31))
    assert observed_window({**MARKET.episode(), "evidence": {}}) == (None, None)


def test_a_lap_turns_at_anomaly_experiment_and_promotion():
    assert [name for _, name in turning_points(MARKET.get_lap(None, 3))] == [
        "anomaly",
        "experiment",
        "promoted",
    ]
    assert [name for _, name in turning_points(RUNNING.get_lap(None, 3))] == ["anomaly", "experiment"]


def test_recovery_shows_the_time_of_the_lap_only():
    lap = MARKET.get_lap(None, 3)
    snapshots = rows(MARKET.list_snapshots(None, key="research_synthesis", limit=200))
    assert "promoted" in recovery_chart(lap, snapshots, 0.7)
    assert recovery_chart(lap, [{**snapshots[0], "window_end": at(9e6)}], 0.7) is None
    assert recovery_chart(lap, [], 0.7) is None


@pytest.mark.parametrize(
    ("successes", "resolved", "interval"),
    [(8, 10, (0.4902, 0.9433)), (0, 10, (0.0, 0.2775)), (10, 10, (0.7225, 1.0)), (0, 0, (0.0, 1.0))],
)
def test_the_wilson_interval_has_its_textbook_values(successes, resolved, interval):
    assert wilson(successes, resolved) == pytest.approx(interval, abs=1e-4)


def test_an_arm_keeps_its_counts():
    arm = drawn_arm("new: 1.8", {"successes": 8, "resolved": 10})
    assert (arm.successes, arm.resolved) == (8, 10)
    assert arm.lower < 0.8 < arm.upper


@pytest.mark.parametrize(
    ("verdict", "word"),
    [
        ("win", "better"),
        ("loss", "worse"),
        ("inconclusive", "neither better nor worse"),
        ("invalid", "Nothing can be concluded"),
    ],
)
def test_every_verdict_of_a_leg_has_its_words(verdict, word):
    trial = MARKET.get_experiment(None, 5)["trial"]
    words = leg_words({**trial, "verdict": verdict, "reason": "cap reached"}, "task_success")
    assert word in words
    assert ("cap reached" in words) == (verdict != "win")
    assert f"after {trial['units']} tasks" in words
    assert "+27.2 pts" in words


def test_every_state_of_an_experiment_has_its_words():
    assert set(STATE_WORDS) == set(ExperimentState)
    sample = MARKET.get_experiment(None, 5)
    said = {verdict_words({**sample, "state": state}) for state in ExperimentState}
    assert len(said) == len(ExperimentState)


def test_a_placebo_that_wins_is_called_a_false_win():
    placebo = MARKET.list_experiments(None, kind="placebo")["items"][0]
    assert "should not win" in verdict_words(placebo)
    assert "false win" in verdict_words({**placebo, "verdict": "win"})


def test_an_effect_on_ranks_is_not_called_success():
    trial = MARKET.get_experiment(None, 5)["trial"]
    words = leg_words(trial, "task_cost")
    assert "beats an untreated one with a chance of 77.2 % (54.1 % to 98.8 %; 50 % is no difference)" in words
    assert "Success" not in words


def test_a_running_leg_says_where_it_stands():
    running = RUNNING.get_experiment(None, 5)
    words = leg_words(running["trial"], "task_success")
    assert words.startswith("E = ")
    assert words.endswith("the line is 20.")


def test_wealth_beyond_doubles_is_still_words():
    trial = {**MARKET.get_experiment(None, 5)["trial"], "log_e": 5000.0}
    assert leg_words(trial, "task_success")


def test_a_guardrail_is_harmed_proved_or_neither():
    leg = MARKET.get_experiment(None, 5)["probation"]
    harmed = {**leg["guardrails"][0], "harm_e": 21.0}
    stands = [row["stands"] for row in guardrail_rows({**leg, "guardrails": [*leg["guardrails"], harmed]})]
    assert stands == ["no harm shown", "proved not worse", "harm shown"]


def test_both_legs_are_drawn_with_their_own_lines_and_the_ramp():
    trial, probation = drawn_legs(MARKET.get_experiment(None, 5))
    assert (trial.name, probation.name) == ("trial", "probation")
    assert (trial.ramp_tasks, probation.ramp_tasks, probation.is_shaded) == (10, 0, True)
    assert probation.threshold_log_e > trial.threshold_log_e
    (ramping,) = drawn_legs(RUNNING.get_experiment(None, 5))
    assert ramping.ramp_tasks == len(ramping.path) == 21


def test_the_holdout_says_whether_no_change_at_all_is_possible():
    holdout = MARKET.sandbox_state(None, None)["holdout"]
    assert "gained 17.0 pts" in holdout_words(holdout)
    assert "no change" not in holdout_words(holdout)
    open_yet = holdout_words({**holdout, "lower": -0.1})
    assert "no change shown yet (+17.0 pts of success, −10.0 pts to +28.1 pts)" in open_yet
    assert "gained" not in open_yet
    lost = holdout_words({**holdout, "difference": -0.05, "lower": -0.2, "upper": -0.01})
    assert "lost 5.0 pts" in lost
    assert "nothing to compare" in holdout_words({**holdout, "difference": None})


def test_the_rate_of_placebos_comes_with_its_interval():
    placebos = MARKET.sandbox_state(None, None)["placebos"]
    assert placebo_words(placebos, 0.05).startswith("2 of 40 placebos won: 5.0 %, with 95 % confidence")
    assert placebo_words({**placebos, "ended": 1}, 0.05) == "No placebo has ended yet."


def test_tasks_that_are_not_folded_are_not_drawn():
    experiment = MARKET.get_experiment(None, 5)
    waiting = {
        "ordinal": 999, "log_e": None, "arm": 1, "outcome": None, "share": 0.85, "leg": "probation",
    }  # fmt: skip
    drawn = experiment_context({**experiment, "path": [*experiment["path"], waiting]})["wealth_chart"]
    assert f"probation: {experiment['probation']['units']} tasks folded" in drawn


def test_who_has_not_voted_is_named():
    context = proposal_context(MARKET.get_proposal(None, 4), {7: "wren"})
    assert context["silent"] == [{"unit": "agent:7", "agents": [7]}]


def test_an_owner_is_silent_once_with_all_its_agents():
    electors = [{"agent_id": n, "unit": f"owner:{'acme' if n < 3 else 'bolt'}"} for n in (1, 2, 3, 4)]
    ballots = [{"unit": "owner:bolt"}]
    silent = silent_units({"electors": electors, "ballots": ballots})
    assert silent == [{"unit": "owner:acme", "agents": [1, 2]}]


@pytest.mark.parametrize(
    ("state", "cast", "needed", "said"),
    [
        ("open", (1, 1, 0, 6), (4, 2), "2 for would carry it if the vote closed now, 4 whatever the silent"),
        ("open", (0, 3, 0, 7), (None, 4), "4 for would carry it if the vote closed now."),
        ("open", (0, 3, 0, 5), (None, None), "can no longer be carried"),
        ("passed", (4, 1, 0, 6), (4, 2), "of 5 cast, 3 had to be for"),
    ],
)
def test_the_tally_in_words_counts_as_the_rule_does(state, cast, needed, said):
    yes, no, abstain, electorate = cast
    counts = {"yes": yes, "no": no, "abstain": abstain, "electorate": electorate, "state": state}
    rules = {"threshold_percent": 51, "minimum_ballots": 3}
    need = dict(zip(("early", "at_close"), needed, strict=True))
    assert said in tally_words({**counts, "rules": rules, "need": need})


def test_a_pending_review_names_the_commands_bound_to_its_hash():
    review = SampleMarket(running=True).get_review(None, 4)
    approve, refuse = commands(review)
    assert approve == f"nacre review approve 4 --shown {'5e' * 32} --reviewer NAME --reason WHY"
    assert refuse.startswith("nacre review refuse 4 --shown ")
    assert commands(MARKET.get_review(None, 4)) == []


def test_a_tick_knows_how_late_and_how_long_it_was():
    tick = tick_row({"due_at": at(0), "started_at": at(1.5), "ended_at": at(2)})
    assert (tick["late"], tick["took"]) == ("1.5 s", "0.5 s")
    assert tick_row({"due_at": at(0), "started_at": at(0), "ended_at": None})["took"] == "–"


@pytest.mark.parametrize(
    ("text", "lap"),
    [("3", 3), ("", None), (None, None), ("-1", None), ("²", None), ("9" * 19, None), ("x", None)],
)
def test_only_a_number_asks_for_a_lap(text, lap):
    assert lap_asked(text) == lap


def test_the_next_page_keeps_the_filters():
    visit = Visit(None, MARKET, None, MARKET, "/market", {}, {"state": "failed", "cursor": "old"})
    assert next_link(visit, {"next_cursor": "a/b"}) == "/market?state=failed&cursor=a%2Fb"
    assert next_link(visit, {"next_cursor": None}) is None


def test_an_id_beyond_any_database_is_no_id():
    assert Visit(None, MARKET, None, MARKET, path={"id": LARGEST_ID + 1}).identity() is None
    assert Visit(None, MARKET, None, MARKET, path={"id": LARGEST_ID}).identity() == LARGEST_ID


def test_a_reference_to_an_unknown_kind_leads_nowhere():
    assert reference({"kind": "dragon", "id": 1}) is None
    assert reference(None) is None
    assert reference({"kind": "parameter", "id": "a/../b?c"}) == "/parameters/a%2F..%2Fb%3Fc"


def test_sample_wealth_ends_at_the_line():
    experiment = MARKET.get_experiment(None, 5)
    trial = [point for point in experiment["path"] if point["leg"] == "trial"]
    assert experiment["log_e"] >= math.log(20) > trial[-2]["log_e"]
