"""Snapshots: every note counted once, in the window it belongs to, however late it was committed."""

import os
import signal
import threading
import time
from itertools import pairwise

import pytest

from services import observatory
from services.domain.clock import DAY_US, HOUR_US
from services.domain.tallies import bucket_of
from services.operations import measuring
from services.store import sql, tables
from tests.plugins.platforms import platform_over
from tests.proofs.processes import forked, killed
from tests.services.laboratory import TYPE
from tests.services.observatory.watching import Watch


@pytest.fixture
def watch(platform):
    return Watch(platform).set_up_watch()


@pytest.fixture
def postgresql_watch(migrated_postgresql_url, tmp_path):
    """Where one writer commits while another one counts."""
    platform = platform_over(migrated_postgresql_url, tmp_path)
    yield Watch(platform).set_up_watch()
    platform.close()


def begin(watch):
    watch.task(state="bidding")
    watch.pass_seconds(1)


def test_a_window_says_everything_of_its_tasks(watch):
    begin(watch)
    agent = watch.agent()
    told = {"awarded_agent_id": agent, "model": "small", "paid_microcredits": 5}
    for seconds_taken in (2, 4):
        watch.end_tasks(1, duration_us=seconds_taken * 1_000_000, awarded_at_us=watch.now_us, **told)
    watch.end_tasks(
        0, 1, end_reason="timed_out", duration_us=9_000_000, awarded_agent_id=agent, model="small"
    )
    watch.snap()
    for dimension, key in (
        ("platform", "all"),
        ("task_type", TYPE),
        ("agent", str(agent)),
        ("model", "small"),
    ):
        assert watch.counted("task_success", dimension, key) == [(2, 3, 0)]
        assert watch.counted("tasks_timed_out", dimension, key) == [(1, 3, 0)]
        assert watch.counted("tasks_ended", dimension, key) == [(3, 1, 0)]
        assert watch.counted("task_duration", dimension, key) == [(15_000_000, 3, 0)]
        assert watch.counted("task_cost", dimension, key) == [(10, 2, 0)]
    assert watch.counted("tasks_posted") == [(4, 1, 0)]
    assert watch.counted("open_tasks") == [(1, 1, 0)]
    row = watch.row(tables.snapshot, metric="task_duration", dimension="agent")
    assert (row["lowest"], row["highest"]) == (2_000_000, 9_000_000)
    assert row["squares"] == pytest.approx(2e6**2 + 4e6**2 + 9e6**2)
    assert row["histogram"] == {str(bucket_of(value * 1_000_000)): 1 for value in (2, 4, 9)}
    assert watch.rows(tables.observation) == []


def test_an_idle_hour_counts_nothing_and_that_is_a_count(watch):
    begin(watch)
    watch.snap()
    watch.pass_seconds(3_600)
    watch.snap()
    assert [row[0] for row in watch.counted("tasks_posted")] == [1, 0]
    assert watch.counted("task_success") == [(0, 0, 0)] * 2
    assert watch.rows(tables.snapshot, metric="task_duration") == []


def test_a_late_end_corrects_the_window_it_belongs_to_by_an_entry(watch):
    begin(watch)
    watch.end_tasks(2)
    early_us = watch.now_us
    watch.pass_seconds(3_000)
    watch.snap()
    watch.end_tasks(1)
    watch.task(state="failed", type_="monte_carlo", posted_at_us=early_us, ended_at_us=early_us)
    watch.task(state="settled", posted_at_us=early_us, ended_at_us=early_us)
    watch.pass_seconds(3_000)
    assert watch.snap()["corrections"] > 0
    assert watch.counted("task_success") == [(3, 4, 1), (1, 1, 0)]
    assert watch.counted("task_success", "task_type", "monte_carlo") == [(0, 1, 1)]
    assert watch.counted("tasks_ended", "task_type", "monte_carlo") == [(1, 1, 1)]
    assert watch.counted("tasks_ended") == [(4, 1, 1), (1, 1, 0)]
    entries = watch.rows(tables.snapshot_correction, metric="task_success", dimension="platform")
    assert [(row["numerator"], row["denominator"]) for row in entries] == [(1, 2)]
    assert (
        entries[0]["window_end_us"] == watch.rows(tables.snapshot, metric="task_success")[0]["window_end_us"]
    )
    watch.pass_seconds(3_600)
    assert watch.snap()["corrections"] == 0


