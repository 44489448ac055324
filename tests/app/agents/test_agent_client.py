"""The client: one key per write over all retries, problems as exceptions, one deadline per call."""

import socket
import threading
import time

import pytest

from app.agents.client import ApiProblem, NacreClient, UnreachableError
from tests.app.agents.market_stub import KEY


def test_a_write_is_retried_under_one_key(client, stub):
    stub.first_answers.extend([503, 500, 502])
    client.bid(5, 1000, 80)
    calls = stub.of("POST", "/tasks/5/bids")
    assert len(calls) == 4
    assert len({call.idempotency_key for call in calls}) == 1
    assert calls[-1].body == {"ask_microcredits": 1000, "confidence_percent": 80}
    assert calls[-1].bearer == f"Bearer {KEY}"


def test_two_writes_have_two_keys(client, stub):
    client.bid(5, 1000, None)
    client.bid(5, 1000, None)
    assert len({call.idempotency_key for call in stub.of("POST", "/tasks/5/bids")}) == 2


def test_after_three_retries_the_server_error_is_told(client, stub):
    stub.first_answers.extend([500] * 9)
    with pytest.raises(ApiProblem) as caught:
        client.get("/tasks")
    assert caught.value.status == 500
    assert len(stub.calls) == 4


def test_a_refusal_is_not_retried_and_keeps_its_members(client, stub):
    stub.refusals["/proposals"] = (422, "admission_refused", {"needed_tasks": 240})
    with pytest.raises(ApiProblem) as caught:
        client.post("/proposals", {})
    assert (caught.value.code, caught.value.status) == ("admission_refused", 422)
    assert caught.value.detail == "said admission_refused"
    assert caught.value.extra["needed_tasks"] == 240
    assert len(stub.calls) == 1


def test_nobody_there_is_told_within_the_deadline():
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    started = time.monotonic()
    with (
        NacreClient(f"http://127.0.0.1:{port}", KEY, call_seconds=0.3) as client,
        pytest.raises(UnreachableError),
    ):
        client.get("/tasks")
    assert time.monotonic() - started < 1.5


def test_a_slow_drip_ends_at_the_deadline():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                try:
                    for _ in range(100):
                        connection.sendall(b" ")
                        time.sleep(0.05)
                except OSError:
                    return

        threading.Thread(target=drip, daemon=True).start()
        started = time.monotonic()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with NacreClient(url, KEY, call_seconds=0.4) as client, pytest.raises(UnreachableError):
            client.get("/tasks")
        assert 0.3 < time.monotonic() - started < 1.5


def test_nothing_is_called_after_the_due_instant(client, stub):
    with client.due(time.monotonic() - 1.0), pytest.raises(UnreachableError):
        client.get("/tasks")
    client.get("/tasks")
    assert len(stub.of("GET", "/tasks")) <= 2


def test_a_listing_is_walked_page_by_page(client, stub):
    pages = [{"items": [{"n": 1}], "next_cursor": "b"}, {"items": [{"n": 2}], "next_cursor": None}]
    stub._read = lambda call: (200, pages[1] if call.query.get("cursor") == "b" else pages[0])
    assert [item["n"] for item in client.items("/tasks", state="failed")] == [1, 2]
    assert all(call.query["state"] == "failed" for call in stub.calls)


def test_a_plain_question_for_work_names_nothing_new(client, stub):
    client.work(["sums"])
    client.work(
        None, limit=3, after=7, lease=True, renew=[{"task_id": 1, "fencing_token": 2}], wait_seconds=5
    )
    plain, whole = (call.body for call in stub.of("POST", "/agents/me/work"))
    assert plain == {"types": ["sums"], "limit": 10}
    assert whole == {
        "types": None,
        "limit": 3,
        "after": 7,
        "lease": True,
        "renew": [{"task_id": 1, "fencing_token": 2}],
        "wait_seconds": 5,
    }


def test_leases_come_with_the_work(client, stub):
    stub.awards = [{"task_id": 2, "type": "sums"}]
    stub.leases = {2: {"payload": {}, "timeout_seconds": 1.0}}
    work = client.work(None, lease=True)
    assert (work["awards"], [lease["task_id"] for lease in work["leases"]]) == ([], [2])


def test_a_long_batch_goes_in_several_calls_and_keeps_its_order(client, stub):
    items = [{"task_id": number} for number in range(1, 1_002)]
    results = client.batch("leases", items)
    assert [len(call.body["items"]) for call in stub.of("POST", "/batch/leases")] == [500, 500, 1]
    assert [result["task_id"] for result in results] == list(range(1, 1_002))
    assert client.batch("leases", []) == []


def test_a_client_that_asked_too_often_asks_again(client, stub):
    stub.first_answers.append(429)
    client.bid(5, 1000, 80)
    calls = stub.of("POST", "/tasks/5/bids")
    assert len(calls) == 2
    assert len({call.idempotency_key for call in calls}) == 1
