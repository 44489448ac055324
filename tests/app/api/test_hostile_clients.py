"""Clients that mean harm, against a real server: they are refused clearly, and nobody else has to wait."""

import http.client
import itertools
import json
import threading
import time

import pytest

from app.api import authentication
from app.api.admission import TokenBuckets
from app.http_protocol import BoundedConnection
from services.store import sql, tables
from tests.app.api.served import connected, head_of, rest_of, served

MIB = 1_048_576


def problem_in(answer):
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head, answer[:500]
    return int(head.split()[1]), json.loads(body), head.lower()


def test_a_body_that_trickles_is_given_up(sqlite_world):
    agent = sqlite_world.agent("slow")
    with served(sqlite_world.platform, body_seconds=0.5) as port, connected(port) as connection:
        began = time.monotonic()
        connection.sendall(head_of("/tasks/1/bids", agent.key, length=200) + b'{"ask')
        for _ in range(3):
            time.sleep(0.1)
            connection.sendall(b" ")
        status, problem, head = problem_in(rest_of(connection))
    assert (status, problem["code"]) == (408, "body_too_slow")
    assert b"connection: close" in head
    assert time.monotonic() - began < 8


def test_a_documented_route_gives_a_trickled_body_up_too(sqlite_world):
    agent = sqlite_world.agent("slow")
    with served(sqlite_world.platform, body_seconds=0.3) as port, connected(port) as connection:
        connection.sendall(head_of("/proposals", agent.key) + b"5\r\n")
        status, problem, _ = problem_in(rest_of(connection))
    assert (status, problem["code"]) == (408, "body_too_slow")


def test_a_body_in_pieces_that_comes_in_time_is_taken(sqlite_world):
    agent = sqlite_world.agent("careful")
    with served(sqlite_world.platform, body_seconds=5.0) as port, connected(port) as connection:
        connection.sendall(head_of("/agents/me/work", agent.key, length=2) + b"{")
        time.sleep(0.2)
        connection.sendall(b"}")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "sent", [b"", b"POST /api/v1/tasks HT", b"GET /health/live HTTP/1.1\r\nHost: x\r\nA: "]
)
def test_headers_that_do_not_come_end_the_connection(sqlite_world, monkeypatch, sent):
    monkeypatch.setattr(BoundedConnection, "header_seconds", 0.4)
    with served(sqlite_world.platform) as port, connected(port) as connection:
        began = time.monotonic()
        connection.sendall(sent)
        assert rest_of(connection) == b""
        assert time.monotonic() - began < 8


def test_headers_without_end_are_refused(sqlite_world):
    with served(sqlite_world.platform) as port, connected(port) as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n")
        received = b""
        try:
            for number in itertools.count():
                connection.sendall(f"X-{number}: ".encode() + b"x" * 4_000 + b"\r\n")
                assert number < 1_000
        except OSError:
            received = rest_of(connection)
    assert received == b"" or received.startswith(b"HTTP/1.1 431")


def test_a_second_request_on_a_connection_has_its_time_as_well(sqlite_world, monkeypatch):
    monkeypatch.setattr(BoundedConnection, "header_seconds", 0.4)
    with served(sqlite_world.platform) as port, connected(port) as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHo")
        assert rest_of(connection) == b""


def test_fifty_megabytes_are_refused_before_they_are_read(sqlite_world):
    agent = sqlite_world.agent("large")
    with served(sqlite_world.platform) as port:
        with connected(port) as connection:
            connection.sendall(head_of("/batch/bids", agent.key, length=50 * MIB))
            status, problem, head = problem_in(rest_of(connection))
            assert (status, problem["code"]) == (413, "body_too_large")
            assert b"connection: close" in head
        with connected(port) as connection:
            connection.sendall(head_of("/batch/bids", agent.key))
            sent = 0
            try:
                while sent < 50 * MIB:
                    connection.sendall(b"10000\r\n" + b" " * 65_536 + b"\r\n")
                    sent += 65_536
            except OSError:
                pass
            assert sent < 20 * MIB, "the server went on reading"


def flood(port, key, until, seen):
    """Ask as fast as the answers come, on one connection after the other."""
    while time.monotonic() < until:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            while time.monotonic() < until:
                headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
                connection.request("POST", "/api/v1/agents/me/work", b"{}", headers)
                answer = connection.getresponse()
                body = answer.read()
                seen.append((answer.status, answer.getheader("Retry-After"), body))
        except (OSError, http.client.HTTPException):
            continue
        finally:
            connection.close()


def test_nothing_is_leased_for_a_client_that_has_gone(sqlite_world, pi_task):
    requester, worker = sqlite_world.agent("requester"), sqlite_world.agent("worker")
    task_id = requester.post("/tasks", pi_task).json()["task_id"]
    worker.post(f"/tasks/{task_id}/bids", {"ask_microcredits": 40_000})
    asked = b'{"lease": true, "wait_seconds": 20}'
    with served(sqlite_world.platform) as port:
        with connected(port) as connection:
            connection.sendall(head_of("/agents/me/work", worker.key, length=len(asked)) + asked)
            time.sleep(0.5)
        sqlite_world.close_windows()
        time.sleep(2.0)
        assert requester.get(f"/tasks/{task_id}").json()["state"] == "awarded"
        with connected(port) as connection:
            connection.sendall(head_of("/agents/me/work", worker.key, length=len(asked)) + asked)
            assert b'"fencing_token"' in connection.recv(65_536)


