"""Processes of a platform that can be killed: a server with everything, or only what runs behind one.

Forked from a parent that has imported everything, so that a start takes as long as opening the database.
"""

import os
import signal
from dataclasses import replace
from pathlib import Path

import uvicorn

from app.bootstrap import Runtime, open_platform
from app.main import build_app
from app.settings import Settings
from tests.plugins.platforms import PLAIN_TRIALS, scripted_verdict

OPERATOR_KEY = "nop_the-operator-of-the-proofs"
QUICK = {
    **PLAIN_TRIALS,
    "market.bid_window_seconds": "0.15",
    "market.start_window_seconds": "1",
    "market.heartbeat_seconds": "1",
    "market.lease_grace_seconds": "0.1",
    "market.deadline_grace_seconds": "1",
    "market.cancel_percent": "10",
    "monte_carlo.maximum_attempts": "3",
    "monte_carlo.retry_failures": "1",
}
"""Starting values under which a task's whole life takes seconds."""
INTERVALS = {"auto_accept_bids": 0.05, "lease_expiry": 0.1}


def opened(url, folder):
    """Return a platform over a migrated database, with quick rules, quick jobs and a scripted verifier."""
    platform = open_platform(
        Settings(url, var_directory=Path(folder), operator_key=OPERATOR_KEY),
        verify=scripted_verdict,
        starting_values=QUICK,
        is_migrated=True,
    )
    platform.jobs = [
        replace(job, every_seconds=INTERVALS.get(job.name, job.every_seconds)) for job in platform.jobs
    ]
    return platform


def keep_log(folder):
    """Let everything that this process has to say go to a file."""
    log = os.open(Path(folder) / "processes.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)


def serve(url, folder, port):
    """Serve the API with the jobs and the bus behind it, for ever."""
    keep_log(folder)
    platform = opened(url, folder)
    Runtime(platform).start()
    config = uvicorn.Config(build_app(platform), port=port, log_level="critical", access_log=False)
    uvicorn.Server(config).run()


def run_jobs(url, folder, _port):
    """Run the jobs and the bus alone, for ever."""
    keep_log(folder)
    Runtime(opened(url, folder)).start()
    while True:
        signal.pause()


def forked(act, *arguments):
    """Run the act in a child and return its process id."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            act(*arguments)
            status = 0
        finally:
            os._exit(status)
    return child


def killed(child):
    """Kill a child with SIGKILL; it must not have ended by itself."""
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), f"a process of the platform ended by itself with status {status}"
