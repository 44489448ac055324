"""Budgets that really stop a job, on both engines: loops, swallowed errors, sleeps, those who come late."""

import threading
import time

import pytest

from services.cron_runner import CronJob, run_tick
from services.cron_runner import attempts as attempts_module
from services.domain.clock import WallClock
from services.domain.errors import BudgetExceededError
from services.domain.states import TickState
from services.operations import review_queue
from services.store import sql, tables
from services.store.holds import Hold
from services.store.tx import Store

BUDGET_SECONDS = 0.3


@pytest.fixture
def store(migrated_database_url):
    made = Store(migrated_database_url, WallClock())
    yield made
    made.close()


@pytest.fixture(autouse=True)
def short_grace(monkeypatch):
    monkeypatch.setattr(attempts_module, "GRACE_SECONDS", 0.3)
    monkeypatch.setattr(attempts_module, "LEFT_ALONE_SECONDS", 0.05)


def write(tx, kind="ran"):
    review_queue.open_item(tx, kind=kind, subject="s", context={})


def tick(store, does, **terms):
    shape = {"name": "demo", "budget_seconds": BUDGET_SECONDS, "priority": 5, "summary": "Shows."}
    job = CronJob(does=does, **{**shape, "every_seconds": 60, **terms})
    due_us = store.clock.now_us()
    return run_tick(store, None, job, due_us, "p1")


def rows(store, table):
    with store.read() as tx:
        return sql.find_all(tx, table)


def only_tick(store):
    [row] = rows(store, tables.cron_tick)
    return row


def until(condition, at_most_seconds=60):
    ends = time.monotonic() + at_most_seconds
    while not condition():
        assert time.monotonic() < ends, "it did not come true"
        time.sleep(0.01)


def job_threads():
    return [thread.name for thread in threading.enumerate() if thread.name in {"job-demo", "after-demo"}]


def test_a_job_that_ends_in_time_runs_in_a_thread_and_is_kept(store):
    names = []

    def does(tx, _context):
        names.append(threading.current_thread().name)
        write(tx)
        return {"counted": 1}

    assert tick(store, does) is TickState.DONE
    assert names == ["job-demo"]
    assert (only_tick(store)["result"], len(rows(store, tables.review_item))) == ({"counted": 1}, 1)


def test_a_loop_in_python_is_stopped(store):
    def does(tx, _context):
        write(tx)
        number = 0
        while True:
            number += 1

    assert tick(store, does) is TickState.OVERRUN
    assert only_tick(store)["error"] == "the budget of 0.3 s is used up: its code was stopped"
    assert rows(store, tables.review_item) == []
    assert job_threads() == []
    assert_usable(store)


def test_a_loop_that_swallows_errors_is_stopped(store):
    swallowed = []

    def does(tx, _context):
        write(tx)
        while True:
            try:
                sum(range(1_000))
            except Exception as error:  # noqa: BLE001 (the job that is tested swallows everything)
                swallowed.append(error)

    assert tick(store, does) is TickState.OVERRUN
    assert "its code was stopped" in only_tick(store)["error"]
    assert any(isinstance(error, BudgetExceededError) for error in swallowed)
    assert rows(store, tables.review_item) == []
    assert_usable(store)


def test_a_loop_over_the_database_that_swallows_errors_is_stopped(store):
    def does(tx, _context):
        while True:
            try:
                write(tx)
            except Exception:  # noqa: BLE001 (the job that is tested swallows everything)
                continue

    assert tick(store, does) is TickState.OVERRUN
    assert rows(store, tables.review_item) == []
    assert_usable(store)


def test_a_job_that_sleeps_loses_its_transaction_at_once_and_can_write_nothing_later(store):
    wake, outcome = threading.Event(), []

    def does(tx, _context):
        write(tx, "first")
        sleep_deaf(wake)
        try:
            write(tx, "later")
        except BaseException as error:  # noqa: BLE001 (so does this one)
            outcome.append(error)
        try:
            raw = tx.connection.connection.cursor()
            raw.execute("DELETE FROM cron_tick")
            tx.connection.connection.commit()
        except BaseException as error:  # noqa: BLE001 (so does this one)
            outcome.append(error)
        return {}

    assert tick(store, does) is TickState.OVERRUN
    assert only_tick(store)["error"].endswith("rolled back from outside and its thread left")
    assert "job-demo" in job_threads()
    assert_usable(store)
    wake.set()
    until(lambda: not job_threads())
    assert len(outcome) == 2, "each of its attempts to write failed"
    assert rows(store, tables.review_item)[0]["kind"] == "usable"
    assert len(rows(store, tables.review_item)) == 1
    assert only_tick(store)["state"] == TickState.OVERRUN


