"""One list of failed work: a line per cause with its count, retried once, dismissed with a reason."""

import pytest

from services import event_bus
from services.domain.errors import ConflictError, ForbiddenError, InvalidValueError, NotFoundError
from services.domain.events import Event, EventType
from services.domain.failed_work import FailedKind
from services.domain.handoff import Handoff
from services.domain.states import DeliveryState, TaskKind, TaskState, TickState
from services.meta_task_market import keep_late_result
from services.meta_task_market.retrying import retry_task
from services.operations import failed_work, review_queue
from services.store import sql, tables, views

LATER_SECONDS = 15 * 86_400


def lines(market, **asked):
    with market.read() as tx:
        return views.list_failed_work(tx, **asked)["items"]


def line(market, kind, **asked):
    (found,) = lines(market, kind=kind, **asked)
    return found


def retry(market, kind, item_id, agent_id=None):
    with market.write("operator" if agent_id is None else f"agent:{agent_id}") as tx:
        return failed_work.retry(tx, kind, item_id, agent_id=agent_id, post_again=retry_task)


def dismiss(market, kind, item_id, agent_id=None, reason="seen to"):
    with market.write("operator" if agent_id is None else f"agent:{agent_id}") as tx:
        return failed_work.dismiss(tx, kind, item_id, agent_id=agent_id, reason=reason)


def failed(market, requester, worker):
    return market.done(requester, worker, is_good=False)


def kill_delivery(market):
    """Return a delivery that was tried as often as allowed."""
    with market.write() as tx:
        event_id = event_bus.publish(tx, Event(EventType.TASK_ENDED, "task:1", {"task_id": 1}))
        found = sql.find_all(tx, tables.delivery, event_id=event_id)[0]
        values = {"state": DeliveryState.DEAD, "attempts": 16, "last_error": "KeyError: 'task_id'\nmore"}
        sql.update(tx, tables.delivery, {"id": found["id"]}, **values)
    return found["id"]


def tick(market, job, state, error=None):
    market.pass_seconds(1)
    with market.write() as tx:
        shared = {"claimed_by": "test", "priority": 1, "budget_us": 1, "started_at_us": tx.now_us}
        return sql.insert(
            tx, tables.cron_tick, job=job, due_at_us=tx.now_us, state=state, error=error, **shared
        )


def test_nothing_failed_is_an_empty_list(market, requester, worker):
    market.done(requester, worker)
    assert lines(market) == []


def test_failed_tasks_are_one_line_per_cause_and_requester(market, requester, worker):
    mine = [failed(market, requester, worker) for _ in range(3)]
    other = market.agent()
    theirs = failed(market, other, worker)
    expired = market.post(requester, deadline_us=400 * 1_000_000)
    market.close_windows()
    found = {(item["reason"]["code"], item["owner"]): item for item in lines(market)}
    assert set(found) == {
        ("verification_failed", f"agent:{requester}"),
        ("verification_failed", f"agent:{other}"),
        ("no_bids", f"agent:{requester}"),
    }
    first = found["verification_failed", f"agent:{requester}"]
    assert (first["kind"], first["count"], first["ids"]) == ("task", 3, mine[::-1])
    assert (first["id"], first["can_retry"], first["why_not"]) == (mine[-1], True, None)
    assert first["since"] < first["last_at"]
    assert "did not agree" in first["reason"]["sentence"]
    assert found["no_bids", f"agent:{requester}"]["ids"] == [expired]
    assert [item["id"] for item in lines(market, owner=f"agent:{other}")] == [theirs]
    market.pass_seconds(LATER_SECONDS)
    assert lines(market) == [], "it looks back 14 days"


def test_pages_of_lines_hold_every_line_once(market, requester, worker):
    for _ in range(3):
        failed(market, market.agent(), worker)
    with market.write() as tx:
        review_queue.open_item(tx, kind="odd", subject="look", context={})
    everything = lines(market)
    assert [item["kind"] for item in everything] == ["review_item", "task", "task", "task"]
    seen, cursor = [], None
    while True:
        with market.read() as tx:
            page = views.list_failed_work(tx, limit=1, cursor=cursor)
        seen += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == everything


def test_a_failed_task_is_retried_once_on_its_own_terms(market, requester, worker):
    task_id = failed(market, requester, worker)
    market.pass_seconds(50)
    before = market.balance(requester)
    done = retry(market, FailedKind.TASK, task_id, requester)
    again, first = market.task(done.task_id), market.task(task_id)
    assert again["retry_of_id"] == task_id
    assert again["state"] == TaskState.BIDDING
    for name in ("type", "public", "private", "requester_id", "reserve_price_microcredits", "workflow"):
        assert again[name] == first[name], name
    assert again["deadline_at_us"] - again["posted_at_us"] == first["deadline_at_us"] - first["posted_at_us"]
    assert market.balance(requester) == before - first["reserve_price_microcredits"]
    with market.read() as tx:
        assert views.get_task(tx, task_id)["retried_as_id"] == done.task_id
        assert views.get_task(tx, done.task_id)["retry_of_id"] == task_id
    assert lines(market) == []
    with pytest.raises(ConflictError, match=f"already, as task {done.task_id}") as refused:
        retry(market, FailedKind.TASK, task_id)
    assert refused.value.code == "retried_already"


