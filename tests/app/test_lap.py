"""What the lap command decides and says, without running one (real laps run in `make bench`)."""

import io
import sys

import pytest

from app.lap import LapRequest, chosen_lap, document_source, lap_settings, why_not_closed
from app.lap_result import LapResult
from app.lap_screen import LapScreen, arms_text, probation_text, stage_table
from app.main import StartError, free_port
from app.settings import Profile, Settings
from tests.app.web.sample_evidence import wealth
from tests.app.web.sample_experiments import sample_experiment

STAGES = ("observe", "diagnose", "propose", "vote", "experiment", "learn", "promote")


def lap(lap_id, done, *, outcome=None, stage="propose", detail="waits for a proposal"):
    stages = [
        {"name": name, "state": "done" if place < done else "waiting", "at": None, "detail": detail}
        for place, name in enumerate(STAGES)
    ]
    return {
        "lap_id": lap_id,
        "outcome": outcome,
        "closed_at": "2026-01-01T00:00:00.000000Z" if outcome else None,
        "stage": stage,
        "stages": stages,
        "entries": [
            {"index": 3, "type": "ANOMALY", "actor": "[red]x[/red]", "at": "2026-01-01T00:00:01.000000Z"}
        ],
    }


def test_a_promoted_lap_is_shown_before_any_other_and_else_the_one_that_got_furthest():
    assert chosen_lap([]) is None
    assert chosen_lap([lap(3, 1), lap(2, 4), lap(1, 2)])["lap_id"] == 2
    assert chosen_lap([lap(3, 4), lap(2, 7, outcome="promoted")])["lap_id"] == 2
    assert chosen_lap([lap(2, 5, outcome="refused"), lap(1, 5, outcome="refused")])["lap_id"] == 2


@pytest.mark.parametrize(
    ("record", "finding", "said"),
    [
        (None, "", "observe: no anomaly was seen within 9 s; nothing needed changing"),
        (lap(1, 2), "", "propose: waits for a proposal"),
        (lap(1, 2), "more time is no cure", "the investigation says: more time is no cure"),
        (lap(1, 2, outcome="no_proposal"), "", "(the lap ended: no_proposal)"),
    ],
)
def test_a_lap_that_did_not_close_says_where_and_why(record, finding, said):
    assert said in why_not_closed(record, 9.0, finding)


def test_a_lap_has_a_fresh_database_its_profile_and_the_source_as_only_origin(tmp_path):
    chosen = lap_settings(Settings(var_directory=tmp_path, port=0), LapRequest(), "http://127.0.0.1:1")
    assert chosen.database_url.startswith(f"sqlite:///{tmp_path}/laps/lap-")
    assert (chosen.profile, chosen.document_origins) == (Profile.DEMONSTRATION, ("http://127.0.0.1:1",))
    kept = lap_settings(Settings("sqlite:///mine.db"), LapRequest(is_fresh=False), "http://127.0.0.1:1")
    assert kept.database_url == "sqlite:///mine.db"


def test_a_taken_port_is_left_alone():
    first = free_port("127.0.0.1", 0)
    assert first > 0
    with pytest.raises(StartError):
        free_port("203.0.113.1", 0)


def test_the_document_source_is_a_process_that_ends_with_the_lap():
    with document_source(LapRequest(source="fast")) as origin:
        assert origin.startswith("http://127.0.0.1:")
    with (
        pytest.raises(StartError, match="ended before it listened"),
        document_source(LapRequest(source="nonsense")),
    ):
        pass


def shown(lines):
    return [line.rstrip() for line in lines.getvalue().splitlines()]


def test_off_a_terminal_each_stage_is_one_plain_line_and_names_are_no_markup(monkeypatch):
    lines = io.StringIO()
    monkeypatch.setattr(sys, "stdout", lines)
    screen = LapScreen(as_json=False)
    screen.console.file = lines
    with screen:
        for done in (1, 1, 2):
            screen.show(lap(1, done), {"tasks": {}, "recent_success": {}}, None, 1.0)
    told = [line.split()[2] for line in shown(lines)]
    assert told == ["observe", "diagnose"], "a stage is told when it changes, once"
    back = {"parameter": "p", "before": "1", "after": "2", "value": "2", "source": "promoted", "version": 2}
    screen.close(
        LapResult(lap(1, 7, outcome="promoted"), is_closed=True, reason="r", read_back=back, seconds=2)
    )
    said = "\n".join(shown(lines))
    assert "[red]x[/red]" in said
    assert "p: 1 → 2; read back 2 (source promoted, version 2)" in said
    assert "The lap closed after 2 s: r" in said


def test_before_the_first_lap_all_seven_stages_wait():
    assert stage_table(None).row_count == len(STAGES)


def sample(state, *, is_running=False):
    return {**sample_experiment(wealth(), is_running=is_running), "state": state}


def test_the_screen_shows_the_leg_that_counts_now():
    assert arms_text(sample("running", is_running=True)).startswith("trial: control 0.9: ")
    assert "(20 promotes)" in arms_text(sample("running", is_running=True))
    said = arms_text(sample("probation"))
    assert said.startswith("probation: control 0.9: ")
    assert "(746 confirms)" in said


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("probation", "In probation: E = "),
        ("confirmed", "Confirmed: E = "),
        ("rolled_back", "Rolled back: E = "),
    ],
)
def test_what_became_of_a_promotion_is_one_line(state, said):
    line = probation_text({"experiment": sample(state)})
    assert line.startswith(said)
    assert ("deadline" in line) == (state == "probation")
    assert "\n" not in line


def test_a_trial_has_no_line_of_probation():
    assert probation_text(None) is None
    assert probation_text({"experiment": None}) is None
    assert probation_text({"experiment": sample("running", is_running=True)}) is None
    begins = {**sample("provisional"), "probation": None}
    assert probation_text({"experiment": begins}) == "Promoted; its probation is about to begin"


def test_the_result_says_how_the_promotion_stands(capsys):
    back = {"parameter": "p", "before": "1", "after": "2", "value": "2", "source": "promoted", "version": 2}
    result = LapResult(None, True, "promoted and read back", back, 3.0, "In probation: E = 31")
    LapScreen(as_json=False).close(result)
    assert "In probation: E = 31" in capsys.readouterr().out
    assert result.to_payload()["probation"] == "In probation: E = 31"
