"""What the pages make of metrics, episodes, health and clockwork, before any template."""

import math
import re

import pytest

from app.web import charts, clockwork, episodes, health_pages, metric_pages, operations_pages
from app.web.formats import measured
from services.domain.measures import MEASURES, Grain
from services.domain.states import EpisodeState
from services.store.views.series import SeriesAsked
from tests.app.web.sample_market import SampleMarket
from tests.app.web.sample_tasks import at

MARKET = SampleMarket()
METRICS = {one["metric"]: one for one in MARKET.list_metrics(None)["items"]}
HOUR = 3600.0


def points(name, limit=100):
    return MARKET.list_series(None, SeriesAsked(name), limit=limit)["items"]


@pytest.mark.parametrize(
    ("value", "unit", "is_share", "words"),
    [
        (0.913, "tasks", True, "91.3 %"),
        (200_000_000, "microseconds", False, "3 min 20 s"),
        (1_250_000, "microcredits", False, "1.25 credits"),
        (917_623.4, "microcredits", False, "0.9176 credits"),
        (312.0, "tasks", False, "312 tasks"),
        (12_345.0, "deliveries", False, "12,345 deliveries"),
        (4.25, "agents", False, "4.25 agents"),
        (-60, None, False, "−60"),
        (2_500_000_000.0, "bytes", False, "2.5 GB"),
        (0.75, "share", False, "75.0 %"),
        (None, "tasks", True, "–"),
    ],
)
def test_a_figure_is_said_in_its_unit(value, unit, is_share, words):
    assert measured(value, unit, is_share=is_share) == words


# --- metrics


def test_every_value_comes_with_the_counts_it_was_made_of():
    newest = points("task_success")[0]
    told = metric_pages.counted(METRICS["task_success"], newest)
    assert told == f"{newest['numerator']} of {newest['denominator']}"
    assert (
        metric_pages.counted(METRICS["tasks_posted"], {"numerator": 1312, "denominator": 1})
        == "1,312 in 1 window"
    )
    lasted = {"numerator": 75_600_000, "denominator": 63}
    assert metric_pages.counted(METRICS["task_duration"], lasted) == "1 min 16 s over 63 values"
    assert (
        metric_pages.counted(METRICS["open_tasks"], {"numerator": 12, "denominator": 1})
        == "12 tasks over 1 reading"
    )


def test_every_metric_has_a_line_in_its_family():
    board = [metric_pages.metric_row(one, points(name), [], HOUR) for name, one in METRICS.items()]
    shown = [row["metric"] for family in metric_pages.families(board) for row in family["metrics"]]
    assert sorted(shown) == sorted(one.name for one in MEASURES)
    assert {row["direction"] for row in board} == set(metric_pages.BAD_WORDS.values())


def test_a_family_with_something_open_comes_first():
    opened = metric_pages.episodes_by_metric([{**MARKET.slow(), "metric": "bus_lag"}])
    board = [metric_pages.metric_row(one, [], opened.get(name, []), HOUR) for name, one in METRICS.items()]
    assert metric_pages.families(board)[0]["name"] == "Event bus"
    assert opened["bus_lag"][0]["subject"] == "the platform"


def test_a_metric_without_a_window_says_so():
    row = metric_pages.metric_row(METRICS["time_to_promote"], [], [], HOUR)
    assert (row["shown"], row["counted"], row["spread"]) == ("–", "no window yet", None)
    assert "No window has anything to count." in row["chart"]


def test_windows_twice_as_long_as_they_should_be_are_gaps():
    found = metric_pages.point_rows(METRICS["task_success"], points("task_success"), HOUR)
    assert [row["length"] for row in found if row["is_gap"]] == ["5 h 0 min"]
    assert not any(
        row["is_gap"]
        for row in metric_pages.point_rows(METRICS["task_success"], points("task_success"), None)
    )
    exact = {"window_start": at(0), "window_end": at(2 * HOUR)}
    assert not metric_pages.is_gap(exact, HOUR)
    assert metric_pages.is_gap({**exact, "window_end": at(2 * HOUR + 1)}, HOUR)


def test_metrics_that_nobody_counts_any_more_are_noticed():
    board = [metric_pages.metric_row(METRICS["task_success"], [], [], HOUR)]
    assert metric_pages.staleness(board, at(100 + 2 * HOUR), HOUR) is None
    assert metric_pages.staleness(board, at(160 + 2 * HOUR), HOUR) == "2 h 1 min"
    assert metric_pages.staleness([{**board[0], "newest": None}], at(9e9), HOUR) is None


