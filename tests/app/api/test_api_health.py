"""Health over HTTP: each trouble turns exactly its own layer, strangers learn kinds only, nothing hangs."""

import threading
import time
from contextlib import contextmanager
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from app.api import readiness
from app.api.application import build_api
from services.cron_runner import run_tick
from services.domain.checks import Status
from services.domain.clock import VirtualClock
from services.domain.known_answers import KnownAnswer
from services.domain.states import DeliveryState
from services.operations import health
from services.store import sql, tables, views
from services.store.group_commit import GroupWriter
from services.store.tx import Store

LAYERS = ("live", "ready", "correct")
CHECKS = {
    "database:answer_time", "schema:revision", "ledger:head", "writer:queue", "bus:pending", "disk:free",
    "process:warm_up",
}  # fmt: skip
SHORT_SECONDS = 0.2


def layers(client):
    """Return what each of the three probes says."""
    return {layer: client.get(f"/health/{layer}").json()["status"] for layer in LAYERS}


def bad(client, layer):
    checks = client.get(f"/health/{layer}").json()["checks"]
    return {key for key, [check] in checks.items() if check["status"] != "pass"}


def probe(platform, **changes):
    """Run the job of the probes once, as the clock does."""
    job = next(job for job in platform.jobs if job.name == "correctness_probes")
    context = replace(platform.context, **changes)
    run_tick(platform.store, context, job, platform.store.clock.now_us(), "test")


def tell(platform, status, component="ledger", output="entry 7 is not what its hash says"):
    with platform.store.write(actor="system:probes") as tx:
        health.report(tx, "correct", component, "newest_entries", status, output=output)


def test_the_three_layers_need_no_key_and_speak_health_json(world):
    probe(world.platform)
    for layer in LAYERS:
        answer = world.client.get(f"/health/{layer}")
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/health+json"
        assert answer.headers["cache-control"] == "no-store"
        for key, [check] in answer.json()["checks"].items():
            component, _, measurement = key.rpartition(":")
            assert (check["componentId"], bool(measurement)) == (component, True)
            assert {"componentType", "status", "time"} <= set(check)
            assert ("observedValue" in check) == ("observedUnit" in check)
    assert layers(world.client) == dict.fromkeys(LAYERS, "pass")
    assert set(world.client.get("/health/ready").json()["checks"]) == CHECKS


def test_before_the_first_probe_correctness_is_a_warning(world):
    assert layers(world.client) == {"live": "pass", "ready": "pass", "correct": "warn"}


def test_a_thread_that_ended_is_mended_by_a_restart_and_only_that_is(world):
    thread = threading.Thread(target=lambda: None, name="event-bus")
    thread.start()
    thread.join()
    other = threading.Thread(target=lambda: None, name="AnyIO worker")
    world.client.app.state.liveness.watch([thread, other])
    answer = world.client.get("/health/live")
    assert answer.status_code == 503
    assert bad(world.client, "live") == {"thread/event-bus:alive"}
    assert layers(world.client)["ready"] == "pass"


def test_a_process_that_is_still_starting_is_not_ready(world):
    world.client.app.state.readiness.is_warm = False
    assert layers(world.client)["live"] == "pass"
    assert bad(world.client, "ready") == {"process:warm_up"}


def test_without_its_database_a_platform_is_live_and_nothing_else(broken_platform):
    client = TestClient(build_api(broken_platform), raise_server_exceptions=False)
    assert layers(client) == {"live": "pass", "ready": "fail", "correct": "fail"}
    [check] = client.get("/health/ready").json()["checks"]["database:answer_time"]
    assert (check["output"], check["affectedEndpoints"]) == ("UnavailableError", ["/api/v1"])
    for layer in LAYERS:
        assert "nowhere" not in client.get(f"/health/{layer}").text


def test_an_empty_database_is_not_ready(world, database_url):
    empty = replace(world.platform, store=Store(database_url, VirtualClock()))
    client = TestClient(build_api(empty), raise_server_exceptions=False)
    assert client.get("/health/live").status_code == 200
    assert client.get("/health/ready").status_code == 503
    assert {"schema:revision", "ledger:head"} <= bad(client, "ready")
    empty.store.close()


