"""The pages of metrics, anomalies, health and operations: over the sample, and over both engines."""

import re

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.web.pages import build_pages
from app.workings import PlatformWorkings
from services import observatory
from services.cron_runner import control, run_tick
from services.domain.clock import HOUR_US
from services.domain.measures import BY_NAME, Dimension
from services.operations import health
from services.store import sql, tables
from tests.app.web.sample_market import SampleMarket
from tests.app.web.sample_server import sample_app

MARKUP = "<b onclick=alert(1)>\u202e"
LONG = "<script>" + "W" * 72
PATHS = ("/", "/metrics-board", "/anomalies", "/platform-health", "/operations")


def words(client, path):
    answer = client.get(path)
    assert answer.status_code == 200, path
    return " ".join(re.sub(r"<[^>]+>", " ", answer.text).split())


@pytest.fixture(scope="module")
def sample():
    return TestClient(sample_app(SampleMarket()))


@pytest.fixture(scope="module")
def quiet():
    return TestClient(sample_app(SampleMarket(empty=True)))


def test_the_board_says_first_what_is_out_of_its_band(sample):
    text = words(sample, "/metrics-board")
    assert "Episode 7 : task wait of the platform is out of its band since" in text
    assert text.index("out of its band") < text.index("last 48 windows")
    assert "Every metric is inside its band" not in text


def test_all_is_quiet_when_all_is_well():
    class Well(SampleMarket):
        def list_episodes(self, tx, **_):
            return {"items": [], "next_cursor": None}

    client = TestClient(sample_app(Well()))
    assert "Every metric is inside its band." in words(client, "/metrics-board")
    assert "Every metric is inside its band." in words(client, "/anomalies")
    assert "alarm" not in client.get("/metrics-board").text


def test_an_empty_platform_claims_nothing(quiet):
    assert "No window has been counted yet" in words(quiet, "/metrics-board")
    assert "inside its band" not in words(quiet, "/metrics-board")
    assert "Every check passes." in words(quiet, "/platform-health")
    assert "Nothing waits for a person" in words(quiet, "/operations")


def test_a_series_shows_sums_gaps_corrections_and_its_keys(sample):
    text = words(sample, "/metrics-board/task_success")
    for part in (
        "gap",
        "corrected 2 times",
        "+1 of +2",
        "research_synthesis",
        "watched by task type and platform",
    ):
        assert part in text
    page = sample.get("/metrics-board/task_success").text
    assert "/metrics-board/task_success?by=agent&amp;key=4" in page
    assert "Median" not in page
    assert "Median of each window" in sample.get("/metrics-board/task_duration").text


def test_a_series_that_nobody_watches_has_no_band(sample):
    assert "has never left its band" in words(sample, "/metrics-board/task_success")
    assert "published and not watched" in words(sample, "/metrics-board/task_success?by=agent&key=4")
    assert "published and not watched" in words(sample, "/metrics-board/tasks_timed_out")


def test_an_unknown_dimension_is_the_platforms_own_series(sample):
    assert "task success of the platform" in words(sample, "/metrics-board/task_success?by=dragon")
    assert "open tasks of the platform" in words(sample, "/metrics-board/open_tasks?by=agent&key=4")


def test_an_anomaly_shows_figures_times_acceptance_cells_and_output(sample):
    text = words(sample, "/anomalies")
    for part in (
        "observed 2.9 s expected 1.3 s usually within 0.9 s to 1.7 s",
        "counted 2 min 54 s over 60 tasks",
        "time to detect 31 s",
        "time to recover 1 min 58 s",
        "ledger entry 13",
        "22 / 63 4.4 100 % 97 %",
        "3 of 4 known answers were given",
    ):
        assert part in text
    page = sample.get("/anomalies").text
    assert 'href="/tasks/12"' in page
    assert page.index("Episode 8") < page.index("Episode 7") < page.index("Episode 6")


def test_health_names_score_hold_layers_and_late_watchdogs(sample):
    text = words(sample, "/platform-health")
    for part in (
        "78 of 100 points",
        "Promotions are held: check task_type/monte_carlo:known_answers fails",
        "Experiment 5 waits to set market.cooling to 1.8",
        "15 of 25",
        "late 1 h 6 min",
        "an operator has paused it",
        "health is 78 of 100, below 80",
    ):
        assert part in text


def test_operations_name_the_command_for_each_trouble(sample):
    text = words(sample, "/operations")
    for part in (
        "nacre dead-letter replay 12",
        "nacre dead-letter discard 12 --reason …",
        "nacre webhook resume 2 --reason …",
        "nacre cron resume series_pruning --reason …",
        "began 0 s late, took 0.4 s of 30 s",
    ):
        assert part in text
    assert "secret-path" not in sample.get("/operations").text
    assert "user:word" not in sample.get("/operations").text


def test_runs_can_be_seen_of_one_job(sample):
    text = words(sample, "/operations?job=auto_accept_bids")
    assert "Latest runs of auto accept bids" in text
    runs = text[text.index("Latest runs") :]
    assert "platform metrics snapshot" not in runs


