"""No lap stays open for ever: what nothing cured is given up, and may be looked at again after a pause."""

from app.simulation.sources import cliff, heavy, stuck
from services.domain.clock import DAY_US
from services.operations import production_config
from services.store import sql, tables
from tests.simulation.test_lap import experiments, read_all


def let_the_investigation_end(world):
    """Move the deadline of the investigation to now, so that it ends without waiting ten minutes."""
    with world.platform.store.write(actor="system:test") as tx:
        sql.update(tx, tables.task, {"kind": "meta"}, deadline_at_us=tx.now_us)


def step_until(world, condition, *, at_most_seconds):
    """Step until the condition holds; tell whether it did in the (virtual) time."""
    ends_us = world.clock.now_us() + at_most_seconds * 1_000_000
    while world.clock.now_us() < ends_us:
        world.step()
        if condition():
            return True
    return False


def episodes(world):
    return [row["state"] for row in read_all(world, tables.episode)]


def test_lap_without_a_proposal_is_given_up_and_the_drop_is_looked_at_again(open_world):
    world = open_world(latency=stuck, starting_values={"observatory.cool_down_seconds": "30"})
    assert step_until(
        world, lambda: read_all(world, tables.task, kind="meta", state="submitted"), at_most_seconds=60
    )
    let_the_investigation_end(world)
    assert step_until(world, lambda: episodes(world) == ["given_up"], at_most_seconds=65), "after its grace"
    [lap] = read_all(world, tables.lap)
    assert (lap["outcome"], lap["closed_at_us"] is None) == ("no_proposal", False)
    given_up_us = world.clock.now_us()
    assert step_until(world, lambda: len(episodes(world)) > 1, at_most_seconds=90), "the metric is still down"
    opened = read_all(world, tables.episode)[1]["opened_at_us"]
    assert opened - given_up_us >= 29_000_000, "the series cools down first"
    assert len(read_all(world, tables.task, kind="meta")) == 2


def test_refused_lap_gives_its_episode_up(open_world):
    world = open_world(seed=7, latency=cliff)
    world.run_lap(at_most_seconds=70)
    assert world.outcome() == "refused"
    assert episodes(world) == ["given_up"]


def test_promotion_that_does_not_bring_the_metric_back_ends_and_is_still_paid(open_world, monkeypatch):
    world = open_world(latency=heavy, starting_values={"observatory.recovery_seconds": "20"})
    monkeypatch.setattr("services.observatory.episodes.is_recovered", lambda *_samples, **_rule: False)
    assert step_until(world, lambda: episodes(world) == ["given_up"], at_most_seconds=120)
    [lap] = read_all(world, tables.lap)
    assert lap["outcome"] == "not_recovered"
    [investigation] = read_all(world, tables.task, kind="meta")
    assert (investigation["state"], investigation["end_reason"]) == ("settled", "verified")
    with world.platform.store.read() as tx:
        assert production_config.effective(tx, "research_synthesis.timeout_seconds").value != "0.9"


def test_investigation_waits_past_its_deadline_while_its_change_is_tested(open_world):
    world = open_world(latency=heavy)
    running = lambda: experiments(world, state="running")  # noqa: E731 (read once)
    assert step_until(world, running, at_most_seconds=60)
    with world.platform.store.write(actor="system:test") as tx:
        sql.update(tx, tables.task, {"kind": "meta"}, deadline_at_us=tx.now_us - DAY_US)
    world.run_lap(at_most_seconds=120)
    assert world.outcome() == "promoted"
    assert [task["state"] for task in read_all(world, tables.task, kind="meta")] == ["settled"]
