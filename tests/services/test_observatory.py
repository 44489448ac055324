"""The observatory: exact counts per window, one episode per drop, recovery only on evidence."""

import json
from collections import Counter

import pytest

from services import observatory
from services.domain.anomaly import Sample, is_recovered
from services.domain.clock import HOUR_US
from services.domain.errors import NotFoundError
from services.store import sql, tables
from tests.services.laboratory import TYPE, Laboratory


@pytest.fixture
def watch(platform):
    """A laboratory without any task that watches shares alone: nobody delivers events here.

    The first window begins when the first task is posted.
    """
    lab = Laboratory(platform).set_up(tasks=0)
    with lab.write("operator") as tx:
        for name in ("watch_counts", "watch_gauges"):
            sql.update(tx, tables.parameter, {"name": f"observatory.{name}"}, value="0")
    return lab


def tasks(lab, good, bad, type_=TYPE, **values):
    """Let these tasks end, a second later than anything before them."""
    lab.pass_seconds(1)
    with lab.write() as tx:
        for number in range(good + bad):
            state = "settled" if number < good else "failed"
            lab.plant(tx, type_=type_, state=state, ended_at_us=tx.now_us, **values)


def snap(lab):
    with lab.write("system:platform_metrics_snapshot") as tx:
        return observatory.take_snapshot(tx)


def observe(lab):
    with lab.write("system:observe") as tx:
        return observatory.observe(tx)