def test_an_end_that_is_committed_while_the_snapshot_is_taken_is_counted_once(postgresql_watch):
    """Only where writers commit side by side: the end is older than the window's end, and seen too late."""
    watch = postgresql_watch
    begin(watch)
    planted, is_counted = threading.Event(), threading.Event()

    def end():
        with watch.write() as tx:
            watch.plant(tx, state="settled", ended_at_us=tx.now_us)
            planted.set()
            assert is_counted.wait(60)

    thread = threading.Thread(target=end)
    thread.start()
    assert planted.wait(60)
    watch.pass_seconds(10)
    watch.snap()
    assert watch.counted("task_success") == [(0, 0, 0)]
    is_counted.set()
    thread.join(60)
    watch.pass_seconds(10)
    watch.snap()
    assert watch.counted("task_success") == [(1, 1, 1), (0, 0, 0)]


def test_a_snapshot_that_fails_counts_nothing_and_the_next_counts_all(watch):
    begin(watch)
    watch.end_tasks(3)

    def fail():
        with watch.write() as tx:
            observatory.take_snapshot(tx)
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError):
        fail()
    assert watch.rows(tables.snapshot) == []
    watch.snap()
    assert watch.counted("task_success") == [(3, 3, 0)]


def test_what_happened_before_anybody_counted_is_dropped_and_said(watch):
    with watch.write() as tx:
        measuring.note_tick(tx, "some_job", is_on_time=True)
    watch.pass_seconds(10)
    begin(watch)
    assert watch.snap()["dropped"] == 1
    assert watch.rows(tables.snapshot, metric="cron_on_time") == []


def test_ticks_are_counted_by_job(watch):
    begin(watch)
    for is_on_time in (True, True, False):
        with watch.write() as tx:
            measuring.note_tick(tx, "some_job", is_on_time=is_on_time)
    watch.snap()
    assert watch.counted("cron_on_time", "job", "some_job") == [(2, 3, 0)]
    assert watch.counted("cron_on_time") == [(2, 3, 0)]


def test_a_window_that_is_far_too_long_is_a_gap_and_an_alarm(watch):
    begin(watch)
    watch.end_tasks(1)
    watch.snap()
    watch.pass_seconds(7_200)
    watch.snap()
    assert watch.rows(tables.review_item, kind="snapshot_missed") == []
    watch.pass_seconds(7_201)
    watch.snap()
    (item,) = watch.rows(tables.review_item, kind="snapshot_missed")
    assert item["context"]["window_end_us"] == watch.now_us
    assert [row["type"] for row in watch.rows(tables.event)].count("SnapshotMissed") == 1


def test_a_gap_is_no_history(watch):
    watch.plant_windows(60, task_success=lambda _: (39, 40))
    watch.pass_seconds(24 * 3_600)
    assert watch.window(0, 40) == []
    assert watch.window(0, 40) != []


def test_a_day_says_what_its_windows_said(watch):
    watch.plant_windows(
        30,
        task_success=lambda hour: (hour, 2 * hour),
        tasks_ended=lambda hour: (2 * hour, 1),
        tasks_ended__task_type__rare=lambda hour: (int(hour == 3), 1),
        task_duration=lambda hour: (10, 1, 100.0, hour, 10 + hour),
    )
    before = {row["id"]: row for row in watch.rows(tables.snapshot)}
    first_us = min(row["window_start_us"] for row in before.values())
    last_us = (first_us + DAY_US) // DAY_US * DAY_US
    day = [row for row in before.values() if row["window_end_us"] <= last_us]
    watch.platform.store.clock.advance(36 * DAY_US - (watch.now_us - last_us))
    with watch.write() as tx:
        assert observatory.prune_series(tx)["windows_merged"] == len(day)
    merged = watch.row(tables.snapshot, grain="day", metric="task_success")
    own = [row for row in day if row["metric"] == "task_success"]
    assert merged["numerator"] == sum(row["numerator"] for row in own)
    assert merged["denominator"] == sum(row["denominator"] for row in own)
    assert (merged["window_start_us"], merged["window_end_us"]) == (first_us, last_us)
    durations = watch.row(tables.snapshot, grain="day", metric="task_duration")
    assert (durations["lowest"], durations["highest"]) == (0, 9 + len(own))
    assert durations["squares"] == pytest.approx(100.0 * len(own))
    assert watch.row(tables.snapshot, grain="day", metric="tasks_ended", key="rare")["denominator"] == len(
        own
    )
    kept = watch.rows(tables.snapshot, grain="window")
    assert {row["id"] for row in kept} == set(before) - {row["id"] for row in day}


