"""Nonsense gets problem+json that says where and what: never a 500, never internals."""

import http.client
import json
import logging
import threading

import pytest
import uvicorn

from app.api.application import build_api
from app.api.errors import STATUS_OF
from services.domain.errors import NacreError

MIB = 1_048_576
DEEP = "[" * 100_000 + "]" * 100_000
BAD_BODIES = [
    (b'{"types": NaN}', 400, "body_not_json"),
    (b'{"limit": Infinity}', 400, "body_not_json"),
    (b'{"limit": -Infinity}', 400, "body_not_json"),
    (b'{"limit": 1e999}', 400, "body_not_json"),
    (b'{"limit": ' + b"9" * 5_000 + b"}", 400, "body_not_json"),
    (b'{"limit": 9223372036854775808}', 400, "body_not_json"),
    (b'{"types": ["\\ud800"]}', 400, "body_not_json"),
    (b'{"types": ["\\u0000"]}', 400, "body_not_json"),
    (b'{"types": ["\xff"]}', 400, "body_not_json"),
    (b'{"limit": 1, "limit": 2}', 400, "body_not_json"),
    (b"{", 400, "body_not_json"),
    (DEEP.encode(), 400, "body_not_json"),
    (b'{"types": ' + b"[" * 40 + b"]" * 40 + b"}", 400, "body_not_json"),
    (b"[]", 422, "validation_failed"),
    (b"null", 422, "validation_failed"),
    (b'"text"', 422, "validation_failed"),
    (b"", 422, "validation_failed"),
    (b'{"limit": "10"}', 422, "validation_failed"),
    (b'{"limit": 1.5}', 422, "validation_failed"),
    (b'{"limit": true}', 422, "validation_failed"),
    (b'{"limit": 0}', 422, "validation_failed"),
    (b'{"limit": 101}', 422, "validation_failed"),
    (b'{"types": "monte_carlo"}', 422, "validation_failed"),
    (b'{"unknown": 1}', 422, "validation_failed"),
]
BAD_FIELDS = [
    ("/tasks/1/bids", {}, "body.ask_microcredits"),
    ("/tasks/1/bids", {"ask_microcredits": "5"}, "body.ask_microcredits"),
    ("/tasks/1/bids", {"ask_microcredits": 0}, "body.ask_microcredits"),
    ("/tasks/1/bids", {"ask_microcredits": -5}, "body.ask_microcredits"),
    ("/tasks/1/bids", {"ask_microcredits": 2**62}, "body.ask_microcredits"),
    ("/tasks/1/bids", {"ask_microcredits": 1, "confidence_percent": 101}, "body.confidence_percent"),
    ("/tasks/1/bids", {"ask_microcredits": 1, "agent_id": 2}, "body.agent_id"),
    ("/tasks/0/bids", {"ask_microcredits": 1}, "path.task_id"),
    ("/tasks/x/bids", {"ask_microcredits": 1}, "path.task_id"),
    (f"/tasks/{2**64}/bids", {"ask_microcredits": 1}, "path.task_id"),
    ("/tasks/1/lease", {"agent_id": 2}, "body.agent_id"),
    ("/tasks/1/result", {"fencing_token": 1, "outcome": "won", "handoff": {}}, "body.outcome"),
    ("/tasks/1/result", {"fencing_token": 1, "outcome": "completed", "handoff": {}}, "body.handoff.done"),
    ("/tasks", {"type": "no_such", "payload": {}}, "body.type"),
    ("/tasks", {"type": "monte_carlo", "payload": {}}, "body.payload.model"),
    ("/tasks", {"type": "monte_carlo", "payload": {"model": {"name": "pi_integral"}, "samples": 1}},
     "body.payload.samples"),
    ("/tasks", {"type": "monte_carlo", "payload": [], "deadline_seconds": 0}, "body.payload"),
    ("/proposals/1/ballots", {"choice": "maybe"}, "body.choice"),
    ("/proposals/1/ballots", {"choice": "for", "forecast_percent": 120}, "body.forecast_percent"),
]  # fmt: skip
BAD_QUERIES = [
    ("/tasks", {"limit": 0}, "query.limit"),
    ("/tasks", {"limit": 501}, "query.limit"),
    ("/tasks", {"limit": "many"}, "query.limit"),
    ("/tasks", {"cursor": "nonsense"}, "query.cursor"),
    ("/tasks", {"cursor": "ü"}, "query.cursor"),
    ("/tasks", {"cursor": "x" * 65}, "query.cursor"),
    ("/tasks", {"order": "random"}, "query.order"),
    ("/tasks", {"state": "lost"}, "query.state"),
    ("/tasks", {"type": "a\x00b"}, "query.type"),
    ("/tasks", {"ended_after": "yesterday"}, "query.ended_after"),
    ("/tasks", {"ended_after": "2026-01-01T00:00:00"}, "query.ended_after"),
    ("/tasks", {"requester": "2"}, "query.requester"),
    ("/metrics/success", {"key": "a\x00b"}, "query.key"),
    ("/ledger", {"type": "NOTHING"}, "query.type"),
    ("/ledger/0/inclusion", {"size": 10**9}, "query.size"),
    ("/ledger/consistency", {"from": 1}, "query.to"),
    ("/ledger/consistency", {"from": 5, "to": 2}, "query.to"),
]


