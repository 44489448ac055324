"""No job runs twice at once, whichever processes fire it and why: the others wait or are told who has it."""

import os
import signal
import threading
import time
from contextlib import contextmanager

import pytest

from services.cron_runner import (
    CronJob,
    CronRunner,
    JobRunningError,
    Misfire,
    control,
    lost,
    run_asked,
    run_here,
    run_lost,
    run_tick,
)
from services.domain.clock import HOUR_US, MINUTE_US, WallClock
from services.domain.states import TickCause, TickState
from services.operations import audit_log
from services.store import sql, tables
from services.store.tx import Store
from tests.proofs.processes import forked

LIMIT_SECONDS = 20
BY_HAND = {"operator": "me", "reason": "because"}


class Gate:
    """A job's work that stays inside until it is let out, and says how many were inside at once."""

    def __init__(self):
        self.entered, self.may_leave = threading.Event(), threading.Event()
        self.guard, self.inside, self.most, self.runs = threading.Lock(), 0, 0, 0

    def __call__(self, _tx, _context):
        with self.guard:
            self.inside, self.runs = self.inside + 1, self.runs + 1
            self.most = max(self.most, self.inside)
        self.entered.set()
        self.may_leave.wait(LIMIT_SECONDS)
        with self.guard:
            self.inside -= 1
        return {}


def job(does, **terms):
    shape = {"name": "demo", "budget_seconds": 30, "priority": 5, "summary": "Shows.", "every_seconds": 3600}
    return CronJob(does=does, **{**shape, **terms})


@pytest.fixture
def store(migrated_postgresql_url):
    made = Store(migrated_postgresql_url, WallClock())
    with made.write(actor="test") as tx:
        audit_log.create_head(tx)
    yield made
    made.close()


@pytest.fixture
def other(migrated_postgresql_url):
    """Another process over the same database."""
    made = Store(migrated_postgresql_url, WallClock())
    yield made
    made.close()


@contextmanager
def running(store, what, gate, due_us=HOUR_US):
    """Run a tick in a thread, and let the block see it inside."""
    ended = []
    thread = threading.Thread(target=lambda: ended.append(run_tick(store, None, what, due_us, "p1")))
    thread.start()
    assert gate.entered.wait(LIMIT_SECONDS)
    try:
        yield
    finally:
        gate.may_leave.set()
        thread.join(LIMIT_SECONDS)
    assert ended == [TickState.DONE]


def ticks(store, **where):
    with store.read() as tx:
        return sql.find_all(tx, tables.cron_tick, **where)


def until(is_so):
    ends = time.monotonic() + LIMIT_SECONDS
    while not is_so():
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_what_comes_while_a_job_runs_claims_nothing_and_says_who_runs_it(store, other):
    gate = Gate()
    what = job(gate)
    with store.write(actor="operator") as tx:
        control.ask_run(tx, what, "look now")
    with running(store, what, gate):
        assert run_tick(other, None, what, HOUR_US, "p2") is None, "this very tick is another's"
        with pytest.raises(JobRunningError, match=r"demo runs already \(tick 1 of p1 since"):
            run_here(other, None, what, "p2", **BY_HAND)
        for act in (
            lambda: run_tick(other, None, what, 2 * HOUR_US, "p2"),
            lambda: run_asked(other, None, what, "p2"),
        ):
            with pytest.raises(JobRunningError) as refusal:
                act()
            assert (refusal.value.code, refusal.value.field) == ("job_running", "job")
        assert run_tick(other, None, job(lambda *_: {}, name="free"), HOUR_US, "p2") is TickState.DONE
        assert len(ticks(store, job="demo")) == 1
    assert run_asked(other, None, what, "p2") is TickState.DONE, "it was still asked for"
    assert run_tick(other, None, what, 2 * HOUR_US, "p2") is TickState.DONE
    assert run_here(other, None, what, "p2", **BY_HAND)[1] is TickState.DONE
    assert (gate.most, gate.runs) == (1, 4)


