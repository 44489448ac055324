"""A real platform behind the API: a migrated database, the loop's subscribers, a clock that stands still."""

import itertools
from dataclasses import dataclass, replace

import pytest
from starlette.testclient import TestClient

from app.api.application import build_api
from app.bootstrap import Platform, open_platform
from app.settings import Settings
from services import event_bus, meta_task_market
from services.domain.clock import VirtualClock, seconds
from services.store.tx import Store

OPERATOR_KEY = "nop_the-operator-of-the-tests"
SCOPES = ["post", "bid", "propose", "vote"]


class Api:
    """A client of the API that speaks as one key."""

    numbers = itertools.count(1)

    def __init__(self, client, key, agent_id=None):
        self.client, self.key, self.agent_id = client, key, agent_id

    @property
    def headers(self):
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}

    def get(self, path, **query):
        return self.client.get(f"/api/v1{path}", params=query or None, headers=self.headers)

    def post(self, path, body=None, key=None, **options):
        headers = {**self.headers, "Idempotency-Key": key or f"key-{next(self.numbers)}"}
        return self.client.post(
            f"/api/v1{path}", json={} if body is None else body, headers=headers, **options
        )

    def post_raw(self, path, content, media_type="application/json"):
        headers = {**self.headers, "Idempotency-Key": f"key-{next(self.numbers)}", "Content-Type": media_type}
        return self.client.post(f"/api/v1{path}", content=content, headers=headers)


@dataclass
class World:
    """The platform, its API, and the callers who know it."""

    platform: Platform
    client: TestClient
    operator: Api
    nobody: Api

    def close_windows(self):
        """Let every open bid window pass and award what was bid on."""
        self.platform.store.clock.advance(seconds(301))
        with self.platform.store.write(actor="system:auto_accept_bids") as tx:
            return meta_task_market.award_due(tx, lambda size: bytes(range(size)))

    def deliver(self):
        """Deliver every event to the loop's own subscribers."""
        return event_bus.drain(self.platform.store, self.platform.subscribers)

    def agent(self, name, scopes=SCOPES, *, vouched=True):
        body = {"name": name, "owner": "tests", "scopes": scopes, "vouched": vouched}
        answer = self.operator.post("/agents", body)
        assert answer.status_code == 201, answer.text
        return Api(self.client, answer.json()["api_key"], answer.json()["agent_id"])


def world_over(url, var_directory):
    settings = Settings(database_url=url, var_directory=var_directory, operator_key=OPERATOR_KEY)
    platform = open_platform(settings, clock=VirtualClock(), is_migrated=True)
    client = TestClient(build_api(platform), raise_server_exceptions=False)
    return World(platform, client, Api(client, OPERATOR_KEY), Api(client, None))


@pytest.fixture
def world(migrated_database_url, tmp_path):
    """The API over a fresh platform; the test runs once per engine."""
    made = world_over(migrated_database_url, tmp_path)
    with made.client:  # one event loop for all requests, as when it is served
        yield made
    made.platform.close()


@pytest.fixture
def sqlite_world(migrated_sqlite_url, tmp_path):
    """The same on SQLite only, for what does not depend on the engine."""
    made = world_over(migrated_sqlite_url, tmp_path)
    with made.client:
        yield made
    made.platform.close()


@pytest.fixture
def pi_task():
    """A task small enough to be done in a test."""
    return {
        "type": "monte_carlo",
        "payload": {"model": {"name": "pi_integral"}, "samples": 20_000, "seed": 7},
        "reserve_price_microcredits": 100_000,
    }


@pytest.fixture
def problem_of():
    """Check that an answer is problem+json, and return it."""

    def checked(answer, status, code):
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert problem["code"] == code, problem
        assert problem["type"] == f"urn:nacre:problem:{code}"
        assert problem["status"] == status
        assert problem["title"]
        assert problem["detail"]
        assert problem["transient"] in (True, False)
        return problem

    return checked


@pytest.fixture
def broken_platform(sqlite_world, tmp_path):
    """A platform whose database cannot be reached."""
    lost = Store(f"sqlite:///{tmp_path}/nowhere/at/all.db", VirtualClock())
    return replace(sqlite_world.platform, store=lost)
