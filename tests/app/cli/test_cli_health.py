"""`nacre health`: the tree on the command line, and the exit code that monitoring reads."""

import json

import pytest

from app.bootstrap import open_platform
from app.settings import Settings
from services.cron_runner import run_tick
from services.domain.checks import Status
from services.operations import health


@pytest.fixture
def database(migrated_database_url):
    return migrated_database_url


@pytest.fixture
def platform(database, tmp_path):
    """The platform over the same database, on the real clock, probed once."""
    made = open_platform(
        Settings(database, var_directory=tmp_path, operator_key="operator"), is_migrated=True
    )
    for name in ("platform_metrics_snapshot", "correctness_probes"):
        job = next(job for job in made.jobs if job.name == name)
        run_tick(made.store, made.context, job, made.store.clock.now_us(), "test")
    yield made
    made.close()


def tell(platform, status):
    with platform.store.write(actor="system:probes") as tx:
        health.report(tx, "correct", "ledger", "newest_entries", status, output="entry 7 is not its hash")


def test_the_exit_code_is_0_1_3_for_pass_warn_fail(nacre, platform, database):
    for status, code in ((Status.PASS, 0), (Status.WARN, 1), (Status.FAIL, 3)):
        tell(platform, status)
        ran = nacre("health", "--component", "ledger", "--layer", "correct", "--database", database)
        assert ran.code == code, ran.err
        assert "entry 7 is not its hash" in ran.out


def test_json_is_the_api_s_tree(nacre, platform, database):
    tell(platform, Status.FAIL)
    ran = nacre("health", "--json", "--database", database)
    shown = json.loads(ran.out)
    assert (ran.code, shown["status"], shown["score"]["points"] <= 85) == (3, "fail", True)
    assert shown["promotion_hold"].startswith("check ledger:newest_entries fails")
    assert {check["layer"] for found in shown["checks"].values() for check in found} == {
        "live", "ready", "correct",
    }  # fmt: skip
    assert "job/lease_expiry:last_tick" in shown["checks"]
    assert "writer:queue" not in shown["checks"]


def test_only_what_does_not_pass_is_listed_unless_all_is_asked_for(nacre, platform, database):
    tell(platform, Status.FAIL)
    ran = nacre("health", "--database", database)
    assert ran.out.startswith("fail: ")
    assert "promotions are held: check ledger:newest_entries fails" in ran.out
    assert "database:answer_time" not in ran.out
    assert "--all lists them" in ran.err
    assert "database:answer_time" in nacre("health", "--all", "--database", database).out


def test_a_database_that_is_not_there_is_a_failure(nacre, tmp_path):
    ran = nacre("health", "--json", "--database", f"sqlite:///{tmp_path}/none.db")
    assert ran.code == 3
    assert json.loads(ran.out)["checks"]["database:answer_time"][0]["status"] == "fail"


def test_an_old_schema_is_a_failure(nacre, tmp_path):
    url = f"sqlite:///{tmp_path}/old.db"
    (tmp_path / "old.db").touch()
    ran = nacre("health", "--database", url)
    assert ran.code == 3
    assert "nacre db upgrade" in ran.out


def test_a_component_that_does_not_exist_is_wrong_input(nacre, platform, database):
    ran = nacre("health", "--component", "job/nothing", "--database", database)
    assert (ran.code, "there is no component 'job/nothing'" in ran.err) == (2, True)
    assert nacre("health", "--layer", "deep", "--database", database).code == 2
