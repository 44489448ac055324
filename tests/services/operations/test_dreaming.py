"""The night's consolidation over real rows: nothing twice, nothing missed, bounded, and text stays text."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.cron_runner import run_tick
from services.domain.clock import DAY_US, HOUR_US, SECOND_US, seconds
from services.domain.patterns import KEPT_DAYS, PatternKind
from services.domain.states import AttemptState, EndReason, ExperimentState, TickState
from services.operations import dreaming
from services.store import patterns, sql, tables, views
from tests.plugins.platforms import Market, platform_over
from tests.services.planted_days import LIMIT, Plant, attempt, in_force

NIGHT_SECONDS = 26 * 3600


@pytest.fixture
def plant(market, requester):
    market.pass_seconds(12 * 3600)
    return Plant(market, requester)


@pytest.fixture
def postgresql_market(migrated_postgresql_url, tmp_path):
    """Where one transaction can begin while another one is under way."""
    platform = platform_over(migrated_postgresql_url, tmp_path)
    yield Market(platform)
    platform.close()


def dream(market):
    """Dream until nothing is left, each step in a transaction of its own; return the sums and the steps."""
    total, steps = {}, 0
    while True:
        with market.write("system:dream") as tx:
            found = dreaming.consolidate(tx, market.platform.registry)
        if not any(found.values()):
            return total, steps
        steps += 1
        total = {name: total.get(name, 0) + count for name, count in found.items()}


def shown(market, **asked):
    with market.read() as tx:
        return views.list_patterns(tx, limit=500, oldest_first=True, **asked)["items"]


def rows_without_ids(market):
    kept = ("kind", "key", "task_type", "agent_id", "signature", "facts", "tasks", "failures", "days",
            "first_seen_us", "last_seen_us")  # fmt: skip
    found = [{name: row[name] for name in kept} for row in market.rows(tables.pattern)]
    return sorted(found, key=lambda row: (row["kind"], row["key"]))


def two_days(market, plant, worker):
    """Two days of work: good and failed, by one agent, under one value and then another."""
    plant.tasks(40, agent=worker)
    plant.tasks(10, agent=worker, reason=EndReason.TIMED_OUT, duration_us=seconds(2))
    market.pass_seconds(24 * 3600)
    plant.tasks(30, agent=worker, effective_values=in_force(timeout_seconds="4"))
    plant.tasks(6, agent=worker, reason=EndReason.VERIFICATION_FAILED, said="the error 0.31 is above 0.1")
    market.pass_seconds(NIGHT_SECONDS)


def test_agents_and_settings_are_counted_with_the_values_they_worked_under(market, plant, worker):
    two_days(market, plant, worker)
    total, _ = dream(market)
    assert (total["tasks"], total["agents"], total["settings"]) == (86, 2, 3)
    [agent] = shown(market, kind=PatternKind.AGENT)
    assert (agent["agent_id"], agent["tasks"], agent["failures"], agent["days"]) == (worker, 86, 16, 2)
    assert agent["facts"]["reasons"] == {"timed_out": 10, "verification_failed": 6}
    assert agent["facts"]["mean_duration_seconds"] == 1.0
    by_value = {one["value"]: (one["successes"], one["failures"]) for one in agent["facts"]["values"]}
    assert by_value == {"2": (40, 16), "4": (30, 0)}
    settings = {one["facts"]["value"]: one for one in shown(market, kind=PatternKind.SETTING)}
    assert (settings["2"]["tasks"], settings["2"]["facts"]["timed_out"]) == (56, 10)
    assert [day["tasks"] for day in settings["2"]["facts"]["by_day"]] == [50, 6]
    assert sum(one["tasks"] for one in settings["2"]["facts"]["durations"]) == 46
    assert settings["4"]["facts"]["parameter"] == LIMIT


def test_dreaming_again_changes_nothing(market, plant, worker):
    two_days(market, plant, worker)
    dream(market)
    before = rows_without_ids(market)
    assert dream(market) == ({}, 0)
    market.pass_seconds(3 * 3600)
    dream(market)
    assert rows_without_ids(market) == before


def test_what_is_dreamt_twice_from_the_start_is_the_same(market, plant, worker):
    two_days(market, plant, worker)
    dream(market)
    before = rows_without_ids(market)
    with market.write() as tx:
        patterns.forget(tx, [row["id"] for row in sql.find_all(tx, tables.pattern)])
        tx.connection.execute(tables.feed_mark.delete())
    dream(market)
    assert rows_without_ids(market) == before


@pytest.mark.parametrize("is_nightly", [True, False], ids=["nightly", "caught up"])
def test_a_missed_night_is_caught_up(market, plant, worker, is_nightly):
    for day in range(5):
        plant.tasks(3 + day, agent=worker)
        plant.tasks(2, agent=worker, reason=EndReason.VERIFICATION_FAILED, said=f"round {day} was wrong")
        market.pass_seconds(24 * 3600)
        if is_nightly:
            dream(market)
    market.pass_seconds(NIGHT_SECONDS)
    dream(market)
    [agent] = shown(market, kind=PatternKind.AGENT)
    assert [day["tasks"] for day in agent["facts"]["by_day"]] == [5, 6, 7, 8, 9]
    [said] = shown(market, kind=PatternKind.SIGNATURE)
    assert (said["facts"]["words"], said["failures"], said["days"]) == ("round was wrong", 10, 5)


def test_a_long_silence_is_caught_up_over_the_days_that_are_kept_and_no_more(market, plant, worker):
    dream(market)
    plant.tasks(7, agent=worker)
    market.pass_seconds((KEPT_DAYS + 2) * 24 * 3600)
    plant.tasks(5, agent=worker)
    market.pass_seconds(NIGHT_SECONDS)
    total, _ = dream(market)
    assert total["tasks"] == 5


def test_what_ended_in_the_last_hours_waits_for_the_next_night(market, plant, worker):
    plant.tasks(4, agent=worker)
    assert dream(market)[0].get("tasks", 0) == 0
    market.pass_seconds(6 * 3600 + 60)
    assert dream(market)[0]["tasks"] == 4


def test_a_large_span_is_taken_in_steps_and_no_task_twice(market, plant, worker, monkeypatch):
    monkeypatch.setattr(dreaming, "ROWS_PER_STEP", 7)
    plant.tasks(30, agent=worker)
    market.pass_seconds(NIGHT_SECONDS)
    total, steps = dream(market)
    assert (total["tasks"], steps) == (30, 5)
    [agent] = shown(market, kind=PatternKind.AGENT)
    assert agent["tasks"] == 30


def test_the_job_runs_by_the_clock_and_says_counts(market, plant, worker):
    plant.tasks(4, agent=worker)
    market.pass_seconds(NIGHT_SECONDS)
    [job] = [one for one in market.platform.jobs if one.name == "autodream_consolidation"]
    due_us = job.due_at_us(market.platform.store.clock.now_us())
    assert due_us % DAY_US == 3 * HOUR_US
    ended = run_tick(market.platform.store, market.platform.context, job, due_us, "p")
    tick = market.row(tables.cron_tick, job=job.name)
    assert (ended, tick["state"], tick["result"]["tasks"]) == (TickState.DONE, TickState.DONE, 4)


class HastyClock:
    """A clock on which every look costs a second, so that a budget passes while a job works."""

    def __init__(self, clock):
        self.clock = clock

    def now_us(self):
        self.clock.advance(SECOND_US)
        return self.clock.now_us()


def test_what_a_budget_stops_is_kept_and_goes_on_the_next_night(market, plant, worker):
    for _ in range(100):
        plant.tasks(1, agent=worker)
        market.pass_seconds(2 * 3600)
    market.pass_seconds(NIGHT_SECONDS)
    [job] = [one for one in market.platform.jobs if one.name == "autodream_consolidation"]
    store = market.platform.store
    store.clock = HastyClock(store.clock)
    run_tick(store, market.platform.context, job, 1, "p")
    first = market.row(tables.cron_tick, job=job.name, due_at_us=1)
    assert 0 < first["result"]["tasks"] < 100
    for due_us in range(2, 100):
        run_tick(store, market.platform.context, job, due_us, "p")
    [agent] = shown(market, kind=PatternKind.AGENT)
    assert agent["tasks"] == 100


def test_an_earlier_attempt_counts_against_the_agent_that_made_it(market, plant, worker):
    other = market.agent()
    [task_id] = plant.tasks(1, agent=worker, attempt_count=2)
    with market.write() as tx:
        lapsed = attempt(task_id, other, EndReason.LEASE_LAPSED, None, tx.now_us, state=AttemptState.LAPSED)
        sql.insert_many(tx, tables.attempt, [lapsed])
    market.pass_seconds(NIGHT_SECONDS)
    dream(market)
    found = {
        one["agent_id"]: (one["tasks"], one["failures"]) for one in shown(market, kind=PatternKind.AGENT)
    }
    assert found == {worker: (1, 0), other: (1, 1)}
    [setting] = shown(market, kind=PatternKind.SETTING)
    assert (setting["tasks"], setting["failures"]) == (1, 0)


HOSTILE = {
    "markup": "<script>alert(1)</script> [b]bold[/b] {{7*7}} ${HOME}",
    "a megabyte": "loud " * 200_000,
    "control": "\x1b[2J\x07\u202eevil\u200b \x85 words",
    "no text": "",
    "quotes": "\"'`“«" * 500,
    "escapes": '\\u0000\\ud800 \\" \\',
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_is_data_and_bounded(market, plant, worker, text):
    plant.tasks(3, agent=worker, reason=EndReason.VERIFICATION_FAILED, said=text)
    market.pass_seconds(NIGHT_SECONDS)
    dream(market)
    [said] = shown(market, kind=PatternKind.SIGNATURE)
    assert said["failures"] == 3
    words = said["facts"]["words"]
    assert len(words) <= 24 * 25
    assert not any(mark in words for mark in "<>[]{}$\x1b\u202e\u200b\"'\\;")
    assert len(json.dumps(said)) < 4_000


def test_an_agents_own_account_is_read_where_no_verifier_spoke(market, plant, worker):
    said = {"done": 'Source "x" refused: 503', "changed": {"done": "not this"}, "next": ""}
    [task_id] = plant.tasks(1, agent=worker, reason=EndReason.AGENT_ERROR)
    with market.write() as tx:
        sql.update(tx, tables.attempt, {"task_id": task_id}, handoff=said)
    market.pass_seconds(NIGHT_SECONDS)
    dream(market)
    [found] = shown(market, kind=PatternKind.SIGNATURE)
    assert (found["facts"]["words"], found["facts"]["end_reason"]) == ("source refused", "agent_error")


def test_a_flood_of_texts_by_one_agent_does_not_crowd_out_another(market, plant, worker):
    letters = "abcdefghijklmnopqrstuvwxyz"
    for number in range(200):
        word = "".join(letters[number // 26**place % 26] for place in range(3)) * 2
        plant.tasks(1, agent=worker, reason=EndReason.AGENT_ERROR, said=f"{word} {word[::-1]}x")
    plant.tasks(3, agent=market.agent(), reason=EndReason.AGENT_ERROR, said="the disk is full")
    market.pass_seconds(NIGHT_SECONDS)
    dream(market)
    found = {one["facts"]["words"]: one["failures"] for one in shown(market, kind=PatternKind.SIGNATURE)}
    assert found["the disk is full"] == 3
    assert len(found) <= 22
    assert sum(found.values()) == 203


def test_a_look_alike_never_takes_over_the_words_or_the_first_sight(market, plant, worker):
    text = "the sum of the weights is not one"
    plant.tasks(2, agent=worker, reason=EndReason.VERIFICATION_FAILED, said=text)
    began_us = market.platform.store.clock.now_us()
    market.pass_seconds(24 * 3600)
    alike = "ｔｈｅ SUM of the <b>weights</b> is not one 99 pwned"
    plant.tasks(5, agent=market.agent(), reason=EndReason.VERIFICATION_FAILED, said=alike)
    market.pass_seconds(NIGHT_SECONDS)
    dream(market)
    [row] = market.rows(tables.pattern, kind=PatternKind.SIGNATURE)
    assert (row["facts"]["words"], row["failures"], row["first_seen_us"]) == (text, 7, began_us)
    assert len(row["facts"]["agents"]) == 2


def test_old_rare_patterns_fade_and_the_number_is_bounded(market, plant, worker, monkeypatch):
    others = [market.agent() for _ in range(4)]
    for agent in others:
        plant.tasks(1, agent=agent)
    plant.tasks(50, agent=worker)
    market.pass_seconds(15 * 24 * 3600)
    plant.tasks(2, agent=others[0])
    market.pass_seconds(NIGHT_SECONDS)
    monkeypatch.setitem(dreaming.LIMITS, PatternKind.AGENT, 2)
    total, _ = dream(market)
    assert total["faded"] == 3
    kept = {one["agent_id"] for one in shown(market, kind=PatternKind.AGENT)}
    assert kept == {worker, others[0]}
    market.pass_seconds((KEPT_DAYS + 1) * 24 * 3600)
    dream(market)
    assert market.rows(tables.pattern) == []


def test_a_limit_that_cuts_work_off_is_the_first_candidate(market, plant, worker):
    value = market.row(tables.parameter, name=LIMIT)["value"]
    allowed = in_force(timeout_seconds=value)
    us = seconds(float(value))
    plant.tasks(60, agent=worker, effective_values=allowed, duration_us=us * 3 // 4)
    plant.tasks(40, agent=worker, effective_values=allowed, duration_us=us, reason=EndReason.TIMED_OUT)
    market.pass_seconds(NIGHT_SECONDS)
    dream(market)
    [found] = shown(market, kind=PatternKind.CANDIDATE)
    facts = found["facts"]
    assert (facts["rank"], facts["parameter"], facts["direction"], facts["basis"]) == (1, LIMIT, "up", "tail")
    assert facts["evidence"]["timed_out_share"] == 0.4
    assert facts["score"] == pytest.approx(0.4 * 0.6)


def test_series_without_evidence_for_a_week_are_stale_until_there_is_some(market, plant, worker):
    plant.tasks(5, agent=worker)
    market.pass_seconds(8 * 24 * 3600)
    dream(market)
    found = {(one["facts"]["dimension"], one["agent_id"]) for one in shown(market, kind=PatternKind.STALE)}
    assert found == {("agent", worker), ("task_type", None)}
    plant.tasks(1, agent=worker)
    market.pass_seconds(NIGHT_SECONDS)
    dream(market)
    assert shown(market, kind=PatternKind.STALE) == []


def promoted(market, value, days_ago):
    """A confirmed experiment whose value is in force."""
    with market.write() as tx:
        ended_us = tx.now_us - days_ago * DAY_US
        leg = {"plan": {}, "salt": "s", "salt_commitment": "c", "bet_state": {}, "closes_at_us": ended_us}
        sql.insert(
            tx, tables.experiment, kind="change", parameter=LIMIT, task_type="monte_carlo",
            control_value="1", treatment_value=value, control_version=1, state=ExperimentState.CONFIRMED,
            verdict="win", assigned_count=0, maximum_wait_us=0, started_at_us=ended_us - 1,
            ended_at_us=ended_us, **leg,
        )  # fmt: skip
        sql.update(tx, tables.parameter, {"name": LIMIT}, value=value)


def stale(market):
    return [one["facts"]["why"] for one in shown(market, kind=PatternKind.STALE) if "why" in one["facts"]]


def test_a_promoted_value_is_stale_when_its_evidence_is_old_or_the_work_has_changed(market, plant, worker):
    plant.tasks(200, agent=worker)
    promoted(market, "2", 0)
    market.pass_seconds(2 * 24 * 3600)
    plant.tasks(200, agent=worker)
    market.pass_seconds(NIGHT_SECONDS)
    dream(market)
    assert stale(market) == []
    plant.tasks(200, agent=worker, reason=EndReason.VERIFICATION_FAILED)
    market.pass_seconds(NIGHT_SECONDS)
    dream(market)
    assert stale(market) == ["success"]
    for _ in range(6):
        market.pass_seconds(7 * 24 * 3600)
        plant.tasks(200, agent=worker)
    market.pass_seconds(NIGHT_SECONDS)
    dream(market)
    assert stale(market) == ["old"]


def test_two_that_dream_at_once_count_everything_once(postgresql_market):
    market, worker = postgresql_market, postgresql_market.agent()
    plant = Plant(market, market.agent())
    for night in (1, 2):  # the first makes the mark and the patterns, the second finds them
        plant.tasks(30, agent=worker)
        plant.tasks(10, agent=worker, reason=EndReason.TIMED_OUT)
        market.pass_seconds(NIGHT_SECONDS)
        with ThreadPoolExecutor(1) as pool:
            with market.write("system:dream") as tx:
                patterns.mark(tx)  # which is where each begins
                second = pool.submit(dream, market)
                until_somebody_waits(market, second)
                first = dreaming.consolidate(tx, market.platform.registry)
            total, _ = second.result(20)
        assert (first["tasks"], total.get("tasks", 0)) == (40, 0)
        [agent] = shown(market, kind=PatternKind.AGENT)
        assert (agent["tasks"], agent["failures"]) == (40 * night, 10 * night)


def until_somebody_waits(market, other):
    """Wait until a transaction waits for a lock; fail when the other one ends without ever waiting."""
    ends = time.monotonic() + 20
    with market.read() as tx:
        while not tx.connection.exec_driver_sql("SELECT count(*) FROM pg_locks WHERE NOT granted").scalar():
            assert not other.done(), "nothing held the second one back"
            assert time.monotonic() < ends
            time.sleep(0.01)
