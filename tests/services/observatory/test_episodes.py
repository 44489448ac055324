"""Episodes of every kind of metric: one an incident, with a shape, a frozen baseline, and a way back."""

import msgspec
import pytest

from services import observatory
from services.domain.errors import ConflictError, InvalidValueError, NotFoundError
from services.observatory.evidence import Evidence
from services.operations import health, measuring
from services.operations.measuring import Noted
from services.store import sql, tables
from tests.services.laboratory import TIMEOUT, TYPE
from tests.services.observatory.watching import Watch

HISTORY = 110
SECOND = 1_000_000
DURATION = f"task_duration__task_type__{TYPE}"


@pytest.fixture
def watch(platform):
    return Watch(platform).set_up_watch()


@pytest.fixture
def counting(platform):
    return Watch(platform).set_up_watch("watch_counts")


@pytest.fixture
def timing(platform):
    return Watch(platform).set_up_watch("watch_gauges")


def alarm(watch, hours=12, **values):
    """Let hours pass until an episode opens; return its row."""
    for _ in range(hours):
        opened = watch.window(**values)
        if opened:
            return watch.row(tables.episode, id=opened[0])
    return pytest.fail("no episode opened")


def posted(hour):
    return 38 + hour * 7 % 5, 1


def lasting(seconds_taken):
    """Return a made history of forty tasks an hour that take about so many seconds each."""

    def made(hour):
        mean = int(seconds_taken * SECOND * (1 + 0.02 * (hour * 7 % 5 - 2)))
        return 40 * mean, 40, 40 * mean**2 * 1.01, mean // 2, mean * 2

    return made


def test_work_that_stops_coming_is_seen_and_closes_when_it_comes_again(counting):
    counting.plant_windows(HISTORY, tasks_posted=posted)
    episode = alarm(counting)
    assert (episode["metric"], episode["kind"], episode["dimension"]) == ("tasks_posted", "count", "platform")
    evidence = episode["evidence"]
    assert evidence["observed"] == 0
    assert evidence["interval"][0] <= evidence["expected"] <= evidence["interval"][1]
    assert (evidence["unit"], evidence["low_confidence"]) == ("tasks", False)
    for _ in range(3):
        assert counting.row(tables.episode)["state"] == "open"
        counting.pass_seconds(1)
        for number in range(40):
            counting.task(state="bidding", type_=f"kind{number % 2}")
        assert counting.window() == []
    assert counting.row(tables.episode)["state"] == "closed"
    assert counting.row(tables.episode)["shape"] == "spike"


def test_counts_are_only_published_where_the_switch_is_off(watch):
    watch.plant_windows(HISTORY, tasks_posted=posted)
    for _ in range(6):
        assert watch.window() == []
    assert watch.counted("tasks_posted")[-1][:2] == (0, 1)


def test_tasks_that_take_longer_are_seen_by_type(timing):
    timing.plant_windows(HISTORY, **{DURATION: lasting(10)})
    episode = alarm(timing, good=40, duration_us=30 * SECOND)
    assert (episode["metric"], episode["key"], episode["kind"]) == ("task_duration", TYPE, "duration")
    assert episode["evidence"]["interval"][1] < episode["evidence"]["observed"]
    assert episode["evidence"]["worst"][0] == pytest.approx(30 * SECOND, rel=0.05)


def test_tasks_that_take_less_are_no_alarm(timing):
    timing.plant_windows(HISTORY, **{DURATION: lasting(10)})
    for _ in range(6):
        assert timing.window(40, duration_us=2 * SECOND) == []


def test_what_one_incident_moves_is_one_episode(timing):
    """Tasks fail and take longer: the share of success speaks for both."""
    timing.plant_windows(
        HISTORY, **{DURATION: lasting(10), f"task_success__task_type__{TYPE}": lambda _: (39, 40)}
    )
    episode = alarm(timing, good=8, bad=32, duration_us=60 * SECOND)
    assert episode["metric"] == "task_success"
    assert timing.window(8, 32, duration_us=60 * SECOND) == []
    assert len(timing.rows(tables.episode)) == 1


def test_a_change_of_a_setting_starts_the_baseline_of_durations_anew(timing):
    timing.plant_windows(HISTORY, **{DURATION: lasting(10)})
    with timing.write("operator") as tx:
        sql.insert(
            tx, tables.parameter_change, name=TIMEOUT, value="180", version=2, source="promoted",
            actor="system:learn",
            changed_at_us=tx.now_us, ledger_index=0,
        )  # fmt: skip
    for _ in range(6):
        assert timing.window(40, duration_us=30 * SECOND) == []