def test_durations_are_drawn_by_their_median_up_to_their_p95():
    newest = metric_pages.drawn(points("task_duration"), HOUR)[-1]
    first = points("task_duration")[0]
    assert (newest.value, newest.high) == (first["p50"], first["p95"])
    assert metric_pages.drawn(points("open_tasks"), HOUR)[-1].high is None


def test_only_an_open_episode_says_what_is_expected():
    metric = METRICS["task_wait"]
    assert metric_pages.expectation(metric, [MARKET.slow()]) == (900_000.0, 1_700_000.0)
    assert metric_pages.expectation(metric, [{**MARKET.slow(), "state": "closed"}]) is None
    assert metric_pages.expectation(metric, [{**MARKET.slow(), "interval": [3.0, None]}]) == (3.0, math.inf)
    assert metric_pages.expectation(METRICS["tasks_posted"], [{**MARKET.accepted(), "state": "open"}]) is None


def test_a_series_is_marked_where_episodes_opened_and_recovered():
    marks = [name for _, name in metric_pages.turning_points([MARKET.episode(), MARKET.slow()])]
    assert marks == ["episode 6", "recovered", "episode 7"]


def test_links_to_series_quote_their_keys():
    assert episodes.metric_link("task_success") == "/metrics-board/task_success"
    assert episodes.metric_link("task_cost", "model", "a/b&c=<d>") == (
        "/metrics-board/task_cost?by=model&key=a%2Fb%26c%3D%3Cd%3E"
    )
    asked = SeriesAsked("task_cost", "model", "x", Grain.DAY)
    assert metric_pages.grain_link(asked, Grain.DAY).endswith("key=x&grain=day")
    assert (
        metric_pages.grain_link(SeriesAsked("task_cost"), Grain.DAY) == "/metrics-board/task_cost?grain=day"
    )


def test_what_was_corrected_late_is_told_with_how_late():
    rows = metric_pages.correction_rows(METRICS["task_success"], MARKET.list_corrections(None)["items"])
    assert (rows[0]["added"], rows[0]["late"]) == ("+1 of +2", "1 h 0 min")


# --- charts


def window(number, value=None, **more):
    return charts.SeriesPoint(number * HOUR, (number + 1) * HOUR, value, **more)


def polylines(drawing):
    return [line.split() for line in re.findall(r'<polyline class="path" points="([^"]*)"', drawing)]


def frame(**more):
    return charts.SeriesFrame(lambda value: f"{value:g}", **more)


def test_a_line_breaks_where_nothing_was_counted_and_at_gaps():
    numbers = [window(0, 1.0), window(1, 2.0), window(2), window(3, 3.0), window(4, 1.0)]
    assert [len(line) for line in polylines(charts.series_history(numbers, frame(), title="t"))] == [2, 2]
    apart = [window(0, 1.0), window(1, 2.0), window(7, 3.0), window(8, 1.0)]
    assert [len(line) for line in polylines(charts.series_history(apart, frame(), title="t"))] == [2, 2]
    gap = [window(0, 1.0), window(1, 2.0), window(2, 9.0, is_gap=True), window(3, 3.0), window(4, 1.0)]
    drawing = charts.series_history(gap, frame(), title="t")
    assert [len(line) for line in polylines(drawing)] == [2, 2]
    assert drawing.count('class="gap"') == 1
    assert "1 gaps, 0 corrected" in drawing


def test_twice_the_value_stands_twice_as_high():
    drawing = charts.series_history([window(0, 1.0), window(1, 2.0)], frame(top=4.0), title="t")
    [[first, second]] = polylines(drawing)
    low, high = (226 - float(point.split(",")[1]) for point in (first, second))
    assert high == pytest.approx(2 * low, abs=0.05)
    assert low == pytest.approx((226 - 46) / 4, abs=0.05)


def test_corrected_windows_are_ringed_and_percentiles_shaded():
    drawn = [window(0, 1.0, high=3.0), window(1, 2.0, high=4.0, corrections=2)]
    drawing = charts.series_history(drawn, frame(), title="t")
    assert drawing.count('class="ring"') == 1
    assert drawing.count('class="spread"') == 1
    assert "spread" not in charts.series_history([window(0, 1.0), window(1, 2.0)], frame(), title="t")


