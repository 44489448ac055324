"""Probes of correctness: degraded verifiers, damaged records and old data, each found by its own check."""

import random
from itertools import pairwise

import pytest

from app.tasks.registry import TASK_TYPE_REGISTRY
from app.verification import ResultVerifier, known_answers_of
from services.domain.checks import Status
from services.domain.events import EventType
from services.domain.known_answers import KnownAnswer
from services.domain.ledger_schema import EntryType
from services.domain.states import TickState
from services.operations import audit_log, health, probes
from services.operations.self_checks import SELF_CHECKS, WATCHED
from services.store import sql, tables

HOUR_SECONDS = 3_600
DEGRADED_SEED = 20260701


def answers(number, is_good):
    return KnownAnswer("scripted", {"number": number}, {}, {"is_good": is_good}, is_good)


def honest(_type, _public, _private, result):
    return bool(result["is_good"]), {}


def credulous(*_asked):
    return True, {}


def broken(*_asked):
    msg = "the verifier's library is gone"
    raise RuntimeError(msg)


def forgetful(share, seed):
    """Return a verifier that refuses this share of what is good."""
    draw = random.Random(seed)
    return lambda _type, _public, _private, result: (bool(result["is_good"]) and draw.random() >= share, {})


def one_run(market, verify=honest, known=None):
    """Let every probe have one turn, as one tick of the job does."""
    made = 0
    while True:
        with market.write("system:correctness_probes") as tx:
            done = probes.probe_next(tx, verify, {"a": answers} if known is None else known)
        if not any(done.values()):
            return made
        made += done["checks"]


def runs(market, count, verify=honest):
    for _ in range(count):
        one_run(market, verify)
        market.pass_seconds(60)


def found(market):
    with market.read() as tx:
        return {check.key: check for check in health.correctness(tx)}


def failing(market):
    return {key for key, check in found(market).items() if check.status is Status.FAIL}


def lay_ticks(market):
    """Let every watched job and the snapshot have been there just now."""
    with market.write() as tx:
        for job in WATCHED:
            sql.insert(
                tx, tables.cron_tick, job=job, due_at_us=tx.now_us, claimed_by="p", state=TickState.DONE,
                priority=0, budget_us=1, started_at_us=tx.now_us, ended_at_us=tx.now_us,
            )  # fmt: skip
        sql.insert(
            tx, tables.snapshot, metric="task_success", dimension="platform", key="all",
            window_start_us=tx.now_us - 1, window_end_us=tx.now_us, numerator=1, denominator=1,
        )  # fmt: skip


def said(market, kind):
    return [row["payload"]["component"] for row in market.rows(tables.event, type=kind)]


def test_one_run_gives_every_probe_one_turn_and_all_pass(market, requester, worker):
    market.done(requester, worker)
    assert one_run(market) == len(SELF_CHECKS) + 1
    assert one_run(market) == 0
    assert {check.status for check in found(market).values()} == {Status.PASS}
    assert found(market)["market:award_replay"].observed == 1.0
    assert found(market)["ledger:newest_entries"].observed >= 1
    market.pass_seconds(60)
    assert one_run(market) == len(SELF_CHECKS) + 1


def test_each_turn_asks_about_other_cases(market):
    asked = []

    def curious(_type, public, _private, result):
        asked.append((public["number"], result["is_good"]))
        return honest(_type, public, _private, result)

    runs(market, 3, curious)
    assert [number for number, _ in asked] == list(range(48))
    assert [is_good for _, is_good in asked].count(False) == 12


def test_a_verifier_that_accepts_everything_fails_in_its_first_run(market):
    one_run(market, credulous)
    assert failing(market) == {"task_type/a:known_answers"}
    assert "accepted case 15 (scripted)" in found(market)["task_type/a:known_answers"].output
    assert said(market, EventType.CHECK_FAILED) == ["task_type/a"]


def test_a_verifier_that_raises_fails_and_the_others_are_asked(market):
    one_run(market, broken)
    assert failing(market) == {"task_type/a:known_answers"}
    assert "RuntimeError for case" in found(market)["task_type/a:known_answers"].output
    assert "library" not in found(market)["task_type/a:known_answers"].output
    assert len(found(market)) > len(SELF_CHECKS)


def test_a_verifier_that_refuses_a_tenth_of_good_work_is_found_within_ten_minutes(market):
    verify = forgetful(0.10, DEGRADED_SEED)
    minutes = 0
    while not failing(market) and minutes < 10:
        one_run(market, verify)
        market.pass_seconds(60)
        minutes += 1
    assert failing(market) == {"task_type/a:known_answers"}
    assert "refused case" in market.rows(tables.event, type=EventType.CHECK_FAILED)[0]["payload"]["output"]


def test_a_verifier_that_is_wrong_about_one_in_two_hundred_is_left_alone(market):
    runs(market, 60, forgetful(0.005, DEGRADED_SEED))
    assert "task_type/a" not in said(market, EventType.CHECK_FAILED)


def test_a_mended_verifier_recovers_and_does_not_flap(market):
    one_run(market, credulous)
    states = []
    for _ in range(20):
        market.pass_seconds(60)
        one_run(market, honest)
        states.append("task_type/a:known_answers" in failing(market))
    assert states[0] is True
    assert states[-1] is False
    assert sum(before != after for before, after in pairwise(states)) == 1
    assert said(market, EventType.CHECK_RECOVERED) == ["task_type/a"]


