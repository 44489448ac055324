"""Listings and shows over a whole closed lap: JSON is the API's own answer; text says the same in lines."""

import pytest

from services.domain.states import TaskState
from tests.app.cli.conftest import ReadOverHttp

TIMEOUT = "research_synthesis.timeout_seconds"
PAGES = {
    "task list": ("/tasks", {}),
    "task list --type research_synthesis --state failed --kind user --limit 7": (
        "/tasks",
        {"type": "research_synthesis", "state": "failed", "kind": "user", "limit": 7},
    ),
    "task list --kind meta --oldest": ("/tasks", {"kind": "meta", "order": "oldest"}),
    "agent list": ("/agents", {}),
    "proposal list": ("/proposals", {}),
    "proposal list --state promoted": ("/proposals", {"state": "promoted"}),
    "experiment list": ("/experiments", {}),
    "experiment list --state probation --limit 1": ("/experiments", {"state": "probation", "limit": 1}),
    "laps list": ("/laps", {}),
    "ledger list": ("/ledger", {}),
    "ledger list --type BALLOT --lap 1 --oldest": (
        "/ledger",
        {"type": "BALLOT", "lap": 1, "order": "oldest"},
    ),
    "parameter list": ("/parameters", {"limit": 500}),
    "parameter list --limit 3": ("/parameters", {"limit": 3}),
    "dead-letter list": ("/dead-letters", {}),
    "review list --open": ("/review-items", {"open": True}),
}
ITEMS = {
    "agent show 1": "/agents/1",
    "proposal show 1": "/proposals/1",
    "experiment show 1": "/experiments/1",
    "laps show 1": "/laps/1",
    "ledger show 0": "/ledger/0",
    f"parameter show {TIMEOUT}": f"/parameters/{TIMEOUT}",
    "ledger checkpoint": "/ledger/checkpoint",
}


@pytest.mark.parametrize("words", PAGES)
def test_a_listing_as_json_is_the_answer_of_the_api(lap, in_lap, words):
    path, query = PAGES[words]
    assert in_lap(*words.split(), "--json").json == lap.get(path, **query).json()


@pytest.mark.parametrize("words", ITEMS)
def test_a_thing_as_json_is_the_answer_of_the_api(lap, in_lap, words):
    assert in_lap(*words.split(), "--json").json == lap.get(ITEMS[words]).json()


def test_both_engines_answer_as_the_api_does(nacre, market, requester, worker):
    done, failed = market.done(requester, worker), market.done(requester, worker, is_good=False)
    api = ReadOverHttp(market.platform)
    for words, (path, query) in PAGES.items():
        if not words.startswith("parameter"):
            assert nacre(*words.split(), "--json", *api.database).json == api.get(path, **query).json()
    for words, path in (
        (f"task show {done}", f"/tasks/{done}"),
        (f"task show {failed}", f"/tasks/{failed}"),
        (f"agent show {worker}", f"/agents/{worker}"),
        ("ledger checkpoint", "/ledger/checkpoint"),
        (f"parameter show {TIMEOUT}", f"/parameters/{TIMEOUT}"),
    ):
        assert nacre(*words.split(), "--json", *api.database).json == api.get(path).json()


def test_every_kind_of_end_of_a_task_is_shown_as_the_api_does(lap, in_lap):
    for state in (TaskState.SETTLED, TaskState.FAILED):
        found = in_lap("task", "list", "--state", state, "--limit", 2, "--json").json["items"]
        assert found, state
        for item in found:
            shown = in_lap("task", "show", item["task_id"], "--json").json
            assert shown == lap.get(f"/tasks/{item['task_id']}").json()
            assert shown["attempts"]


def without_instant(job):
    """When a job is due next, and whether its role moves it, depends on when one asks."""
    asked_at = ("next_due_at", "effective_priority", "health_reason")
    return {name: value for name, value in job.items() if name not in asked_at}


def test_cron_is_the_api_s_in_two_commands(lap, in_lap):
    told = lap.get("/cron", job="vote_tally", limit=5).json()
    listed = in_lap("cron", "list", "--json").json
    assert [without_instant(job) for job in listed["jobs"]] == [without_instant(job) for job in told["jobs"]]
    assert listed.keys() == told.keys() - {"history"}
    history = in_lap("cron", "history", "--job", "vote_tally", "--limit", 5, "--json").json
    assert history == told["history"]


def test_an_export_is_the_api_s_byte_for_byte(lap, in_lap, tmp_path):
    expected = lap.get("/ledger/export").content
    file = tmp_path / "ledger.ndjson"
    assert in_lap("ledger", "export", "--out", file).code == 0
    assert file.read_bytes() == expected
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []
    assert in_lap("ledger", "export").out.encode() == expected


def test_pages_follow_each_other_without_a_gap(lap, in_lap):
    everything = [entry["index"] for entry in lap.get("/ledger", limit=500).json()["items"]]
    seen, cursor = [], ()
    while True:
        ran = in_lap("ledger", "list", "--limit", 6, *cursor)
        seen += [int(row["index"]) for row in ran.rows]
        if "--cursor" not in ran.err:
            break
        cursor = ("--cursor", ran.err.split()[-1])
    assert seen == everything


def test_a_plain_listing_has_a_line_for_each_item_and_cuts_nothing(lap, in_lap):
    items = lap.get("/tasks", limit=20).json()["items"]
    rows = in_lap("task", "list", "--limit", 20).rows
    assert [int(row["task_id"]) for row in rows] == [item["task_id"] for item in items]
    assert [row["posted_at"] for row in rows] == [item["posted_at"] for item in items]
    first, shown = items[0], rows[0]
    assert shown["end_reason"] == (first["end_reason"] or "-")


def test_every_plain_listing_says_what_its_json_says(in_lap):
    for words in ("agent list", "proposal list", "experiment list", "laps list", "parameter list"):
        items = in_lap(*words.split(), "--json").json["items"]
        rows = in_lap(*words.split()).rows
        assert len(rows) == len(items) > 0
        name = next(iter(rows[0]))
        assert [row[name] for row in rows] == [str(item[name]) for item in items]


def test_a_lap_in_words_shows_seven_stages_and_its_entries(in_lap):
    told = in_lap("laps", "show", 1).out
    lines = told.splitlines()
    stages = [line.split("\t")[:2] for line in lines[lines.index("stages") + 2 :][:7]]
    assert [name for name, _ in stages] == [
        "observe", "diagnose", "propose", "vote", "experiment", "learn", "promote",
    ]  # fmt: skip
    assert {state for _, state in stages} == {"done"}
    assert any("\tPROMOTED\t" in line for line in lines)
    assert "outcome\tpromoted" in lines


def test_a_long_path_is_cut_to_its_end_and_says_so(in_lap):
    told = in_lap("experiment", "show", 1).out
    path = told[told.index("\npath") :].splitlines()[1:]
    assert "the last 20 of" in path[0]
    assert len(path) == 22


def test_a_parameter_shows_where_its_value_comes_from(in_lap):
    item = in_lap("parameter", "show", TIMEOUT, "--json").json
    assert item["source"] == "promoted"
    history = in_lap("parameter", "show", TIMEOUT).out.split("\nhistory\n")[1].splitlines()
    assert len(history) == 1 + len(item["history"])
