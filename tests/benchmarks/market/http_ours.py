"""Our market over HTTP: whole lives of tasks through the served platform, one act or twenty per request.

Every request carries an agent's key and every write an Idempotency-Key. The winner of a task learns of it by
asking for its work, as an agent does; these requests come on top of the six of a life and are counted.
"""

import json
import sys
import time
from collections import deque
from collections.abc import Iterator
from itertools import count, cycle
from pathlib import Path

from services.domain.clock import WallClock
from services.operations import watchdog
from services.store.tx import Store
from tests.benchmarks.market.lifecycles import Lifecycles
from tests.benchmarks.market.load import OK, Request, request_bytes
from tests.benchmarks.market.our_server import AGENTS, RESERVE, TASK_TYPE, WINDOW_SECONDS, key_of
from tests.benchmarks.market.ours import BrokenInvariantError
from tests.benchmarks.market.servers import Server

REQUESTERS = range(1, 11)
WORKERS = range(11, AGENTS + 1)
BIDS = 3
IN_FLIGHT = 3_000
BATCH = 20
LISTED = 100
ASK_SECONDS = 0.5
"""How long a worker waits before it asks for its work again."""
PREFIX = "/api/v1"
CONFLICT = 409
BUSY = (0, 429, 503)
"""No answer, too many requests, or busy: the same act is worth asking for again."""
HANDOFF = {"done": "worked", "changed": {"is_good": True}, "next": ""}