def test_a_flood_of_one_agent_is_held_back_and_others_are_served(sqlite_world):
    hostile, honest = sqlite_world.agent("hostile"), sqlite_world.agent("honest")
    limits = {"requests_per_second": 50.0, "requests_at_once": 40, "requests_under_way": 6}
    seconds, seen, latencies = 2.0, [], []
    with served(sqlite_world.platform, **limits) as port:
        until = time.monotonic() + seconds
        threads = [threading.Thread(target=flood, args=(port, hostile.key, until, seen)) for _ in range(12)]
        for thread in threads:
            thread.start()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        while time.monotonic() < until:
            began = time.monotonic()
            headers = {"Authorization": f"Bearer {honest.key}", "Content-Type": "application/json"}
            connection.request("POST", "/api/v1/agents/me/work", b"{}", headers)
            answer = connection.getresponse()
            assert (answer.status, json.loads(answer.read())["awards"]) == (200, [])
            latencies.append(time.monotonic() - began)
            time.sleep(0.05)
        connection.close()
        for thread in threads:
            thread.join(timeout=20)
    statuses = [status for status, _, _ in seen]
    assert set(statuses) == {200, 429}
    assert statuses.count(200) <= 40 + 50 * (seconds + 2)
    refusals = [(after, json.loads(body)) for status, after, body in seen if status == 429]
    assert {after for after, _ in refusals} == {"1"}
    assert {(problem["code"], problem["transient"]) for _, problem in refusals} == {("rate_limited", True)}
    print(f"honest calls beside the flood: {len(latencies)}, slowest {max(latencies) * 1e3:.0f} ms")


def test_the_operator_is_not_limited(sqlite_world):
    key = sqlite_world.operator.key
    with served(sqlite_world.platform, requests_per_second=1.0, requests_at_once=1) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        for _ in range(8):
            connection.request("GET", "/api/v1/laps", headers={"Authorization": f"Bearer {key}"})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200
        connection.close()


def test_a_large_body_counts_as_several_requests(sqlite_world):
    agent = sqlite_world.agent("bulky")
    with served(sqlite_world.platform, requests_per_second=0.5, requests_at_once=40) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        statuses = []
        for _ in range(3):
            headers = {"Authorization": f"Bearer {agent.key}", "Content-Type": "application/json"}
            connection.request("POST", "/api/v1/agents/me/work", b"{}" + b" " * 60_000, headers)
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)
        connection.close()
    assert statuses == [200, 429, 429]


def test_a_bucket_fills_again_and_never_beyond_its_burst():
    buckets = TokenBuckets(2.0, 3)
    assert [buckets.wait_seconds("a", 0.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    assert buckets.wait_seconds("b", 0.0) == 0.0
    assert buckets.wait_seconds("a", 0.25) == pytest.approx(0.25)
    assert [buckets.wait_seconds("a", 100.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    assert buckets.wait_seconds("c", 0.0, tokens=2.0) == 0.0
    assert buckets.wait_seconds("c", 0.0, tokens=2.0) == pytest.approx(0.5)
    assert TokenBuckets(0.0, 1).wait_seconds("a", 0.0) == 0.0


def test_guessing_keys_costs_the_address_its_turns(sqlite_world, problem_of):
    known = sqlite_world.agent("known")
    assert known.get("/agents/me").status_code == 200
    statuses = [
        sqlite_world.client.get("/api/v1/laps", headers={"Authorization": f"Bearer nac_{number}"}).status_code
        for number in range(authentication.FAILURES_AT_ONCE + 100)
    ]
    assert set(statuses) == {401, 429}
    assert statuses[: authentication.FAILURES_AT_ONCE] == [401] * authentication.FAILURES_AT_ONCE
    assert known.get("/agents/me").status_code == 200, "who was known before is not shut out"


def test_a_key_that_is_taken_away_is_refused_within_a_moment(world, problem_of, monkeypatch):
    agent = world.agent("leaver")
    assert agent.get("/agents/me").status_code == 200
    with world.platform.store.write(actor="system:test") as tx:
        sql.update(tx, tables.agent, {"id": agent.agent_id}, key_hash="0" * 64)
    now = time.monotonic()
    monkeypatch.setattr(authentication.time, "monotonic", lambda: now + authentication.FRESH_SECONDS)
    problem_of(agent.get("/agents/me"), 401, "unauthenticated")
    problem_of(agent.post("/agents/me/work", {}), 401, "unauthenticated")


def test_a_name_that_could_be_a_template_stays_a_text(sqlite_world):
    name = "{{7*7}} &amp; ${x}"
    agent = sqlite_world.agent(name)
    answer = agent.get("/agents/me")
    assert answer.json()["name"] == name
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_other_peoples_ids_open_nothing(world, pi_task):
    requester, worker, thief = world.agent("requester"), world.agent("worker"), world.agent("thief")
    task_id = requester.post("/tasks", pi_task).json()["task_id"]
    worker.post(f"/tasks/{task_id}/bids", {"ask_microcredits": 40_000})
    world.close_windows()
    assert (
        thief.post("/batch/leases", {"items": [{"task_id": task_id}]}).json()["results"][0]["status"] == 403
    )
    token = worker.post(f"/tasks/{task_id}/lease").json()["fencing_token"]
    held = {"task_id": task_id, "fencing_token": token}
    done = {**held, "outcome": "completed", "handoff": {"done": "", "changed": {}, "next": ""}}
    told = thief.post("/batch/heartbeats", {"items": [held]}).json()["results"][0]
    assert (told["status"], told["code"]) == (409, "lease_lost")
    told = thief.post("/batch/results", {"items": [done, {**done, "agent_id": worker.agent_id}]}).json()[
        "results"
    ]
    assert [item["code"] for item in told] == ["stale_fencing_token", "validation_failed"]
    told = thief.post("/agents/me/work", {"renew": [held]}).json()["renewed"][0]
    assert told["code"] == "lease_lost"
    assert worker.post(f"/tasks/{task_id}/heartbeat", {"fencing_token": token}).status_code == 200
