"""The table of jobs: the seed's four with their interval and budget, every line complete, every job runs."""

import pytest

from cron_registry import CRON_JOBS
from services.cron_runner import run_tick
from services.domain.states import TickState
from services.store import tables

JOBS = {job.name: job for job in CRON_JOBS}
SEED = {
    "platform_metrics_snapshot": (3600, None, 30),
    "agent_autonomy_scan": (300, None, 10),
    "auto_accept_bids": (600, None, 20),
    "autodream_consolidation": (None, "03:00", 120),
}


@pytest.mark.parametrize("name", SEED)
def test_the_seed_s_jobs_have_their_interval_and_budget(name):
    job = JOBS[name]
    assert (job.every_seconds, job.daily_at, job.budget_seconds) == SEED[name]


def test_names_are_different_and_every_line_is_complete():
    assert len(JOBS) == len(CRON_JOBS)
    for job in CRON_JOBS:
        assert (job.every_seconds is None) != (job.daily_at is None), job.name
        assert job.summary.endswith("."), job.name
        assert job.budget_seconds > 0
        assert job.priority >= 0


def test_awards_come_first():
    assert min(CRON_JOBS, key=lambda job: job.priority).name == "auto_accept_bids"


def test_no_job_s_budget_outlasts_its_interval():
    for job in CRON_JOBS:
        assert job.every_seconds is None or job.budget_seconds < job.every_seconds, job.name


@pytest.mark.parametrize("name", JOBS)
def test_every_job_runs_on_a_young_platform(market, requester, worker, name):
    market.done(requester, worker)
    platform = market.platform
    job = next(job for job in platform.jobs if job.name == name)
    market.pass_seconds(3_600)
    state = run_tick(platform.store, platform.context, job, platform.store.clock.now_us(), "test")
    [tick] = market.rows(tables.cron_tick)
    assert (state, tick["error"]) == (TickState.DONE, None)
    assert tick["result"] is not None