def test_what_was_expected_is_a_band_and_an_open_end_stays_inside():
    numbers = [window(0, 1.0), window(1, 2.0)]
    assert "expected" not in charts.series_history(numbers, frame(), title="t")
    for high in (3.0, math.inf):
        drawing = charts.series_history(numbers, frame(expected=(1.5, high)), title="t")
        [rect] = re.findall(r'<rect class="expected"[^>]*>', drawing)
        assert float(re.search(r' y="([\d.]+)"', rect)[1]) >= 46 - 0.01


def test_marks_outside_the_windows_are_not_drawn():
    numbers = [window(0, 1.0), window(1, 2.0)]
    drawing = charts.series_history(numbers, frame(marks=[(HOUR, "here"), (9e9, "never")]), title="t")
    assert ">here<" in drawing
    assert "never" not in drawing


def test_the_ends_of_a_short_time_are_told_to_the_second():
    assert ">00:00:00<" in charts.series_history([window(0, 1.0)], frame(), title="t")
    assert ">01-01 00:00<" in charts.series_history([window(0, 1.0), window(1, 1.0)], frame(), title="t")


def test_a_series_without_any_value_is_drawn_as_such():
    for numbers in ([], [window(0), window(1)], [window(0, 0.0)]):
        assert charts.series_history(numbers, frame(), title="t")
        assert charts.series_spark(numbers, top=None, in_words=str, title="t")


# --- episodes


def test_an_episode_is_told_in_the_unit_of_its_metric():
    assert episodes.episode_words(MARKET.slow()) == "task wait of the platform: 2.9 s, expected 1.3 s"
    assert episodes.episode_words(MARKET.accepted()) == (
        "tasks posted of the platform: 312 tasks in 31 s, expected 640 tasks"
    )
    assert episodes.interval_words(MARKET.slow()) == "0.9 s to 1.7 s"
    assert episodes.interval_words(MARKET.episode()) == "84.0 % to 98.0 %"
    assert episodes.interval_words({**MARKET.slow(), "interval": [900_000.0, math.inf]}) == "at least 0.9 s"
    assert episodes.counted_words(MARKET.slow()) == "2 min 54 s over 60 tasks"
    assert episodes.counted_words(MARKET.accepted()) == "312 tasks in 6 windows"
    assert episodes.counted_words(MARKET.episode()) == "41 of 63"


def test_a_failing_check_is_no_share():
    row = episodes.episode_row(MARKET.failing())
    assert row["headline"] == "task_type/monte_carlo does not answer as it should"
    assert row["seen"].endswith("the one for seed 17 was not")
    assert row["is_check"]
    assert (row["href"], row["shown_observed"], row["cells"]) == (None, "–", [])


def test_times_to_detect_and_to_recover_count_from_the_first_bad_window():
    assert episodes.times(MARKET.episode()) == {"began_at": at(0), "detect": "31 s", "recover": "1 min 58 s"}
    assert episodes.times(MARKET.accepted())["recover"] == "–"
    assert episodes.times({**MARKET.episode(), "began_at": None})["detect"] == "0 s"


def test_every_state_of_an_episode_has_its_ending():
    assert len({episodes.ending_words({"state": state}) for state in EpisodeState}) == len(EpisodeState)


def test_the_best_cells_come_with_their_figures_and_tasks():
    first, second = episodes.cell_rows(MARKET.meta_task()["payload"])
    assert (first["where"], first["failures"], first["attempts"]) == ("task type research_synthesis", 22, 63)
    assert (first["expected"], first["coverage"], first["purity"]) == (4.4, 1.0, 0.97)
    assert first["others"] == 22 - len(first["task_ids"]) == 15
    assert (second["expected"], second["task_ids"], second["others"]) == (None, [], 0)
    assert episodes.cell_rows(None) == episodes.cell_rows({}) == []
    assert len(episodes.cell_rows({"cells": MARKET.meta_task()["payload"]["cells"] * 3})) == 3


# --- health


def test_what_is_wrong_comes_first_and_says_since_when():
    checks = health_pages.check_rows(MARKET.health(None))
    bad = health_pages.wrong(checks)
    assert [row["status"] for row in bad] == ["fail", "warn"]
    assert (bad[0]["component"], bad[0]["measurement"]) == ("task_type/monte_carlo", "known_answers")
    assert (bad[0]["since"], bad[0]["observed"]) == (at(100), "75.0 %")
    assert any(row["type"] == "agent" and row["status"] == "fail" for row in checks)


def test_layers_count_their_checks_without_agents():
    live, ready, correct = health_pages.layer_rows(health_pages.check_rows(MARKET.health(None)))
    assert (live["pass"], live["warn"], live["all"], live["worst"]) == (2, 1, 3, "warn")
    assert (ready["fail"], ready["worst"]) == (0, "pass")
    assert (correct["fail"], correct["worst"]) == (1, "fail")


