"""Traders: requesters and workers that speak HTTP only, keep what was acknowledged, and ask again until told.

A trader sends each write under one key until it has an answer, to whichever server answers. What was answered
with 2xx goes to `acknowledge` and can be held against the database afterwards. Imports nothing of the
platform, so that a process of traders is quick to fork and to kill.
"""

import http.client
import json
import random
import threading
import time
import uuid
from dataclasses import dataclass, field

RETRIED = (408, 425, 429, 500, 502, 503, 504)
PAUSE_SECONDS = 0.02
PATIENCE_SECONDS = 60.0


class NoAnswerError(Exception):
    """No server answered for a long time."""


@dataclass
class Caller:
    """One key's connection to any of the servers."""

    ports: list[int]
    key: str
    rng: random.Random
    is_over: threading.Event = field(default_factory=threading.Event)
    connection: http.client.HTTPConnection | None = None
    retries: int = 0
    unexpected: int = 0

    def write(self, path, body, key=None):
        """POST under one key until answered; return the answer, or None for a refusal."""
        headers = {"Idempotency-Key": key or uuid.uuid4().hex, "Content-Type": "application/json"}
        status, answer = self.ask("POST", path, json.dumps(body), headers)
        return answer if status < 300 else None

    def read(self, path):
        status, answer = self.ask("GET", path, None, {})
        return answer if status == 200 else None

    def ask(self, method, path, body, headers):
        ends = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < ends:
            try:
                status, raw = self.once(method, path, body, headers)
            except (OSError, http.client.HTTPException):
                self.drop()
                status, raw = 503, b""
            if status not in RETRIED:
                return status, json.loads(raw)
            if status == 500:
                self.unexpected += 1
            self.retries += 1
            time.sleep(PAUSE_SECONDS * (1 + self.rng.random()))
        msg = f"{method} {path} was not answered within {PATIENCE_SECONDS} s"
        raise NoAnswerError(msg)

    def once(self, method, path, body, headers):
        if self.connection is None:
            port = self.rng.choice(self.ports)
            self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        shared = {"Authorization": f"Bearer {self.key}", **headers}
        self.connection.request(method, f"/api/v1{path}", body, shared)
        answer = self.connection.getresponse()
        return answer.status, answer.read()

    def drop(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None


def act_as_requester(caller, acknowledge, *, pause_seconds, agent_id):
    """Post tasks and take some back, until it is over."""
    rng, posted = caller.rng, []
    while not caller.is_over.is_set():
        reserve = rng.choice([19, 100_000, 1_000_000])
        body = {
            "type": "monte_carlo",
            "payload": {"model": {"name": "pi_integral"}, "samples": 20_000, "seed": rng.randrange(10**6)},
            "reserve_price_microcredits": reserve,
            "deadline_seconds": rng.choice([1, 4, 8]),
        }
        answer = caller.write("/tasks", body)
        if answer:
            number = answer.get("task_id") or answer["id"]
            posted.append(number)
            acknowledge({"act": "post", "task_id": number, "agent_id": agent_id, "reserve": reserve})
        if posted and rng.random() < 0.15:
            task_id = rng.choice(posted[-8:])
            if caller.write(f"/tasks/{task_id}/cancel", {"reason": "no longer needed"}):
                acknowledge({"act": "cancel", "task_id": task_id})
        time.sleep(pause_seconds * 2 * rng.random())


def act_as_worker(caller, acknowledge, *, pause_seconds, agent_id):
    """Bid, lease, work and hand in, until it is over; now and then silent or wrong."""
    rng = caller.rng
    while not caller.is_over.is_set():
        found = caller.write("/agents/me/work", {"types": None, "limit": 10}) or {"awards": [], "open": []}
        for task in found["open"]:
            ask = max(1, int(task["reserve_price_microcredits"] * rng.uniform(0.2, 1.0)))
            body = {"ask_microcredits": ask, "confidence_percent": rng.choice([None, 50, 90])}
            answer = caller.write(f"/tasks/{task['task_id']}/bids", body)
            if answer:
                fact = {"act": "bid", "task_id": task["task_id"], "agent_id": agent_id, "ask": ask}
                acknowledge({**fact, "bid_id": answer["bid_id"]})
        for task in found["awards"]:
            work_on(caller, acknowledge, task["task_id"], agent_id)
        time.sleep(pause_seconds * 2 * rng.random())


def work_on(caller, acknowledge, task_id, agent_id):
    """Take the lease of one award and see it through, or fall silent."""
    rng = caller.rng
    lease = caller.write(f"/tasks/{task_id}/lease", {})
    if not lease:
        return
    token = lease["fencing_token"]
    shared = {"task_id": task_id, "agent_id": agent_id, "token": token}
    acknowledge({"act": "lease", **shared})
    if rng.random() < 0.3:
        caller.write(f"/tasks/{task_id}/heartbeat", {"fencing_token": token})
    luck = rng.random()
    if luck < 0.03:
        return
    nonce = rng.randrange(10**9)
    body = {
        "fencing_token": token,
        "outcome": "failed" if luck < 0.06 else "completed",
        "failure_reason": "agent_error" if luck < 0.06 else None,
        "handoff": {"done": "worked", "changed": {"is_good": luck > 0.12, "nonce": nonce}, "next": ""},
    }
    if caller.write(f"/tasks/{task_id}/result", body):
        acknowledge({"act": "result", "nonce": nonce, **shared})


def look_after_agents(caller, acknowledge, *, pause_seconds, agent_id):
    """Put suspended agents back on probation, as an operator does."""
    while not caller.is_over.is_set():
        for row in (caller.read("/agents?limit=200") or {"items": []})["items"]:
            if row["standing"] == "suspended":
                number = row.get("agent_id") or row["id"]
                caller.write(f"/agents/{number}/reinstate", {"reason": "it was killed, not careless"})
        caller.is_over.wait(0.5)


@dataclass(frozen=True)
class Trader:
    """One of the market's people: its role, its key, its id."""

    role: str
    key: str
    agent_id: int


ROLES = {
    "requester": act_as_requester,
    "worker": act_as_worker,
    "operator": look_after_agents,
}


def trade(traders, ports, file, seconds, *, pause_seconds, seed):
    """Let every trader act in a thread of its own for so long; every acknowledged act is a line of the file.

    Returns what they saw: retries, and answers of 500.
    """
    guard, over, failures = threading.Lock(), threading.Event(), []

    def acknowledge(fact):
        with guard:
            file.write(json.dumps(fact) + "\n")
            file.flush()

    def run(trader, caller):
        try:
            ROLES[trader.role](caller, acknowledge, pause_seconds=pause_seconds, agent_id=trader.agent_id)
        except Exception as error:  # noqa: BLE001 (named edge: a thread's failure is told by its parent)
            failures.append(f"{trader.role} {trader.agent_id}: {error!r}")

    callers = [
        Caller(list(ports), one.key, random.Random(f"{seed}:{place}"), over)
        for place, one in enumerate(traders)
    ]
    threads = [
        threading.Thread(target=run, args=pair, daemon=True) for pair in zip(traders, callers, strict=True)
    ]
    for thread in threads:
        thread.start()
    over.wait(seconds) if isinstance(seconds, float) else seconds(over)
    over.set()
    for thread in threads:
        thread.join(timeout=2 * PATIENCE_SECONDS)
    assert not failures, failures
    return {
        "retries": sum(caller.retries for caller in callers),
        "answers_of_500": sum(caller.unexpected for caller in callers),
    }
