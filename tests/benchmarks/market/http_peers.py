"""Peers over HTTP: whole lives of tasks (post, three bids, claim, result) through a naive and a careful app.

Six requests a task, each with a key, from 48 kept connections. After every case the payments are recounted
from the peer's own tables: how many tasks were settled, and how many were paid more than once.
"""

import json
import sqlite3
import time
from collections import deque
from contextlib import closing
from itertools import cycle
from pathlib import Path

from tests.benchmarks.market.lifecycles import Lifecycles
from tests.benchmarks.market.load import OK, Request, request_bytes
from tests.benchmarks.market.servers import Server

REQUESTERS = range(1, 11)
WORKERS = range(11, 51)
REWARD = 1_000
AWARD_SECONDS = 0.15
CLAIM_PAUSE_SECONDS = 0.02
IN_FLIGHT = 300
CLAIMS_AT_ONCE = 8
SETTLED = 3


class SimpleScript:
    """Drives tasks through their lives: results first, then claims, bids, and new tasks."""

    def __init__(self) -> None:
        self.is_posting = True
        self.requester = cycle(REQUESTERS)
        self.worker = cycle(WORKERS)
        self.posted = 0
        self.settled: set[int] = set()
        self.bids: deque[tuple[int, int]] = deque()
        self.bids_in: dict[int, int] = {}
        self.ripe: deque[float] = deque()
        self.claimed: set[int] = set()
        self.results: deque[int] = deque()
        self.no_claim_before = 0.0
        self.claims_out = 0

    @property
    def is_finished(self) -> bool:
        """Tell whether every task that was posted has been settled."""
        return len(self.settled) >= self.posted

    def next(self) -> Request | None:
        """Return the request that brings a task furthest along."""
        now = time.monotonic()
        if self.results:
            task = self.results.popleft()
            return self._request("result", "/results", {"task_id": task, "result": "done"}, task)
        may_claim = self.claims_out < CLAIMS_AT_ONCE and now >= self.no_claim_before
        if may_claim and self.ripe and self.ripe[0] <= now:
            self.claims_out += 1
            return self._request("claim", "/claims", {}, self.ripe.popleft())
        if self.bids:
            task, nth = self.bids.popleft()
            return self._request("bid", "/bids", {"task_id": task, "price": 500 + nth}, (task, nth))
        if self.is_posting and self.posted - len(self.settled) < IN_FLIGHT:
            self.posted += 1
            return self._request("post", "/tasks", {"type": "sum", "reward": REWARD}, None)
        return None

    def _request(self, kind: str, path: str, body: object, about: object) -> Request:
        agent = next(self.requester if kind == "post" else self.worker)
        data = request_bytes("POST", path, f"key-{agent}", json.dumps(body).encode())
        return Request(kind, data, about)

    def answered(self, request: Request, status: int, body: bytes) -> None:
        """Note what comes next for this task; what was refused for a busy database is asked again."""
        is_good = status in OK
        number = json.loads(body)["id"] if is_good else 0
        match request.kind, request.about:
            case "post", _:
                self.posted -= int(not is_good)
                self.bids.extend((number, nth) for nth in range(3) if is_good)
            case "bid", (int(task), int(nth)):
                self._bid_answered(task, nth, status)
            case "claim", float(ripe_at):
                self._claim_answered(number, ripe_at)
            case "result", int(task) if is_good:
                self.settled.add(task)
            case "result", int(task) if status != 409:
                self.results.append(task)

    def _bid_answered(self, task: int, nth: int, status: int) -> None:
        if status not in OK and status != 409:
            self.bids.append((task, nth))
            return
        self.bids_in[task] = self.bids_in.get(task, 0) + 1
        if self.bids_in[task] == 3:
            del self.bids_in[task]
            self.ripe.append(time.monotonic() + AWARD_SECONDS)

    def _claim_answered(self, task: int, ripe_at: float) -> None:
        self.claims_out -= 1
        if task:
            self.results.append(task)
        if not task or task in self.claimed:  # nothing awarded yet, or somebody else was given the same task
            self.ripe.appendleft(ripe_at)
            self.no_claim_before = time.monotonic() + CLAIM_PAUSE_SECONDS
        self.claimed.add(task)


class Recount:
    """Counts in a peer's tables, from another process."""

    def __init__(self, database: Path) -> None:
        self.database = database

    def settled(self) -> int:
        """Return how many tasks were settled."""
        return self._number(f"SELECT count(*) FROM task WHERE state = {SETTLED}")

    def paid_twice(self) -> int:
        """Return how many tasks were paid more than once."""
        paid = "SELECT task_id FROM payment WHERE amount > 0 GROUP BY task_id HAVING count(*) > 1"
        return self._number(f"SELECT count(*) FROM ({paid})")

    def _number(self, statement: str) -> int:
        with closing(sqlite3.connect(self.database, timeout=10)) as connection:
            return int(connection.execute(statement).fetchone()[0])


def peer_lifecycles(app: str, folder: Path) -> Lifecycles:
    """Return the case of one of the two apps, its server not started yet."""
    recount = Recount(folder / f"{app}.db")
    environment = {"MARKET_DB": str(recount.database)}
    server = Server.of_app(f"tests.benchmarks.market.{app}:app", environment, folder / f"{app}.log")
    return Lifecycles(server, SimpleScript, recount.settled, recount.paid_twice)
