"""`nacre cron`: the table with what is due, and an operator's acts on a job, also without a platform."""

from services.cron_runner import run_asked
from services.domain.states import TickState

JOB = "books_audit"


def listed(nacre, database):
    return {job["job"]: job for job in nacre("cron", "list", "--json", *database).json["jobs"]}


def test_the_list_shows_what_each_job_is_and_when_it_is_due(nacre, database):
    ran = nacre("cron", "list", *database)
    assert ran.code == 0
    assert ran.err.startswith("health: ")
    [row] = [row for row in ran.rows if row["job"] == JOB]
    assert (row["role"], row["misfire"], row["is_paused"]) == ("diagnostic", "run_once", "no")
    assert row["next_due_at"] > "2026"


def test_a_job_is_paused_and_resumed_with_a_reason_in_the_ledger(nacre, database):
    words = (JOB, "--reason", "the disk is full", *database)
    assert nacre("cron", "pause", *words, "--json").json["is_paused"] is True
    assert listed(nacre, database)[JOB]["paused_because"] == "the disk is full"
    again = nacre("cron", "pause", *words)
    assert again.code == 1
    assert "job_paused" in again.err
    assert nacre("cron", "resume", *words, "--json").json["is_paused"] is False
    (entry,) = nacre("ledger", "list", "--limit", 1, "--json", *database).json["items"]
    assert entry["payload"] == {"act": "resume_job", "job": JOB, "reason": "the disk is full"}
    assert entry["actor"] == "operator"


def test_a_run_is_asked_for_and_taken_up_by_another_process(nacre, database, opened, tmp_path):
    assert nacre("cron", "run", JOB, *database).code == 0
    assert nacre("cron", "run", JOB, *database).code == 1, "it has not begun"
    platform = opened(database, tmp_path)
    job = next(job for job in platform.jobs if job.name == JOB)
    assert run_asked(platform.store, platform.context, job, "p2") is TickState.DONE
    (tick,) = nacre("cron", "history", "--json", *database).json["items"]
    assert (tick["trigger"], tick["state"], tick["claimed_by"]) == ("operator", "done", "p2")
    assert tick["reason"] == "operator: asked for on the command line"


def test_a_job_is_run_here_within_its_budget(nacre, database):
    told = nacre("cron", "run", JOB, "--here", "--reason", "after the repair", "--json", *database).json
    assert (told["state"], told["error"]) == ("done", None)
    (tick,) = nacre("cron", "history", "--json", *database).json["items"]
    assert (tick["tick_id"], tick["reason"]) == (told["tick_id"], "operator: after the repair")
    assert tick["claimed_by"].startswith("nacre:")
    assert listed(nacre, database)[JOB]["last_tick"]["tick_id"] == told["tick_id"]


def test_a_job_that_is_not_there_is_named_with_those_that_are(nacre, database):
    for act in ("run", "pause", "resume"):
        ran = nacre("cron", act, "no_such_job", "--reason", "x", *database)
        assert ran.code == 1
        assert JOB in ran.err
