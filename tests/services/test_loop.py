"""The loop's table is honest: each stage says what the next one hears; every handler may be called twice."""

import pytest

from app.simulation.world import World, cliff
from services import loop
from services.domain.events import EventType
from services.store import sql, tables
from tests.simulation.conftest import SEED, fresh_database

DELIVERY_ONLY = ("delivery",)


def test_each_stage_says_what_the_next_one_hears():
    says = [stage.says for stage in loop.STAGES]
    hears = [stage.hears for stage in loop.STAGES]
    assert says[:-1] == hears[1:]
    assert hears[0] is EventType.SNAPSHOT_TAKEN
    assert says[-1] is EventType.PARAMETER_PROMOTED


def test_each_stage_has_its_name_once_and_says_why():
    names = [stage.name for stage in loop.STAGES]
    assert names == ["observe", "diagnose", "propose", "vote", "experiment", "learn", "promote"]
    assert all(stage.summary for stage in loop.STAGES)


def test_what_the_platform_does_is_subscribed_and_what_agents_do_is_not():
    subscribers = loop.subscribers(loop.LoopContext.__new__(loop.LoopContext))
    for stage in loop.STAGES:
        if stage.does is None:
            assert stage.name not in subscribers
        else:
            assert subscribers[stage.name].hears == (stage.hears,)
    assert set(subscribers) == {stage.name for stage in loop.STAGES if stage.does} | set(loop.BOOKKEEPING)


def test_only_verification_runs_outside_the_transaction():
    subscribers = loop.subscribers(loop.LoopContext.__new__(loop.LoopContext))
    assert [name for name, found in subscribers.items() if found.prepare is not None] == ["verify"]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def lapped(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lapped")
    with fresh_database(request, request.param, folder) as url:
        world = World(url, folder, seed=SEED)
        print(f"world of seed {world.seed}")
        assert world.run_lap(at_most_seconds=60) == "promoted"
        world.deliver()
        yield world
        world.close()


WHO_SAYS = {
    "observe": "system:observe",
    "diagnose": "system:diagnose",
    "propose": "agent:",
    "vote": "system:vote_tally",
    "experiment": "system:resolve",
    "learn": "system:learn",
    "promote": "system:promote",
}


def test_each_stage_really_says_its_word(lapped):
    with lapped.platform.store.read() as tx:
        for stage in loop.STAGES:
            said = sql.find_all(tx, tables.event, type=str(stage.says), lap_id=1)
            assert len(said) == 1, stage.name
            assert said[0]["actor"].startswith(WHO_SAYS[stage.name])


def test_each_word_was_delivered_to_the_stage_that_hears_it(lapped):
    with lapped.platform.store.read() as tx:
        for stage in loop.STAGES:
            if stage.does is None:
                continue
            said = sql.find_all(tx, tables.event, type=str(stage.hears))
            deliveries = sql.find_all(tx, tables.delivery, subscriber=stage.name)
            assert {row["event_id"] for row in deliveries} == {row["id"] for row in said}
            assert {row["state"] for row in deliveries} == {"delivered"}


def everything(world):
    """Return every row of every table but the deliveries' own."""
    with world.platform.store.read() as tx:
        return {
            table.name: list(map(dict, sql.find_all(tx, table, order_by=next(iter(table.primary_key)).name)))
            for table in tables.metadata.sorted_tables
            if table.name not in DELIVERY_ONLY
        }  # fmt: skip


def deliver_everything_again(world):
    with world.platform.store.write(actor="operator") as tx:
        again = sql.update(
            tx, tables.delivery, {"state": "delivered"}, state="pending", next_attempt_at_us=tx.now_us
        )
    assert again > 50
    world.deliver()
    with world.platform.store.read() as tx:
        wrong = sql.find_all(tx, tables.delivery, state=("pending", "dead"))
    assert [(row["subscriber"], row["last_error"]) for row in wrong] == []


def assert_same(before, after):
    assert before.keys() == after.keys()
    for name, rows in before.items():
        assert after[name] == rows, name


def test_every_event_delivered_twice_changes_nothing(lapped):
    before = everything(lapped)
    deliver_everything_again(lapped)
    assert_same(before, everything(lapped))


def test_every_event_of_a_refused_lap_delivered_twice_changes_nothing(migrated_sqlite_url, tmp_path):
    world = World(migrated_sqlite_url, tmp_path, seed=7, latency=cliff)
    print(f"world of seed {world.seed}, cliff source")
    assert world.run_lap(at_most_seconds=60) == "refused"
    world.deliver()
    before = everything(world)
    deliver_everything_again(world)
    assert_same(before, everything(world))
    world.close()


def test_every_event_of_a_rejected_lap_delivered_twice_changes_nothing(migrated_sqlite_url, tmp_path):
    world = World(migrated_sqlite_url, tmp_path, seed=SEED, against=3)
    assert world.run_lap(at_most_seconds=40) == "rejected"
    world.deliver()
    before = everything(world)
    assert before["task"] != []
    assert [row["state"] for row in before["task"] if row["kind"] == "meta"] == ["failed"]
    deliver_everything_again(world)
    assert_same(before, everything(world))
    world.close()
