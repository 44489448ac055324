"""Events as CloudEvents: what the specification's own library reads, and what agents may read of them."""

import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from services.domain import cloud_events
from services.domain.cloud_events import FOR_AGENTS, TYPE_NAMES, cloud_event, encoded, ping_event, type_name
from services.domain.events import EventType

ROW = {
    "id": 17,
    "type": "TaskEnded",
    "aggregate": "task:41",
    "payload": {"task_id": 41, "state": "settled", "sealed": "only the operator's"},
    "actor": "agent:3",
    "lap_id": 2**40,
    "published_at_us": 1_767_225_600_123_456,
}
SOURCE = "nacre/0a1b2c3d4e5f6071"


def read(event):
    """Return the event as the CloudEvents library reads it, which checks every attribute."""
    return JSONFormat().read(CloudEvent, encoded(event).encode())


@pytest.mark.parametrize("kind", list(EventType))
def test_every_type_of_event_is_a_valid_cloud_event(kind):
    event = read(cloud_event({**ROW, "type": str(kind)}, SOURCE))
    assert event.get_specversion() == "1.0"
    assert (event.get_id(), event.get_source(), event.get_subject()) == ("17", SOURCE, "task:41")
    assert event.get_type() == type_name(kind)
    assert event.get_time().isoformat() == "2026-01-01T00:00:00.123456+00:00"
    assert event.get_datacontenttype() == "application/json"
    assert (event.get_extension("actor"), event.get_extension("lapid")) == ("agent:3", str(2**40))
    assert event.get_data() == ROW["payload"]


def test_an_event_outside_every_lap_has_no_lapid():
    assert "lapid" not in cloud_event({**ROW, "lap_id": None}, SOURCE)


def test_a_ping_is_a_valid_cloud_event():
    event = read(ping_event(3, 2, source=SOURCE, actor="operator", at_us=0))
    assert (event.get_type(), event.get_subject(), event.get_id()) == ("nacre.ping", "webhook:3", "ping-3-2")


def test_names_of_types_are_one_to_one_and_told_by_noun_and_verb():
    assert len(TYPE_NAMES) == len(EventType)
    assert cloud_events.PING not in TYPE_NAMES
    assert type_name(EventType.TASK_ENDED) == "nacre.task.ended"
    assert type_name(EventType.EPISODE_GIVEN_UP) == "nacre.episode.given_up"
    assert type_name(EventType.PARAMETER_ROLLED_BACK) == "nacre.parameter.rolled_back"


def test_agents_get_named_facts_only():
    assert cloud_event(ROW, SOURCE, is_for_operator=False)["data"] == {"task_id": 41, "state": "settled"}


def test_what_is_sensitive_is_the_operators():
    hidden = {
        EventType.RESULT_SUBMITTED,
        EventType.CHECK_FAILED,
        EventType.CHECK_RECOVERED,
        EventType.PROMOTION_FROZEN,
        EventType.SNAPSHOT_MISSED,
    }
    assert hidden.isdisjoint(FOR_AGENTS)
    words = {"salt", "arm", "bid", "ask_microcredits", "attempt_id", "fencing_token", "output", "inputs"}
    assert words.isdisjoint(set().union(*FOR_AGENTS.values()))
    for kind in hidden:
        assert cloud_event({**ROW, "type": kind}, SOURCE, is_for_operator=False)["data"] == {}


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("nacre.task.endet", "nacre.task.ended"),
        ("TaskEnded", "nacre.task.ended"),
        ("anomaly_detected", "nacre.anomaly.detected"),
        ("nacre.ping", ""),
        ("zzzzzz", ""),
        ("nacre.zzzzzz", ""),
        ("", ""),
        ("*" * 4_000, ""),
    ],
)
def test_an_unknown_type_is_named_with_the_nearest(name, nearest):
    found = cloud_events.unknown_types(["*", "nacre.task.ended", name])
    assert list(found) == [name]
    assert found[name] == nearest
    hint = cloud_events.type_hint(name)
    assert hint.startswith(f"did you mean {nearest!r}") == bool(nearest)
    assert ("docs/events.md" in hint) == (name != "nacre.ping")


def test_a_ping_cannot_be_asked_for_and_the_hint_says_so():
    assert cloud_events.type_hint("nacre.ping").startswith("a ping is sent by the test of a webhook alone")