def give_up(watch, episode):
    with watch.write() as tx:
        observatory.give_up(tx, episode["lap_id"], "no_proposal")


def fallen(watch):
    """Let the share of success fall for good, for more than a day; return the episode."""
    watch.plant_windows(HISTORY, task_success=lambda _: (38, 40))
    episode = alarm(watch, good=30, bad=10)
    for _ in range(25):
        watch.window(30, 10)
    return watch.row(tables.episode, id=episode["id"])


def test_a_fall_that_lasts_a_day_is_a_shift(watch):
    episode = fallen(watch)
    assert (episode["state"], episode["shape"]) == ("open", "shift")
    assert episode["updated_at_us"] is not None


def test_a_shift_that_nobody_accepted_is_never_swallowed_by_the_baseline(watch):
    watch.set_value("observatory.cool_down_seconds", "3600")
    give_up(watch, fallen(watch))
    again = alarm(watch, good=30, bad=10)
    assert again["baseline_rate"] == pytest.approx(0.95, abs=0.01)


def test_an_accepted_shift_is_the_new_baseline(watch):
    watch.set_value("observatory.cool_down_seconds", "3600")
    episode = fallen(watch)
    with watch.write("operator") as tx:
        index = observatory.accept_shift(tx, episode["id"], reason="half of the fleet is on leave")
    assert watch.row(tables.episode)["accepted_ledger_index"] == index
    assert watch.row(tables.episode)["state"] == "given_up"
    for _ in range(30):
        assert watch.window(30, 10) == []
    assert alarm(watch, good=18, bad=22)["baseline_rate"] == pytest.approx(0.75, abs=0.02)
    assert watch.audit().ok, watch.audit().reason


@pytest.mark.parametrize(
    ("episode_id", "reason", "error"),
    [(99, "why not", NotFoundError), (1, " ", InvalidValueError), (1, "again", ConflictError)],
)
def test_what_cannot_be_accepted_is_refused_by_name(watch, episode_id, reason, error):
    fallen(watch)
    if error is ConflictError:
        with watch.write("operator") as tx:
            observatory.accept_shift(tx, 1, reason="as it is")
    with watch.write("operator") as tx, pytest.raises(error):
        observatory.accept_shift(tx, episode_id, reason=reason)


def test_while_a_series_cools_down_only_what_is_worse_opens_again(watch):
    watch.plant_windows(HISTORY, task_success=lambda _: (38, 40))
    give_up(watch, alarm(watch, good=26, bad=14))
    for _ in range(4):
        assert watch.window(26, 14) == []
    assert alarm(watch, good=4, bad=36)["state"] == "open"


VERIFIER = "task_type/monte_carlo"


def check(watch, status):
    """Let a check of correctness give an answer, and deliver what it says."""
    with watch.write() as tx:
        health.report(
            tx, "correct", VERIFIER, "known_answers", status, observed=0.5, unit="share", output="2 of 3"
        )
    watch.deliver()


def test_a_failing_check_is_an_episode_that_closes_when_it_passes(watch):
    check(watch, "pass")
    check(watch, "fail")
    episode = watch.row(tables.episode)
    task = watch.row(tables.task, kind="meta")
    assert (task["public"]["metric"], task["public"]["key"]) == ("correctness", VERIFIER)
    assert task["public"]["output"] == "2 of 3"
    watch.plant_windows(3, task_success=lambda _: (40, 40))
    assert watch.observe() == []
    assert watch.row(tables.episode)["state"] == "open"
    with watch.write() as tx:
        assert observatory.report_failing(tx, VERIFIER) is None
        assert not observatory.report_healthy(tx, VERIFIER), "it still fails"
    check(watch, "pass")
    assert watch.row(tables.episode, id=episode["id"])["state"] == "closed"
    assert watch.row(tables.lap)["outcome"] == "recovered"


def test_a_check_that_flaps_is_one_meta_task(watch):
    for _ in range(10):
        check(watch, "fail")
        watch.pass_seconds(60)
        check(watch, "pass")
        watch.pass_seconds(60)
    assert len(watch.rows(tables.task, kind="meta")) == 1


def test_a_check_that_goes_on_failing_is_looked_into_again_after_the_cool_down(watch):
    watch.set_value("observatory.cool_down_seconds", "7200")
    check(watch, "fail")
    give_up(watch, watch.row(tables.episode))
    watch.plant_windows(2)
    assert watch.observe() == []
    watch.pass_seconds(7_201)
    (episode_id,) = watch.observe()
    assert watch.row(tables.episode, id=episode_id)["metric"] == "correctness"


