"""The metric watchdog: planted drifts of one are found, late notes are none, all is told once."""

import ast
from pathlib import Path

import pytest

from services import observatory
from services.domain.checks import Status
from services.domain.metric_recount import Identity
from services.domain.states import EndReason
from services.operations import breaches, health, metric_plants, metric_watchdog
from services.operations.measuring import note_tick
from services.operations.metric_watchdog import METRIC_WATCH
from services.store import recounts, sql, tables
from tests.architecture.source_tree import ROOT

HOUR_SECONDS = 3_600
IN_EVERY_WINDOW = frozenset(Identity) - {Identity.DAYS}


def live(market, requester, workers):
    """Let everything happen once: settled, refused, reported failed, lapsed, expired, taken back, open."""
    for number in range(4):
        market.done(requester, workers[number % 2], is_good=number != 2)
    market.cancel(market.post(requester), requester)
    failed = market.awarded(requester, workers[1])
    token = market.lease(workers[1], failed).fencing_token
    market.submit(workers[1], failed, token, failed=EndReason.AGENT_ERROR)
    silent = market.awarded(requester, workers[0])
    market.lease(workers[0], silent)
    market.pass_seconds(400)
    market.expire()
    market.post(requester, deadline_us=900_000_000)
    market.pass_seconds(1_000)
    market.expire()
    market.deliver()
    market.post(requester)


def snapshot(market):
    with market.write() as tx:
        return observatory.take_snapshot(tx)


def tick(market, job, state="done", seconds=1):
    """Lay a tick that has just ended, and note it as the runner does."""
    with market.write() as tx:
        sql.insert(
            tx, tables.cron_tick, job=job, due_at_us=tx.now_us, claimed_by="p", state=state, priority=0,
            budget_us=1, started_at_us=tx.now_us - seconds, ended_at_us=tx.now_us,
        )  # fmt: skip
        note_tick(tx, job, is_on_time=state == "done")


def lap(market, began_seconds_ago=600):
    """Lay an episode that opened now and closed a minute later, and note both as the observatory does."""
    with market.write() as tx:
        lap_id = sql.insert(tx, tables.lap, opened_at_us=tx.now_us)
        began_us = tx.now_us - began_seconds_ago * 1_000_000
        sql.insert(
            tx, tables.episode, metric="task_success", dimension="platform", key="all", state="closed",
            rule="baseline", numerator=0, denominator=1, lap_id=lap_id, began_at_us=began_us,
            opened_at_us=tx.now_us, closed_at_us=tx.now_us + 60_000_000,
            evidence={"window_start_us": began_us, "window_end_us": tx.now_us},
        )  # fmt: skip
        for kind, at_us in (("detected", tx.now_us), ("recovered", tx.now_us + 60_000_000)):
            sql.insert(tx, tables.observation, kind=kind, at_us=at_us, duration_us=at_us - began_us)
    market.pass_seconds(60)


@pytest.fixture
def watched(market):
    """A market with two windows in which everything happened, both settled."""
    market.requester = market.agent()
    market.workers = [market.agent() for _ in range(2)]
    for _ in range(2):
        live(market, market.requester, market.workers)
        tick(market, "lease_expiry")
        tick(market, "books_audit", "failed")
        lap(market)
        assert snapshot(market)["rows"] > 30
        market.pass_seconds(120)
    return market


def run(market):
    """Run one tick of the watch as the cron runner does, and keep its answer with the tick."""
    with market.write(f"system:{METRIC_WATCH}") as tx:
        result = metric_watchdog.watch_metrics(tx)
        sql.insert(
            tx, tables.cron_tick, job=METRIC_WATCH, due_at_us=tx.now_us, claimed_by="p", state="done",
            priority=1, budget_us=1, started_at_us=tx.now_us, ended_at_us=tx.now_us, result=result,
        )  # fmt: skip
        note_tick(tx, METRIC_WATCH, is_on_time=True)
    market.pass_seconds(300)
    return result


