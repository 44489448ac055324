"""A local HTTP source of documents that answers as remote services do. It is a program of its own:
`python -m app.demonstration.document_source` prints {"port": ..., "url": ...} as one line of JSON, then
serves on loopback until it is stopped. Each request for a document draws its own latency, so that asking
again is a new draw. It knows no task and no timeout.

With --latency heavy a reader of three documents in parallel, spending OVERHEAD_SECONDS besides, is slower
than 0.9 s one time in three and slower than 1.8 s six times in a hundred. fast is fast. With stuck, one
reader in three meets a request that is never answered, and no timeout would help.
"""

import argparse
import asyncio
import contextlib
import hashlib
import json
import math
import signal
import sys
from dataclasses import dataclass, field
from enum import StrEnum

import h11

from app.demonstration.corpus import DOCUMENTS

OVERHEAD_SECONDS = 0.05
PARALLEL_REQUESTS = 3
FAST_SECONDS = 0.02
WORKING_SECONDS = 0.05  # of a stuck source, when it does answer
NEVER_SECONDS = 3600.0
READ_BYTES = 65_536
REQUEST_SECONDS_MAX = 10.0  # a client that does not finish its request head is dropped


class Latency(StrEnum):
    """How a source answers."""

    HEAVY = "heavy"  # Pareto: about a third of the readers wait longer than 0.9 s
    FAST = "fast"  # every answer takes FAST_SECONDS
    STUCK = "stuck"  # some answers never come


@dataclass(frozen=True, slots=True)
class ParetoTail:
    """P(X > x) = (minimum / x) ** exponent for x ≥ minimum."""

    exponent: float
    minimum: float  # seconds

    @classmethod
    def through(cls, slower: tuple[float, float], slowest: tuple[float, float]) -> "ParetoTail":
        """The tail in which the slowest of PARALLEL_REQUESTS exceeds two (seconds, probability) points."""
        (near, near_share), (far, far_share) = (
            (seconds - OVERHEAD_SECONDS, per_request(share)) for seconds, share in (slower, slowest)
        )
        exponent = math.log(near_share / far_share) / math.log(far / near)
        return cls(exponent, near * math.exp(math.log(near_share) / exponent))

    def quantile(self, tail: float) -> float:
        """The value exceeded with probability `tail` (0 < tail ≤ 1)."""
        return self.minimum * math.exp(-math.log(tail) / self.exponent)


def per_request(share_of_readers: float) -> float:
    """The chance for one request at which `share_of_readers` meet it in at least one of their requests."""
    return 1.0 - math.exp(math.log1p(-share_of_readers) / PARALLEL_REQUESTS)


HEAVY_TAIL = ParetoTail.through((0.9, 1 / 3), (1.8, 0.06))
STUCK_SHARE = per_request(1 / 3)


def latency_seconds(latency: Latency, seed: int, request_number: int) -> float:
    """How long request `request_number` takes: a pure function, the same on every machine."""
    if latency is Latency.FAST:
        return FAST_SECONDS
    drawn = hashlib.blake2b(f"{seed}:{request_number}".encode(), digest_size=8).digest()
    uniform = (int.from_bytes(drawn, "big") + 1) / 2**64
    if latency is Latency.STUCK:
        return NEVER_SECONDS if uniform < STUCK_SHARE else WORKING_SECONDS
    return HEAVY_TAIL.quantile(uniform)


@dataclass(slots=True)
class DocumentSource:
    """The source as an asyncio server; `start` returns the port it listens on."""

    latency: Latency
    seed: int
    requests: int = 0
    _server: asyncio.Server | None = field(default=None)
    _open: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self, port: int = 0) -> int:
        """Listen on loopback. Raises OSError when the port is taken."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening and drop whoever still waits."""
        if self._server is not None:
            self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._open.add(task)
            task.add_done_callback(self._open.discard)
        with contextlib.suppress(OSError, TimeoutError, h11.RemoteProtocolError, asyncio.CancelledError):
            await self._answer(reader, writer)
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER)
        async with asyncio.timeout(REQUEST_SECONDS_MAX):
            request = await _request(connection, reader)
        if request is None:
            return
        status, body, wait_seconds = self._found(request)
        if wait_seconds and await _went_away(reader, wait_seconds):
            return
        head = h11.Response(
            status_code=status,
            headers=[
                ("Content-Type", "application/json"),
                ("Content-Length", str(len(body))),
                ("Connection", "close"),
            ],
        )
        for event in (head, h11.Data(data=body), h11.EndOfMessage()):
            writer.write(connection.send(event) or b"")
        await writer.drain()

    def _found(self, request: h11.Request) -> tuple[int, bytes, float]:
        """Status, body and how long the answer takes; only documents are slow."""
        path = request.target.decode("ascii", "replace")
        document = DOCUMENTS.get(path.removeprefix("/documents/")) if path.startswith("/documents/") else None
        if request.method != b"GET":
            return 405, b'{"error": "only GET"}', 0.0
        if path == "/index.json":
            return 200, _index(), 0.0
        if document is None:
            return 404, b'{"error": "no such document"}', 0.0
        self.requests += 1
        content = {"name": document.name, "title": document.title, "text": document.text}
        return 200, json.dumps(content).encode(), latency_seconds(self.latency, self.seed, self.requests)


def _index() -> bytes:
    listed = [
        {"name": document.name, "title": document.title, "url": f"/documents/{document.name}"}
        for document in DOCUMENTS.values()
    ]
    return json.dumps(listed).encode()


async def _request(connection: h11.Connection, reader: asyncio.StreamReader) -> h11.Request | None:
    """The request head, or None when the client went away before it was complete."""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(READ_BYTES))
        elif isinstance(event, h11.Request):
            return event
        else:
            return None


async def _went_away(reader: asyncio.StreamReader, wait_seconds: float) -> bool:
    """Wait; true as soon as the client hangs up."""
    try:
        async with asyncio.timeout(wait_seconds):
            while await reader.read(READ_BYTES):
                pass
    except TimeoutError:
        return False
    return True


async def serve(latency: Latency, seed: int, port: int) -> None:
    """Serve until SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopped.set)
    source = DocumentSource(latency, seed)
    taken = await source.start(port)
    sys.stdout.write(json.dumps({"port": taken, "url": f"http://127.0.0.1:{taken}"}) + "\n")
    sys.stdout.flush()
    await stopped.wait()
    await source.stop()


def main(arguments: list[str] | None = None) -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description="Serve the demonstration's documents, slowly.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--latency", type=Latency, choices=list(Latency), default=Latency.HEAVY)
    chosen = parser.parse_args(arguments)
    asyncio.run(serve(chosen.latency, chosen.seed, chosen.port))


if __name__ == "__main__":
    main()
