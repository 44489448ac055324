"""Webhooks and the feed of events over HTTP: the operator's acts, bad input, who may read what."""

import json
from dataclasses import replace

import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from app.api import webhook_examples as examples
from app.egress import destinations
from app.keys import webhook_key
from services.domain.events import Event, EventType
from services.domain.webhooks import secret_text
from services.event_bus import publish
from services.operations import webhook_feed
from services.store import tables

URL = "https://hooks.example.org/T0/path-secret"
NEW = {"url": URL, "types": ["nacre.task.ended"], "description": "people on call"}
WHY = {"reason": "because a test says so"}


@pytest.fixture(autouse=True)
def names(monkeypatch):
    """Every name has one public address, but those that say otherwise."""

    def resolve(host, _port):
        if host.startswith("nowhere"):
            raise OSError("unknown")
        return ["10.0.0.7"] if host.startswith("inside") else ["93.184.215.14"]

    monkeypatch.setattr(destinations, "system_resolve", resolve)


def published(world, what=EventType.TASK_ENDED, **payload):
    with world.platform.store.write(actor="agent:7") as tx:
        return publish(tx, Event(what, "task:41", payload))


def test_a_webhook_lives_from_registration_to_deletion(world):
    operator = world.operator
    made = operator.post("/webhooks", NEW)
    assert made.status_code == 201
    hook = made.json()["webhook_id"]
    key = webhook_key(world.platform.settings.var_directory)
    assert made.json() == {"webhook_id": hook, "secret_version": 1, "secret": secret_text(key, hook, 1)}
    shown = operator.get(f"/webhooks/{hook}").json()
    assert list(shown) == list(examples.WEBHOOK)
    assert (shown["url"], shown["types"], shown["is_active"]) == (URL, ["nacre.task.ended"], True)
    assert operator.get("/webhooks").json() == {"items": [shown], "next_cursor": None}
    assert operator.post(f"/webhooks/{hook}", {"types": ["*"]}).json()["types"] == ["*"]
    rotated = operator.post(f"/webhooks/{hook}/rotate", WHY).json()
    assert rotated == {"webhook_id": hook, "secret_version": 2, "secret": secret_text(key, hook, 2)}
    assert operator.post(f"/webhooks/{hook}/test").status_code == 201
    [delivery] = operator.get(f"/webhooks/{hook}/deliveries").json()["items"]
    assert list(delivery) == list(examples.WEBHOOK_DELIVERY)
    assert (delivery["type"], delivery["state"]) == ("nacre.ping", "pending")
    assert operator.get(f"/webhooks/{hook}/deliveries", state="dead").json()["items"] == []
    paused = operator.post(f"/webhooks/{hook}/pause", WHY).json()
    assert (paused["is_active"], paused["pause_reason"]) == (False, WHY["reason"])
    assert operator.post(f"/webhooks/{hook}/resume", WHY).json()["is_active"]
    assert operator.post(f"/webhooks/{hook}/remove", WHY).json() == {"webhook_id": hook, "discarded": 1}
    assert operator.get(f"/webhooks/{hook}").status_code == 404


def test_a_repeated_registration_shows_the_secret_again_and_records_it_nowhere(world):
    first = world.operator.post("/webhooks", NEW, key="once")
    again = world.operator.post("/webhooks", NEW, key="once")
    assert again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"
    secret = first.json()["secret"]
    with world.platform.store.read() as tx:
        for table in tables.webhook.metadata.tables.values():
            for row in tx.connection.execute(table.select()):
                assert secret not in str(row), table.name


@pytest.mark.parametrize(
    ("change", "code", "field", "word"),
    [
        ({"url": "http://hooks.example.org/"}, "url_not_https", "body.url", "https"),
        ({"url": "https://10.0.0.7/"}, "address_private", "body.url", "10.0.0.7"),
        ({"url": "https://inside.example.org/"}, "address_private", "body.url", "10.0.0.7"),
        ({"url": "https://169.254.169.254/latest"}, "address_private", "body.url", "metadata"),
        ({"url": "https://nowhere.example.org/"}, "host_unknown", "body.url", "nowhere.example.org"),
        ({"url": "https://me@hooks.example.org/"}, "url_malformed", "body.url", "user name"),
        ({"url": "https://hooks.example.org:22/"}, "url_port", "body.url", "443"),
        ({"types": ["nacre.task.endet"]}, "event_type_unknown", "body.types", "nacre.task.ended"),
        ({"types": []}, "validation_failed", "body.types", "at least 1"),
        ({"types": "*"}, "validation_failed", "body.types", "list"),
        ({"description": "two\nlines"}, "invalid_value", "body.description", "one line"),
        ({"url": 7}, "validation_failed", "body.url", "string"),
        ({"secret": "mine"}, "validation_failed", "body.secret", "not permitted"),
    ],
)
def test_bad_input_is_named_with_what_would_be_right(sqlite_world, problem_of, change, code, field, word):
    problem = problem_of(sqlite_world.operator.post("/webhooks", {**NEW, **change}), 422, code)
    assert problem["field"] == field
    assert word in problem["detail"]
    if "url" not in change or change["url"] == 7:
        return
    hook = sqlite_world.operator.post("/webhooks", NEW).json()["webhook_id"]
    problem_of(sqlite_world.operator.post(f"/webhooks/{hook}", change), 422, code)
    assert sqlite_world.operator.get(f"/webhooks/{hook}").json()["url"] == URL


