"""Scripts of our API: whole lives act by act or twenty at a time, bids alone at full speed or paced, a flood.

Every request carries an agent's key and every write an Idempotency-Key. What was not answered is sent again
under the same key, as a careful client does. The winner of a task learns of it by asking for its work; these
requests come on top of the six of a life.
"""

import json
import time
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import count, cycle

from tests.benchmarks.market.load import OK, Request, request_bytes
from tests.benchmarks.market.our_server import AGENTS, RESERVE, TASK_TYPE, key_of

REQUESTERS = range(1, 11)
WORKERS = range(11, AGENTS)
HOSTILE = AGENTS
"""The one that floods."""
BIDS = 3
BATCH = 20
FEW_IN_FLIGHT = 500
LISTED = 100
ASK_SECONDS = 0.5
"""How long a worker waits before it asks for its work again."""
DEADLINE_SECONDS = 86_400
PREFIX = "/api/v1"
CONFLICT = 409
BUSY = (429, 503)
"""Too many requests, or busy: the same act is worth asking for again."""
HANDOFF = {"done": "worked", "changed": {"is_good": True}, "next": ""}


class Writer:
    """Makes writes, each under a fresh Idempotency-Key."""

    def __init__(self) -> None:
        self.numbers: Iterator[int] = count()
        self.run = f"{time.time_ns():x}"

    def write(self, kind: str, agent: int, path: str, body: object, about: object = None) -> Request:
        """Return one write of an agent."""
        headers = f"Idempotency-Key: {self.run}-{next(self.numbers)}\r\n"
        data = json.dumps(body).encode()
        return Request(kind, request_bytes("POST", PREFIX + path, key_of(agent), data, headers), about)


