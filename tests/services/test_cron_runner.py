"""The cron runner: a tick fires once, within its budget, in the order of priority; history tells of it."""

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.cron_runner import CronJob, CronRunner, attempts, control, run_tick
from services.domain.clock import DAY_US, EPOCH, SECOND_US, VirtualClock, WallClock, seconds, to_datetime
from services.domain.errors import UnavailableError
from services.domain.states import TickCause, TickState
from services.operations import audit_log, review_queue
from services.store import sql, tables
from services.store.tx import Store
from tests.services.store.test_tx import run_long


def write(tx, kind="ran"):
    review_queue.open_item(tx, kind=kind, subject="s", context={})


def job(does=None, **changes):
    def default(tx, _context):
        write(tx)
        return {"counted": 3}

    terms = {"name": "demo", "budget_seconds": 10, "priority": 5, "summary": "Shows.", "every_seconds": 60}
    return CronJob(does=does or default, **{**terms, **changes})


@pytest.fixture
def store(migrated_database_url):
    made = Store(migrated_database_url, VirtualClock())
    yield made
    made.close()


@pytest.fixture
def real_store(migrated_sqlite_url):
    made = Store(migrated_sqlite_url, WallClock())
    yield made
    made.close()


def tick(store, what, due_us=None, process="p1"):
    due_us = what.due_at_us(store.clock.now_us()) if due_us is None else due_us
    return run_tick(store, None, what, due_us, process)


def history(store):
    with store.read() as tx:
        return sql.find_all(tx, tables.cron_tick)


def effects(store):
    with store.read() as tx:
        return [row["kind"] for row in sql.find_all(tx, tables.review_item)]


def test_a_tick_runs_and_leaves_its_history(store):
    assert tick(store, job()) is TickState.DONE
    [row] = history(store)
    now_us = store.clock.now_us()
    assert (row["job"], row["due_at_us"], row["claimed_by"], row["state"]) == (
        "demo",
        now_us - now_us % (60 * SECOND_US),
        "p1",
        TickState.DONE,
    )
    assert (row["priority"], row["budget_us"], row["result"], row["error"]) == (
        5,
        10 * SECOND_US,
        {"counted": 3},
        None,
    )
    assert (row["started_at_us"], row["ended_at_us"]) == (now_us, now_us)


def test_a_tick_fires_once(store):
    assert [tick(store, job(), process=name) for name in ("p1", "p2", "p1")] == [TickState.DONE, None, None]
    assert effects(store) == ["ran"]
    store.clock.advance(60 * SECOND_US)
    assert tick(store, job()) is TickState.DONE
    assert len(history(store)) == 2


def test_a_tick_fires_once_across_processes(store):
    """Each process has a store and connections of its own; they start at the same instant."""
    others = [Store(store.url, store.clock) for _ in range(6)]
    start = threading.Barrier(len(others))

    def run(number):
        start.wait(timeout=30)
        return [tick(others[number], job(), due_us, f"p{number}") for due_us in range(5)]

    with ThreadPoolExecutor(len(others)) as pool:
        states = [state for found in pool.map(run, range(len(others))) for state in found]
    assert states.count(TickState.DONE) == 5
    assert set(states) == {TickState.DONE, None}
    assert effects(store) == ["ran"] * 5
    for other in others:
        other.close()


def test_a_job_that_fails_is_rolled_back_and_says_why(store):
    def fail(tx, _context):
        write(tx)
        raise ValueError("no such thing\x00")

    assert tick(store, job(fail)) is TickState.FAILED
    [row] = history(store)
    assert (row["state"], row["result"]) == (TickState.FAILED, None)
    assert row["error"] == "ValueError: no such thing\N{REPLACEMENT CHARACTER}"
    assert effects(store) == []


@pytest.mark.parametrize("is_between_statements", [True, False])
def test_a_job_over_its_budget_is_rolled_back(store, is_between_statements):
    def dawdle(tx, _context):
        write(tx)
        store.clock.advance(10 * SECOND_US)
        if is_between_statements:
            write(tx)
        return {}

    assert tick(store, job(dawdle)) is TickState.OVERRUN
    [row] = history(store)
    assert (row["state"], row["result"], row["error"]) == (
        TickState.OVERRUN,
        None,
        "the budget of 10 s is used up",
    )
    assert row["ended_at_us"] - row["started_at_us"] == 10 * SECOND_US
    assert effects(store) == []


def test_one_long_statement_is_an_overrun_too(migrated_database_url):
    store = Store(migrated_database_url, WallClock())

    def hang(tx, _context):
        write(tx)
        run_long(tx)
        return {}

    assert tick(store, job(hang, budget_seconds=0.2)) is TickState.OVERRUN
    assert effects(store) == []
    store.close()


def test_a_job_that_says_interrupted_has_failed_and_not_overrun(store):
    def fail(_tx, _context):
        raise RuntimeError("interrupted by its own doing: statement timeout")

    assert tick(store, job(fail)) is TickState.FAILED