def status(market, component, measurement):
    with market.read() as tx:
        found = {check.key: check for check in health.correctness(tx)}
    return found[f"{component}:{measurement}"].status


def spoil(market, metric, **values):
    """Change one published figure of the platform in the newest window; return what it was."""
    where = {"metric": metric, "dimension": "platform", "grain": "window"}
    row = market.rows(tables.snapshot, **where)[-1]
    with market.write() as tx:
        sql.update(tx, tables.snapshot, {"id": row["id"]}, **values)
    return row


def test_all_planted_drifts_of_one_are_found_by_their_class(watched):
    tried = set()
    with watched.write() as tx:
        look = metric_watchdog.look_at(tx)
        for end_us in recounts.ends_after(tx, 0, 9):
            for plant in metric_watchdog.plantable(look, end_us):
                found = metric_plants.tried(
                    tx,
                    plant,
                    lambda: metric_watchdog.check_all_of(look, end_us),  # noqa: B023  (called here)
                )
                assert metric_plants.is_exactly(plant, found), (str(plant), found)
                tried.add(plant.identity)
    assert tried == IN_EVERY_WINDOW
    with watched.read() as tx:
        assert list(metric_watchdog.check_all(tx)) == [], "nothing of it was kept"


def test_a_drift_of_one_is_flagged_within_one_run_told_once_and_over_when_it_is_mended(watched):
    assert run(watched)["breaches"] == 0
    assert status(watched, "metrics", "recount") is Status.PASS
    live(watched, watched.requester, watched.workers)
    snapshot(watched)
    watched.pass_seconds(120)
    row = spoil(watched, "tasks_ended", numerator=99)
    first = run(watched)
    assert first["breaches"] == first["opened"] == 2
    items = {
        item["subject"]: item["context"] for item in watched.rows(tables.review_item, kind=breaches.KIND)
    }
    assert set(items) == {"W3 tasks_ended of platform all", "W10 tasks_ended of platform all by task_type"}
    told = items["W3 tasks_ended of platform all"]["details"][0]
    assert "published 99 of 1, recounted 6 of 1" in told
    assert told.startswith("2026-01-01T")
    assert status(watched, "metrics", "recount") is Status.FAIL
    with watched.read() as tx:
        assert health.promotion_hold(tx) is not None
    assert (run(watched)["breaches"], run(watched)["opened"]) == (2, 0)
    spoil(watched, "tasks_ended", numerator=row["numerator"])
    assert run(watched)["breaches"] == 0
    assert status(watched, "metrics", "recount") is Status.PASS
    with watched.read() as tx:
        assert health.promotion_hold(tx) is None


def test_what_was_committed_late_is_no_drift_and_is_recounted_once_it_is_corrected(watched):
    run(watched)
    late = watched.done(watched.requester, watched.workers[0])
    with watched.write() as tx:  # as if the end had been written before the newest window's end
        newest_us = recounts.end_before(tx, tx.now_us)
        sql.update(tx, tables.task, {"id": late}, ended_at_us=newest_us - 1)
        sql.update(tx, tables.observation, {"kind": "ended"}, at_us=newest_us - 1)
    watched.pass_seconds(120)
    assert [run(watched)["breaches"] for _ in range(2)] == [0, 0]
    assert snapshot(watched)["corrections"] > 0
    watched.pass_seconds(120)
    again = run(watched)
    assert (again["breaches"], again["late"]) == (0, 0)
    assert newest_us in {row["window_end_us"] for row in watched.rows(tables.snapshot_correction)}


