"""The command as a process: light to start, completing, plain in pipes, safe on a terminal, serving."""

import json
import os
import pty
import resource
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress

import pytest
from typer.main import get_command

from app.cli.running import LapSource
from app.cli.tree import app
from app.demonstration.document_source import Latency
from services.store import sql, tables
from tests.architecture.source_tree import ROOT

HEAVY = (
    "anthropic",
    "scipy",
    "sklearn",
    "fastapi",
    "sqlalchemy",
    "numpy",
    "pydantic",
    "alembic",
    "uvicorn",
    "rich",
)
NACRE = [sys.executable, "-c", "import sys; from app.cli import main; sys.exit(main())"]


def environment(folder, **more):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NACRE_")}
    return {**kept, "NACRE_VAR": str(folder), "PYTHONPATH": str(ROOT), "COLUMNS": "200", **more}


def commands(command, words=()):
    inner = getattr(command, "commands", None)
    if inner is None:
        return [words]
    return [words] + [found for name, one in inner.items() for found in commands(one, (*words, name))]


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from app.cli import main; code = main(['--help']); "
        f"sys.exit(str([name for name in {HEAVY} if name in sys.modules]) if code == 0 else 'failed')"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.stderr.strip() == "[]"
    assert "ledger" in ran.stdout


def cpu_seconds(arguments):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(arguments, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_costs_little_beyond_python_itself():
    bare = min(cpu_seconds([sys.executable, "-c", "pass"]) for _ in range(3))
    helped = min(cpu_seconds([*NACRE, "--help"]) for _ in range(3))
    assert helped - bare < 0.3, "the target is 0.15 s on an idle machine; twice that is allowed on a busy one"


@pytest.mark.parametrize("words", commands(get_command(app)), ids=" ".join)
def test_every_command_explains_itself(nacre, words):
    ran = nacre(*words, "--help")
    assert ran.code == 0
    assert f"Usage: nacre{''.join(f' {word}' for word in words)}" in ran.out
    is_leaf = "Commands:" not in ran.out
    assert ("Examples:" in ran.out) == is_leaf
    assert "\x1b" not in ran.out


def test_without_words_it_helps(nacre):
    assert nacre().out == nacre("--help").out


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("nacre ta", {"task", "task-type"}), ("nacre task list --state se", {"settled"})],
)
def test_a_shell_completes(tmp_path, typed, offered):
    words = typed.split()
    told = environment(
        tmp_path, _NACRE_COMPLETE="complete_bash", COMP_WORDS=typed, COMP_CWORD=str(len(words) - 1)
    )
    ran = subprocess.run(NACRE, env=told, cwd=ROOT, capture_output=True, text=True, check=False)
    assert set(ran.stdout.split()) == offered


def on_a_terminal(words, folder, **more):
    """Run `nacre` with a terminal for standard output; return what it wrote there."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [*NACRE, *words],
        stdout=follower,
        stderr=follower,
        cwd=ROOT,
        env=environment(folder, TERM="xterm", **more),
    )
    os.close(follower)
    written = b""
    with suppress(OSError):  # the terminal ends with its last writer
        while part := os.read(leader, 65_536):
            written += part
    os.close(leader)
    assert process.wait(timeout=30) == 0, written
    return written.decode()


@pytest.fixture
def hostile(nacre, sqlite_database, opened, tmp_path):
    """A database with an agent whose name tries to take over the terminal."""
    assert nacre("agent", "register", "plain", "--scope", "bid", *sqlite_database).code == 0
    with opened(sqlite_database, tmp_path).store.write(actor="test") as tx:
        sql.update(tx, tables.agent, {"name": "plain"}, name="\x1b]0;owned\x07[red]bold\u202e\x9b2J")
    return sqlite_database


@pytest.mark.parametrize("words", [("agent", "list"), ("agent", "show", "1")], ids=" ".join)
def test_a_terminal_shows_text_of_agents_as_text(hostile, tmp_path, words):
    told = on_a_terminal([*words, *hostile], tmp_path)
    assert "[red]bold" in told
    assert "owned" not in told
    assert "\u202e" not in told
    assert "\x9b" not in told
    bare = on_a_terminal([*words, *hostile], tmp_path, NO_COLOR="1")
    assert not {f"\x1b[{number}m" for number in (*range(30, 38), *range(90, 98))} & set(bare.split())
    assert "[red]bold" in bare


def test_a_narrow_terminal_leaves_columns_out_and_says_which(hostile, tmp_path):
    told = on_a_terminal(["agent", "list", *hostile], tmp_path, COLUMNS="60")
    assert "not shown for lack of room: " in told
    assert (
        max(len(line) for line in told.splitlines() if "not shown" not in line and "\x1b" not in line) <= 60
    )


def test_a_pipe_gets_no_escape_whatever_the_text(hostile, nacre):
    for words in (("agent", "list"), ("agent", "show", 1), ("agent", "list", "--json")):
        ran = nacre(*words, *hostile)
        assert "\x1b" not in ran.out
        assert "\x9b" not in ran.out
        assert "[red]bold" in ran.out
    (item,) = nacre("agent", "list", "--json", *hostile).json["items"]
    assert item["name"] == "\x1b]0;owned\x07[red]bold\u202e\x9b2J"


def test_a_reader_that_leaves_early_causes_no_traceback(sqlite_database, nacre, tmp_path):
    nacre("cron", "list", *sqlite_database)
    process = subprocess.Popen(
        [*NACRE, "parameter", "list", "--json", *sqlite_database],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, env=environment(tmp_path),
    )  # fmt: skip
    process.stdout.close()
    complaint = process.stderr.read().decode()
    assert process.wait(timeout=30) == 1
    assert complaint == ""
    process.stderr.close()


def test_an_encoding_without_the_letters_gets_question_marks(sqlite_database, nacre, tmp_path):
    nacre("agent", "register", "zo\u00eb", "--scope", "bid", *sqlite_database)
    told = environment(tmp_path, PYTHONIOENCODING="ascii")
    for words, shown in ((["agent", "list"], "zo?"), (["agent", "list", "--json"], "zo\\u00eb")):
        ran = subprocess.run(
            [*NACRE, *words, *sqlite_database], env=told, cwd=ROOT, capture_output=True, check=False
        )
        assert (ran.returncode, ran.stderr) == (0, b"")
        assert shown.encode() in ran.stdout


def test_up_serves_until_it_is_interrupted(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ["up", "--port", str(port), "--database", f"sqlite:///{tmp_path}/up.db"]
    process = subprocess.Popen(
        [*NACRE, *words], cwd=ROOT, env=environment(tmp_path), stdout=subprocess.PIPE, text=True
    )
    assert str(port) in process.stdout.readline()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=10) as answer:
        assert json.load(answer)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 0
    process.stdout.close()


@pytest.mark.slow
def test_a_lap_that_cannot_close_in_time_exits_with_1_and_says_where_it_stood(tmp_path):
    began = time.monotonic()
    ran = subprocess.run(
        [*NACRE, "lap", "--seconds", "1", "--source", "fast", "--json"],
        cwd=ROOT, env=environment(tmp_path), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert ran.returncode == 1, ran.stderr
    told = json.loads(ran.stdout)
    assert told["closed"] is False
    assert told["reason"].startswith("observe")
    assert time.monotonic() - began < 60
    assert len(list((tmp_path / "laps").glob("lap-*.db"))) == 1


def test_the_sources_offered_are_the_sources_there_are():
    assert [str(one) for one in LapSource] == [str(one) for one in Latency]
