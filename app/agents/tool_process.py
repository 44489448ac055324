"""One tool run in a forked child process that can really be stopped.

The worker's libraries are loaded before the fork, so a child costs milliseconds; it gets its own process
group, and when its time is up the whole group is killed. The answer comes back as JSON over a pipe. The child
never speaks to the platform. Forking is safe because agents have one thread.
"""

import ctypes
import gc
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NoReturn, TypeAlias

from app.tasks.deadline import DeadlinePassedError

JsonObject: TypeAlias = dict[str, Any]
Tool: TypeAlias = Callable[[JsonObject, float, float], JsonObject]

READ_BYTES = 65_536
RESULT_LIMIT_BYTES = 4 * 1024 * 1024
ERROR_LIMIT = 500
PR_SET_PDEATHSIG = 1


class RunEnd(StrEnum):
    """How a tool run ended."""

    COMPLETED = "completed"
    TIMED_OUT = "timed_out"
    CRASHED = "agent_error"


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """What came of a run: `result` when it completed, otherwise a sentence in `error`."""

    end: RunEnd
    result: JsonObject
    error: str
    elapsed_seconds: float


class ToolProcess:
    """A running child. Poll it; it is killed when its time is up, and never outlives `kill`."""

    def __init__(self, tool: Tool, payload: JsonObject, effort: float, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._started_at = time.monotonic()
        self._received = bytearray()
        self._reader, writer = os.pipe()
        os.set_blocking(self._reader, False)
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._reader)
            _leave_parent(parent)
            _run_in_child(tool, payload, effort, self.deadline, writer)
        os.close(writer)
        with suppress(ProcessLookupError, PermissionError):
            os.setpgid(self.pid, self.pid)  # the child does it too: whoever comes first

    @property
    def deadline(self) -> float:
        """The instant on the monotonic clock at which the run is stopped."""
        return self._started_at + self._timeout_seconds

    def fileno(self) -> int:
        """Return the pipe to wait on; readable when the child has said something or has ended."""
        return self._reader

    def poll(self) -> RunOutcome | None:
        """Return the outcome once there is one (the child is then reaped), else None. Never blocks."""
        is_over_time = time.monotonic() >= self.deadline
        is_ended = self._drain()
        return self._finished() if is_ended or is_over_time else None

    def kill(self) -> None:
        """Kill the child's whole process group and reap the child. Safe to call twice."""
        if self._reader < 0:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        os.close(self._reader)
        self._reader = -1

    def _drain(self) -> bool:
        while len(self._received) <= RESULT_LIMIT_BYTES:
            try:
                chunk = os.read(self._reader, READ_BYTES)
            except BlockingIOError:
                return False
            if not chunk:
                return True
            self._received += chunk
        return True

    def _finished(self) -> RunOutcome:
        self.kill()
        elapsed = time.monotonic() - self._started_at
        try:
            said = json.loads(bytes(self._received))
        except ValueError:
            if elapsed >= self._timeout_seconds:
                return self._stopped()
            return RunOutcome(RunEnd.CRASHED, {}, "the tool's process ended without an answer", elapsed)
        elapsed = float(said["ended_at"]) - self._started_at
        if said["is_out_of_time"] or elapsed > self._timeout_seconds:
            return self._stopped()
        if said["error"] is not None:
            return RunOutcome(RunEnd.CRASHED, {}, str(said["error"]), elapsed)
        return RunOutcome(RunEnd.COMPLETED, said["result"], "", elapsed)

    def _stopped(self) -> RunOutcome:
        sentence = f"stopped after the {self._timeout_seconds:g} s allowed"
        return RunOutcome(RunEnd.TIMED_OUT, {}, sentence, self._timeout_seconds)


def wait_for_any(runs: Iterable[ToolProcess], seconds: float) -> None:
    """Rest until one of the runs says something, one reaches its deadline, or `seconds` have passed."""
    waiting = list(runs)
    until = min([time.monotonic() + seconds, *(run.deadline for run in waiting)])
    poller = select.poll()
    for run in waiting:
        poller.register(run.fileno(), select.POLLIN | select.POLLHUP)
    poller.poll(max(0, round((until - time.monotonic()) * 1000)))


def freeze_before_forking() -> None:
    """Move all that is loaded out of the collector's sight, so that children share it and do not copy it."""
    gc.collect()
    gc.freeze()


def _leave_parent(parent: int) -> None:
    """Become an own process group, and have the kernel kill it when the parent dies (where it can)."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(OSError):
        os.setpgid(0, 0)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _run_in_child(tool: Tool, payload: JsonObject, effort: float, deadline: float, writer: int) -> NoReturn:
    """Everything the child does. Leaves by os._exit: nothing of the parent's may be cleaned up here."""
    answer: JsonObject = {"result": {}, "error": None, "is_out_of_time": False}
    try:
        answer["result"] = tool(payload, effort, max(0.001, deadline - time.monotonic()))
    except BaseException as error:  # noqa: BLE001  a tool may fail in any way; the child only reports it
        answer["error"] = f"{type(error).__name__}: {error}"[:ERROR_LIMIT]
        answer["is_out_of_time"] = isinstance(error, DeadlinePassedError)
    answer["ended_at"] = time.monotonic()
    try:
        content = json.dumps(answer, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        failed = {"result": {}, "error": f"the result is not JSON: {error}"[:ERROR_LIMIT]}
        content = json.dumps({**answer, **failed}).encode()
    with suppress(OSError):
        view = memoryview(content)
        while view:
            view = view[os.write(writer, view) :]
    os._exit(0)
