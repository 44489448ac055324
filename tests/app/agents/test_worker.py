"""The worker as it really runs: its own process, its own key, children that are killed on time."""

import os
import signal
import time
from pathlib import Path

import pytest

from app.agents.tool_process import RunEnd, RunOutcome
from app.agents.worker import handoff_of

SCRIPT = """
import os, subprocess, time
from app.agents.worker import WorkerProfile, run_worker

def add(payload, effort, seconds):
    return {"sum": sum(payload["numbers"]), "effort": effort}

def hang(payload, effort, seconds):
    open(payload["seen"], "a").write(f"{os.getpid()}\\n")
    time.sleep(600)

def fail(payload, effort, seconds):
    raise RuntimeError("out of ideas")

run_worker(WorkerProfile("w", 0.5, 0.5, 70, slots=2), {"add": add, "hang": hang, "fail": fail})
"""


def award(stub, task_id: int, kind: str, payload: dict, timeout_seconds: float = 60.0) -> None:
    with stub.lock:
        stub.leases[task_id] = {"payload": payload, "timeout_seconds": timeout_seconds}
        stub.awards.append({"task_id": task_id, "type": kind, "payload": payload})


def results(stub) -> dict[str, dict]:
    return {call.path: call.body for call in stub.of("POST", r"/tasks/\d+/result")}


def pids(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_it_bids_works_and_hands_in_three_fields(stub, run_script, eventually):
    stub.open = [{"task_id": 1, "type": "add", "reserve_price_microcredits": 3000}]
    award(stub, 2, "add", {"numbers": [1, 2, 3]})
    award(stub, 3, "fail", {})
    run_script(SCRIPT)
    eventually(lambda: len(results(stub)) == 2 and stub.of("POST", "/tasks/1/bids"))
    bid = stub.of("POST", "/tasks/1/bids")[0].body
    assert bid == {"ask_microcredits": 1500, "confidence_percent": 70}
    done = results(stub)["/tasks/2/result"]
    assert done["outcome"] == "completed"
    assert done["failure_reason"] is None
    assert done["fencing_token"] == 7
    assert set(done["handoff"]) == {"done", "changed", "next"}
    assert done["handoff"]["changed"] == {"sum": 6, "effort": 0.5}
    failed = results(stub)["/tasks/3/result"]
    assert (failed["outcome"], failed["failure_reason"]) == ("failed", "agent_error")
    assert "out of ideas" in failed["handoff"]["done"]
    assert set(stub.of("POST", "/agents/me/work")[0].body["types"]) == {"add", "hang", "fail"}


def test_a_hung_tool_is_killed_at_its_timeout_and_reported(stub, run_script, eventually, tmp_path):
    seen = tmp_path / "seen"
    run_script(SCRIPT)
    for task_id, timeout_seconds in enumerate((0.4, 2.0, 10.0, 40.0), start=4):
        award(stub, task_id, "hang", {"seen": str(seen)}, timeout_seconds=timeout_seconds)
        eventually(lambda path=f"/tasks/{task_id}/result": path in results(stub))
        body = results(stub)[f"/tasks/{task_id}/result"]
        assert (body["outcome"], body["failure_reason"]) == ("failed", "timed_out")
        if pids(seen):  # else the machine is so slow that the tool had not even begun
            break
    assert [is_gone(pid) for pid in pids(seen)] == [True]
    lease, result = (stub.of("POST", f"/tasks/{task_id}/{verb}")[0] for verb in ("lease", "result"))
    assert stub.calls.index(lease) < stub.calls.index(result)


def test_a_refused_result_is_dropped_and_work_goes_on(stub, run_script, eventually, tmp_path):
    stub.refusals["/tasks/5/result"] = (409, "stale_fencing_token", {})
    award(stub, 5, "add", {"numbers": [1]})
    process = run_script(SCRIPT)
    eventually(lambda: stub.of("POST", "/tasks/5/result"))
    award(stub, 6, "add", {"numbers": [2]})
    eventually(lambda: "/tasks/6/result" in results(stub))
    assert len(stub.of("POST", "/tasks/5/result")) == 1
    assert process.poll() is None
    assert "dropped" in (tmp_path / "agent.py.err").read_text()


def test_it_takes_no_more_leases_than_it_has_slots(stub, run_script, eventually, tmp_path):
    seen = tmp_path / "seen"
    for task_id in (11, 12, 13):
        award(stub, task_id, "hang", {"seen": str(seen)}, timeout_seconds=600.0)
    run_script(SCRIPT)
    eventually(lambda: len(pids(seen)) == 2)
    time.sleep(0.3)
    assert len(stub.of("POST", r"/tasks/\d+/lease")) == 2
    os.kill(pids(seen)[0], signal.SIGKILL)
    eventually(lambda: len(results(stub)) == 1)
    eventually(lambda: len(stub.of("POST", r"/tasks/\d+/lease")) == 3)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_when_it_ends_its_children_end(stub, run_script, eventually, tmp_path, how):
    seen = tmp_path / "seen"
    award(stub, 7, "hang", {"seen": str(seen)}, timeout_seconds=600.0)
    process = run_script(SCRIPT)
    eventually(lambda: pids(seen))
    process.send_signal(how)
    assert process.wait(timeout=60) == (
        0 if how is signal.SIGTERM else -signal.SIGKILL
    )  # the tool sleeps longer
    eventually(lambda: is_gone(pids(seen)[0]))
    assert not stub.of("POST", "/tasks/7/result")


def test_a_key_that_is_not_known_ends_it(stub, run_script):
    stub.refusals["/agents/me/work"] = (401, "unauthenticated", {})
    assert run_script(SCRIPT).wait(timeout=60) == 1


def test_refused_bids_pause_the_bidding(stub, run_script, eventually):
    stub.refusals["/bids"] = (403, "forbidden", {})
    stub.open = [{"task_id": 1, "type": "add", "reserve_price_microcredits": 3000}]
    run_script(SCRIPT)
    eventually(lambda: len(stub.of("POST", "/agents/me/work")) >= 4)
    assert len(stub.of("POST", "/tasks/1/bids")) == 1


def test_a_long_error_fits_the_handoff():
    handoff = handoff_of(RunOutcome(RunEnd.CRASHED, {}, "x" * 9000, 1.0))
    assert len(handoff["done"]) == 4000


def test_it_waits_for_work_only_while_none_is_under_way(stub, run_script, eventually, tmp_path):
    seen = tmp_path / "seen"
    run_script(SCRIPT)
    eventually(lambda: len(stub.of("POST", "/agents/me/work")) >= 2)
    assert all(call.body["wait_seconds"] > 0 for call in stub.of("POST", "/agents/me/work"))
    award(stub, 11, "hang", {"seen": str(seen)}, timeout_seconds=60.0)
    eventually(lambda: pids(seen))
    asked = len(stub.of("POST", "/agents/me/work"))
    eventually(lambda: len(stub.of("POST", "/agents/me/work")) > asked + 1)
    later = stub.of("POST", "/agents/me/work")[asked + 1 :]
    assert all("wait_seconds" not in call.body for call in later), "a tool has to be looked after"
