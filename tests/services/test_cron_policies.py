"""Jitter, missed ticks, pauses, runs an operator asks for, and jobs placed by health; on both engines."""

from itertools import pairwise

import pytest

from services.cron_runner import (
    CronJob,
    Misfire,
    Role,
    Timetable,
    control,
    lost,
    run_asked,
    run_lost,
    run_tick,
)
from services.cron_runner.claims import CAUGHT_UP
from services.domain.canonical import parse_canonical
from services.domain.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US, VirtualClock, to_datetime
from services.domain.errors import ConflictError, InvalidValueError, NotFoundError
from services.domain.states import TickCause, TickState
from services.operations import audit_log
from services.store import sql, tables
from services.store.tx import Store

RUNS = []


def job(**terms):
    shape = {"name": "demo", "budget_seconds": 10, "priority": 50, "summary": "Shows.", "every_seconds": 3600}
    return CronJob(does=lambda tx, _context: RUNS.append(tx.now_us) or {}, **{**shape, **terms})


@pytest.fixture(autouse=True)
def no_runs():
    RUNS.clear()


@pytest.fixture
def store(migrated_database_url):
    made = Store(migrated_database_url, VirtualClock())
    with made.write(actor="test") as tx:
        audit_log.create_head(tx)
    yield made
    made.close()


def tick(store, what, due_us=None, points=None):
    due_us = what.due_at_us(store.clock.now_us()) if due_us is None else due_us
    return run_tick(store, None, what, due_us, "p1", health_points=points)


def history(store):
    with store.read() as tx:
        return sql.find_all(tx, tables.cron_tick, order_by="due_at_us")


def act(store, verb, what, reason="because"):
    with store.write(actor="operator") as tx:
        return verb(tx, what, reason)


# --- jitter


def test_jitter_is_bounded_the_same_everywhere_and_spread():
    what = job(jitter_seconds=60)
    delays = [what.jitter_us(number * HOUR_US) for number in range(500)]
    assert delays == [job(jitter_seconds=60).jitter_us(number * HOUR_US) for number in range(500)]
    assert min(delays) >= 0
    assert max(delays) <= MINUTE_US
    assert max(delays) - min(delays) > 50 * SECOND_US
    assert {job().jitter_us(number * HOUR_US) for number in range(50)} == {0}
    assert delays[:9] != [job(name="other", jitter_seconds=60).jitter_us(n * HOUR_US) for n in range(9)]


def test_ticks_with_jitter_never_change_places_and_the_trigger_knows_them():
    what = job(every_seconds=60, budget_seconds=1, jitter_seconds=1_000, role=Role.DIAGNOSTIC)
    assert what.divisor == 4
    now_us, fired, found = 12 * DAY_US + 7, None, []
    for _ in range(50):
        fired = what.trigger().get_next_fire_time(fired, to_datetime(now_us))
        found.append(fired)
    assert found == sorted(set(found))
    dues = [what.ready_due_at_us(round(at.timestamp() * 1e6), what.divisor) for at in found]
    assert [after - before for before, after in pairwise(dues)] == [15 * SECOND_US] * 49


def test_a_tick_is_not_ready_before_its_jitter():
    what = job(jitter_seconds=60)
    due_us = 100 * HOUR_US
    ready_us = what.ready_at_us(due_us)
    assert ready_us > due_us
    assert what.ready_due_at_us(ready_us - 1) == due_us - HOUR_US
    assert what.ready_due_at_us(ready_us) == due_us


# --- missed ticks


def test_a_daily_job_that_was_missed_runs_once_late(store):
    what = job(every_seconds=None, daily_at="03:00")
    tick(store, what)
    store.clock.advance(3 * DAY_US + 5 * HOUR_US)
    assert tick(store, what) is TickState.DONE
    first, missed, late = history(store)
    assert (missed["state"], late["state"]) == (TickState.MISSED, TickState.DONE)
    assert missed["error"].startswith("3 missed: no process ran between ")
    assert late["reason"] == "it runs 7200 s late"
    assert len(RUNS) == 2
    assert first["trigger"] == late["trigger"] == TickCause.CLOCK