def test_a_task_type_that_is_gone_is_forgotten_and_holds_nothing(market):
    one_run(market, credulous)
    market.pass_seconds(60)
    one_run(market, known={})
    assert "task_type/a:known_answers" not in found(market)
    assert said(market, EventType.CHECK_RECOVERED) == ["task_type/a"]
    with market.read() as tx:
        assert health.promotion_hold(tx) is None


def test_the_built_in_verifiers_pass(market):
    verify = ResultVerifier(TASK_TYPE_REGISTRY, fetch=pytest.fail)
    one_run(market, verify, known_answers_of(TASK_TYPE_REGISTRY))
    assert failing(market) == set()
    assert {f"task_type/{name}:known_answers" for name in TASK_TYPE_REGISTRY} <= set(found(market))


def test_an_award_that_comes_out_otherwise_fails_its_check_only(market, requester, worker):
    task_id = market.done(requester, worker)
    row = market.row(tables.award, task_id=task_id)
    with market.write() as tx:
        price = row["price_microcredits"] + 1
        sql.update(tx, tables.award, {"id": row["id"]}, price_microcredits=price)
    one_run(market)
    assert failing(market) == {"market:award_replay"}
    assert f"task {task_id}, attempt 1" in found(market)["market:award_replay"].output


def test_a_root_that_is_not_that_of_the_entries_fails_the_ledger_only(market):
    one_run(market)
    with market.write() as tx:
        sql.update(tx, tables.ledger_head, {"id": 1}, root="ab" * 32)
    market.pass_seconds(60)
    one_run(market)
    assert failing(market) == {"ledger:newest_entries"}


def test_a_node_of_the_tree_that_is_not_the_root_of_its_leaves_fails_the_ledger(market):
    with market.write() as tx:
        for number in range(4):
            audit_log.append(tx, EntryType.CORRECTION, {"corrects": 0, "reason": f"remark {number}"})
        sql.update(tx, tables.ledger_node, {"level": 1, "index": 1}, hash="ab" * 32)
    one_run(market)
    assert failing(market) == {"ledger:newest_entries"}
    assert "node 1 of level 1" in found(market)["ledger:newest_entries"].output


def test_a_ledger_that_lost_entries_fails(market):
    one_run(market)
    with market.write() as tx:
        sql.update(tx, tables.ledger_head, {"id": 1}, size=0)
    market.pass_seconds(60)
    one_run(market)
    assert "has 0 now" in found(market)["ledger:newest_entries"].output


def test_a_value_in_force_that_no_entry_gave_fails_the_config_only(market):
    with market.write() as tx:
        sql.update(tx, tables.parameter, {"name": "market.crash_limit"}, value="77")
    one_run(market)
    assert failing(market) == {"config:fold_of_ledger"}
    assert "market.crash_limit" in found(market)["config:fold_of_ledger"].output


def test_a_record_from_the_future_fails_the_clock_only(market):
    with market.write() as tx:
        sql.insert(
            tx, tables.event, type=EventType.SNAPSHOT_TAKEN, aggregate="a", payload={}, actor="test",
            published_at_us=tx.now_us + 60_000_000,
        )  # fmt: skip
    one_run(market)
    assert failing(market) == {"clock:order"}


def test_old_data_and_overdue_watchdogs_are_warned_of_and_then_fail(market):
    lay_ticks(market)
    runs(market, 6)
    assert failing(market) == set()
    runs(market, 6)
    assert found(market)["job/lease_expiry:age"].status is Status.FAIL
    assert found(market)["job/market_watchdog:age"].status is Status.WARN
    runs(market, 8)
    jobs = ("lease_expiry", "market_watchdog", "metric_watchdog")
    assert failing(market) == {f"job/{job}:age" for job in jobs}
    for _ in range(60):
        market.pass_seconds(240)
        one_run(market)
    assert "metrics:age_of_snapshot" in failing(market)
    lay_ticks(market)
    market.pass_seconds(60)
    one_run(market)
    assert failing(market) == set()


def test_a_night_in_which_nothing_ran_is_no_failure(market):
    lay_ticks(market)
    runs(market, 3)
    market.pass_seconds(9 * HOUR_SECONDS)
    one_run(market)
    assert failing(market) == set()


def test_a_paused_watchdog_is_a_warning(market):
    with market.write() as tx:
        sql.insert(
            tx, tables.cron_job, job="market_watchdog", is_paused=True, reason="r", changed_by="operator",
            changed_at_us=tx.now_us,
        )  # fmt: skip
    runs(market, 60)
    assert found(market)["job/market_watchdog:age"].status is Status.WARN


def test_a_degraded_verifier_opens_one_investigation_that_closes_when_it_is_mended(market):
    one_run(market, credulous)
    market.pass_seconds(60)
    one_run(market, credulous)
    market.deliver()
    [episode] = market.rows(tables.episode, metric="correctness")
    assert (episode["state"], episode["key"]) == ("open", "task_type/a")
    assert market.row(tables.task, id=episode["meta_task_id"])["kind"] == "meta"
    for _ in range(20):
        market.pass_seconds(60)
        one_run(market, honest)
    market.deliver()
    assert market.row(tables.episode, id=episode["id"])["state"] == "closed"