class HangingStore(Store):
    """A store whose database takes a connection and never answers, until it is let go."""

    def __init__(self, store):
        self.__dict__.update(store.__dict__)
        self.released = threading.Event()
        self.reads = 0
        self.answered = 0

    @contextmanager
    def read(self, *, actor="reader"):
        self.reads += 1
        self.released.wait(600)
        self.answered += 1
        with Store.read(self, actor=actor) as tx:
            yield tx


@pytest.fixture
def hanging(world):
    store = HangingStore(world.platform.store)
    app = build_api(replace(world.platform, store=store))
    app.state.readiness = readiness.Readiness(app.state.platform, limit_seconds=SHORT_SECONDS)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client, store
        store.released.set()
        for thread in threading.enumerate():
            if thread.name.startswith("look-"):
                thread.join()


def test_a_database_that_hangs_fails_in_bounded_time_and_is_asked_once(hanging):
    client, store = hanging
    assert layers(client) == {"live": "pass", "ready": "fail", "correct": "fail"}
    [check] = client.get("/health/ready").json()["checks"]["database:answer_time"]
    assert (check["status"], check["output"]) == ("fail", "TimeoutError")
    asked = store.reads
    for _ in range(5):
        client.get("/health/ready")
    assert store.reads == asked, "a check that hangs is not started again"
    assert store.answered == 0, "nobody waited for the database"
    assert client.get("/health/live").status_code == 200


def test_a_database_that_answers_again_is_ready_again(hanging):
    client, store = hanging
    assert layers(client)["ready"] == "fail"
    store.released.set()
    ends = time.monotonic() + 60
    while layers(client)["ready"] != "pass" and time.monotonic() < ends:
        time.sleep(0.01)
    assert layers(client)["ready"] == "pass"


def test_a_slow_database_is_a_warning_of_readiness(world, monkeypatch):
    probe(world.platform)
    monkeypatch.setattr(readiness, "SLOW_SECONDS", 0.0)
    assert layers(world.client) == {"live": "pass", "ready": "warn", "correct": "pass"}
    assert bad(world.client, "ready") == {"database:answer_time"}
    assert world.client.get("/health/ready").status_code == 200


@pytest.mark.parametrize(("waiting", "expected"), [(49, "pass"), (50, "warn"), (94, "warn"), (95, "fail")])
def test_a_full_queue_of_writes_is_not_ready(world, waiting, expected):
    probe(world.platform)
    writer = GroupWriter(world.platform.store, queue_limit=100)
    writer.close()
    writer._waiting.extend([None] * waiting)
    platform = replace(world.platform)
    platform._writer = writer
    client = TestClient(build_api(platform), raise_server_exceptions=False)
    assert layers(client) == {"live": "pass", "ready": expected, "correct": "pass"}
    assert bad(client, "ready") == (set() if expected == "pass" else {"writer:queue"})
    writer._waiting.clear()


def test_too_many_pending_deliveries_are_not_ready(world, monkeypatch):
    probe(world.platform)
    with world.platform.store.write(actor="test") as tx:
        event = sql.find_all(tx, tables.event, limit=1) or [
            {
                "id": sql.insert(
                    tx,
                    tables.event,
                    type="SnapshotTaken",
                    aggregate="a",
                    payload={},
                    actor="test",
                    published_at_us=tx.now_us,
                )
            }
        ]
        for number in range(5):
            sql.insert(
                tx, tables.delivery, event_id=event[0]["id"], subscriber=f"s{number}",
                state=DeliveryState.PENDING, attempts=0, next_attempt_at_us=tx.now_us,
            )  # fmt: skip
    monkeypatch.setattr(readiness, "PENDING_WARN", 5)
    assert bad(world.client, "ready") == {"bus:pending"}
    monkeypatch.setattr(readiness, "PENDING_FAIL", 5)
    assert layers(world.client) == {"live": "pass", "ready": "fail", "correct": "pass"}


def test_a_full_disk_is_not_ready_where_the_database_is_a_file(world, monkeypatch):
    monkeypatch.setattr(readiness, "DISK_FAIL_BYTES", 10**18)
    is_file = world.platform.settings.database_url.startswith("sqlite")
    assert bad(world.client, "ready") == ({"disk:free"} if is_file else set())


