"""Receivers of webhooks on loopback, each with its own manners, and what they were sent."""

import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field

WAIT_SECONDS = 60.0


@dataclass
class Received:
    """One request as it came in."""

    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """A server that answers each request in its manner: bytes to write, or a function of the connection."""

    answer: object
    requests: list[Received] = field(default_factory=list)
    port: int = 0
    heard: threading.Condition = field(default_factory=threading.Condition)
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/hook?for=tests"

    def wait_for(self, count):
        """Wait until so many requests have come in."""
        with self.heard:
            assert self.heard.wait_for(lambda: len(self.requests) >= count, WAIT_SECONDS), self.requests

    def ids(self):
        return [one.headers["webhook-id"] for one in self.requests]

    def handle(self, connection):
        with connection:
            connection.settimeout(WAIT_SECONDS)
            received = _read(connection)
            if received is None:
                return
            with self.heard:
                self.requests.append(received)
                number = len(self.requests)
                self.heard.notify_all()
            answer = self.answer(number) if callable(self.answer) else self.answer
            try:
                for piece in [answer] if isinstance(answer, bytes) else answer:
                    if isinstance(piece, float):
                        self.stopping.wait(piece)
                    else:
                        connection.sendall(piece)
            except OSError:
                pass


def _read(connection):
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = connection.recv(65_536)
        if not chunk:
            return None
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:])
    headers = {name.lower(): value for name, value in headers.items()}
    while len(body) < int(headers.get("content-length", "0")):
        chunk = connection.recv(65_536)
        if not chunk:
            return None
        body += chunk
    return Received(lines[0].split(" ")[1], headers, body)


def status(code, *headers, body=b""):
    """Return an answer with this status."""
    lines = [f"HTTP/1.1 {code} X", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


OK = status(200)
NEVER = [WAIT_SECONDS * 4]
DRIP = [b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", *([b"x", 0.05] * 4_000)]
HUGE = [b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n", *([b"x" * 65_536] * 1_600)]
GARBAGE = b"\x00\xff not http at all\r\n\r\n"


@contextmanager
def receiving(answer):
    """Serve a receiver on a free port of loopback until the block ends."""
    receiver = Receiver(answer)
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        receiver.port = server.getsockname()[1]

        def accept():
            while not receiver.stopping.is_set():
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=receiver.handle, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            receiver.stopping.set()
            server.shutdown(socket.SHUT_RDWR)
        thread.join(WAIT_SECONDS)


def wait_until(condition, what, seconds=WAIT_SECONDS):
    """Wait for a condition with a generous limit."""
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, what
        time.sleep(0.02)
