"""What the pages of market and agents make of the read models, and what their charts draw."""

import re

import pytest
from starlette.testclient import TestClient

from app.web import charts
from app.web.agent_pages import demotion_words, ranked_rows
from app.web.market_pages import can_replay, life_of, score_rows
from tests.app.web.sample_market import SampleMarket
from tests.app.web.sample_server import sample_app
from tests.app.web.sample_tasks import at

MARKET = SampleMarket()


def taken_over(*, is_claimed):
    """Return the life of a task whose first agent fell silent and whose second did it."""
    task = MARKET.get_task(None, 11)
    (award,), (attempt,) = task["awards"], task["attempts"]
    silent = {
        **attempt,
        "agent_id": 4,
        "state": "lapsed",
        "reason": "lease_lapsed",
        "leased_at": at(11.9) if is_claimed else award["awarded_at"],
        "submitted_at": None,
        "handoff": None,
        "verification": None,
        "ended_at": at(13),
    }
    second = {**award, "attempt_number": 2, "awarded_at": at(13)}
    first = {**award, "agent_id": 4}
    later = {**attempt, "number": 2, "leased_at": at(13.2), "submitted_at": at(14), "ended_at": at(15)}
    return {**task, "bids_close_at": at(13), "awards": [first, second], "attempts": [silent, later]}


class TakenOver(SampleMarket):
    """The sample in which task 11 was taken over."""

    def __init__(self, *, is_claimed):
        super().__init__()
        self.is_claimed = is_claimed

    def get_task(self, tx, task_id):
        return taken_over(is_claimed=self.is_claimed) if task_id == 11 else super().get_task(tx, task_id)


def steps_of(task):
    return [moment["step"] for moment in life_of(task) if moment["step"] not in {"money", "late", "ended"}]


def page(market, path):
    answer = TestClient(sample_app(market)).get(path)
    assert answer.status_code == 200
    return " ".join(re.sub(r"<[^>]+>", " ", answer.text).split())


def test_a_lapse_and_its_take_over_are_told_in_order():
    assert steps_of(taken_over(is_claimed=True)) == [
        "posted", "bids", "award", "lease", "award", "lapse", "lease", "handoff", "verification",
    ]  # fmt: skip
    text = page(TakenOver(is_claimed=True), "/tasks/11")
    assert "fell silent after" in text
    assert "the next-best bid" in text


def test_an_award_that_nobody_took_up_has_no_lease():
    assert steps_of(taken_over(is_claimed=False)) == [
        "posted", "bids", "award", "award", "unclaimed", "lease", "handoff", "verification",
    ]  # fmt: skip
    text = page(TakenOver(is_claimed=False), "/tasks/11")
    assert "did not take the lease in time" in text
    assert "fell silent" not in text


def test_scores_come_winner_first_then_by_score_then_who_was_left_out():
    (award,) = MARKET.get_task(None, 11)["awards"]
    found = score_rows(award)
    assert [row["agent_id"] for row in found] == [2, 4, 3, 1, 5]
    assert [row["is_winner"] for row in found] == [True, False, False, False, False]
    assert found[-1]["left_out"] == "stake_short"
    assert score_rows({**award, "inputs": None}) == []
    old = {**award, "inputs": {"bids": [{"agent_id": 2, "score": None}], "cooling": 4}}
    assert [row["agent_id"] for row in score_rows(old)] == [2]


def test_awards_that_are_sealed_again_say_so():
    class Sealed(SampleMarket):
        def get_task(self, tx, task_id):
            task = super().get_task(tx, task_id)
            awards = [{**award, "inputs": None, "price_microcredits": None} for award in task["awards"]]
            return {**task, "state": "bidding", "bids": [], "awards": awards}

    assert not can_replay(Sealed().get_task(None, 11))
    text = page(Sealed(), "/tasks/11?replay=1")
    assert "sealed until the task is awarded again" in text
    assert "Recompute this award" not in text


def test_a_replay_is_shown_when_it_is_asked_for():
    assert "Recompute this award" in page(MARKET, "/tasks/11")
    assert "the same award" in page(MARKET, "/tasks/11?replay=1")
    text = page(MARKET, "/tasks/12?replay=1")
    assert "recorded 912500, recomputed 902500" in text


def test_retries_link_both_ways():
    assert "retried as task 17" in page(MARKET, "/tasks/12")
    assert "a retry of task 12" in page(MARKET, "/tasks/17")


def test_the_market_page_counts_what_waits_and_what_ended():
    text = page(MARKET, "/market")
    for words in ("1,204 open oldest 1 min 34 s", "17 awarded", "454 verified and paid in an hour of 573"):
        assert words in text
    assert "nothing waits" in page(SampleMarket(empty=True), "/market")


def test_an_agent_page_shows_no_ask_and_no_open_bid():
    text = page(MARKET, "/agents/4")
    assert "outscored Another bid scored higher" in text
    assert "0.88" not in text
    assert "/tasks/14" not in TestClient(sample_app(MARKET)).get("/agents/4").text
    assert "4 more verified jobs make it full" in text


def test_a_suspended_agent_reads_its_way_back():
    text = page(MARKET, "/agents/8")
    assert "with a new stake of 1.00 credits" in text
    assert "waits for an operator" in text
    assert "It is suspended" in text


@pytest.mark.parametrize(
    ("left", "jobs", "words"),
    [
        (1, (0, 1), "One more failure would suspend it; 1 job counts"),
        (1_200, (90, 10), "1,200 more failures in a row would suspend it; 100 jobs count"),
    ],
)
def test_demotion_in_words(left, jobs, words):
    demotion = {"failures_left": left, "successes": jobs[0], "failures": jobs[1]}
    assert demotion_words({"demotion": demotion, "suspension": None}).startswith(words)


def test_failed_work_is_listed_with_its_owner_and_how_to_retry():
    text = page(MARKET, "/operations")
    assert "27 tasks of type research_synthesis" in text
    assert "nacre failed retry task 117" in text
    assert "No retry: the job runs again by itself when it is due." in text
    assert "Nothing that failed waits for anybody." in page(SampleMarket(empty=True), "/operations")


def test_a_rank_is_drawn_within_its_interval():
    (first, *_) = ranked_rows(MARKET.leaderboard(None))
    assert first["span_words"] == "81 % to 99 %"
    assert 'class="chart span"' in first["span"]
    assert "93.0 %, from 81.0 % to 99.0 %." in first["span"]


def heights(drawing):
    return [float(value) for value in re.findall(r'class="bar \w+"[^>]*height="([\d.]+)"', drawing)]


def test_endings_are_as_high_as_they_are_many():
    windows = [charts.Ended("02:00", 5, 10), charts.Ended("02:05", 0, 0), charts.Ended("02:10", 20, 20)]
    settled, otherwise, all_settled = heights(charts.endings_bars(windows, title="t"))
    assert settled == otherwise == pytest.approx(all_settled / 4)
    assert "30 tasks ended, 25 of them verified and paid." in charts.endings_bars(windows, title="t")
    assert heights(charts.endings_bars([], title="t")) == []


@pytest.mark.parametrize(("e_value", "share"), [(1, 0.5), (100, 1), (10, 0.75), (0.01, 0), (1e30, 1), (0, 0)])
def test_the_meter_of_evidence_is_logarithmic_and_ends_at_its_ends(e_value, share):
    drawing = charts.evidence_meter(e_value, 100, title="t")
    (dot,) = re.findall(r'class="end" cx="([\d.]+)"', drawing)
    assert float(dot) == pytest.approx(20 + share * (640 - 80), abs=0.1)
