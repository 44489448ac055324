"""A load generator that costs little: HTTP/1.1 on kept connections, no pipelining, answers read by httptools.

Each connection has one request on its way at a time and asks its script for the next when the answer is in.
It measures every request from the first byte sent to the last byte read. It never retries: an answer that is
not 2xx, or a connection that ends, is told to the script and counted.
"""

import asyncio
import time
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from typing import Protocol

import httptools
import uvloop

IDLE_SECONDS = 0.002
CLOSE_SECONDS = 0.5
OK = range(200, 300)


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent, what kind of request it is, and whatever the script wants to see again."""

    kind: str
    data: bytes
    about: object = None


class Script(Protocol):
    """Decides what is asked next and learns what was answered."""

    def next(self) -> Request | None:
        """Return the next request, or None when there is nothing to do just now."""
        ...

    def answered(self, request: Request, status: int, body: bytes) -> None:
        """Take the answer; status 0 means that the connection ended without one."""
        ...


@dataclass
class Load:
    """Connections that work off one script; latencies in seconds by kind of request, and what went wrong."""

    script: Script
    host: str
    port: int
    connections: int
    latencies: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    refusals: Counter[tuple[str, int]] = field(default_factory=Counter)
    answers: int = 0
    is_over: bool = False
    idle: deque["Connection"] = field(default_factory=deque)
    live: set["Connection"] = field(default_factory=set)

    async def open(self) -> None:
        """Open the connections; each starts asking at once."""
        loop = asyncio.get_running_loop()
        for _ in range(self.connections):
            await loop.create_connection(lambda: Connection(self), self.host, self.port)
        loop.call_later(IDLE_SECONDS, self.wake)

    def wake(self) -> None:
        """Let connections that had nothing to do ask again."""
        for _ in range(len(self.idle)):
            self.idle.popleft().ask()
        if not self.is_over:
            asyncio.get_running_loop().call_later(IDLE_SECONDS, self.wake)

    async def close(self) -> None:
        """Ask for nothing more, wait a moment for what is on its way, and close every connection."""
        self.is_over = True
        self.wake()
        for close_now in (False, True):
            end = time.perf_counter() + CLOSE_SECONDS
            for connection in list(self.live) if close_now else ():
                connection.transport.abort()
            while self.live and time.perf_counter() < end:  # noqa: ASYNC110 (asked 100 times a second)
                await asyncio.sleep(0.01)

    def forget(self) -> None:
        """Begin to measure anew: what was measured so far was the warm-up."""
        self.latencies.clear()
        self.refusals.clear()
        self.answers = 0


class Connection(asyncio.Protocol):
    """One kept connection."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.request: Request | None = None
        self.sent_at = 0.0
        self.body = b""
        self.parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.WriteTransport) -> None:
        """Ask for the first time."""
        self.transport = transport
        self.load.live.add(self)
        self.ask()

    def ask(self) -> None:
        """Send the script's next request, or wait."""
        if self.load.is_over:
            self.transport.close()
            return
        self.request = self.load.script.next()
        if self.request is None:
            self.load.idle.append(self)
            return
        self.body = b""
        self.sent_at = time.perf_counter()
        self.transport.write(self.request.data)

    def data_received(self, data: bytes) -> None:
        """Read on."""
        self.parser.feed_data(data)

    def on_body(self, data: bytes) -> None:
        """Keep a piece of the answer's body."""
        self.body += data

    def on_message_complete(self) -> None:
        """Count the answer, tell the script, ask for more."""
        load, request = self.load, self.request
        assert request is not None
        status = self.parser.get_status_code()
        load.latencies[request.kind].append(time.perf_counter() - self.sent_at)
        load.answers += 1
        if status not in OK:
            load.refusals[request.kind, status] += 1
        self.request = None
        load.script.answered(request, status, self.body)
        self.parser = httptools.HttpResponseParser(self)
        asyncio.get_running_loop().call_soon(self.ask)

    def connection_lost(self, _error: Exception | None) -> None:
        """Tell the script about a request that will have no answer; open another connection in its place."""
        load, request = self.load, self.request
        load.live.discard(self)
        if request is not None:
            load.refusals[request.kind, 0] += 1
            load.script.answered(request, 0, b"")
        if not load.is_over:
            asyncio.get_running_loop().create_task(self.reopened())

    async def reopened(self) -> None:
        """Connect again, if anybody is there."""
        loop, load = asyncio.get_running_loop(), self.load
        while not load.is_over:
            try:
                await loop.create_connection(lambda: Connection(load), load.host, load.port)
            except OSError:
                await asyncio.sleep(IDLE_SECONDS)
            else:
                return


def request_bytes(method: str, path: str, key: str, body: bytes = b"", headers: str = "") -> bytes:
    """Return one request as it goes over the wire."""
    head = f"{method} {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {key}\r\n{headers}"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"{head}\r\n".encode() + body


def run(main):
    """Run a coroutine on uvloop and return what it returns."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)