def test_old_days_go_and_nothing_is_left_to_do(watch):
    watch.plant_windows(48)
    watch.platform.store.clock.advance(800 * DAY_US)
    totals = []
    for _ in range(8):
        with watch.write() as tx:
            totals.append(observatory.prune_series(tx))
    assert watch.rows(tables.snapshot) == []
    assert set(totals[-1].values()) == {0}


def test_a_late_end_corrects_a_merged_day(watch):
    watch.plant_windows(48, task_success=lambda _: (1, 2), tasks_ended=lambda _: (2, 1))
    late_us = watch.now_us - 47 * HOUR_US
    watch.platform.store.clock.advance(40 * DAY_US)
    for _ in range(4):
        with watch.write() as tx:
            observatory.prune_series(tx)
    watch.task(state="settled", posted_at_us=late_us, ended_at_us=late_us)
    with watch.read() as tx:
        (before, *_) = sql.find_all(tx, tables.snapshot, metric="task_success", grain="day")
    watch.snap()
    with watch.read() as tx:
        after = sql.find(tx, tables.snapshot, id=before["id"])
    assert after["numerator"] == before["numerator"] + 1
    assert after["corrections"] == 1


def test_two_snapshots_at_once_leave_windows_that_touch_and_never_overlap(postgresql_watch):
    watch = postgresql_watch
    begin(watch)
    watch.end_tasks(5)
    watch.snap()
    watch.pass_seconds(1_800)
    watch.end_tasks(7, 2)
    watch.pass_seconds(1_800)
    second = []

    def snap():
        second.append(watch.snap())

    with watch.write("system:platform_metrics_snapshot") as tx:
        first = observatory.take_snapshot(tx)
        watch.pass_seconds(2)
        thread = threading.Thread(target=snap)
        thread.start()
        until_somebody_waits(watch, thread)
    thread.join(20)
    assert (first["tasks"], second[0]["tasks"]) == (9, 0)
    rows = watch.rows(tables.snapshot, metric="task_success", dimension="platform")
    assert len(rows) == 3
    assert all(before["window_end_us"] == after["window_start_us"] for before, after in pairwise(rows))
    assert watch.counted("task_success") == [(5, 5, 0), (7, 9, 0), (0, 0, 0)]
    assert watch.snap()["rows"] == 0, "no time has passed"


def until_somebody_waits(watch, thread):
    """Wait until a transaction waits for a lock; fail when the thread ends without ever waiting."""
    ends = time.monotonic() + 20
    with watch.read() as tx:
        while not tx.connection.exec_driver_sql("SELECT count(*) FROM pg_locks WHERE NOT granted").scalar():
            assert thread.is_alive(), "nothing held the second snapshot back"
            assert time.monotonic() < ends
            time.sleep(0.01)


def be_killed_counting(watch, said):
    """Count in a process that stops before its transaction ends."""
    watch.platform.store.engine.dispose(close=False)
    with watch.write("system:platform_metrics_snapshot") as tx:
        assert observatory.take_snapshot(tx)["tasks"] == 4
        os.write(said, b"!")
        signal.pause()


def test_a_snapshot_whose_process_was_killed_counts_nothing_and_the_next_one_all_once(watch):
    begin(watch)
    watch.end_tasks(2)
    watch.snap()
    late_us = watch.now_us
    watch.pass_seconds(3_000)
    watch.end_tasks(2, 1)
    watch.task(state="settled", ended_at_us=late_us)
    before = watch.rows(tables.snapshot)
    hears, says = os.pipe()
    child = forked(be_killed_counting, watch, says)
    assert os.read(hears, 1) == b"!"
    killed(child)
    os.close(hears)
    os.close(says)
    assert watch.rows(tables.snapshot) == before
    found = watch.snap()
    assert found["tasks"] == 4
    assert watch.counted("task_success") == [(3, 3, 1), (2, 3, 0)]
    assert watch.snap()["rows"] == 0
    assert watch.rows(tables.observation) == []