def sleep_deaf(wake):
    """Sleep in calls that take no error, until woken; errors that come in between are swallowed."""
    while not wake.is_set():
        try:
            while not wake.is_set():
                time.sleep(0.01)
        except BaseException:  # noqa: BLE001 (so does this one)
            continue


def test_a_job_in_one_long_sleep_frees_its_locks(store):
    wake = threading.Event()

    def does(tx, _context):
        write(tx)
        assert wake.wait(600), "somebody waits for the sleeper"
        write(tx, "later")
        return {}

    assert tick(store, does) is TickState.OVERRUN
    assert_usable(store)
    assert "job-demo" in job_threads(), "nobody waits for the sleeper"
    wake.set()
    until(lambda: not job_threads())
    assert [row["kind"] for row in rows(store, tables.review_item)] == ["usable"]


def test_a_lock_of_a_row_is_free_when_its_holder_is_left(migrated_postgresql_url):
    store = Store(migrated_postgresql_url, WallClock())
    with store.write(actor="test") as tx:
        write(tx)

    wake = threading.Event()

    def does(tx, _context):
        sql.find_all(tx, tables.review_item, lock=True)
        assert wake.wait(600), "somebody waits for the sleeper"
        return {}

    assert tick(store, does) is TickState.OVERRUN
    with store.write(actor="test", budget_us=60_000_000) as tx:
        assert sql.find_all(tx, tables.review_item, lock=True)
    assert "job-demo" in job_threads(), "the sleeper is still asleep"
    wake.set()
    until(lambda: not job_threads())
    store.close()


def test_a_repeated_job_keeps_what_it_had_committed_when_it_is_stopped(store):
    calls = []

    def does(tx, _context):
        calls.append(1)
        write(tx)
        if len(calls) == 3:
            while True:
                pass
        return {"done": 1}

    assert tick(store, does, is_repeated=True, budget_seconds=1) is TickState.OVERRUN
    assert len(rows(store, tables.review_item)) == 2
    assert only_tick(store)["state"] == TickState.OVERRUN


def test_a_job_whose_tick_was_closed_meanwhile_writes_nothing(store):
    def does(tx, _context):
        write(tx)
        sql.update(tx, tables.cron_tick, {"job": "demo"}, state=TickState.FAILED)
        return {}

    assert tick(store, does) is TickState.FAILED
    assert "closed while it ran" in only_tick(store)["error"]
    assert rows(store, tables.review_item) == []


def test_an_error_never_comes_after_the_job_s_own_code(store):
    """Jobs end at about the instant they are stopped, many times; every end is one of two, and whole."""
    states = []
    for number in range(25):
        ends_after = BUDGET_SECONDS / 3 + attempts_module.ENGINE_FIRST_SECONDS + (number - 12) * 0.0004

        def does(tx, _context, ends_after=ends_after):
            ends = time.monotonic() + ends_after
            write(tx)
            while time.monotonic() < ends:
                pass
            return {}

        states.append(tick(store, does, budget_seconds=BUDGET_SECONDS / 3))
    done = states.count(TickState.DONE)
    assert set(states) <= {TickState.DONE, TickState.OVERRUN}
    assert len(rows(store, tables.review_item)) == done
    assert job_threads() == []
    assert_usable(store)


def test_a_hold_whose_transaction_has_ended_touches_nothing(store):
    begun = []
    hold = Hold(lambda: begun.append(1))
    with store.write(actor="test", hold=hold) as tx:
        write(tx)
    assert (begun, hold.take_back(store.engine)) == ([1], False)
    assert len(rows(store, tables.review_item)) == 1


def test_the_commit_of_a_transaction_that_was_taken_back_fails(store):
    hold = Hold(lambda: None)

    def commit_after_all():
        with store.write(actor="test", hold=hold) as tx:
            write(tx)
            assert hold.take_back(store.engine)
            assert not hold.take_back(store.engine)
            assert_usable(store)

    with pytest.raises(Exception, match=r".+"):
        commit_after_all()
    assert [row["kind"] for row in rows(store, tables.review_item)] == ["usable"]
    assert_usable(store)


def assert_usable(store):
    """The write turn, every lock and the pool are free again."""
    with store.write(actor="test", budget_us=5_000_000) as tx:
        for row in sql.find_all(tx, tables.review_item, kind="usable"):
            sql.update(tx, tables.review_item, {"id": row["id"]}, subject="t")
        if not sql.find_all(tx, tables.review_item, kind="usable"):
            write(tx, "usable")
