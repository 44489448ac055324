"""Servers under measurement: each a process of its own, on a free port of the loopback, stopped at the end.

Their processor time is taken from the operating system, so that the load generator's is never counted in.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.benchmarks.market.measure import cpu_seconds_of

ROOT = Path(__file__).parents[3]
HOST = "127.0.0.1"
START_SECONDS = 30.0
STOP_SECONDS = 10.0


def free_port() -> int:
    """Return a port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


class Server:
    """A process that listens; `with Server([...], {...}) as server:` starts and ends it.

    `{port}` in the command is replaced; what the process says goes to `log`.
    """

    def __init__(self, command: list[str], environment: Mapping[str, str], log: Path) -> None:
        self.command, self.environment, self.log = command, dict(environment), log
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @classmethod
    def of_app(cls, app: str, environment: Mapping[str, str], log: Path) -> "Server":
        """Return a server of an ASGI application, by uvicorn on uvloop and httptools."""
        options = ["--loop", "uvloop", "--http", "httptools", "--log-level", "warning", "--no-access-log"]
        command = [sys.executable, "-m", "uvicorn", app, "--host", HOST, "--port", "{port}", *options]
        return cls(command, environment, log)

    def __enter__(self) -> Self:
        """Start it and wait until it listens."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self.stop()

    @property
    def pid(self) -> int:
        """Number of the process."""
        assert self.process is not None
        return self.process.pid

    @property
    def cpu_seconds(self) -> float:
        """Processor seconds used so far."""
        return cpu_seconds_of(self.pid)

    def start(self) -> None:
        """Start the process and wait until it listens; RuntimeError with its last words when it does not."""
        command = [part.replace("{port}", str(self.port)) for part in self.command]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env={**os.environ, **self.environment}, stdout=log, stderr=log
            )
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            try:
                socket.create_connection((HOST, self.port), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        self.stop()
        raise RuntimeError(f"{command[-1]} did not start: {self.last_words()}")

    @contextmanager
    def running_alone(self) -> Iterator[None]:
        """Let the process run during the block only: a server that waits for its turn takes nothing away."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        """End the process at once, as a power cut would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Ask the process to end; end it if it does not."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def last_words(self) -> str:
        """Return the end of what the process said."""
        return self.log.read_text(errors="replace").strip()[-300:]