class OurScript:
    """Drives tasks one request per act: results first, then leases, bids, asking for work, and new tasks."""

    def __init__(self) -> None:
        self.is_posting = True
        self.numbers: Iterator[int] = count()
        self.run = f"{time.time_ns():x}"
        self.requesters, self.workers = cycle(REQUESTERS), cycle(WORKERS)
        self.posted = 0
        self.ended: set[int] = set()
        self.bids: deque[tuple[int, int]] = deque()
        self.leases: deque[tuple[int, int]] = deque()
        self.results: deque[tuple[int, int, int]] = deque()
        self.asked_at = dict.fromkeys(WORKERS, 0.0)
        self.leased: set[int] = set()
        self.is_asking: set[int] = set()
        self.has_bid: set[int] = set()

    @property
    def is_finished(self) -> bool:
        """Tell whether every task that was posted has been handed in."""
        return len(self.ended) >= self.posted

    def write(self, kind: str, agent: int, path: str, body: object, about: object) -> Request:
        """Return one write."""
        headers = f"Idempotency-Key: {self.run}-{next(self.numbers)}\r\n"
        data = json.dumps(body).encode()
        return Request(kind, request_bytes("POST", PREFIX + path, key_of(agent), data, headers), about)

    def next(self) -> Request | None:
        """Return the request that brings a task furthest along."""
        if self.results:
            task, agent, token = self.results.popleft()
            body = {"fencing_token": token, "outcome": "completed", "handoff": HANDOFF}
            return self.write("result", agent, f"/tasks/{task}/result", body, (task, agent, token))
        if self.leases:
            task, agent = self.leases.popleft()
            return self.write("lease", agent, f"/tasks/{task}/lease", {}, (task, agent))
        if self.bids:
            task, nth = self.bids.popleft()
            agent = WORKERS[(task * BIDS + nth) % len(WORKERS)]
            body = {"ask_microcredits": RESERVE // 2 + nth, "confidence_percent": 60}
            return self.write("bid", agent, f"/tasks/{task}/bids", body, (task, nth))
        agent = self._who_asks()
        if agent is not None:
            self.asked_at[agent] = time.monotonic()
            self.is_asking.add(agent)
            return self.write("work", agent, "/agents/me/work", {"limit": LISTED, "types": []}, agent)
        if self.is_posting and self.posted - len(self.ended) < IN_FLIGHT:
            self.posted += 1
            body = {"type": TASK_TYPE, "payload": {}, "reserve_price_microcredits": RESERVE}
            return self.write("post", next(self.requesters), "/tasks", body, None)
        return None

    def _who_asks(self) -> int | None:
        """Return a worker that has not asked for its work for a while, if anything may have been awarded."""
        if self.posted <= len(self.ended):
            return None
        agent = next(self.workers)
        is_due = time.monotonic() - self.asked_at[agent] >= ASK_SECONDS and agent not in self.is_asking
        return agent if is_due else None

    def answered(self, request: Request, status: int, body: bytes) -> None:
        """Note what comes next for this task."""
        is_good = status in OK
        told = json.loads(body) if is_good else {}
        match request.kind, request.about:
            case "post", _:
                self.posted -= int(not is_good)
                self.bids.extend((told["task_id"], nth) for nth in range(BIDS) if is_good)
            case "bid", (int(task), int(nth)):
                self._bid_answered(task, nth, status)
            case "work", int(agent):
                self.is_asking.discard(agent)
                self._awarded(agent, told.get("awards", ()))
            case "lease", (int(task), int(agent)):
                self._leased(task, agent, told, status)
            case "result", (int(task), int(agent), int(token)):
                self._handed_in(task, agent, token, status)

    def _bid_answered(self, task: int, nth: int, status: int) -> None:
        self.has_bid.update([task] if status in OK else ())
        is_closed_without_bid = status == CONFLICT and task not in self.has_bid  # another window will open
        if status in BUSY or is_closed_without_bid:
            self.bids.append((task, nth))

    def _awarded(self, agent: int, awards: list[dict[str, int]]) -> None:
        fresh = [award["task_id"] for award in awards if award["task_id"] not in self.leased]
        self.leased.update(fresh)
        self.leases.extend((task, agent) for task in fresh)

    def _leased(self, task: int, agent: int, told: dict[str, int], status: int) -> None:
        if status in OK:
            self.results.append((task, agent, told["fencing_token"]))
        else:
            self.leased.discard(task)  # its agent will be told of it again

    def _handed_in(self, task: int, agent: int, token: int, status: int) -> None:
        if status in OK:
            self.ended.add(task)
        elif status in BUSY:
            self.results.append((task, agent, token))


class Recount:
    """Counts in the database of a served platform, from another process."""

    def __init__(self, url: str) -> None:
        self.store = Store(url, WallClock())

    def settled(self) -> int:
        """Return how many tasks were settled."""
        return self._number("SELECT count(*) FROM task WHERE state = 'settled'")

    def paid_twice(self) -> int:
        """Return how many tasks were paid more than once."""
        paid = "SELECT task_id FROM transfer WHERE kind = 'pay' GROUP BY task_id HAVING count(*) > 1"
        return self._number(f"SELECT count(*) FROM ({paid}) paid")

    def _number(self, statement: str) -> int:
        with self.store.read() as tx:
            return int(tx.connection.exec_driver_sql(statement).scalar_one())

    def check(self) -> None:
        """Raise BrokenInvariantError unless every invariant of the market holds."""
        with self.store.read() as tx:
            found = sorted(watchdog.check_all(tx))
        if found:
            raise BrokenInvariantError(f"{len(found)} breaches, the first: {found[0]}")


def our_server(url: str, folder: Path, name: str, *options: str) -> Server:
    """Return the server of a platform over `url`, not started yet."""
    module = "tests.benchmarks.market.our_server"
    command = [sys.executable, "-m", module, "--url", url, "--var", str(folder / name), "--port", "{port}"]
    return Server([*command, *options], {}, folder / f"{name}.log")


def our_lifecycles(server: Server, url: str) -> Lifecycles:
    """Return the case of whole lives, six requests each."""
    recount = Recount(url)
    warm_up = 2 * WINDOW_SECONDS
    return Lifecycles(server, OurScript, recount.settled, recount.paid_twice, warm_up_seconds=warm_up)
