"""Dead letters: put back in line or given up, by id or by kind; each act once and in the ledger."""

import json

import pytest

from services import event_bus
from services.domain.errors import ConflictError, InvalidValueError, NotFoundError
from services.domain.events import Event, EventType
from services.domain.states import DeliveryState
from services.operations import dead_letters
from services.store import sql, tables, views


def dead(market, *kinds):
    """Publish an event of each kind and let every delivery of it be dead; return the deliveries' ids."""
    ids = []
    for kind in kinds:
        with market.write() as tx:
            number = event_bus.publish(tx, Event(kind, "task:1", {"task_id": 1}))
            for row in sql.find_all(tx, tables.delivery, event_id=number):
                values = {"state": DeliveryState.DEAD, "attempts": 16, "last_error": "KeyError: 'x'"}
                sql.update(tx, tables.delivery, {"id": row["id"]}, **values)
                ids.append(row["id"])
    return ids


def act(market, does, *given, **named):
    with market.write("operator") as tx:
        return does(tx, *given, **named)


def states(market, ids):
    with market.read() as tx:
        return [sql.find(tx, tables.delivery, id=number)["state"] for number in ids]


def overrides(market):
    with market.read() as tx:
        found = sql.find_all(tx, tables.ledger_entry, order_by="index", type="OVERRIDE")
    return [json.loads(bytes(row["leaf"])) for row in found]


def test_a_replay_is_one_entry_and_gives_every_attempt_back(market):
    first, second = dead(market, EventType.TASK_ENDED, EventType.TASK_ENDED)
    done = act(market, dead_letters.replay, [second, first, 999], reason="the source is back")
    assert (done.delivery_ids, done.passed_over) == ([first, second], [999])
    assert states(market, [first, second]) == ["pending", "pending"]
    [entry] = overrides(market)
    assert (entry["index"], entry["actor"]) == (done.ledger_index, "operator")
    assert entry["payload"] == {
        "act": "replay_dead_letters",
        "reason": "the source is back",
        "deliveries": [first, second],
        "subscribers": ["resolve"],
    }
    again = act(market, dead_letters.replay, [first, second])
    assert again == ([], [first, second], None)
    assert len(overrides(market)) == 1, "what moves nothing is no act"
    assert market.row(tables.delivery, id=first)["attempts"] == 0


def test_a_discarded_letter_is_final_and_needs_a_reason(market):
    [number] = dead(market, EventType.TASK_ENDED)
    for reason in ("", "  "):
        with pytest.raises(InvalidValueError, match="with a reason"):
            act(market, dead_letters.discard_one, number, reason=reason)
    done = act(market, dead_letters.discard_one, number, reason="settled by hand")
    assert done.delivery_ids == [number]
    assert states(market, [number]) == ["discarded"]
    assert [entry["payload"]["act"] for entry in overrides(market)] == ["discard_dead_letters"]
    for one in (dead_letters.replay_one, dead_letters.discard_one):
        with pytest.raises(ConflictError, match="is discarded, not a dead letter"):
            act(market, one, number, reason="once more")
    with market.read() as tx:
        assert views.get_dead_letter(tx, number)["state"] == "discarded"
        assert views.list_dead_letters(tx)["items"] == []


def test_what_is_no_dead_letter_is_refused_by_its_name(market):
    with pytest.raises(NotFoundError, match="no delivery 999"):
        act(market, dead_letters.replay_one, 999)
    with pytest.raises(InvalidValueError, match="up to 500"):
        act(market, dead_letters.replay, range(1, 502))
    with pytest.raises(InvalidValueError, match=r"1\.\.500"):
        act(market, dead_letters.choose, limit=501)


def test_letters_are_chosen_by_subscriber_and_type_oldest_first(market):
    ended, promoted, again = EventType.TASK_ENDED, EventType.PARAMETER_PROMOTED, EventType.TASK_ENDED
    ids = dead(market, ended, promoted, again)
    with market.read() as tx:
        of = {number: sql.find(tx, tables.delivery, id=number)["subscriber"] for number in ids}
        assert dead_letters.choose(tx) == ids
        assert dead_letters.choose(tx, limit=2) == ids[:2]
        assert dead_letters.choose(tx, subscriber="resolve") == [n for n in ids if of[n] == "resolve"]
        assert dead_letters.choose(tx, event_type="ParameterPromoted") == ids[1:-1]
        assert dead_letters.choose(tx, subscriber="resolve", event_type="ParameterPromoted") == []
        shown = views.list_dead_letters(tx, subscriber="resolve", event_type="TaskEnded")["items"]
    assert [item["delivery_id"] for item in shown] == [ids[-1], ids[0]]
    assert shown[0]["payload"] == {"task_id": 1}