def test_a_failure_that_is_heard_of_late_opens_nothing_for_a_healthy_check(watch):
    check(watch, "pass")
    with watch.write() as tx:
        assert observatory.report_failing(tx, VERIFIER) is None
    assert watch.rows(tables.episode) == []


def test_work_that_grows_does_not_hide_that_it_fails(counting):
    counting.plant_windows(HISTORY, tasks_posted=posted, task_success=lambda _: (39, 40))
    for _ in range(3):
        counting.pass_seconds(1)
        for _ in range(200):
            counting.task(state="bidding", type_="other")
        if counting.window(good=39, bad=1):
            break
    assert [row["metric"] for row in counting.rows(tables.episode)] == ["tasks_posted"]
    assert alarm(counting, good=4, bad=36)["metric"] == "task_success"


def test_a_departure_that_was_given_up_early_is_not_swallowed_either(watch):
    """It is given up again and again, before anybody can call it a shift; the baseline stays."""
    watch.set_value("observatory.cool_down_seconds", "3600")
    watch.plant_windows(HISTORY, task_success=lambda _: (38, 40))
    baselines = []
    for _ in range(8):
        episode = alarm(watch, 24, good=30, bad=10)
        baselines.append(episode["baseline_rate"])
        give_up(watch, episode)
        watch.set_value("observatory.cool_down_seconds", "36000")
    assert baselines == pytest.approx([0.95] * 8, abs=0.005)


def test_a_metric_that_came_back_after_it_was_given_up_has_a_baseline_again(watch):
    watch.plant_windows(HISTORY, task_success=lambda _: (38, 40))
    episode = alarm(watch, good=30, bad=10)
    give_up(watch, episode)
    for _ in range(25):
        assert watch.window(38, 2) == []
    assert "back_at_us" in watch.row(tables.episode, id=episode["id"])["evidence"]


def test_one_good_hour_is_no_recovery(watch):
    watch.plant_windows(HISTORY, task_success=lambda _: (38, 40))
    assert alarm(watch, good=30, bad=10)["rule"] == "baseline"
    for good in (39, 30, 30, 39, 30, 30):
        watch.window(good, 40 - good)
        assert watch.rows(tables.episode, state="closed") == []


def test_the_loop_measures_itself(watch):
    watch.plant_windows(HISTORY, task_success=lambda _: (39, 40))
    episode = alarm(watch, good=8, bad=32)
    watch.pass_seconds(60)
    with watch.write() as tx:
        measuring.note_step(tx.in_lap(episode["lap_id"]), Noted.PROPOSED)
        measuring.note_step(tx, Noted.PROMOTED)
    while watch.row(tables.episode)["state"] == "open":
        watch.window(40)
    watch.pass_seconds(3_600)
    watch.snap()
    assert [row[1] for row in watch.counted("time_to_detect")] == [1]
    assert [row[:2] for row in watch.counted("time_to_propose")] == [(60 * SECOND, 1)]
    assert [row[1] for row in watch.counted("time_to_recover")] == [1]
    assert watch.counted("time_to_promote") == []


def test_evidence_keeps_its_schema_and_finds_the_model_and_the_setting(watch):
    watch.plant_windows(HISTORY, task_success=lambda _: (39, 40))
    with watch.write("operator") as tx:
        sql.insert(
            tx, tables.parameter_change, name=TIMEOUT, value="9", version=2, source="promoted",
            actor="system:learn",
            changed_at_us=tx.now_us, ledger_index=0,
        )  # fmt: skip
    agents = [watch.agent() for _ in range(4)]
    watch.pass_seconds(1_000)
    with watch.write() as tx:
        for number in range(160):
            version = 1 + number % 2
            is_bad = version == 2 and number % 4 == 1
            watch.plant(
                tx, state="failed" if is_bad else "settled", ended_at_us=tx.now_us,
                awarded_agent_id=agents[number % 3], model="large" if number % 4 == 1 else "small",
                effective_values={TIMEOUT: {"value": "9", "version": version, "source": "promoted"}},
            )  # fmt: skip
    watch.pass_seconds(1_000)
    watch.snap()
    (episode_id,) = watch.observe()
    with watch.read() as tx:
        found = observatory.gather_evidence(tx, episode_id)
    assert msgspec.convert(found, Evidence, strict=True) == found
    assert set(found) == set(Evidence.__annotations__)
    assert found["cells"][0]["dimensions"] == {"model": "large"}
    assert found["cells"][0]["failures"] == 40
    assert set(found["cells"][0]["failing_task_ids"]) == set(found["failing_task_ids"])
    assert found["recent_changes"][0]["parameter"] == TIMEOUT
    (low, high), observed = found["band"], found["observed"]
    assert low <= found["expected"] <= high
    assert observed < low