def window(lab, good, bad, type_=TYPE, **values):
    """Let an hour pass in which these tasks end, snapshot it, and look; return the episodes that opened."""
    lab.platform.store.clock.advance(HOUR_US // 2)
    tasks(lab, good, bad, type_, **values)
    lab.platform.store.clock.advance(HOUR_US // 2)
    snap(lab)
    return observe(lab)


def begin(lab):
    """Post the first task, at which the first window begins, a second ago."""
    lab.task(state="bidding")
    lab.pass_seconds(1)


def pause(lab):
    """Let an idle hour pass: what was decided at the end of a window is judged by the windows that follow."""
    assert window(lab, 0, 0) == []


def counted(lab, dimension, key):
    rows = lab.rows(tables.snapshot, metric="task_success", dimension=dimension, key=key)
    return [(row["numerator"], row["denominator"]) for row in rows]


def decide(lab, episode_id, state, parameter="research_synthesis.timeout_seconds"):
    """Plant a decided proposal in the lap of an episode."""
    lap_id = lab.row(tables.episode, id=episode_id)["lap_id"]
    instants = ("opened_at_us", "minimum_until_us", "closes_at_us", "decided_at_us", "ended_at_us")
    shared = dict.fromkeys(instants, lab.now_us)
    with lab.write() as tx:
        return sql.insert(
            tx, tables.proposal, lap_id=lap_id, proposer_id=lab.proposer, parameter=parameter,
            from_value="90", to_value="180", from_version=1, metric="task_success", expected_effect="0.2",
            cap_tasks=1, cap_days=1, admission_tasks=1, base_rate=0.5, root_cause="",
            evidence=[], content_hash="", risk="open",
            state=state, yes=0, no=0, abstain=0, electorate=0, **shared,
        )  # fmt: skip


def test_snapshot_counts_every_ended_user_task_exactly_once(watch):
    begin(watch)
    first, second = watch.agent(), watch.agent()
    for good, bad, type_, agent_id in (
        (5, 2, TYPE, first),
        (3, 1, TYPE, second),
        (4, 0, "monte_carlo", first),
    ):
        tasks(watch, good, bad, type_, awarded_agent_id=agent_id)
        watch.platform.store.clock.advance(HOUR_US)
        snap(watch)
    recount = Counter()
    for row in watch.rows(tables.task, kind="user", state=("settled", "failed", "expired")):
        for name in (
            ("platform", "all"),
            ("task_type", row["type"]),
            ("agent", str(row["awarded_agent_id"])),
        ):
            recount[*name, "denominator"] += 1
            recount[*name, "numerator"] += row["state"] == "settled"
    stored = Counter()
    for row in watch.rows(tables.snapshot, metric="task_success"):
        for part in ("numerator", "denominator"):
            stored[row["dimension"], row["key"], part] += row[part]
    assert stored == recount
    assert counted(watch, "platform", "all") == [(5, 7), (3, 4), (4, 4)]


@pytest.mark.parametrize(
    ("state", "counts"),
    [("settled", (1, 1)), ("failed", (0, 1)), ("expired", (0, 1)), ("cancelled", (0, 0)), ("leased", (0, 0))],
)
def test_each_end_counts_as_it_should(watch, state, counts):
    begin(watch)
    ended = None if state == "leased" else watch.now_us + 1
    watch.task(state=state, ended_at_us=ended)
    watch.platform.store.clock.advance(HOUR_US)
    snap(watch)
    assert counted(watch, "platform", "all") == [counts]


def test_meta_tasks_do_not_count(watch):
    begin(watch)
    for state in ("settled", "failed"):
        watch.task(kind="meta", type_="investigation", state=state, ended_at_us=watch.now_us + 1)
    watch.platform.store.clock.advance(HOUR_US)
    snap(watch)
    assert counted(watch, "platform", "all") == [(0, 0)]
    assert watch.rows(tables.snapshot, metric="task_success", dimension="task_type") == []


def test_windows_join_without_gap_or_overlap(watch):
    start_us = watch.now_us - 1
    begin(watch)
    for hours in (1, 3, 1):
        tasks(watch, 2, 0)
        watch.platform.store.clock.advance(hours * HOUR_US)
        snap(watch)
        snap(watch)
    rows = watch.rows(tables.snapshot, metric="task_success", dimension="platform")
    edges = [start_us, *(row["window_end_us"] for row in rows)]
    assert [row["window_start_us"] for row in rows] == edges[:-1]
    assert counted(watch, "platform", "all") == [(2, 2)] * 3


def test_snapshot_reads_only_new_rows(watch):
    begin(watch)
    tasks(watch, 40, 10)
    watch.platform.store.clock.advance(HOUR_US)
    assert snap(watch)["tasks"] == 50
    tasks(watch, 1, 0)
    watch.platform.store.clock.advance(HOUR_US)
    assert snap(watch)["tasks"] == 1


def test_nothing_is_counted_before_the_first_task(watch):
    assert set(snap(watch).values()) == {0}
    assert watch.rows(tables.snapshot) == []
    assert observe(watch) == []


def test_idle_window_is_no_evidence_and_no_alarm(watch):
    begin(watch)
    window(watch, 40, 0)
    for _ in range(30):
        assert window(watch, 0, 0) == []
    assert counted(watch, "platform", "all")[1:] == [(0, 0)] * 30
    assert watch.rows(tables.episode) == []


def test_old_fall_is_no_news_once_a_series_is_idle(watch):
    begin(watch)
    opened = window(watch, 10, 20)
    assert len(opened) == 1
    with watch.write() as tx:
        where = {"id": opened[0]}
        sql.update(tx, tables.episode, where, state="closed", closed_at_us=watch.now_us - HOUR_US)
    for _ in range(3):
        assert window(watch, 30, 0, "monte_carlo") == []


def test_healthy_platform_has_no_episode(watch):
    begin(watch)
    for number in range(20):
        assert window(watch, 36 + number % 3, 4) == []
    assert watch.rows(tables.lap) == []


def test_drop_opens_one_episode_one_lap_and_one_investigation(watch):
    begin(watch)
    opened = window(watch, 16, 14)
    assert len(opened) == 1
    for _ in range(5):
        assert window(watch, 16, 14) == []
    watch.deliver()
    episode = watch.row(tables.episode)
    assert (episode["dimension"], episode["key"], episode["rule"]) == ("task_type", TYPE, "line")
    assert (episode["numerator"], episode["denominator"]) == (16, 30)
    assert watch.row(tables.lap)["id"] == episode["lap_id"]
    meta = watch.row(tables.task, kind="meta")
    assert (meta["lap_id"], meta["id"]) == (episode["lap_id"], episode["meta_task_id"])
    assert watch.types().count("ANOMALY") == 1
    assert [row["type"] for row in watch.rows(tables.event)].count("AnomalyDetected") == 1


def test_line_needs_its_fewest_tasks(watch):
    begin(watch)
    assert window(watch, 10, 13) == []
    assert len(window(watch, 0, 1)) == 1


def test_rate_exactly_on_the_line_is_no_fall(watch):
    begin(watch)
    assert window(watch, 21, 9) == []
    assert len(window(watch, 20, 10)) == 1


def test_fall_under_its_own_baseline_is_seen_above_the_line(watch):
    begin(watch)
    for _ in range(80):
        assert window(watch, 39, 1) == []
    opened = []
    while not opened and len(counted(watch, "platform", "all")) < 90:
        opened = window(watch, 31, 9)
    episode = watch.row(tables.episode)
    assert episode["rule"] == "baseline"
    assert episode["baseline_rate"] == pytest.approx(0.975, abs=0.01)
    assert episode["p_value"] < 1 / (168 * 4)


def test_task_type_and_platform_are_not_doubled(watch):
    begin(watch)
    window(watch, 10, 30)
    window(watch, 10, 30)
    assert [(row["dimension"], row["key"]) for row in watch.rows(tables.episode)] == [("task_type", TYPE)]


def test_fall_that_only_the_whole_platform_shows_is_the_platforms(watch):
    begin(watch)
    kinds = (TYPE, "monte_carlo", "physics_simulation", "ml_training")
    watch.platform.store.clock.advance(HOUR_US // 2)
    for kind in kinds:
        tasks(watch, 6, 4, kind)
    watch.platform.store.clock.advance(HOUR_US // 2)
    snap(watch)
    observe(watch)
    assert [(row["dimension"], row["key"]) for row in watch.rows(tables.episode)] == [("platform", "all")]
    assert window(watch, 10, 30) == [], "the platform's open episode covers the type's fall"
    assert len(watch.rows(tables.episode)) == 1


def test_two_types_that_fall_have_an_episode_each(watch):
    begin(watch)
    watch.platform.store.clock.advance(HOUR_US // 2)
    for kind in (TYPE, "monte_carlo"):
        tasks(watch, 10, 30, kind)
    watch.platform.store.clock.advance(HOUR_US // 2)
    snap(watch)
    observe(watch)
    assert {row["key"] for row in watch.rows(tables.episode)} == {TYPE, "monte_carlo"}
    assert len(watch.rows(tables.lap)) == 2


@pytest.mark.parametrize(
    ("successes", "attempts", "expected"),
    [
        (18, 25, False),
        (24, 25, True),
        (25, 25, True),
        (22, 25, True),
        (21, 25, False),
        (9, 9, False),
        (0, 0, False),
    ],
)
def test_recovery_needs_evidence_beyond_the_line(successes, attempts, expected):
    found = is_recovered([Sample(successes, attempts)], line=0.70, minimum=24, required_rate=0.70)
    assert found is expected


def test_metric_that_sits_on_its_line_does_not_recover_by_luck(watch):
    begin(watch)
    window(watch, 10, 20)
    pause(watch)
    window(watch, 18, 7)
    assert watch.row(tables.episode)["state"] == "open"
    assert "RECOVERED" not in watch.types()


def test_metric_that_is_back_closes_the_episode(watch):
    begin(watch)
    (episode_id,) = window(watch, 10, 20)
    watch.deliver()
    pause(watch)
    window(watch, 24, 1)
    episode = watch.row(tables.episode, id=episode_id)
    assert (episode["state"], episode["closed_at_us"]) == ("closed", watch.now_us)
    recovered = json.loads(watch.row(tables.ledger_entry, type="RECOVERED")["leaf"])["payload"]
    assert recovered == {"episode_id": episode_id, "numerator": 24, "denominator": 25}
    watch.deliver()
    assert watch.row(tables.lap)["outcome"] == "recovered"
    assert watch.row(tables.task, kind="meta")["state"] == "cancelled"
    assert watch.audit().ok


def test_few_good_tasks_are_no_recovery_but_add_up(watch):
    begin(watch)
    window(watch, 10, 20)
    pause(watch)
    window(watch, 12, 0)
    assert watch.row(tables.episode)["state"] == "open"
    window(watch, 12, 0)
    assert watch.row(tables.episode)["state"] == "closed"


@pytest.mark.parametrize("state", ["open", "passed", "testing"])
def test_nothing_is_judged_while_a_proposal_of_the_lap_is_live(watch, state):
    begin(watch)
    (episode_id,) = window(watch, 10, 20)
    decide(watch, episode_id, state)
    window(watch, 50, 0)
    assert watch.row(tables.episode)["state"] == "open"


def test_only_tasks_after_the_decision_count_for_the_recovery(watch):
    begin(watch)
    (episode_id,) = window(watch, 10, 20)
    pause(watch)
    window(watch, 20, 2)
    decide(watch, episode_id, "promoted")
    pause(watch)
    assert window(watch, 5, 0) == []
    assert watch.row(tables.episode)["state"] == "open", "the 20 of 22 were before the decision"
    window(watch, 20, 0)
    assert watch.row(tables.episode)["state"] == "closed"
    watch.deliver()
    assert watch.row(tables.lap)["outcome"] == "promoted"


def test_long_bad_time_does_not_hide_a_good_day(watch):
    begin(watch)
    window(watch, 10, 20)
    for _ in range(40):
        window(watch, 10, 20)
    for _ in range(observatory.RECOVERY_WINDOWS):
        window(watch, 30, 0)
    assert watch.row(tables.episode)["state"] == "closed"


def test_next_fall_is_a_new_episode_with_a_new_lap(watch):
    begin(watch)
    window(watch, 10, 20)
    pause(watch)
    window(watch, 30, 0)
    assert len(window(watch, 10, 20)) == 1
    assert [row["state"] for row in watch.rows(tables.episode)] == ["closed", "open"]
    assert len(watch.rows(tables.lap)) == 2


def test_looking_again_at_the_same_windows_finds_nothing_new(watch):
    begin(watch)
    window(watch, 10, 20)
    pause(watch)
    window(watch, 30, 0)
    entries = watch.types()
    for _ in range(3):
        assert observe(watch) == []
    assert watch.types() == entries
    assert len(watch.rows(tables.episode)) == 1


def test_evidence_names_the_failing_tasks_and_the_worst_cells(watch):
    begin(watch)
    poor, good = watch.agent(), watch.agent()
    watch.platform.store.clock.advance(HOUR_US // 2)
    tasks(watch, 2, 18, awarded_agent_id=poor)
    tasks(watch, 20, 0, "monte_carlo", awarded_agent_id=good)
    tasks(watch, 12, 0, awarded_agent_id=good)
    watch.platform.store.clock.advance(HOUR_US // 2)
    snap(watch)
    (episode_id,) = observe(watch)
    with watch.read() as tx:
        found = observatory.gather_evidence(tx, episode_id)
    failed = {row["id"] for row in watch.rows(tables.task, state="failed")}
    assert set(found["failing_task_ids"]) == failed
    assert (found["numerator"], found["denominator"]) == (14, 32)
    assert found["cells"][0]["dimensions"]["agent"] == str(poor)
    assert (found["cells"][0]["attempts"], found["cells"][0]["failures"]) == (20, 18)
    assert (found["recent_changes"], found["running_experiments"]) == ([], [])


def test_unknown_episode_is_not_found(watch):
    with pytest.raises(NotFoundError), watch.read() as tx:
        observatory.get_episode(tx, 1)
