"""Dead letters over HTTP: shown, replayed and discarded, one by one or by kind, by the operator alone."""

import pytest

from services import event_bus
from services.domain.events import Event, EventType
from services.domain.states import DeliveryState
from services.store import sql, tables


@pytest.fixture
def letters(world):
    """The ids of three dead deliveries of the subscriber `resolve`."""
    with world.platform.store.write(actor="system:test") as tx:
        for number in range(3):
            event_bus.publish(tx, Event(EventType.TASK_ENDED, f"task:{number}", {"task_id": number}))
        sql.update(
            tx, tables.delivery, {"state": DeliveryState.PENDING}, state=DeliveryState.DEAD, attempts=16,
            last_error="KeyError: x",
        )  # fmt: skip
        return [row["id"] for row in sql.find_all(tx, tables.delivery)]


def test_one_is_shown_with_its_payload_and_discarded_with_a_reason(world, letters, problem_of):
    path = f"/dead-letters/{letters[0]}"
    shown = world.operator.get(path).json()
    assert (shown["payload"], shown["last_error"], shown["state"]) == ({"task_id": 0}, "KeyError: x", "dead")
    assert (
        problem_of(world.operator.post(f"{path}/discard"), 422, "validation_failed")["field"] == "body.reason"
    )
    done = world.operator.post(f"{path}/discard", {"reason": "settled by hand"}).json()
    assert (done["delivery_id"], done["state"]) == (letters[0], "discarded")
    entry = world.operator.get(f"/ledger/{done['ledger_index']}")
    assert "settled by hand" in entry.text
    assert world.operator.get(path).json()["state"] == "discarded"
    problem_of(world.operator.post(f"{path}/replay", {"reason": "once more"}), 409, "conflict")
    problem_of(world.operator.get("/dead-letters/999"), 404, "not_found")
    problem_of(world.operator.post("/dead-letters/999/replay"), 404, "not_found")


def test_many_are_moved_by_kind_or_by_id_and_again_without_harm(world, letters, problem_of):
    asked = {"subscriber": "resolve", "event_type": "TaskEnded", "limit": 2}
    done = world.operator.post("/dead-letters/replay", asked).json()
    assert (done["delivery_ids"], done["state"]) == (letters[:2], "pending")
    by_id = {"delivery_ids": letters, "reason": "settled by hand"}
    done = world.operator.post("/dead-letters/discard", by_id).json()
    assert (done["delivery_ids"], done["passed_over"]) == (letters[2:], letters[:2])
    done = world.operator.post("/dead-letters/discard", by_id).json()
    assert (done["delivery_ids"], done["ledger_index"]) == ([], None)
    assert world.operator.get("/dead-letters").json()["items"] == []
    world.deliver()
    with world.platform.store.read() as tx:
        assert event_bus.lag(tx).pending == 0


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body.delivery_ids"),
        ({"delivery_ids": [1], "subscriber": "resolve"}, "body.delivery_ids"),
        ({"delivery_ids": []}, "body.delivery_ids"),
        ({"delivery_ids": list(range(1, 502))}, "body.delivery_ids"),
        ({"event_type": "Nothing"}, "body.event_type"),
        ({"subscriber": "resolve", "limit": 501}, "body.limit"),
    ],
)
def test_what_does_not_say_which_letters_is_refused(sqlite_world, problem_of, body, field):
    refused = sqlite_world.operator.post("/dead-letters/replay", body)
    assert problem_of(refused, 422, refused.json()["code"])["field"] == field


@pytest.mark.parametrize("path", ["replay", "discard", "1/discard"])
def test_only_the_operator_moves_dead_letters(sqlite_world, problem_of, path):
    body = {"reason": "no"} if path == "1/discard" else {"subscriber": "resolve", "reason": "no"}
    problem_of(sqlite_world.agent("agent").post(f"/dead-letters/{path}", body), 403, "forbidden")
