"""A small real HTTP server that speaks the part of the contract that agents use, over plain lists.

It decides nothing: a test says what is open, awarded and known, and reads what agents did. Every write
must carry an idempotency key; what came is kept in `calls`.
"""

import json
import re
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

KEY = "nac_test"


@dataclass
class Call:
    method: str
    path: str
    query: dict[str, str]
    body: Any
    idempotency_key: str | None
    bearer: str


@dataclass
class MarketStub:
    tasks: dict[int, dict] = field(default_factory=dict)
    open: list[dict] = field(default_factory=list)
    awards: list[dict] = field(default_factory=list)
    leases: dict[int, dict] = field(default_factory=dict)
    proposals: dict[int, dict] = field(default_factory=dict)
    ballots_due: list[int] = field(default_factory=list)
    parameters: list[dict] = field(default_factory=list)
    experiments: list[dict] = field(default_factory=list)
    ledger: list[dict] = field(default_factory=list)
    agents: dict[str, dict] = field(default_factory=dict)
    refusals: dict[str, tuple[int, str, dict]] = field(
        default_factory=dict
    )  # path suffix → status, code, extra
    first_answers: deque = field(default_factory=deque)  # statuses given before anything else
    calls: list[Call] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)
    url: str = ""

    def of(self, method: str, pattern: str) -> list[Call]:
        with self.lock:
            return [call for call in self.calls if call.method == method and re.fullmatch(pattern, call.path)]

    def answer(self, call: Call) -> tuple[int, dict]:
        with self.lock:
            self.calls.append(call)
            if self.first_answers:
                return self.first_answers.popleft(), problem(500, "internal")
            for suffix, (status, code, extra) in list(self.refusals.items()):
                if call.method == "POST" and call.path.endswith(suffix):
                    return status, {**problem(status, code), **extra}
            if call.method == "POST" and not call.idempotency_key:
                return 400, problem(400, "idempotency_key_missing")
            return self._write(call) if call.method == "POST" else self._read(call)

    def _write(self, call: Call) -> tuple[int, dict]:
        match = re.fullmatch(r"/tasks/(\d+)/(\w+)", call.path)
        if match:
            return self._task_write(int(match[1]), match[2])
        if call.path == "/agents/me/work":
            return 200, self._work(call.body)
        if call.path.startswith("/batch/"):
            return 200, {"results": [{"status": 200, **item} for item in call.body["items"]]}
        if call.path == "/agents":
            return self._register(call.body)
        if call.path == "/proposals":
            return 201, {"proposal_id": 91, **call.body}
        ballot = re.fullmatch(r"/proposals/(\d+)/ballots", call.path)
        if ballot:
            self.ballots_due.remove(int(ballot[1]))
            return 201, {"ballot_id": 1}
        return 201, {"task_id": len(self.calls)} if call.path == "/tasks" else {}

    def _work(self, asked: dict) -> dict:
        work = {"open": list(self.open), "proposals": [{"proposal_id": one} for one in self.ballots_due]}
        if not asked.get("lease"):
            return {"awards": list(self.awards), **work}
        waiting = [award["task_id"] for award in self.awards]
        leases = [{"task_id": number, **self._task_write(number, "lease")[1]} for number in waiting]
        return {"awards": [], **work, "leases": leases}

    def _task_write(self, task_id: int, verb: str) -> tuple[int, dict]:
        if verb == "bids":
            self.open = [task for task in self.open if task["task_id"] != task_id]
            return 201, {"bid_id": task_id}
        if verb == "lease":
            self.awards = [award for award in self.awards if award["task_id"] != task_id]
            return 200, {"fencing_token": 7, "expires_at": "", "parameters": {}, **self.leases[task_id]}
        return 200, {"state": "submitted", "expires_at": ""}

    def _register(self, body: dict) -> tuple[int, dict]:
        if body["name"] in self.agents:
            return 409, problem(409, "name_taken")
        agent_id = len(self.agents) + 1
        self.agents[body["name"]] = {"agent_id": agent_id, "api_key": f"nac_{agent_id}", **body}
        return 201, {"agent_id": agent_id, "name": body["name"], "api_key": f"nac_{agent_id}"}

    def _read(self, call: Call) -> tuple[int, dict]:
        if call.path == "/agents/me":
            known = [one for one in self.agents.values() if f"Bearer {one['api_key']}" == call.bearer]
            return (200, known[0]) if known else (401, problem(401, "unauthenticated"))
        single = re.fullmatch(r"/(tasks|parameters|proposals)/([\w.]+)", call.path)
        if single:
            found = self._single(single[1], single[2])
            return (200, found) if found else (404, problem(404, "not_found"))
        return 200, {"items": self._listed(call), "next_cursor": None}

    def _single(self, kind: str, name: str) -> dict | None:
        if kind == "parameters":
            return next((one for one in self.parameters if one["name"] == name), None)
        return {"tasks": self.tasks, "proposals": self.proposals}[kind].get(int(name))

    def _listed(self, call: Call) -> list[dict]:
        if call.path == "/tasks":
            asked = {name: call.query[name] for name in ("state", "type", "kind") if name in call.query}
            found = [t for t in self.tasks.values() if all(t.get(n) == v for n, v in asked.items())]
            return found[: int(call.query.get("limit", 50))]
        if call.path == "/proposals":
            return [one for one in self.proposals.values() if one["state"] == call.query.get("state")]
        lists = {"/parameters": self.parameters, "/experiments": self.experiments, "/ledger": self.ledger}
        return lists.get(call.path, [])


def problem(status: int, code: str) -> dict:
    return {
        "type": f"urn:nacre:problem:{code}",
        "title": code,
        "status": status,
        "code": code,
        "detail": f"said {code}",
        "transient": False,
    }


def task(task_id: int, **fields: Any) -> dict:
    return {
        "task_id": task_id,
        "kind": "user",
        "type": "sums",
        "state": "settled",
        "end_reason": None,
        "duration_seconds": 0.5,
        "awarded_agent_id": 1,
        "reserve_price_microcredits": 100_000,
        "parameters": None,
        **fields,
    }


def handler_of(stub: MarketStub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self._serve(None)

        def do_POST(self) -> None:
            self._serve(json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"null"))

        def _serve(self, body: Any) -> None:
            parts = urlsplit(self.path)
            key, bearer = self.headers.get("Idempotency-Key"), self.headers.get("Authorization", "")
            path = parts.path.removeprefix("/api/v1")
            call = Call(self.command, path, dict(parse_qsl(parts.query)), body, key, bearer)
            status, answer = stub.answer(call)
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """An agent that is killed in the middle of a call is no error here."""


@contextmanager
def market_stub() -> Iterator[MarketStub]:
    stub = MarketStub()
    server = Server(("127.0.0.1", 0), handler_of(stub))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    stub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
