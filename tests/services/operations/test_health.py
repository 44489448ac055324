"""The platform's health over its rows: the score falls and recovers, checks age, and promotions are held."""

import pytest

from services.domain.checks import FAIL_AFTER_US, WARN_AFTER_US, Status
from services.domain.events import EventType
from services.domain.states import DeliveryState, EpisodeState, TickState
from services.operations import health, review_queue
from services.store import sql, tables

HOUR_SECONDS = 3600


def now(market):
    with market.read() as tx:
        return health.score_now(tx)


def hold(market):
    with market.read() as tx:
        return health.promotion_hold(tx)


def told(market, *types):
    found = market.rows(tables.event, type=list(types))
    return [(row["type"], row["payload"]["component"], row["payload"]["measurement"]) for row in found]


def tell(market, component, measurement, status, layer="correct", **more):
    with market.write() as tx:
        health.report(tx, layer, component, measurement, status, **more)


def episode(tx, dimension, metric="task_success"):
    lap = sql.insert(tx, tables.lap, opened_at_us=tx.now_us)
    return sql.insert(
        tx, tables.episode, metric=metric, dimension=dimension, key="all", state=EpisodeState.OPEN,
        rule="line", numerator=1, denominator=2, evidence={}, lap_id=lap, opened_at_us=tx.now_us,
    )  # fmt: skip


def ended_tick(tx, job, number, state):
    sql.insert(
        tx, tables.cron_tick, job=job, due_at_us=number, claimed_by="p", state=state, priority=0,
        budget_us=1, started_at_us=tx.now_us, ended_at_us=tx.now_us,
    )  # fmt: skip


def waiting(tx, state):
    number = sql.insert(
        tx, tables.event, type=EventType.SNAPSHOT_TAKEN, aggregate="a", payload={}, actor="test",
        published_at_us=tx.now_us,
    )  # fmt: skip
    return sql.insert(
        tx, tables.delivery, event_id=number, subscriber="nobody", state=state, attempts=0,
        next_attempt_at_us=tx.now_us,
    )  # fmt: skip


def test_a_fresh_platform_is_well_and_holds_nothing(market):
    found = now(market)
    assert found.points == 100
    assert not any(found.parts.values())
    assert hold(market) is None


def test_open_episodes_take_points_until_they_close(market):
    with market.write() as tx:
        whole, part = episode(tx, "platform"), episode(tx, "task_type")
        episode(tx, "platform", metric="correctness")
    assert now(market).parts["metrics"] == 21
    with market.write() as tx:
        sql.update(tx, tables.episode, {"id": [whole, part]}, state=EpisodeState.CLOSED)
    assert now(market).points == 100


def test_a_late_bus_and_dead_letters_take_points(market):
    with market.write() as tx:
        late, dead = waiting(tx, DeliveryState.PENDING), waiting(tx, DeliveryState.DEAD)
    assert now(market).parts["bus"] == 1
    market.pass_seconds(11 * 60)
    assert now(market).parts["bus"] == 11
    with market.write() as tx:
        sql.update(tx, tables.delivery, {"id": [late, dead]}, state=DeliveryState.DELIVERED)
    assert now(market).points == 100


def test_bad_ticks_take_points_for_an_hour_and_missed_ones_none(market):
    states = [TickState.DONE, TickState.OVERRUN, TickState.FAILED, TickState.MISSED]
    with market.write() as tx:
        for number, state in enumerate(states):
            ended_tick(tx, "half_bad", number, state)
        ended_tick(tx, "good", 0, TickState.DONE)
    assert now(market).parts["cron"] == 3.33
    with market.write() as tx:
        for number in range(9):
            ended_tick(tx, "nobody_ran_it", number, TickState.MISSED)
    assert now(market).parts["cron"] == 3.33
    market.pass_seconds(HOUR_SECONDS)
    assert now(market).points == 100


def test_broken_invariants_and_what_waits_too_long_for_a_person_take_points(market):
    with market.write() as tx:
        broken = review_queue.open_item(tx, kind="invariant_broken", subject="M1", context={})
        other = review_queue.open_item(tx, kind="k", subject="s", context={})
    assert now(market).parts["invariants"] == 5
    assert now(market).parts["reviews"] == 0
    market.pass_seconds(25 * HOUR_SECONDS)
    assert (now(market).parts["invariants"], now(market).parts["reviews"]) == (5, 1)
    with market.write() as tx:
        review_queue.close_item(tx, broken)
        review_queue.close_item(tx, other)
    assert now(market).points == 100


def test_a_failing_check_is_said_once_holds_promotions_and_recovers(market):
    tell(market, "task_type/a", "known_answers", Status.PASS)
    assert hold(market) is None
    tell(market, "task_type/a", "known_answers", Status.FAIL, output="7 of 10")
    tell(market, "task_type/a", "known_answers", Status.FAIL, output="6 of 10")
    assert hold(market) == "check task_type/a:known_answers fails: 6 of 10"
    assert now(market).parts["checks"] == 15
    assert told(market, EventType.CHECK_FAILED) == [("CheckFailed", "task_type/a", "known_answers")]
    tell(market, "task_type/a", "known_answers", Status.PASS)
    assert hold(market) is None
    assert told(market, EventType.CHECK_RECOVERED) == [("CheckRecovered", "task_type/a", "known_answers")]


def test_a_component_recovers_when_its_last_measurement_does(market):
    for measurement in ("one", "two"):
        tell(market, "ledger", measurement, Status.FAIL)
    tell(market, "ledger", "one", Status.PASS)
    assert told(market, EventType.CHECK_RECOVERED) == []
    assert "ledger:two" in hold(market)
    tell(market, "ledger", "two", Status.WARN)
    assert told(market, EventType.CHECK_RECOVERED) == [("CheckRecovered", "ledger", "two")]
    assert hold(market) is None


def test_how_long_a_check_fails_is_kept(market):
    tell(market, "ledger", "one", Status.FAIL)
    began_us = market.platform.store.clock.now_us()
    market.pass_seconds(60)
    tell(market, "ledger", "one", Status.FAIL)
    [row] = market.rows(tables.health_check)
    assert (row["failing_since_us"], row["checked_at_us"]) == (began_us, began_us + 60_000_000)
    tell(market, "ledger", "one", Status.PASS)
    assert market.rows(tables.health_check)[0]["failing_since_us"] is None


def test_readiness_is_kept_and_neither_said_nor_held(market):
    tell(market, "bus", "room", Status.FAIL, layer="ready", observed=7, unit="events")
    assert hold(market) is None
    assert told(market, EventType.CHECK_FAILED) == []
    [row] = market.rows(tables.health_check)
    assert (row["layer"], row["status"], row["observed"], row["unit"]) == ("ready", "fail", 7.0, "events")


def test_an_old_pass_is_a_warning_and_then_a_failure(market):
    tell(market, "ledger", "one", Status.PASS)
    market.pass_seconds(WARN_AFTER_US / 1e6 + 1)
    assert (now(market).parts["checks"], hold(market)) == (3, None)
    market.pass_seconds((FAIL_AFTER_US - WARN_AFTER_US) / 1e6)
    assert now(market).parts["checks"] == 15
    assert "last looked at 360 minutes ago" in hold(market)


def test_an_unknown_layer_or_status_is_refused(market):
    with market.write() as tx:
        with pytest.raises(ValueError, match="shining"):
            health.report(tx, "correct", "a", "b", "shining")
        with pytest.raises(ValueError, match="deep"):
            health.report(tx, "deep", "a", "b", Status.PASS)