def test_the_tick_of_a_process_that_died_does_not_run_for_ever(store):
    now_us = store.clock.now_us()
    with store.write(actor="test") as tx:
        for name in ("demo", "another"):
            sql.insert(
                tx, tables.cron_tick, job=name, due_at_us=1, claimed_by="dead", state=TickState.RUNNING,
                priority=5, budget_us=10 * SECOND_US, started_at_us=now_us,
            )  # fmt: skip
    store.clock.advance(70 * SECOND_US)
    tick(store, job())
    assert [row["state"] for row in history(store)][:2] == [TickState.RUNNING, TickState.RUNNING]
    store.clock.advance(60 * SECOND_US)
    tick(store, job())
    dead, another, *_ = history(store)
    assert (dead["state"], dead["error"]) == (
        TickState.FAILED,
        "the process that had claimed this tick ended before the job did",
    )
    assert another["state"] == TickState.RUNNING


def test_a_missed_tick_is_visible(store):
    tick(store, job())
    store.clock.advance(60 * SECOND_US)
    tick(store, job())
    assert [row["state"] for row in history(store)] == [TickState.DONE] * 2, (
        "the next one in time misses none"
    )
    store.clock.advance(20 * 60 * SECOND_US)
    tick(store, job())
    *_, missed, done = sorted(history(store), key=lambda row: row["due_at_us"])
    assert (missed["state"], done["state"]) == (TickState.MISSED, TickState.DONE)
    assert done["due_at_us"] - missed["due_at_us"] == 60 * SECOND_US
    assert "no process ran between" in missed["error"]


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.integers(0, 4 * 10**15), st.sampled_from([0.25, 0.5, 1, 3, 15, 60, 300, 600, 3600]))
def test_intervals_are_due_on_one_grid_for_everybody(now_us, every):
    due_us = job(every_seconds=every).due_at_us(now_us)
    assert now_us - seconds(every) < due_us <= now_us
    assert due_us % seconds(every) == 0


@pytest.mark.parametrize(
    ("now", "due"),
    [
        ("2026-03-04T03:00:00+00:00", "2026-03-04T03:00:00+00:00"),
        ("2026-03-04T02:59:59+00:00", "2026-03-03T03:00:00+00:00"),
        ("2026-03-04T23:00:00+00:00", "2026-03-04T03:00:00+00:00"),
    ],
)
def test_daily_jobs_are_due_at_their_hour(now, due):
    def instant(text):
        return (datetime.fromisoformat(text) - EPOCH) // (EPOCH.resolution)

    nightly = job(every_seconds=None, daily_at="03:00")
    assert nightly.due_at_us(instant(now)) == instant(due)
    assert nightly.due_at_us(instant(due) + DAY_US - 1) == instant(due)


@pytest.mark.parametrize("terms", [{"every_seconds": 15}, {"every_seconds": None, "daily_at": "03:00"}])
def test_the_scheduler_s_trigger_fires_on_the_same_grid(terms):
    what = job(**terms)
    moment, fired = datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC), None
    for _ in range(3):
        fired = what.trigger().get_next_fire_time(fired, moment)
        at_us = (fired - EPOCH) // EPOCH.resolution
        assert what.due_at_us(at_us) == at_us
        moment = to_datetime(at_us + 1)


def test_due_jobs_run_in_the_order_of_their_priority(real_store):
    order = []
    jobs = [
        job(lambda _tx, _context, name=name: order.append(name) or {}, name=name, priority=priority)
        for name, priority in (("late", 50), ("first", 0), ("middle", 10))
    ]
    runner = CronRunner(real_store, None, jobs, "p1", threads=1)
    for number in range(3):
        runner._enqueue(number)
    runner.start()
    until(lambda: len(order) == 3)
    runner.stop()
    assert order == ["first", "middle", "late"]