class LifeScript:
    """Drives tasks one request per act: results first, then leases, bids, asking for work, and new tasks."""

    batch = 1
    in_flight = 3_000
    """Most tasks between post and result; fewer at first, so that the first soon come through."""

    def __init__(self) -> None:
        self.is_posting = True
        self.writer = Writer()
        self.requesters, self.workers = cycle(REQUESTERS), cycle(WORKERS)
        self.posting = 0
        self.acknowledged: set[int] = set()
        self.ended: set[int] = set()
        self.bids: deque[tuple[list[int], int]] = deque()
        self.awards: dict[int, deque[int]] = {agent: deque() for agent in WORKERS}
        self.results: dict[int, deque[tuple[int, int]]] = {agent: deque() for agent in WORKERS}
        self.asked_at = dict.fromkeys(WORKERS, 0.0)
        self.known: set[int] = set()
        self.has_bid: set[int] = set()
        self.again: deque[Request] = deque()

    @property
    def is_finished(self) -> bool:
        """Tell whether every task that was posted has been handed in."""
        return not self.posting and len(self.ended) >= len(self.acknowledged)

    def next(self) -> Request | None:
        """Return the request that brings a task furthest along."""
        if self.again:
            return self.again.popleft()
        agent = next(self.workers)
        if self.results[agent]:
            return self.hand_in(agent, taken(self.results[agent], self.batch))
        if self.awards[agent]:
            return self.lease(agent, taken(self.awards[agent], self.batch))
        if self.bids:
            return self.bid(*self.bids.popleft())
        now = time.monotonic()
        if len(self.acknowledged) > len(self.ended) and now - self.asked_at[agent] >= ASK_SECONDS:
            self.asked_at[agent] = now
            body = {"limit": LISTED, "types": []}
            return self.writer.write("work", agent, "/agents/me/work", body, agent)
        busy = next((other for other in WORKERS if self.results[other] or self.awards[other]), None)
        if busy is not None:
            self.workers = cycle([*range(busy, WORKERS.stop), *range(WORKERS.start, busy)])
            return self.next()
        if self.is_posting and len(self.acknowledged) - len(self.ended) < self._most_in_flight:
            self.posting += 1
            return self.post(next(self.requesters))
        return None

    @property
    def _most_in_flight(self) -> int:
        return min(self.in_flight, FEW_IN_FLIGHT + len(self.ended))

    def post(self, agent: int) -> Request:
        """Return the post of a new task."""
        return self.writer.write("post", agent, "/tasks", new_task())

    def bid(self, tasks: list[int], nth: int) -> Request:
        """Return the nth bid on a task."""
        body = {"ask_microcredits": RESERVE // 2 + nth, "confidence_percent": 60}
        return self.writer.write("bid", bidder(tasks[0], nth), f"/tasks/{tasks[0]}/bids", body, (tasks, nth))

    def lease(self, agent: int, tasks: list[int]) -> Request:
        """Return the taking of a lease."""
        return self.writer.write("lease", agent, f"/tasks/{tasks[0]}/lease", {}, (agent, tasks))

    def hand_in(self, agent: int, leases: list[tuple[int, int]]) -> Request:
        """Return the handing in of a result."""
        task, token = leases[0]
        body = {"fencing_token": token, "outcome": "completed", "handoff": HANDOFF}
        return self.writer.write("result", agent, f"/tasks/{task}/result", body, (agent, leases))

    def answered(self, request: Request, status: int, body: bytes) -> None:
        """Note what comes next for the tasks of this request."""
        if status == 0 or status in BUSY:
            self.again.append(request)
            return
        answer = json.loads(body)
        told = [] if request.kind == "work" else self.told(status, answer)
        match request.kind, request.about:
            case "post", _:
                self.posting -= 1
                tasks = [item["task_id"] for is_good, item in told if is_good]
                self.acknowledged.update(tasks)
                self.bids.extend((tasks, nth) for nth in range(BIDS) if tasks)
            case "bid", (list(tasks), int(nth)):
                self._bid_answered(tasks, nth, told)
            case "work", int(agent):
                found = [item["task_id"] for item in answer.get("awards", ())]
                self.awards[agent].extend(task for task in found if task not in self.known)
                self.known.update(found)
            case "lease", (int(agent), list(tasks)):
                for task, (is_good, item) in zip(tasks, told, strict=True):
                    if is_good:
                        self.results[agent].append((task, item["fencing_token"]))
                    else:
                        self.known.discard(task)  # its agent will be told of it again
            case "result", (_, list(leases)):
                self.ended.update(
                    task for (task, _), (is_good, _) in zip(leases, told, strict=True) if is_good
                )

    def told(self, status: int, answer: dict) -> list[tuple[bool, dict]]:
        """Return for each act of the request whether it was done, and the answer to it."""
        return [(status in OK, answer)]

    def _bid_answered(self, tasks: list[int], nth: int, told: Sequence[tuple[bool, dict]]) -> None:
        """Bid again where the window closed without any bid: another one will open."""
        self.has_bid.update(task for task, (is_good, _) in zip(tasks, told, strict=True) if is_good)
        missed = [
            task
            for task, (is_good, item) in zip(tasks, told, strict=True)
            if not is_good and item["status"] == CONFLICT and task not in self.has_bid
        ]
        if missed:
            self.bids.append((missed, nth))


class BatchScript(LifeScript):
    """Drives tasks twenty acts per request, over the batch routes."""

    batch = BATCH
    in_flight = 12_000

    def post(self, agent: int) -> Request:
        """Return the post of twenty tasks."""
        return self.writer.write("post", agent, "/batch/tasks", {"items": [new_task()] * BATCH})

    def bid(self, tasks: list[int], nth: int) -> Request:
        """Return one agent's bids on these tasks."""
        items = [
            {"task_id": task, "ask_microcredits": RESERVE // 2 + nth, "confidence_percent": 60}
            for task in tasks
        ]
        agent = bidder(tasks[0] // BATCH, nth)
        return self.writer.write("bid", agent, "/batch/bids", {"items": items}, (tasks, nth))

    def lease(self, agent: int, tasks: list[int]) -> Request:
        """Return the taking of these leases."""
        body = {"items": [{"task_id": task} for task in tasks]}
        return self.writer.write("lease", agent, "/batch/leases", body, (agent, tasks))

    def hand_in(self, agent: int, leases: list[tuple[int, int]]) -> Request:
        """Return the handing in of these results."""
        rest = {"outcome": "completed", "handoff": HANDOFF}
        items = [{"task_id": task, "fencing_token": token, **rest} for task, token in leases]
        return self.writer.write("result", agent, "/batch/results", {"items": items}, (agent, leases))

    def told(self, status: int, answer: dict) -> list[tuple[bool, dict]]:
        """Return for each item whether it was done, and the answer to it."""
        return [(item["status"] in OK, item) for item in answer["results"]] if status in OK else []


class BidScript:
    """Nothing but bids, each by another agent or on another task; `every_seconds` paces each connection."""

    def __init__(
        self, pairs: Iterator[tuple[int, int]], every_seconds: float = 0.0, clients: int = 1
    ) -> None:
        self.pairs = pairs
        self.writer = Writer()
        self.pause = every_seconds / clients
        self.due_at = time.monotonic()
        self.placed = 0

    def next(self) -> Request | None:
        """Return the next bid, unless it is too early."""
        if self.pause:
            now = time.monotonic()
            if now < self.due_at:
                return None
            self.due_at = max(self.due_at + self.pause, now - 1.0)
        task, agent = next(self.pairs)
        body = {"ask_microcredits": RESERVE // 2, "confidence_percent": 60}
        return self.writer.write("bid", agent, f"/tasks/{task}/bids", body)

    def answered(self, _request: Request, status: int, _body: bytes) -> None:
        """Count what was placed."""
        self.placed += status in OK


class FloodScript:
    """One agent that asks for everything, all the time, and does not mind being refused."""

    def __init__(self) -> None:
        self.writer = Writer()

    def next(self) -> Request:
        """Return a bid on a task that is not there."""
        return self.writer.write("flood", HOSTILE, "/tasks/999999999/bids", {"ask_microcredits": 1})

    def answered(self, _request: Request, _status: int, _body: bytes) -> None:
        """Do not look."""


def taken(waiting: deque, most: int) -> list:
    """Take up to `most` from the left."""
    return [waiting.popleft() for _ in range(min(most, len(waiting)))]


def bidder(number: int, nth: int) -> int:
    """Return who places the nth bid on a task: three different workers."""
    return WORKERS[(number * BIDS + nth) % len(WORKERS)]


def new_task() -> dict[str, object]:
    """Return the body of a task."""
    terms = {"reserve_price_microcredits": RESERVE, "deadline_seconds": DEADLINE_SECONDS}
    return {"type": TASK_TYPE, "payload": {}, **terms}