def test_the_settings_decide_which_hosts_there_may_be(sqlite_world, problem_of):
    platform = sqlite_world.platform
    platform.settings = replace(platform.settings, webhook_hosts=("only.example.org",))
    problem = problem_of(sqlite_world.operator.post("/webhooks", NEW), 422, "host_refused")
    assert "only.example.org" in problem["detail"]
    taken = {**NEW, "url": "https://only.example.org/"}
    assert sqlite_world.operator.post("/webhooks", taken).status_code == 201


def test_everything_about_webhooks_is_the_operators(sqlite_world, problem_of):
    hook = sqlite_world.operator.post("/webhooks", NEW).json()["webhook_id"]
    agent = sqlite_world.agent("agent")
    for path in ("/webhooks", f"/webhooks/{hook}", f"/webhooks/{hook}/deliveries"):
        problem_of(agent.get(path), 403, "forbidden")
        problem_of(sqlite_world.nobody.get(path), 401, "unauthenticated")
    posts = dict.fromkeys(("rotate", "pause", "resume", "remove"), WHY)
    posts |= {"deliveries/1/replay": WHY, "deliveries/1/discard": WHY, "test": {}}
    for name, body in posts.items():
        problem_of(agent.post(f"/webhooks/{hook}/{name}", body), 403, "forbidden")
    problem_of(agent.post("/webhooks", NEW), 403, "forbidden")
    problem_of(agent.post(f"/webhooks/{hook}", {"types": ["*"]}), 403, "forbidden")


def test_dead_deliveries_are_replayed_and_discarded_once(sqlite_world, problem_of):
    operator, store = sqlite_world.operator, sqlite_world.platform.store
    hook = operator.post("/webhooks", {**NEW, "types": ["*"]}).json()["webhook_id"]
    for _ in range(2):
        published(sqlite_world, task_id=41)
    webhook_feed.feed(store)
    with store.write(actor="test") as tx:
        tx.connection.execute(tables.webhook_delivery.update().values(state="dead"))
    replay, discard = f"/webhooks/{hook}/deliveries/1/replay", f"/webhooks/{hook}/deliveries/2/discard"
    assert operator.post(replay, WHY).json() == {"delivery_id": 1, "state": "pending"}
    assert operator.post(discard, WHY).json() == {"delivery_id": 2, "state": "discarded"}
    problem_of(operator.post(replay, WHY), 409, "not_dead")
    problem_of(operator.post(discard, WHY), 409, "not_dead")
    problem_of(operator.post(f"/webhooks/{hook}/deliveries/9/replay", WHY), 404, "not_found")
    problem_of(operator.post(f"/webhooks/{hook + 1}/deliveries/1/replay", WHY), 404, "not_found")


# --- the feed


def test_the_feed_is_a_batch_of_cloud_events(world):
    event_id = published(world, task_id=41, state="settled")
    answer = world.operator.get("/events", type="nacre.task.ended")
    assert answer.headers["content-type"] == "application/cloudevents-batch+json"
    [event] = [JSONFormat().read(CloudEvent, json.dumps(one).encode()) for one in answer.json()]
    assert (event.get_id(), event.get_subject()) == (str(event_id), "task:41")
    assert event.get_extension("actor") == "agent:7"
    assert event.get_source().startswith("nacre/")


def test_the_feed_is_read_page_by_page_and_from_an_id_on(world):
    ids = [str(published(world, task_id=number)) for number in range(5)]
    first = world.operator.get("/events", type="nacre.task.ended", order="oldest", limit=2)
    assert [one["id"] for one in first.json()] == ids[:2]
    following = first.links["next"]["url"].removeprefix("/api/v1")
    second = world.operator.get(following)
    assert [one["id"] for one in second.json()] == ids[2:4]
    last = world.operator.get("/events", order="oldest", after=ids[3], type="nacre.task.ended")
    assert [one["id"] for one in last.json()] == ids[4:]
    assert "link" not in last.headers
    assert world.operator.get("/events", subject="task:40").json() == []
    assert world.operator.get("/events", lap=3).json() == []


def test_agents_read_what_agents_may_know(world):
    published(world, task_id=41, state="settled", hidden="operator only")
    published(world, EventType.CHECK_FAILED, component="probe", output="the expected answer is 42")
    published(world, EventType.RESULT_SUBMITTED, task_id=41, attempt_id=987_654, kind="user")
    published(world, EventType.BALLOT_CAST, proposal_id=5)
    agent = world.agent("reader", [])
    seen = agent.get("/events").json()
    assert [one["type"] for one in seen] == ["nacre.ballot.cast", "nacre.task.ended"]
    assert seen[1]["data"] == {"task_id": 41, "state": "settled"}
    assert "expected answer" not in agent.get("/events", type="nacre.check.failed").text
    assert "987654" not in agent.get("/events", type="nacre.result.submitted").text
    assert len(world.operator.get("/events").json()) >= 4


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"type": "nacre.task.endet"}, "query.type"),
        ({"type": "bad type"}, "query.type"),
        ({"after": "-1"}, "query.after"),
        ({"after": str(2**63)}, "query.after"),
        ({"lap": "x"}, "query.lap"),
        ({"subject": "<b>"}, "query.subject"),
        ({"cursor": "zzz"}, "query.cursor"),
        ({"limit": "0"}, "query.limit"),
    ],
)
def test_a_bad_question_is_refused_by_its_field(sqlite_world, query, field):
    answer = sqlite_world.operator.get("/events", **query)
    assert answer.status_code == 422, answer.text
    assert answer.json()["field"] == field
