"""One agent as a subprocess: started with an explicit environment, heard on stderr, really ended.

Started in its own session, so that a Ctrl-C at the terminal reaches the supervisor only, which then stops
it. It decides nothing: `restart` says when to start, the supervisor acts.
"""

import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

LINES_KEPT = 50
LINE_LIMIT = 500
READ_BYTES = 65_536
ROOT = Path(__file__).resolve().parents[2]

INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH", "SSL_CERT_FILE")
"""What every agent inherits; the rest stays with the platform, unless the fleet's table names it."""

ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
"""Agents fork, which needs numerical libraries that start no threads."""


def agent_environment(
    url: str,
    api_key: str,
    settings: Mapping[str, str],
    inherited: Mapping[str, str],
    further: Sequence[str] = (),
) -> dict[str, str]:
    """The whole environment of an agent: a few inherited names and the `further` ones of its table row, its
    settings, the API's address, its key.
    """
    environment = {name: inherited[name] for name in (*INHERITED, *further) if name in inherited}
    environment.update(dict.fromkeys(ONE_THREAD, "1"))
    environment.update(settings)
    environment.update(NACRE_URL=url, NACRE_API_KEY=api_key, PYTHONUNBUFFERED="1")
    return environment


class AgentProcess:
    """A started agent. Its two output streams are read together, without blocking, by `drain`."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], lines: deque[str]) -> None:
        self._lines = lines
        self._partial = b""
        self._process = subprocess.Popen(
            list(command),
            cwd=ROOT,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert self._process.stdout is not None  # noqa: S101  asked for two lines above
        self._output = self._process.stdout
        os.set_blocking(self._output.fileno(), False)

    @property
    def pid(self) -> int:
        """The process id, which is also its group's."""
        return self._process.pid

    def poll(self) -> int | None:
        """The exit code once it has ended, else None; keeps what it said meanwhile."""
        exit_code = self._process.poll()
        self.drain()
        return exit_code

    def drain(self) -> None:
        """Take over what the agent has written, line by line, up to the limits."""
        while True:
            try:
                chunk = os.read(self._output.fileno(), READ_BYTES)
            except (BlockingIOError, ValueError):
                break
            if not chunk:
                break
            *whole, self._partial = (self._partial + chunk).split(b"\n")
            self._partial = self._partial[-LINE_LIMIT:]
            self._lines.extend(line[:LINE_LIMIT].decode(errors="replace") for line in whole)

    def ask_to_end(self) -> None:
        """Send SIGTERM to the agent."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the agent's whole process group, reap it and close its pipe. Safe to call at any time."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self.drain()
        if self._partial:
            self._lines.append(self._partial.decode(errors="replace"))
            self._partial = b""
        self._output.close()


def module_command(module: str) -> tuple[str, ...]:
    """How a module is run: with the platform's own interpreter. Keys never stand here: others can read it."""
    return (sys.executable, "-m", module)
