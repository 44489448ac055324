"""Turns of the probes: what one of them does, hang, raise or take long, takes no turn from the others."""

from dataclasses import replace

import pytest

from cron_registry import CRON_JOBS
from services.cron_runner import run_tick
from services.domain.checks import Status
from services.domain.clock import MINUTE_US
from services.domain.events import EventType
from services.domain.known_answers import KnownAnswer
from services.domain.ledger_schema import EntryType
from services.domain.states import TaskKind, TickState, ValueSource
from services.operations import audit_log, health, metric_watchdog, probes, production_config, self_checks
from services.operations.self_checks import OTHERS, SELF_CHECKS, WRITTEN
from services.store import health as queries
from services.store import sql, tables
from tests.plugins.platforms import platform_over

JOB = next(job for job in CRON_JOBS if job.name == probes.PROBES)
LIMIT = "market.crash_limit"


def answers(number, is_good):
    return KnownAnswer("scripted", {"number": number}, {}, {"is_good": is_good}, is_good)


def honest(_type, _public, _private, result):
    return bool(result["is_good"]), {}


def lay_ticks(market):
    """Let every watched job have been there just now."""
    with market.write() as tx:
        for job in self_checks.WATCHED:
            sql.insert(
                tx, tables.cron_tick, job=job, due_at_us=tx.now_us, claimed_by="p", state=TickState.DONE,
                priority=0, budget_us=1, started_at_us=tx.now_us, ended_at_us=tx.now_us,
            )  # fmt: skip


@pytest.fixture
def minutes(market):
    """Let so many minutes pass with one tick each; return how the ticks ended."""
    store = market.platform.store

    def run(count, verify=honest, types=("a",)):
        known = dict.fromkeys(types, answers)
        context = replace(market.platform.context, verify=verify, known_answers=known)
        ended = []
        for _ in range(count):
            store.clock.advance(MINUTE_US)
            lay_ticks(market)
            ended.append(run_tick(store, context, JOB, JOB.due_at_us(store.clock.now_us()), "p"))
        return ended

    return run


def slow(market, slow_type, seconds):
    def verify(task_type, *asked):
        if task_type == slow_type:
            market.pass_seconds(seconds)
        return honest(task_type, *asked)

    return verify


def found(market):
    with market.read() as tx:
        return {check.key: check for check in health.correctness(tx)}


def hold(market):
    with market.read() as tx:
        return health.promotion_hold(tx)


def raising(_tx, _watch):
    msg = "nobody's business"
    raise KeyError(msg)


def test_a_verifier_that_never_ends_in_time_fails_alone(market, minutes):
    ended = minutes(20, slow(market, "a", 30), types=("a", "b"))
    assert TickState.OVERRUN in ended
    checks = found(market)
    assert checks["task_type/a:known_answers"].status is Status.FAIL
    assert "did not finish" in checks["task_type/a:known_answers"].output
    assert [key for key, check in checks.items() if check.status is not Status.PASS] == [
        "task_type/a:known_answers"
    ]
    assert checks["task_type/b:known_answers"].status is Status.PASS
    now_us = market.platform.store.clock.now_us()
    assert max(now_us - check.at_us for check in checks.values()) < 6 * MINUTE_US


def test_a_probe_that_did_not_finish_once_is_a_warning_and_its_next_end_a_pass(market, minutes):
    assert minutes(1, slow(market, "a", 30)) == [TickState.OVERRUN]
    market.pass_seconds(60)
    with market.write() as tx:
        done = probes.probe_next(tx, honest, {"a": answers})
    assert done == {"begun": 0, "checks": 0, "answers": 0, "unfinished": 1}
    assert found(market)["task_type/a:known_answers"].status is Status.WARN
    minutes(1)
    assert found(market)["task_type/a:known_answers"].status is Status.PASS
    assert market.rows(tables.event, type=EventType.CHECK_FAILED) == []


def test_a_slow_verifier_is_asked_less_at_a_time_and_warned_of(market, minutes):
    asked = []
    verify = slow(market, "a", 1)

    def noting(task_type, public, *rest):
        asked.append((task_type, public["number"], rest[-1]["is_good"]))
        return verify(task_type, public, *rest)

    assert set(minutes(10, noting, types=("a", "b"))) == {TickState.DONE}
    check = found(market)["task_type/a:known_answers"]
    assert check.status is Status.WARN
    assert check.output == "the verifier is slow: 2 of 16 answers took 2.0 s"
    assert [number for name, number, _ in asked if name == "a"][:18] == list(range(18))
    assert [is_good for name, _, is_good in asked if name == "a"][:16].count(False) == 4
    assert found(market)["task_type/b:known_answers"].status is Status.PASS


def test_a_check_that_raises_fails_alone_and_by_its_kind_only(market, minutes, monkeypatch):
    monkeypatch.setitem(SELF_CHECKS, "awards", raising)
    assert minutes(2) == [TickState.DONE] * 2
    checks = found(market)
    assert checks["market:award_replay"].status is Status.FAIL
    assert checks["market:award_replay"].output == "its check raised KeyError"
    assert [key for key, check in checks.items() if check.status is Status.FAIL] == ["market:award_replay"]
    assert len(checks) == sum(map(len, WRITTEN.values())) + 1
    assert "market:award_replay" in hold(market)
    monkeypatch.undo()
    minutes(1)
    assert hold(market) is None