def test_a_job_that_skips_waits_for_its_next_tick(store):
    what = job(misfire=Misfire.SKIP)
    tick(store, what)
    store.clock.advance(5 * HOUR_US + 2 * MINUTE_US)
    assert tick(store, what) is TickState.MISSED
    assert tick(store, what) is None
    assert [row["state"] for row in history(store)] == [TickState.DONE, TickState.MISSED, TickState.MISSED]
    assert "what this job missed is skipped" in history(store)[-1]["error"]
    store.clock.advance(58 * MINUTE_US)
    assert tick(store, what) is TickState.DONE
    assert len(RUNS) == 2


def test_a_job_that_never_ran_has_missed_nothing(store):
    store.clock.advance(30 * MINUTE_US)
    assert tick(store, job(misfire=Misfire.SKIP)) is TickState.DONE


def test_a_job_that_catches_up_runs_each_missed_tick_oldest_first(store):
    what = job(misfire=Misfire.CATCH_UP)
    tick(store, what)
    store.clock.advance(4 * HOUR_US)
    tick(store, what)
    rows = history(store)
    assert [row["due_at_us"] for row in rows] == [rows[0]["due_at_us"] + n * HOUR_US for n in range(5)]
    clock, caught_up = TickCause.CLOCK, TickCause.CATCH_UP
    assert [row["trigger"] for row in rows] == [clock, caught_up, caught_up, caught_up, clock]
    assert {row["state"] for row in rows} == {TickState.DONE}
    assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)


def test_catching_up_is_bounded_and_what_is_left_out_is_visible(store):
    what = job(misfire=Misfire.CATCH_UP)
    tick(store, what)
    store.clock.advance(100 * HOUR_US)
    tick(store, what)
    states = [row["state"] for row in history(store)]
    assert states == [TickState.DONE, TickState.MISSED] + [TickState.DONE] * (CAUGHT_UP + 1)
    assert history(store)[1]["error"].startswith(f"{99 - CAUGHT_UP} missed: ")


@pytest.mark.parametrize(
    ("misfire", "runs"), [(Misfire.RUN_ONCE, 1), (Misfire.CATCH_UP, 1), (Misfire.SKIP, 0)]
)
def test_a_tick_whose_process_died_runs_once_more_if_its_policy_says_so(store, misfire, runs):
    what = job(misfire=misfire)
    with store.write(actor="test") as tx:
        sql.insert(
            tx, tables.cron_tick, job="demo", due_at_us=7, claimed_by="dead", state=TickState.RUNNING,
            priority=5, budget_us=10 * SECOND_US, started_at_us=tx.now_us,
        )  # fmt: skip
    store.clock.advance(70 * SECOND_US)
    assert lost(store) == []
    store.clock.advance(1)
    found = lost(store)
    for _ in range(2):
        for row in found:
            run_lost(store, None, what, row, "p2")
    assert lost(store) == []
    died, *again = history(store)
    assert (died["state"], len(again), len(RUNS)) == (TickState.FAILED, runs, runs)
    assert all(row["trigger"] == TickCause.RETRY and row["state"] == TickState.DONE for row in again)


@pytest.mark.parametrize(("misfire", "runs"), [(Misfire.RUN_ONCE, 1), (Misfire.CATCH_UP, 2)])
def test_a_job_that_has_run_since_runs_once_more_only_if_each_tick_counts(store, misfire, runs):
    with store.write(actor="test") as tx:
        sql.insert(
            tx, tables.cron_tick, job="demo", due_at_us=7, claimed_by="dead", state=TickState.RUNNING,
            trigger=TickCause.OPERATOR, priority=5, budget_us=10 * SECOND_US, started_at_us=tx.now_us,
        )  # fmt: skip
    store.clock.advance(MINUTE_US)
    what = job(misfire=misfire)
    tick(store, what)
    store.clock.advance(MINUTE_US)
    for row in lost(store):
        run_lost(store, None, what, row, "p2")
    assert len(RUNS) == runs


def test_what_was_run_once_more_and_died_again_is_left(store):
    what = job()
    with store.write(actor="test") as tx:
        sql.insert(
            tx, tables.cron_tick, job="demo", due_at_us=7, claimed_by="dead", state=TickState.RUNNING,
            trigger=TickCause.RETRY, priority=5, budget_us=10 * SECOND_US, started_at_us=tx.now_us,
        )  # fmt: skip
    store.clock.advance(HOUR_US)
    for row in lost(store):
        run_lost(store, None, what, row, "p2")
    assert [row["state"] for row in history(store)] == [TickState.FAILED]
    assert RUNS == []