def test_the_parts_of_the_score_are_those_that_took_most_first():
    parts = health_pages.part_rows(MARKET.score(None))
    assert [(row["part"], row["lost"]) for row in parts][:3] == [
        ("checks", 15.0),
        ("metrics", 6.0),
        ("bus", 1.0),
    ]
    assert sum(row["most"] for row in parts) == 100


def test_a_watchdog_that_missed_two_heartbeats_is_late():
    states = {row["job"]: row["state"] for row in health_pages.watchdog_rows(MARKET.watchdogs())}
    assert states == {"metric_watchdog": "late", "books_audit": "not run yet", "market_watchdog": "alive"}
    dog = {"job": "a", "every_seconds": 60.0, "age_seconds": 180.0}
    assert health_pages.watchdog_rows([dog])[0]["state"] == "alive"
    assert health_pages.watchdog_rows([{**dog, "age_seconds": 181.0}])[0]["state"] == "late"


# --- clockwork


def test_jobs_that_need_somebody_come_first_with_the_reason():
    rows = {row["job"]: row for row in clockwork.job_rows(MARKET.cron(None)["jobs"])}
    assert list(rows)[:2] == ["auto_accept_bids", "series_pruning"]
    assert rows["series_pruning"]["state"] == "paused"
    assert rows["series_pruning"]["why"] == "the disk is being looked at"
    assert rows["metric_watchdog"]["is_moved"]
    assert "diagnostic jobs run first" in rows["metric_watchdog"]["why"]
    assert rows["auto_accept_bids"]["why"] == "over its budget of 30 s"
    assert clockwork.often({"daily_at": "03:00", "every_seconds": None}) == "daily at 03:00"


def test_a_job_is_late_beyond_its_jitter():
    tick = {**MARKET.latest_ticks(None)[0], "late_seconds": 70.0}
    job = MARKET.job("a", "essential", 1, tick)
    assert clockwork.job_row(job)["is_late"]
    assert not clockwork.job_row({**job, "jitter_seconds": 15.0})["is_late"]


def test_a_tick_that_was_held_back_did_not_run_and_is_not_late():
    tick = {**MARKET.latest_ticks(None)[0], "state": "skipped", "late_seconds": 9_000.0, "error": None}
    row = clockwork.job_row(MARKET.job("a", "housekeeping", 1, {**tick, "reason": "housekeeping waits"}))
    assert (row["tick"]["is_run"], row["is_late"], row["is_loud"]) == (False, False, False)
    assert row["why"] == "housekeeping waits"
    assert clockwork.job_row(MARKET.job("a", "housekeeping", 1, {**tick, "state": "missed"}))["is_loud"]


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://hooks.example.org/services/T00/secret", "https://hooks.example.org"),
        ("https://user:word@other.example.org:8443/x?token=1", "https://other.example.org:8443"),
        ("https://other.example.org:99999/x", "https"),
    ],
)
def test_of_an_address_only_scheme_and_host_are_shown(url, place):
    assert clockwork.place_of(url) == place


def test_webhooks_say_what_helps_them():
    paused, active = clockwork.webhook_rows(MARKET.list_webhooks(None)["items"], at(130))
    assert (paused["state"], paused["command"]) == ("paused", "nacre webhook resume 2 --reason …")
    assert (active["state"], active["command"], active["is_loud"]) == ("active", None, False)
    quiet = {**MARKET.list_webhooks(None)["items"][0], "quiet_until": at(140)}
    assert clockwork.webhook_row(quiet, at(130))["state"] == "quiet"
    assert clockwork.webhook_row(quiet, at(150))["state"] == "active"
    failing = {**quiet, "failures_in_a_row": 3}
    assert clockwork.webhook_row(failing, at(130))["command"] == "nacre webhook deliveries 1"


def test_troubles_are_counted_and_none_is_silence():
    jobs = clockwork.job_rows(MARKET.cron(None)["jobs"])
    hooks = clockwork.webhook_rows(MARKET.list_webhooks(None)["items"], at(130))
    found = operations_pages.troubles({"reviews": 1, "dead": 0, "failed": 2}, jobs, hooks)
    assert [one["text"] for one in found] == [
        "1 thing waits for a person",
        "2 causes of failed work wait",
        "1 webhook needs somebody",
        "1 job ended badly or was missed",
        "1 job is paused",
    ]
    assert operations_pages.troubles({"reviews": 0, "dead": 0, "failed": 0}, [], []) == []