def test_a_tick_that_does_not_run_needs_no_turn(store, other):
    gate = Gate()
    what = job(gate)
    with running(store, what, gate):
        with store.write(actor="operator") as tx:
            control.pause(tx, what, "because")
        assert run_tick(other, None, what, 2 * HOUR_US, "p2") is TickState.SKIPPED


def test_the_one_more_run_of_a_lost_tick_waits_too(store, other):
    gate = Gate()
    what = job(gate, misfire=Misfire.CATCH_UP)
    with store.write(actor="test") as tx:
        sql.insert(
            tx, tables.cron_tick, job="demo", due_at_us=1, claimed_by="dead", state=TickState.RUNNING,
            priority=5, budget_us=0, started_at_us=tx.now_us - 5 * MINUTE_US,
        )  # fmt: skip
    [row] = lost(store)
    with running(store, what, gate, due_us=what.interval_us):
        with pytest.raises(JobRunningError):
            run_lost(other, None, what, row, "p2")
        assert [one["id"] for one in lost(store)] == [row["id"]]
    assert run_lost(other, None, what, row, "p2") is TickState.DONE
    assert gate.most == 1


def test_a_runner_puts_a_tick_off_and_does_other_jobs_meanwhile(store, other):
    gate, done = Gate(), threading.Event()
    what = job(gate)
    quick = job(lambda *_: done.set() or {}, name="quick", every_seconds=0.5)
    with store.write(actor="test") as tx:  # both had a tick long ago, so that both are due at the start
        for one in (what, quick):
            sql.insert(
                tx, tables.cron_tick, job=one.name, due_at_us=one.due_at_us(tx.now_us - 2 * HOUR_US),
                claimed_by="p0", state=TickState.DONE, priority=5, budget_us=1, started_at_us=1,
                ended_at_us=2,
            )  # fmt: skip
    runner = CronRunner(other, None, [what, quick], "p2", threads=1)
    with running(store, what, gate):
        runner.start()
        until(lambda: runner._postponed)
        assert done.wait(LIMIT_SECONDS)
        assert gate.runs == 1
    until(lambda: gate.runs == 2)
    until(lambda: not ticks(store, job="demo", state=TickState.RUNNING))
    runner.stop()
    assert gate.most == 1
    assert len(ticks(store, job="demo", claimed_by="p2", state=TickState.DONE)) == 1


def test_an_asked_run_is_done_by_a_runner_when_the_tick_has_ended(store, other):
    gate = Gate()
    what = job(gate)
    runner = CronRunner(other, None, [what], "p2", threads=1)
    with running(store, what, gate, due_us=what.due_at_us(store.clock.now_us())):
        with store.write(actor="operator") as tx:
            control.ask_run(tx, what, "look now")
        runner.start()
        until(lambda: runner._postponed)
    until(lambda: ticks(store, trigger=TickCause.OPERATOR, state=TickState.DONE))
    runner.stop()
    assert gate.most == 1


def be_killed_inside(url, said):
    """Run a tick in a process whose job never ends."""

    def never_end(_tx, _context):
        os.write(said, b"!")
        signal.pause()

    run_tick(Store(url, WallClock()), None, job(never_end), HOUR_US, "p1")


def test_the_turn_ends_with_the_process_that_had_it(migrated_postgresql_url, store):
    hears, says = os.pipe()
    child = forked(be_killed_inside, migrated_postgresql_url, says)
    try:
        assert os.read(hears, 1) == b"!"
        what = job(lambda *_: {})
        with pytest.raises(JobRunningError):
            run_tick(store, None, what, 2 * HOUR_US, "p2")
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(hears)
        os.close(says)

    def is_done():
        try:
            return run_tick(store, None, what, 2 * HOUR_US, "p2") is TickState.DONE
        except JobRunningError:
            return False

    until(is_done)
    assert len(ticks(store, state=TickState.RUNNING)) == 1, "the lost tick is nobody's hindrance"
