"""A tool in a forked child: its answer comes back, and its time really ends."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from app.agents.tool_process import RunEnd, RunOutcome, ToolProcess, wait_for_any
from app.tasks.deadline import DeadlinePassedError


def outcome_of(tool, timeout_seconds: float = 5.0, payload=None) -> RunOutcome:
    run = ToolProcess(tool, payload or {}, 0.5, timeout_seconds)
    while (outcome := run.poll()) is None:
        wait_for_any([run], 1.0)
    return outcome


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_result_comes_back_with_payload_effort_and_time():
    outcome = outcome_of(lambda payload, effort, seconds: {"got": [payload, effort], "seconds": seconds}, 3.0)
    assert outcome.end is RunEnd.COMPLETED
    assert outcome.result["got"] == [{}, 0.5]
    assert 2.0 < outcome.result["seconds"] <= 3.0


def test_a_result_larger_than_a_pipe_comes_back_whole():
    outcome = outcome_of(lambda *_: {"text": "x" * 500_000})
    assert len(outcome.result["text"]) == 500_000


def raises(*_):
    raise ValueError("no such model")


def falls(*_):
    os._exit(3)


@pytest.mark.parametrize(
    ("tool", "said"),
    [
        (raises, "ValueError: no such model"),
        (falls, "without an answer"),
        (lambda *_: {"x": float("nan")}, "not JSON"),
        (lambda *_: {"x": object()}, "not JSON"),
    ],
    ids=["raises", "falls", "nan", "object"],
)
def test_a_crash_is_an_agent_error(tool, said):
    outcome = outcome_of(tool)
    assert outcome.end is RunEnd.CRASHED
    assert said in outcome.error


def test_a_hung_child_and_what_it_started_are_really_killed(tmp_path):
    seen = tmp_path / "pids"

    def hang(*_):
        grandchild = subprocess.Popen(["sleep", "60"])
        seen.write_text(f"{os.getpid()} {grandchild.pid}")
        time.sleep(60)
        return {}

    started = time.monotonic()
    outcome = outcome_of(hang, 0.5)
    assert outcome.end is RunEnd.TIMED_OUT
    assert 0.45 < time.monotonic() - started < 1.5
    time.sleep(0.05)
    assert [is_alive(int(pid)) for pid in seen.read_text().split()] == [False, False]


def test_a_tool_that_stops_itself_in_time_has_timed_out():
    def stops(_payload, _effort, seconds):
        raise DeadlinePassedError(seconds)

    assert outcome_of(stops).end is RunEnd.TIMED_OUT


def test_an_answer_given_after_the_deadline_counts_as_timed_out():
    run = ToolProcess(lambda *_: time.sleep(0.2) or {}, {}, 1.0, 0.1)
    time.sleep(0.4)
    outcome = run.poll()
    assert outcome is not None
    assert outcome.end is RunEnd.TIMED_OUT


def test_an_answer_given_in_time_but_read_late_counts():
    run = ToolProcess(lambda *_: {"x": 1}, {}, 1.0, 0.4)
    time.sleep(0.6)
    outcome = run.poll()
    assert outcome is not None
    assert outcome.end is RunEnd.COMPLETED
    assert outcome.elapsed_seconds < 0.4


def test_killing_twice_is_safe_and_leaves_no_zombie():
    run = ToolProcess(lambda *_: time.sleep(60) or {}, {}, 1.0, 60.0)
    run.kill()
    run.kill()
    with pytest.raises(ChildProcessError):
        os.waitpid(run.pid, os.WNOHANG)
