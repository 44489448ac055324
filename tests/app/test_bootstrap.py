"""The composition root: one code builds the real platform and a test's; starting again changes nothing."""

import random
import time

import pytest

from app.bootstrap import Runtime, build_registry, open_platform
from app.demonstration import profile as demonstration
from app.settings import Profile, Settings
from cron_registry import CRON_JOBS
from services import loop
from services.domain.clock import VirtualClock
from services.domain.errors import InvalidValueError, NacreError
from services.domain.events import Event, EventType
from services.domain.parameters import Risk
from services.event_bus import publish
from services.operations import agent_registry, production_config
from services.store import sql, tables
from tests.services.laboratory import Laboratory


@pytest.fixture
def open_one(migrated_database_url, tmp_path):
    opened = []

    def open_it(**changes):
        names = ("profile", "operator_key")
        settings = {name: changes.pop(name) for name in names if name in changes}
        made = open_platform(
            Settings(migrated_database_url, var_directory=tmp_path, **settings),
            **{
                "clock": VirtualClock(),
                "entropy": random.Random(3).randbytes,
                "is_migrated": True,
                **changes,
            },
        )
        opened.append(made)
        return made

    yield open_it
    for made in opened:
        made.close()


def rows(platform, table):
    with platform.store.read() as tx:
        return [dict(row) for row in sql.find_all(tx, table, order_by=next(iter(table.primary_key)).name)]


def test_first_start_writes_genesis_with_the_whole_config(open_one):
    platform = open_one()
    with platform.store.read() as tx:
        config = production_config.snapshot(tx)
    assert config.keys() == {parameter.name for parameter in platform.registry}
    report = Laboratory(platform).audit()
    assert report.ok, report.reason
    assert (report.size, report.config) == (2, config)
    assert Laboratory(platform).types() == ["GENESIS", "EPOCH"]


def test_starting_again_changes_nothing(open_one):
    first = open_one()
    before = [rows(first, table) for table in (tables.ledger_entry, tables.parameter, tables.deployment)]
    second = open_one(entropy=random.Random(4).randbytes)
    assert [
        rows(second, table) for table in (tables.ledger_entry, tables.parameter, tables.deployment)
    ] == before
    assert second.operator_key_hash == first.operator_key_hash
    assert second.signer.verifier_key == first.signer.verifier_key


def test_value_in_force_survives_a_start_with_other_defaults(open_one):
    name = "research_synthesis.timeout_seconds"
    open_one()
    platform = open_one(starting_values={name: "120"})
    with platform.store.read() as tx:
        assert production_config.effective(tx, name).value == "90"


def test_starting_values_matter_the_first_time(open_one):
    platform = open_one(starting_values={"research_synthesis.timeout_seconds": "120"})
    with platform.store.read() as tx:
        assert production_config.number(tx, "research_synthesis.timeout_seconds") == 120


@pytest.mark.parametrize(
    ("name", "value"), [("no.such", "1"), ("sandbox.alpha", "7"), ("market.cooling", "cool")]
)
def test_starting_value_that_cannot_be_is_refused(open_one, name, value):
    with pytest.raises(NacreError):
        open_one(starting_values={name: value})


def test_parameter_that_is_new_is_registered_in_the_ledger(open_one):
    first = open_one(task_types={})
    assert "monte_carlo.timeout_seconds" not in {row["name"] for row in rows(first, tables.parameter)}
    second = open_one()
    lab = Laboratory(second)
    assert set(lab.types()) == {"GENESIS", "EPOCH", "REGISTERED"}
    report = lab.audit()
    assert report.ok, report.reason
    assert report.config["monte_carlo.timeout_seconds"] == "30"


def standard_registry(platform):
    """Return the registry as it is without the demonstration's starting values."""
    return build_registry(platform.task_types, {})


def test_demonstration_scales_values_and_intervals_and_no_rule(open_one):
    platform = open_one(profile=Profile.DEMONSTRATION)
    with platform.store.read() as tx:
        for name, value in demonstration.STARTING_VALUES.items():
            assert production_config.effective(tx, name).value == value
    every = {job.name: job.every_seconds for job in platform.jobs}
    assert every["platform_metrics_snapshot"] < 60
    assert [job.name for job in platform.jobs] == [job.name for job in CRON_JOBS]
    assert [job.budget_seconds for job in platform.jobs] == [job.budget_seconds for job in CRON_JOBS]
    standard = standard_registry(platform)
    for parameter in platform.registry:
        if parameter.risk is Risk.FIXED and parameter.unit in (
            "percent",
            "share",
            "ballots",
            "jobs",
            "alarms",
        ):
            assert parameter.default == standard.get(parameter.name).default, f"{parameter.name} is a rule"


def test_standard_profile_runs_the_table_as_it_stands(open_one):
    platform = open_one()
    assert platform.jobs == CRON_JOBS


def test_operator_key_comes_from_the_settings_or_from_a_file(open_one, tmp_path):
    assert open_one(operator_key="nop_given").operator_key_hash == agent_registry.key_hash("nop_given")
    assert not (tmp_path / "operator.key").exists()
    kept = open_one()
    assert kept.operator_key_hash == agent_registry.key_hash((tmp_path / "operator.key").read_text())


def test_platform_subscribes_what_the_loop_says(open_one):
    platform = open_one()
    assert platform.subscribers.keys() == loop.subscribers(platform.context).keys()
    for stage in loop.STAGES:
        if stage.does is not None:
            assert stage.name in platform.store.routes[str(stage.hears)]


def test_database_is_migrated_at_the_start(sqlite_url, tmp_path):
    platform = open_platform(Settings(sqlite_url, var_directory=tmp_path), entropy=random.Random(3).randbytes)
    assert len(rows(platform, tables.ledger_entry)) == 2
    platform.close()


def test_other_databases_are_refused(tmp_path):
    with pytest.raises((InvalidValueError, ModuleNotFoundError)):
        open_platform(Settings("mysql://localhost/nacre", var_directory=tmp_path), is_migrated=True)


def test_runtime_delivers_what_is_published_and_stops(open_one):
    platform = open_one(clock=None)
    runtime = Runtime(platform)
    runtime.start()
    try:
        with platform.store.write(actor="test") as tx:
            publish(tx, Event(EventType.SNAPSHOT_TAKEN, "metric:task_success", {"metric": "task_success"}))
        ends = time.monotonic() + 10
        while time.monotonic() < ends:
            states = {row["state"] for row in rows(platform, tables.delivery)}
            if states == {"delivered"}:
                break
            time.sleep(0.02)
        assert states == {"delivered"}
    finally:
        runtime.stop()
    with platform.store.write(actor="test") as tx:
        publish(tx, Event(EventType.SNAPSHOT_TAKEN, "metric:task_success", {"metric": "task_success"}))
    time.sleep(0.2)
    assert rows(platform, tables.delivery)[-1]["state"] == "pending", "nothing runs after the stop"