@pytest.mark.parametrize(("content", "status", "code"), BAD_BODIES, ids=range(len(BAD_BODIES)))
def test_a_bad_body_is_named(sqlite_world, problem_of, content, status, code):
    problem = problem_of(sqlite_world.agent("agent").post_raw("/agents/me/work", content), status, code)
    assert problem["field"].startswith("body")


@pytest.mark.parametrize(("path", "body", "field"), BAD_FIELDS, ids=range(len(BAD_FIELDS)))
def test_a_wrong_field_is_named_by_its_path(sqlite_world, path, body, field):
    answer = sqlite_world.agent("agent").post(path, body)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["field"] == field


@pytest.mark.parametrize(("path", "query", "field"), BAD_QUERIES, ids=range(len(BAD_QUERIES)))
def test_a_wrong_query_is_named(world, path, query, field):
    answer = world.operator.get(path, **query)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["field"] == field


@pytest.mark.parametrize(
    "path",
    ["/agents/999", "/tasks/999", "/episodes/999", "/parameters/no.such", "/proposals/999",
     "/experiments/999", "/ledger/999", "/laps/999", "/no/such/path", f"/tasks/{2**63 - 1}"],
)  # fmt: skip
def test_what_does_not_exist_is_not_found(world, problem_of, path):
    problem_of(world.operator.get(path), 404, "not_found")


def test_another_method_is_refused_with_those_allowed(sqlite_world, problem_of):
    answer = sqlite_world.client.request("DELETE", "/api/v1/laps", headers=sqlite_world.operator.headers)
    problem_of(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET"


def test_a_body_that_is_not_declared_as_json_is_refused(sqlite_world, problem_of):
    agent = sqlite_world.agent("agent")
    problem_of(agent.post_raw("/agents/me/work", b"{}", "text/plain"), 415, "unsupported_media_type")
    problem_of(agent.post_raw("/agents/me/work", b"a=1", "application/x-www-form-urlencoded"), 415,
               "unsupported_media_type")  # fmt: skip
    assert agent.post_raw("/agents/me/work", b"{}", "application/json; charset=utf-8").status_code == 200


def test_five_megabytes_are_refused_declared_or_not(sqlite_world, problem_of):
    agent = sqlite_world.agent("agent")
    body = b'{"types": ["' + b"x" * 5 * MIB + b'"]}'
    problem_of(agent.post_raw("/agents/me/work", body), 413, "body_too_large")
    problem_of(agent.post_raw("/agents/me/work", iter([body[:MIB], body[MIB:]])), 413, "body_too_large")


def test_five_megabytes_are_refused_by_a_real_server(sqlite_world):
    server = uvicorn.Server(
        uvicorn.Config(build_api(sqlite_world.platform), host="127.0.0.1", port=0, log_level="error")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            thread.join(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.putrequest("POST", "/api/v1/agents/me/work")
        connection.putheader("Content-Length", str(5 * MIB))
        connection.endheaders()
        answer = connection.getresponse()
        assert answer.status == 413
        assert json.loads(answer.read())["code"] == "body_too_large"
        connection.close()
    finally:
        server.should_exit = True
        thread.join()


def test_an_unexpected_error_is_recorded_and_says_nothing(sqlite_world, problem_of, monkeypatch, caplog):
    def fail(*_arguments, **_options):
        raise RuntimeError("secret of the inside")

    monkeypatch.setattr("services.store.views.list_laps", fail)
    with caplog.at_level(logging.ERROR, logger="nacre.api"):
        answer = sqlite_world.operator.get("/laps")
    problem = problem_of(answer, 500, "internal")
    assert "secret" not in answer.text
    assert answer.headers["x-request-id"] in problem["detail"]
    assert answer.headers["x-request-id"] in caplog.text
    assert "secret of the inside" in caplog.text


def test_every_answer_has_its_frame(sqlite_world):
    seen = set()
    for answer in (sqlite_world.operator.get("/laps"), sqlite_world.nobody.get("/laps")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert answer.headers["cache-control"] == "no-store"
        seen.add(answer.headers["x-request-id"])
    assert len(seen) == 2


def test_every_refusal_of_the_core_has_a_status():
    waiting, codes = [NacreError], set()
    while waiting:
        kind = waiting.pop()
        if kind.__module__ == "services.domain.errors":
            codes.add(kind.code)
        waiting.extend(kind.__subclasses__())
    assert codes - set(STATUS_OF) == set()
