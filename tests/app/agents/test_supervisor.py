"""The supervisor with real processes: crashes counted, hung ones killed, nothing left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.agents.agent_process import agent_environment
from app.agents.fleet import FLEET, AgentSpec, Scope
from app.agents.keyring import Keyring
from app.agents.restart import RestartPolicy
from app.agents.supervisor import Supervisor

FAST = RestartPolicy(first_pause_seconds=0.01, longest_pause_seconds=0.02)
SPEC = AgentSpec("crasher", "nowhere", (Scope.BID,), owner="me")

CRASH = "import sys; print('the last words', file=sys.stderr); raise SystemExit(3)"
LIVE = "import time, os, sys; print(os.environ['NACRE_API_KEY'], flush=True); time.sleep(60)"
HANG = (
    "import signal, subprocess, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "child = subprocess.Popen(['sleep', '60'])\n"
    "print('child', child.pid, flush=True)\n"
    "time.sleep(60)"
)


@pytest.fixture
def supervised(stub):
    made: list[Supervisor] = []

    def make(script: str, spec: AgentSpec = SPEC, keyring: Keyring | None = None) -> Supervisor:
        command = (sys.executable, "-S", "-c", script)
        supervisor = Supervisor(
            stub.url, "nop_secret", [spec], policy=FAST, keyring=keyring, command=lambda _: command
        )
        made.append(supervisor)
        supervisor.start()
        return supervisor

    yield make
    for supervisor in made:
        supervisor.stop()


def polled(supervisor: Supervisor, holds, seconds: float = 8.0) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it never came to that"
        supervisor.poll()
        time.sleep(0.01)


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_twelve_crashes_stop_it_and_queue_it_for_a_person_once(stub, supervised):
    supervisor = supervised(CRASH)
    polled(supervisor, lambda: stub.of("POST", "/review-items"))
    (status,) = supervisor.status()
    assert status.is_given_up
    assert status.pid is None
    assert status.starts == 12
    for _ in range(20):
        supervisor.poll()
        time.sleep(0.01)
    assert supervisor.status()[0].starts == 12
    (report,) = stub.of("POST", "/review-items")
    assert report.bearer == "Bearer nop_secret"
    assert (report.body["kind"], report.body["subject"]) == ("agent_crashed", "crasher")
    context = report.body["context"]
    assert (context["crashes_in_a_row"], context["last_exit_code"]) == (12, 3)
    assert context["last_lines"] == ["the last words"] * 12


def test_a_report_that_is_not_taken_is_tried_again(stub, supervised, monkeypatch):
    monkeypatch.setattr("app.agents.supervisor.REPORT_AGAIN_SECONDS", 0.1)
    stub.refusals["/review-items"] = (503, "internal", {})
    supervisor = supervised(CRASH)
    polled(supervisor, lambda: stub.of("POST", "/review-items"))
    stub.refusals.clear()
    before = len(stub.of("POST", "/review-items"))
    polled(supervisor, lambda: len(stub.of("POST", "/review-items")) > before)
    assert not supervisor._reports


def test_it_registers_with_the_operator_key_and_hands_on_only_the_agents_own(stub, supervised):
    supervisor = supervised(LIVE)
    (registration,) = stub.of("POST", "/agents")
    assert registration.bearer == "Bearer nop_secret"
    assert registration.body == {"name": "crasher", "owner": "me", "scopes": ["bid"], "vouched": False}
    polled(supervisor, lambda: supervisor.last_lines("crasher"))
    assert supervisor.last_lines("crasher") == ["nac_1"]
    pid = supervisor.status()[0].pid
    assert b"nac_1" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    environment = Path(f"/proc/{pid}/environ").read_bytes()
    assert b"NACRE_API_KEY=nac_1" in environment
    assert b"nop_secret" not in environment


def test_the_environment_is_an_explicit_list():
    theirs = {"PATH": "/bin", "ANTHROPIC_API_KEY": "k", "NACRE_OPERATOR_KEY": "nop", "AWS_SECRET": "s"}
    made = agent_environment("http://x", "nac_1", {"NACRE_SEED": "7"}, theirs)
    assert made["OPENBLAS_NUM_THREADS"] == "1"
    assert {name for name in made if not name.endswith("_NUM_THREADS")} == {
        "PATH",
        "NACRE_SEED",
        "NACRE_URL",
        "NACRE_API_KEY",
        "PYTHONUNBUFFERED",
    }


def test_only_workers_inherit_the_key_for_claude_and_the_document_folder():
    theirs = {"ANTHROPIC_API_KEY": "k", "NACRE_DOCUMENT_ROOT": "/documents", "NACRE_OPERATOR_KEY": "nop"}
    for spec in FLEET:
        made = agent_environment("http://x", "nac_1", {}, theirs, spec.inherits)
        is_worker = spec.name.startswith("worker_")
        assert ("ANTHROPIC_API_KEY" in made, "NACRE_DOCUMENT_ROOT" in made) == (is_worker, is_worker)
        assert "NACRE_OPERATOR_KEY" not in made


def test_a_name_that_is_taken_gets_a_suffix(stub, supervised):
    stub.agents = {"crasher": {"agent_id": 50, "api_key": "x"}, "crasher-2": {"agent_id": 51, "api_key": "y"}}
    assert supervised(LIVE).status()[0].name == "crasher-3"


def test_kept_keys_are_used_again_while_the_platform_knows_them(stub, supervised, tmp_path):
    path = tmp_path / "deep" / "keys.json"
    first = supervised(LIVE, keyring=Keyring(path))
    first.stop()
    again = supervised(LIVE, keyring=Keyring(path))
    assert again.status()[0].agent_id == 1
    assert len(stub.of("POST", "/agents")) == 1
    assert path.stat().st_mode & 0o077 == 0
    stub.agents.clear()
    assert supervised(LIVE, keyring=Keyring(path)).status()[0].agent_id == 1
    assert len(stub.of("POST", "/agents")) == 2
    path.write_text("broken")
    assert Keyring(path).get("crasher") is None


def test_what_was_killed_from_outside_is_started_again(supervised):
    supervisor = supervised(LIVE)
    first = supervisor.status()[0].pid
    os.kill(first, signal.SIGKILL)
    polled(supervisor, lambda: supervisor.status()[0].pid not in {None, first})


def test_stopping_kills_what_ignores_sigterm_and_its_children(supervised):
    supervisor = supervised(HANG)
    polled(supervisor, lambda: supervisor.last_lines("crasher"))
    child = int(supervisor.last_lines("crasher")[0].split()[1])
    pid = supervisor.status()[0].pid
    started = time.monotonic()
    supervisor.stop()
    assert 1.9 < time.monotonic() - started < 3.5
    assert is_gone(pid)
    time.sleep(0.05)
    assert is_gone(child)
    supervisor.stop()


def test_only_the_last_fifty_lines_are_kept(supervised):
    supervisor = supervised("for n in range(5000): print('line', n)\nimport time; time.sleep(60)")
    polled(supervisor, lambda: supervisor.last_lines("crasher")[-1:] == ["line 4999"])
    assert supervisor.last_lines("crasher") == [f"line {n}" for n in range(4950, 5000)]


def test_agents_end_when_their_supervisor_is_gone(stub, tmp_path, eventually):
    parent = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-m', 'app.agents.voter_power'], start_new_session=True)\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid))\n"
        "time.sleep(60)\n"
    )
    environment = agent_environment(stub.url, "nac_x", {}, os.environ)
    process = subprocess.Popen([sys.executable, "-c", parent], env=environment)
    eventually(lambda: stub.of("POST", "/agents/me/work"))
    process.kill()
    process.wait()
    pid = int((tmp_path / "pid").read_text())
    eventually(lambda: is_gone(pid))