def test_the_front_page_shows_the_score_as_a_link(sample):
    page = sample.get("/").text
    assert '<a class="figure tone-bad" href="/platform-health">78</a>' in page


# --- over both engines


@pytest.fixture
def client(platform):
    app = FastAPI(openapi_url=None)
    app.include_router(build_pages(platform.store.read, platform.registry, PlatformWorkings(platform)))
    return TestClient(app)


def windows(tx, metric, dimension, key, count=60):
    measure = BY_NAME[metric]
    for number in range(count):
        end_us = tx.now_us - number * HOUR_US
        is_spread = measure.kind in ("duration", "amount")
        sql.insert(
            tx, tables.snapshot, metric=metric, dimension=dimension, key=key, grain="window",
            window_start_us=end_us - HOUR_US, window_end_us=end_us, numerator=3 * 2**40, denominator=4,
            squares=4.0 * 2**80 if is_spread else None, lowest=1 if is_spread else None,
            highest=2**41 if is_spread else None, histogram={"320": 4} if is_spread else None,
            corrections=number % 2,
        )  # fmt: skip


@pytest.fixture
def troubled(platform, market):
    """A platform in which everything that the pages show has happened, under hostile names."""
    with market.write() as tx:
        for dimension, key in (
            (Dimension.PLATFORM, "all"),
            (Dimension.MODEL, LONG),
            (Dimension.TASK_TYPE, MARKUP),
        ):
            windows(tx, "task_duration", dimension, key)
        windows(tx, "tasks_posted", Dimension.PLATFORM, "all", 3)
        sql.insert(
            tx, tables.snapshot_correction, metric="task_duration", dimension="platform", key="all",
            window_end_us=tx.now_us - HOUR_US, numerator=2**40, denominator=1, corrected_at_us=tx.now_us,
        )  # fmt: skip
        health.report(tx, "correct", f"task_type/{MARKUP}", MARKUP, "fail", output=LONG)
        observatory.report_failing(tx, f"task_type/{MARKUP}")
        health.report(tx, "correct", "task_type/monte_carlo", "known_answers", "fail", output=MARKUP + LONG)
        control.pause(tx, control.job_named(platform.jobs, "series_pruning"), MARKUP)
        sql.insert(
            tx, tables.webhook, url=f"https://hooks.example.org/{LONG}", types=["*"], description=MARKUP,
            secret_version=1, is_active=False, pause_reason=LONG, failures=20, created_by=MARKUP,
            created_at_us=tx.now_us,
        )  # fmt: skip
    job = control.job_named(platform.jobs, "vote_tally")
    run_tick(platform.store, platform.context, job, platform.store.clock.now_us(), "pages")


PAGES_OF_TROUBLE = (
    *PATHS,
    "/metrics-board/task_duration",
    "/metrics-board/task_duration?by=model",
    "/metrics-board/task_duration?by=task_type&key=nothing-of-that-name",
    "/metrics-board/task_duration?grain=day",
    "/operations?job=vote_tally",
    "/anomalies?state=open",
)


def test_pages_of_a_fresh_platform_open(client):
    for path in (*PATHS, "/metrics-board/task_success", "/metrics-board/task_success?by=agent"):
        words(client, path)
    assert "100" in words(client, "/platform-health")


@pytest.mark.usefixtures("troubled")
def test_pages_show_what_happened_and_trust_no_name(client):
    for path in PAGES_OF_TROUBLE:
        page = client.get(path)
        assert page.status_code == 200, path
        assert "<b onclick" not in page.text
        assert "<script" not in page.text
        assert "\u202e" not in page.text
    keys = client.get("/metrics-board/task_duration").text
    assert "&lt;script&gt;WWW" in keys
    assert "by=model&amp;key=%3Cscript%3EWWW" in keys
    assert "corrected" in words(client, "/metrics-board/task_duration")
    assert "task_type/monte_carlo known answers fail" in words(client, "/platform-health")
    assert "Promotions are held" in words(client, "/platform-health")
    assert "nacre cron resume series_pruning" in words(client, "/operations")
    assert "vote tally" in words(client, "/operations?job=vote_tally")
    assert "does not answer as it should" in words(client, "/anomalies")


@pytest.mark.usefixtures("troubled")
def test_a_key_leads_to_its_own_series(client):
    page = client.get("/metrics-board/task_duration").text
    [link] = set(re.findall(r'href="(/metrics-board/task_duration\?by=model&amp;key=[^"]*)"', page))
    text = client.get(link.replace("&amp;", "&")).text
    assert "task duration of model &lt;script&gt;WWW" in text
    assert text.count("<tr><td>") >= 60


@pytest.mark.usefixtures("troubled")
def test_long_series_can_be_walked(client, market):
    with market.write() as tx:
        windows(tx, "open_tasks", Dimension.PLATFORM, "all", 100)
    page = client.get("/metrics-board/open_tasks").text
    [link] = re.findall(r'href="([^"]*)" rel="next"', page)
    assert words(client, link.replace("&amp;", "&")).count("1 h 0 min") >= 4