def test_a_note_that_no_snapshot_takes_up_is_a_drift_after_the_snapshot_that_saw_it(watched):
    run(watched)
    with watched.read() as tx:
        end_us = recounts.end_before(tx, tx.now_us)
    spoil(watched, "tasks_ended", numerator=99)
    with watched.write() as tx:
        sql.insert(tx, tables.observation, kind="stuck", at_us=end_us - 1)
    with watched.write() as tx:
        sql.update(tx, tables.cron_tick, {"job": METRIC_WATCH}, result={"marks": {}})
    assert (run(watched)["breaches"], run(watched)["late"]) == (1, 1), "only what figures show by themselves"
    with watched.write() as tx:  # another window, which leaves the note where it is
        for row in sql.find_all(tx, tables.snapshot, window_end_us=end_us):
            copied = {name: value for name, value in row.items() if name != "id"}
            times = {"window_start_us": end_us, "window_end_us": tx.now_us}
            sql.insert(tx, tables.snapshot, **{**copied, **times})
    assert f"{Identity.COUNT} tasks_ended of platform all" in {
        item["subject"] for _ in (run(watched),) for item in watched.rows(tables.review_item)
    }


def test_an_event_that_is_handled_twice_counts_once(watched):
    with watched.write() as tx:
        sql.update(tx, tables.delivery, {"state": "delivered"}, state="pending", delivered_at_us=None)
    watched.deliver()
    watched.pass_seconds(HOUR_SECONDS)
    snapshot(watched)
    watched.pass_seconds(120)
    assert run(watched)["breaches"] == 0


def test_it_reports_itself_when_it_does_not_find_what_it_planted(watched, monkeypatch):
    planted = run(watched)["planted"]
    assert planted.endswith(": found")
    assert status(watched, METRIC_WATCH, "planted_drift") is Status.PASS
    monkeypatch.setattr(metric_watchdog, "check_all_of", lambda *_: [])
    assert run(watched)["planted"].endswith(": not found")
    assert status(watched, METRIC_WATCH, "planted_drift") is Status.FAIL
    with watched.read() as tx:
        assert list(metric_watchdog.check_all(tx)) == [], "nothing of it was kept"


def test_a_run_with_nothing_new_looks_at_older_windows_in_turn(watched):
    run(watched)
    ends = sorted({row["window_end_us"] for row in watched.rows(tables.snapshot)})
    spoil(watched, "tasks_posted", numerator=99)
    assert [run(watched)["breaches"] for _ in range(2)] != [0, 0]
    assert len(ends) == 2


def test_a_day_is_held_against_its_rows(watched):
    ends = sorted({row["window_end_us"] for row in watched.rows(tables.snapshot)})
    with watched.write() as tx:
        for row in observatory.retention.merged_days(recounted_rows(tx, ends)):
            sql.insert(tx, tables.snapshot, **row)
        tx.connection.execute(tables.snapshot.delete().where(tables.snapshot.c.grain == "window"))
    with watched.write() as tx:
        assert list(metric_watchdog.check_all(tx)) == []
        look = metric_watchdog.look_at(tx)
        plants = metric_watchdog.plantable_in_day(look, ends[-1])
        assert len(plants) > 20
        for plant in plants:
            found = metric_plants.tried(tx, plant, lambda: metric_watchdog.check_a_day(look, ends[-1]))
            assert metric_plants.is_exactly(plant, found), (str(plant), found)


def recounted_rows(tx, ends):
    return [row for end_us in ends for row in recounts.rows_of(tx, end_us)]


def test_the_heartbeat_tells_how_long_ago_a_run_ended(watched):
    with watched.read() as tx:
        assert metric_watchdog.heartbeat_age_us(tx) is None
    run(watched)
    with watched.read() as tx:
        assert metric_watchdog.heartbeat_age_us(tx) == 300_000_000


def test_the_recount_shares_nothing_with_what_it_counts():
    forbidden = ("services.observatory", "services.store.observations", "services.store.series")
    names = ("services.domain.tallies", "services.operations.measuring", *forbidden)
    for name in (
        "services/domain/metric_recount.py",
        "services/domain/metric_identities.py",
        "services/operations/metric_plants.py",
        "services/operations/metric_watchdog.py",
        "services/store/recounts.py",
    ):
        tree = ast.parse(Path(ROOT, name).read_text(encoding="utf-8"))
        found = {
            f"{node.module}.{alias.name}"
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        assert not {one for one in found for word in names if f"{one}.".startswith(f"{word}.")}
