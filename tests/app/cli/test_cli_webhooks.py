"""`nacre webhook` and `nacre event`: what an operator types, and what comes back."""

import pytest

from app.egress import destinations
from services.domain.events import Event, EventType
from services.event_bus import publish
from services.operations import webhook_feed
from services.store import sql, tables

URL = "https://hooks.example.org/nacre"
WHY = ("--reason", "because a test says so")


@pytest.fixture(autouse=True)
def names(monkeypatch):
    """Every name has one public address."""
    monkeypatch.setattr(destinations, "system_resolve", lambda *_: ["93.184.215.14"])


def test_a_webhook_from_the_first_word_to_the_last(nacre, database, opened, tmp_path):
    nacre("db", "upgrade", *database)
    added = nacre("webhook", "add", URL, "--type", "nacre.task.ended", *database)
    assert added.code == 0, added.err
    assert added.out.startswith("whsec_")
    assert added.out.count("\n") == 1
    assert "shown only now" in added.err
    [row] = nacre("webhook", "list", *database).rows
    assert (row["webhook_id"], row["is_active"], row["types"]) == ("1", "yes", "nacre.task.ended")
    shown = nacre("webhook", "show", 1, "--json", *database).json
    assert shown["url"] == URL
    assert "secret" not in shown
    assert nacre("webhook", "change", 1, "--type", "*", "--json", *database).json["types"] == ["*"]
    rotated = nacre("webhook", "rotate", 1, *WHY, "--json", *database).json
    assert rotated["secret_version"] == 2
    assert rotated["secret"] != added.out.strip()
    assert nacre("webhook", "test", 1, *database).code == 0
    [ping] = nacre("webhook", "deliveries", 1, "--state", "pending", *database).rows
    assert (ping["type"], ping["attempts"]) == ("nacre.ping", "0")
    platform = opened(database, tmp_path)
    with platform.store.write(actor="test") as tx:
        publish(tx, Event(EventType.TASK_ENDED, "task:41", {"task_id": 41}))
    webhook_feed.feed(platform.store)
    with platform.store.write(actor="test") as tx:
        ids = [one["id"] for one in sql.find_all(tx, tables.webhook_delivery)]
        sql.update(tx, tables.webhook_delivery, {"id": ids}, state="dead")
    assert nacre("webhook", "replay", 1, ids[0], *WHY, "--json", *database).json["state"] == "pending"
    assert nacre("webhook", "discard", 1, ids[1], *WHY, "--json", *database).json["state"] == "discarded"
    assert nacre("webhook", "pause", 1, *WHY, *database).code == 0
    assert nacre("webhook", "list", *database).rows[0]["pause_reason"] == WHY[1]
    assert nacre("webhook", "resume", 1, *WHY, *database).code == 0
    assert nacre("webhook", "remove", 1, *WHY, "--json", *database).json["discarded"] == 1
    assert nacre("webhook", "list", *database).rows == []
    [event] = nacre("event", "list", "--type", "nacre.task.ended", "--subject", "task:41", *database).rows
    assert (event["type"], event["subject"]) == ("nacre.task.ended", "task:41")
    assert nacre("event", "list", "--after", event["id"], "--json", *database).json["items"] == []


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("webhook", "add", "http://hooks.example.org/"), 2, "https"),
        (("webhook", "add", "https://127.0.0.1/"), 2, "loopback"),
        (("webhook", "add", URL, "--type", "TaskEndet"), 2, "nacre.task.ended"),
        (("webhook", "show", 9), 1, "nacre webhook list"),
        (("webhook", "pause", 9, *WHY), 1, "no webhook 9"),
        (("webhook", "pause", 1), 2, "--reason"),
        (("webhook", "deliveries", 1, "--state", "lost"), 2, "pending"),
        (("event", "list", "--type", "nacre.task.endet"), 2, "nacre.task.ended"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(nacre, sqlite_database, words, code, said):
    nacre("db", "upgrade", *sqlite_database)
    ran = nacre(*words, *sqlite_database)
    assert ran.code == code, ran.err
    assert said in ran.err
    assert ran.err.count("\n") == 1