def test_200_but_wrong_turns_correctness_alone(world):
    probe(world.platform)
    tell(world.platform, Status.FAIL)
    assert layers(world.client) == {"live": "pass", "ready": "pass", "correct": "fail"}
    answer = world.client.get("/health/correct")
    assert answer.status_code == 503
    assert bad(world.client, "correct") == {"ledger:newest_entries"}
    assert "entry 7" not in answer.text


def test_200_but_stale_turns_correctness_alone(world):
    probe(world.platform)
    world.platform.store.clock.advance(3 * 3_600 * 1_000_000)
    assert layers(world.client) == {"live": "pass", "ready": "pass", "correct": "warn"}
    assert world.client.get("/health/correct").headers["age"] == str(3 * 3_600)
    world.platform.store.clock.advance(4 * 3_600 * 1_000_000)
    assert layers(world.client) == {"live": "pass", "ready": "pass", "correct": "fail"}


@pytest.mark.parametrize("refused_of_ten", [0, 10])
def test_a_silently_degraded_verifier_turns_correctness_alone(world, refused_of_ten):
    """One that accepts everything, and one that refuses every good result that it should accept."""

    def verify(_type, _public, _private, _result):
        return refused_of_ten == 0, {}

    cases = {"a": lambda number, is_good: KnownAnswer("known", {"n": number}, {}, {}, is_good)}
    probe(world.platform, verify=verify, known_answers=cases)
    assert layers(world.client) == {"live": "pass", "ready": "pass", "correct": "fail"}
    assert bad(world.client, "correct") == {"task_type/a:known_answers"}


def test_the_tree_needs_a_key_and_tells_agents_the_sentences(world):
    assert world.nobody.get("/health").status_code == 401
    agent = world.agent("worker")
    probe(world.platform)
    tell(world.platform, Status.FAIL)
    answer = agent.get("/health")
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/health+json")
    shown = answer.json()
    assert shown["status"] == "fail"
    assert shown["checks"]["ledger:newest_entries"][0]["output"] == "entry 7 is not what its hash says"
    assert shown["promotion_hold"].startswith("check ledger:newest_entries fails")
    assert (shown["score"]["points"], shown["score"]["lost"]["checks"]) == (85, 15.0)
    assert sum(shown["score"]["most"].values()) == 100


def test_the_tree_has_every_job_agent_and_task_type_in_three_layers(world):
    agent = world.agent("worker")
    probe(world.platform)
    checks = world.operator.get("/health").json()["checks"]
    found = {}
    for [check] in checks.values():
        found.setdefault(check["componentId"], set()).add(check["layer"])
    jobs = {f"job/{job.name}" for job in world.platform.jobs}
    types = {f"task_type/{name}" for name in world.platform.task_types}
    for component in (*jobs, *types, f"agent/{agent.agent_id}"):
        assert found[component] == set(LAYERS), component


def test_a_part_of_the_tree_can_be_asked_for(world):
    world.agent("worker")
    shown = world.operator.get("/health", component="job/lease_expiry", layer="live").json()
    assert list(shown["checks"]) == ["job/lease_expiry:last_tick"]
    assert shown["status"] == "pass"
    assert world.operator.get("/health", layer="deep").status_code == 422
    assert world.operator.get("/health", component="<script>").status_code == 422


def test_a_hold_is_shown_until_it_is_lifted(world):
    tell(world.platform, Status.FAIL)
    assert world.operator.get("/health").json()["held_promotions"] == []
    assert "entry 7" in world.operator.get("/sandbox").json()["hold"]
    with world.platform.store.read() as tx:
        assert views.pulse(tx)["failing_checks"] == 1
    tell(world.platform, Status.PASS)
    shown = world.operator.get("/health").json()
    assert (shown["promotion_hold"], shown["score"]["lost"]["checks"]) == (None, 0.0)
    assert world.operator.get("/sandbox").json()["hold"] is None
    with world.platform.store.read() as tx:
        assert views.pulse(tx)["failing_checks"] == 0