def test_with_the_real_scheduler_jobs_fire_and_a_broken_one_stops_nobody(real_store):
    def fail(_tx, _context):
        raise ValueError("broken")

    jobs = [
        job(name="quick", every_seconds=0.25),
        job(fail, name="broken", every_seconds=0.25),
        job(name="hourly", every_seconds=3600),
    ]
    runners = [CronRunner(real_store, None, jobs, name) for name in ("p1", "p2")]
    for runner in runners:
        runner.start()
    until(lambda: len(effects(real_store)) >= 3)
    until(lambda: [row["job"] for row in history(real_store)].count("broken") >= 3)
    for runner in runners:
        runner.stop()
    rows = [row for row in history(real_store) if row["state"] != TickState.MISSED]
    assert {(row["job"], row["state"]) for row in rows} == {
        ("quick", TickState.DONE),
        ("broken", TickState.FAILED),
    }
    fired = sorted(row["due_at_us"] for row in rows if row["job"] == "quick")
    assert len(fired) >= 3
    assert all(later - earlier >= SECOND_US // 4 for earlier, later in itertools.pairwise(fired))
    assert effects(real_store) == ["ran"] * len(fired)
    threads = [thread.name for thread in threading.enumerate()]
    assert not [name for name in threads if name.startswith("cron-")]


def until(condition, at_most_seconds=60):
    ends = time.monotonic() + at_most_seconds
    while not condition() and time.monotonic() < ends:
        time.sleep(0.01)


def looked_after(store, jobs, **terms):
    runner = CronRunner(store, None, jobs, "p1", **terms)
    runner.start()
    return runner


def test_what_an_operator_asks_for_runs_within_a_second(real_store):
    with real_store.write(actor="operator") as tx:
        audit_log.create_head(tx)
    what = job(name="hourly", every_seconds=3600)
    runner = looked_after(real_store, [what])
    with real_store.write(actor="operator") as tx:
        control.ask_run(tx, what, "look now")
    until(lambda: effects(real_store) == ["ran"])
    runner.stop()
    [row] = history(real_store)
    assert (row["trigger"], row["reason"]) == (TickCause.OPERATOR, "operator: look now")


def test_a_daily_job_missed_while_nothing_ran_runs_at_the_start_and_a_new_one_does_not(real_store):
    now_us = real_store.clock.now_us()
    daily, new = (job(name=name, every_seconds=None, daily_at="03:00") for name in ("daily", "new"))
    with real_store.write(actor="test") as tx:
        sql.insert(
            tx, tables.cron_tick, job="daily", due_at_us=daily.due_at_us(now_us - 2 * DAY_US),
            claimed_by="p0", state=TickState.DONE, priority=5, budget_us=1, started_at_us=now_us,
            ended_at_us=now_us,
        )  # fmt: skip
    runner = looked_after(real_store, [daily, new])
    until(lambda: effects(real_store) == ["ran"])
    runner.stop()
    states = [(row["job"], row["state"]) for row in history(real_store)]
    assert states == [("daily", TickState.DONE), ("daily", TickState.MISSED), ("daily", TickState.DONE)]


def test_a_tick_whose_process_died_is_closed_and_run_once_more(real_store):
    with real_store.write(actor="test") as tx:
        sql.insert(
            tx, tables.cron_tick, job="demo", due_at_us=tx.now_us, claimed_by="dead",
            state=TickState.RUNNING, priority=5, budget_us=0, started_at_us=tx.now_us - 120 * SECOND_US,
        )  # fmt: skip
        sql.insert(
            tx, tables.cron_tick, job="gone", due_at_us=tx.now_us, claimed_by="dead",
            state=TickState.RUNNING, priority=5, budget_us=0, started_at_us=tx.now_us - 120 * SECOND_US,
        )  # fmt: skip
    runner = looked_after(real_store, [job(every_seconds=3600)])
    until(lambda: effects(real_store) == ["ran"])
    runner.stop()
    found = {(row["job"], row["trigger"]): row["state"] for row in history(real_store)}
    assert found == {
        ("demo", TickCause.CLOCK): TickState.FAILED,
        ("gone", TickCause.CLOCK): TickState.FAILED,
        ("demo", TickCause.RETRY): TickState.DONE,
    }


def test_a_thread_that_is_left_alone_is_replaced(real_store, monkeypatch):
    monkeypatch.setattr(attempts, "GRACE_SECONDS", 0.1)
    wake = threading.Event()

    def sleep(tx, _context):
        write(tx, "asleep")
        wake.wait(timeout=600)
        return {}

    jobs = [job(sleep, name="sleeper", every_seconds=0.5, budget_seconds=0.2), job(every_seconds=0.25)]
    runner = looked_after(real_store, jobs, threads=1)
    until(lambda: [row["state"] for row in history(real_store)].count(TickState.OVERRUN) >= 2)
    until(lambda: len(effects(real_store)) >= 3)
    runner.stop()
    wake.set()
    until(lambda: not [thread for thread in threading.enumerate() if "sleeper" in thread.name])
    assert set(effects(real_store)) == {"ran"}


def test_nothing_is_written_while_nothing_is_due(real_store, monkeypatch):
    writes = []
    monkeypatch.setattr(real_store, "write", lambda **terms: writes.append(terms))
    runner = looked_after(real_store, [job(every_seconds=None, daily_at="03:00")])
    until(lambda: runner._looks > 2)
    runner.stop()
    assert runner._looks > 2
    assert writes == []


def test_a_database_that_is_away_is_one_line_not_a_traceback(real_store, monkeypatch, caplog):
    jobs = [job(name="quick", every_seconds=0.25)]
    runner = CronRunner(real_store, None, jobs, "p1")

    @contextmanager
    def away(**_terms):
        msg = "the database cannot be reached"
        raise UnavailableError(msg)
        yield

    monkeypatch.setattr(real_store, "write", away)
    monkeypatch.setattr(real_store, "read", away)
    runner.start()
    until(lambda: len(caplog.records) >= 3)
    monkeypatch.undo()
    until(lambda: "jobs are looked after again" in caplog.text)
    runner.stop()
    assert not [record for record in caplog.records if record.exc_info or "\n" in record.getMessage()]
    told = [record.getMessage() for record in caplog.records]
    assert len([line for line in told if line.startswith("nobody can look after the jobs")]) == 1
    assert any(line.startswith("a tick of quick could not be recorded: Unavailable") for line in told)