def test_only_its_requester_or_an_operator_retries_and_only_what_failed(market, requester, worker):
    task_id, fine = failed(market, requester, worker), market.done(requester, worker)
    with pytest.raises(ForbiddenError, match="somebody else"):
        retry(market, FailedKind.TASK, task_id, worker)
    with pytest.raises(ConflictError, match="is settled") as refused:
        retry(market, FailedKind.TASK, fine, requester)
    assert refused.value.code == "not_failed"
    with pytest.raises(NotFoundError, match="no task 999"):
        retry(market, FailedKind.TASK, 999)
    assert market.task(retry(market, FailedKind.TASK, task_id).task_id)["requester_id"] == requester


def test_an_investigation_is_listed_without_a_retry(market, worker):
    meta = market.post(None, kind=TaskKind.META, type="investigation", deadline_us=400 * 1_000_000)
    market.close_windows()
    assert market.task(meta)["state"] == TaskState.EXPIRED
    shown = line(market, FailedKind.TASK)
    assert (shown["owner"], shown["can_retry"]) == ("platform", False)
    assert "observatory" in shown["why_not"]
    with pytest.raises(ConflictError, match="observatory") as refused:
        retry(market, FailedKind.TASK, meta)
    assert refused.value.code == "not_retriable"
    assert dismiss(market, FailedKind.TASK, meta).things == 1
    assert lines(market) == []


def test_a_dismissal_holds_for_what_failed_so_far_and_is_kept(market, requester, worker):
    first, second = failed(market, requester, worker), failed(market, requester, worker)
    with pytest.raises(InvalidValueError, match="needs a reason"):
        dismiss(market, FailedKind.TASK, first, reason=" ")
    with pytest.raises(ForbiddenError, match=f"waits for agent:{requester}"):
        dismiss(market, FailedKind.TASK, first, worker)
    done = dismiss(market, FailedKind.TASK, first, requester, reason="no longer needed")
    assert done.things == 2
    assert lines(market) == []
    (kept,) = market.rows(tables.review_item)
    assert (kept["kind"], kept["closed_at_us"]) == ("dismissed", kept["opened_at_us"])
    assert kept["context"]["reason"] == "no longer needed"
    assert kept["context"]["by"] == f"agent:{requester}"
    for task_id in (first, second):
        with pytest.raises(ConflictError, match="does not wait") as refused:
            dismiss(market, FailedKind.TASK, task_id)
        assert refused.value.code == "not_waiting"
    third = failed(market, requester, worker)
    assert (line(market, FailedKind.TASK)["ids"], line(market, FailedKind.TASK)["count"]) == ([third], 1)


def test_dead_letters_of_one_error_are_one_line_and_go_back_in_line(market):
    first, second = kill_delivery(market), kill_delivery(market)
    shown = line(market, FailedKind.DEAD_LETTER)
    assert (shown["ids"], shown["count"]) == ([second, first], 2)
    assert shown["reason"] == {"code": "KeyError", "sentence": "KeyError: 'task_id'"}
    assert shown["owner"] == market.row(tables.delivery, id=first)["subscriber"]
    with pytest.raises(ForbiddenError, match="only an operator"):
        retry(market, FailedKind.DEAD_LETTER, first, market.agent())
    retry(market, FailedKind.DEAD_LETTER, first)
    assert market.row(tables.delivery, id=first)["state"] == DeliveryState.PENDING
    assert line(market, FailedKind.DEAD_LETTER)["ids"] == [second]
    with pytest.raises(ConflictError, match="not a dead letter"):
        retry(market, FailedKind.DEAD_LETTER, first)


def test_a_job_waits_for_somebody_until_it_has_run_well_again(market):
    tick(market, "vote_tally", TickState.DONE)
    tick(market, "vote_tally", TickState.FAILED, "ValueError: no")
    last = tick(market, "vote_tally", TickState.FAILED, "ValueError: no")
    never = tick(market, "agent_scan", TickState.OVERRUN)
    found = {item["owner"]: item for item in lines(market, kind=FailedKind.TICK)}
    assert (found["vote_tally"]["count"], found["vote_tally"]["id"]) == (2, last)
    assert found["agent_scan"]["ids"] == [never]
    assert "budget" in found["agent_scan"]["reason"]["sentence"]
    with pytest.raises(ConflictError, match="runs again by itself"):
        retry(market, FailedKind.TICK, last)
    tick(market, "vote_tally", TickState.DONE)
    assert [item["owner"] for item in lines(market, kind=FailedKind.TICK)] == ["agent_scan"]


def test_late_results_and_review_items_wait_until_they_are_dismissed(market, requester, worker):
    task_id = market.awarded(requester, worker)
    for token in (901, 902):
        with market.write() as tx:
            keep_late_result(
                tx, agent_id=worker, task_id=task_id, fencing_token=token,
                handoff=Handoff("secret work", {}, ""), reason="stale_fencing_token",
            )  # fmt: skip
    with market.write() as tx:
        items = [review_queue.open_item(tx, kind="odd", subject="look", context={}) for _ in range(2)]
    late = line(market, FailedKind.LATE_RESULT)
    assert (late["count"], late["owner"], late["can_retry"]) == (2, f"agent:{worker}", False)
    assert "secret" not in str(late)
    odd = line(market, FailedKind.REVIEW_ITEM)
    assert (odd["ids"], odd["owner"]) == (items[::-1], "operator")
    for kind, number in ((FailedKind.LATE_RESULT, late["id"]), (FailedKind.REVIEW_ITEM, items[0])):
        with pytest.raises(ConflictError, match="cannot be retried"):
            retry(market, kind, number)
        assert dismiss(market, kind, number).things == 2
    assert lines(market) == []
    assert all(row["closed_at_us"] for row in market.rows(tables.review_item))