# --- health


def test_while_health_is_low_housekeeping_waits_but_not_for_ever(store):
    what = job(role=Role.HOUSEKEEPING)
    states = []
    for _ in range(9):
        states.append(tick(store, what, points=55))
        store.clock.advance(HOUR_US)
    skipped, done = TickState.SKIPPED, TickState.DONE
    assert states == [done, *[skipped] * 5, done, skipped, skipped]
    held, ran = history(store)[1], history(store)[6]
    assert held["reason"] == "health is 55 of 100, below 80: housekeeping waits"
    assert (held["priority"], held["ended_at_us"]) == (150, held["started_at_us"])
    assert ran["reason"].endswith("this has waited for 6 h: it runs last")
    assert tick(store, what, points=80) is TickState.DONE


def test_while_health_is_low_diagnostic_jobs_run_first_and_more_often(store):
    jobs = [job(name="market", priority=0), job(name="watch", priority=40, role=Role.DIAGNOSTIC)]
    now_us = 1_000 * HOUR_US
    well, unwell = Timetable(jobs), Timetable(jobs)
    for minutes in range(0, 120, 5):
        at_us = now_us + minutes * MINUTE_US
        for table, points in ((well, 90), (unwell, 55)):
            due = table.take(at_us, points)
            names = [one.name for one, _ in due]
            if minutes % 60 == 0:
                assert names == (["market", "watch"] if points == 90 else ["watch", "market"])
            elif minutes % 15 == 0:
                assert names == ([] if points == 90 else ["watch"])
            else:
                assert names == []
    tick(store, jobs[1], points=55)
    [row] = history(store)
    assert row["priority"] == -60
    assert row["reason"] == "health is 55 of 100, below 80: diagnostic jobs run first and more often"


# --- operators


def test_a_paused_job_does_not_run_and_says_so(store):
    what = job()
    act(store, control.pause, what, "the disk is full")
    assert tick(store, what) is TickState.SKIPPED
    assert history(store)[0]["reason"] == "paused by operator: the disk is full"
    with pytest.raises(ConflictError, match="paused already"):
        act(store, control.pause, what)
    store.clock.advance(HOUR_US)
    act(store, control.resume, what)
    with pytest.raises(ConflictError, match="not paused"):
        act(store, control.resume, what)
    assert tick(store, what) is TickState.DONE
    assert [row["state"] for row in history(store)] == [TickState.SKIPPED, TickState.DONE]
    acts = ledger(store)
    assert [(one["act"], one["job"], one["reason"]) for one in acts] == [
        ("pause_job", "demo", "the disk is full"),
        ("resume_job", "demo", "because"),
    ]


def ledger(store):
    with store.read() as tx:
        rows = sql.find_all(tx, tables.ledger_entry, order_by="index")
    return [parse_canonical(row["leaf"])["payload"] for row in rows]


def test_a_run_is_asked_for_once_and_done_once_even_when_paused(store):
    what = job()
    act(store, control.pause, what)
    act(store, control.ask_run, what, "look now")
    with pytest.raises(ConflictError, match="asked for already"):
        act(store, control.ask_run, what)
    assert run_asked(store, None, what, "p2") is TickState.DONE
    assert run_asked(store, None, what, "p3") is None
    [row] = history(store)
    assert (row["trigger"], row["reason"]) == (TickCause.OPERATOR, "operator: look now")
    act(store, control.ask_run, what)
    assert run_asked(store, None, what, "p2") is TickState.DONE
    assert len(RUNS) == 2


def test_a_run_by_an_operator_hides_no_missed_tick(store):
    what = job()
    tick(store, what)
    store.clock.advance(5 * HOUR_US - 1)
    act(store, control.ask_run, what)
    run_asked(store, None, what, "p1")
    store.clock.advance(1)
    tick(store, what)
    assert TickState.MISSED in {row["state"] for row in history(store)}


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501])
def test_an_act_needs_a_reason(store, reason):
    for verb in (control.pause, control.ask_run):
        with pytest.raises(InvalidValueError, match="reason must be"):
            act(store, verb, job(), reason)


def test_a_job_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(NotFoundError, match="the jobs are demo"):
        control.job_named([job()], "demmo")