def test_a_statement_that_the_engine_refuses_fails_its_check_alone(market, minutes, monkeypatch):
    def refused(tx, _watch):
        sql.insert(tx, tables.feed_mark, name=None, marks={}, changed_at_us=0)

    monkeypatch.setitem(SELF_CHECKS, "awards", refused)
    assert minutes(1) == [TickState.DONE]
    assert found(market)["market:award_replay"].output == "its check raised IntegrityError"
    assert found(market)["clock:order"].status is Status.PASS


def test_checks_that_were_never_made_hold_promotions_once_there_was_time(market, minutes, monkeypatch):
    assert hold(market) is None
    monkeypatch.setattr(probes, "_make", raising)
    minutes(1)
    market.pass_seconds(500)
    assert hold(market) is None
    market.pass_seconds(200)
    assert hold(market).startswith("check market:award_replay and 5 more was never made")
    monkeypatch.undo()
    minutes(1)
    assert hold(market) is None


def test_a_task_type_that_was_never_asked_about_holds_too(market, minutes):
    minutes(11)
    with market.write() as tx:
        kept = {(row["component"], row["measurement"]) for row in queries.checks(tx, "correct")}
        queries.drop_checks(tx, kept - {("task_type/a", "known_answers")})
    assert hold(market) == "check task_type/a:known_answers was never made, although its job runs"
    minutes(1)
    assert hold(market) is None


def test_a_check_that_nobody_makes_any_more_is_forgotten(market, minutes):
    with market.write() as tx:
        health.report(tx, "correct", "job/old_name", "age", Status.FAIL, output="old")
        health.report(tx, "correct", "ledger", "old_measure", Status.PASS)
        health.report(tx, "ready", "bus", "room", Status.FAIL)
        for component, measurement in OTHERS:
            health.report(tx, "correct", component, measurement, Status.PASS)
    assert "job/old_name" in hold(market)
    minutes(1)
    assert hold(market) is None
    keys = {key for keys in WRITTEN.values() for key in keys} | {*OTHERS, ("task_type/a", "known_answers")}
    assert set(found(market)) == {f"{component}:{measurement}" for component, measurement in keys}
    assert len(market.rows(tables.health_check, layer="ready")) == 1
    [event] = market.rows(tables.event, type=EventType.CHECK_RECOVERED)
    assert event["payload"]["component"] == "job/old_name"


def test_what_each_check_writes_is_what_it_is_known_for(market, requester, worker):
    market.done(requester, worker)
    for name, check in SELF_CHECKS.items():
        with market.write() as tx:
            made = check(tx, self_checks.Watch(tx.now_us))
        assert tuple((one.component, one.measurement) for one in made) == WRITTEN[name]
    with market.write() as tx:
        metric_watchdog.watch_metrics(tx)
    written = {(row["component"], row["measurement"]) for row in market.rows(tables.health_check)}
    assert written <= set(OTHERS)


def test_a_platform_without_users_tasks_has_no_old_metrics(market, requester):
    def look(alive_since_us):
        with market.write() as tx:
            return self_checks.look_at_age(tx, self_checks.Watch(alive_since_us))[0]

    market.post(requester, kind=TaskKind.META)
    market.pass_seconds(9 * 3_600)
    assert look(0).status is Status.PASS
    assert "nothing to count yet" in look(0).output
    market.post(requester)
    assert look(0).status is Status.PASS
    market.pass_seconds(5 * 3_600)
    assert look(0).status is Status.FAIL


def override(tx, name):
    tx = audit_log.take_turn(tx)
    before = production_config.effective(tx, name)
    value = str(int(before.value) + 1)
    done = production_config.change(
        tx, name, expected_version=before.version, value=value, source=ValueSource.OVERRIDE,
        experiment_id=None,
    )  # fmt: skip
    facts = {"act": "x", "reason": "y", "parameter": name, "from": before.value, "to": value}
    facts |= {"config_before": done.config_before, "config_after": done.config_after}
    audit_log.append(tx, EntryType.OVERRIDE, facts)


def test_a_change_committed_between_two_reads_is_no_failure(migrated_postgresql_url, tmp_path, monkeypatch):
    platform = platform_over(migrated_postgresql_url, tmp_path)
    changed = []
    read = production_config.snapshot

    def change_first(tx):
        if not changed and tx.actor == "system:correctness_probes":
            changed.append(tx.now_us)
            with platform.store.write(actor="operator") as other:
                override(other, LIMIT)
        return read(tx)

    monkeypatch.setattr(production_config, "snapshot", change_first)
    platform.store.clock.advance(MINUTE_US)
    due_us = JOB.due_at_us(platform.store.clock.now_us())
    assert run_tick(platform.store, platform.context, JOB, due_us, "p") is TickState.DONE
    with platform.store.read() as tx:
        checks = {check.key: check.status for check in health.correctness(tx)}
    assert changed
    assert checks["config:fold_of_ledger"] is Status.PASS
    platform.close()


def test_the_fold_of_the_config_reads_what_is_new_only(market, monkeypatch):
    watch = self_checks.Watch(0)
    read = []
    entries = queries.config_entries

    def counting(tx, index):
        found = entries(tx, index)
        read.append(len(found))
        return found

    monkeypatch.setattr(queries, "config_entries", counting)
    for number in range(4):
        with market.write() as tx:
            [finding] = self_checks.compare_config(tx, watch)
        assert finding.status is Status.PASS
        if number == 1:
            with market.write() as tx:
                override(tx, LIMIT)
    assert read == [1, 0, 1, 0]
    with market.write() as tx:
        sql.update(tx, tables.parameter, {"name": LIMIT}, value="77")
        [finding] = self_checks.compare_config(tx, watch)
    assert finding.status is Status.FAIL
