"""Cron over HTTP: what is due next and why, and the operator's acts on a job."""

import pytest

from services.cron_runner import run_asked, run_tick
from services.domain.checks import Layer, Status
from services.domain.states import TickState
from services.operations import health
from services.store import sql, tables

JOB = "history_pruning"
BECAUSE = {"reason": "a copy is being made"}


def job_of(world, name=JOB):
    return next(job for job in world.operator.get("/cron").json()["jobs"] if job["job"] == name)


def declared(world, name=JOB):
    return next(job for job in world.platform.jobs if job.name == name)


def test_a_job_is_paused_resumed_and_each_act_is_in_the_ledger(world, problem_of):
    assert job_of(world)["is_paused"] is False
    done = world.operator.post(f"/cron/{JOB}/pause", BECAUSE)
    assert (done.status_code, done.json()) == (200, {"job": JOB, "is_paused": True, **BECAUSE})
    shown = job_of(world)
    assert (shown["is_paused"], shown["paused_because"]) == (True, BECAUSE["reason"])
    problem_of(world.operator.post(f"/cron/{JOB}/pause", BECAUSE), 409, "job_paused")
    job, store = declared(world), world.platform.store
    assert run_tick(store, world.platform.context, job, 7, "p") is TickState.SKIPPED
    [tick] = world.operator.get("/cron").json()["history"]["items"]
    assert (tick["state"], tick["reason"]) == ("skipped", f"paused by operator: {BECAUSE['reason']}")
    assert world.operator.post(f"/cron/{JOB}/resume", BECAUSE).json()["is_paused"] is False
    problem_of(world.operator.post(f"/cron/{JOB}/resume", BECAUSE), 409, "job_not_paused")
    newest = world.operator.get("/ledger").json()["items"][:2]
    assert [entry["payload"] for entry in newest] == [
        {"act": "resume_job", "job": JOB, **BECAUSE},
        {"act": "pause_job", "job": JOB, **BECAUSE},
    ]


def test_a_run_is_asked_for_and_the_platform_takes_it_up(world, problem_of):
    asked = world.operator.post(f"/cron/{JOB}/run", BECAUSE).json()
    assert job_of(world)["run_asked_at"] == asked["run_asked_at"]
    problem_of(world.operator.post(f"/cron/{JOB}/run", BECAUSE), 409, "run_asked")
    done = run_asked(world.platform.store, world.platform.context, declared(world), "p")
    assert done is TickState.DONE
    shown = job_of(world)
    assert shown["run_asked_at"] is None
    assert (shown["last_tick"]["trigger"], shown["last_tick"]["state"]) == ("operator", "done")


@pytest.mark.parametrize("act", ["run", "pause", "resume"])
def test_only_the_operator_acts_on_a_job_that_is_there_with_a_reason(world, problem_of, act):
    problem_of(world.operator.post(f"/cron/no_such_job/{act}", BECAUSE), 404, "not_found")
    problem_of(world.operator.post(f"/cron/{JOB}/{act}", {}), 422, "validation_failed")
    problem_of(world.operator.post(f"/cron/{JOB}/{act}", {"reason": " "}), 422, "invalid_value")


def test_low_health_is_shown_with_what_becomes_of_each_job(world):
    before = job_of(world, "books_audit")
    assert (before["effective_priority"], before["health_reason"]) == (before["priority"], None)
    with world.platform.store.write(actor="test") as tx:
        for number in range(12):
            health.report(tx, Layer.CORRECT, f"part-{number}", "known_answer", Status.FAIL)
    shown = world.operator.get("/cron").json()
    assert shown["health_points"] < 80
    jobs = {job["job"]: job for job in shown["jobs"]}
    assert jobs["books_audit"]["effective_priority"] == before["priority"] - 100
    assert "diagnostic jobs run first" in jobs["books_audit"]["health_reason"]
    assert jobs["books_audit"]["next_due_at"] < before["next_due_at"]
    assert jobs["auto_accept_bids"]["health_reason"] is None


def test_a_tick_tells_its_lateness_and_why_it_ran(world):
    with world.platform.store.write(actor="system:test") as tx:
        sql.insert(
            tx, tables.cron_tick, job=JOB, due_at_us=1_000_000, claimed_by="p", state=TickState.DONE,
            priority=-60, reason="health is 55 of 100", budget_us=20_000_000, started_at_us=3_500_000,
            ended_at_us=3_600_000, result={},
        )  # fmt: skip
    last = job_of(world)["last_tick"]
    assert (last["late_seconds"], last["reason"], last["priority"]) == (2.5, "health is 55 of 100", -60)
    assert last["trigger"] == "clock"
