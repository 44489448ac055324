"""The stub of the market that agents' tests speak to, a client for it, and a way to run an agent's script."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.agents.agent_process import ROOT, agent_environment
from app.agents.client import NacreClient
from tests.app.agents.market_stub import KEY, MarketStub, market_stub


@pytest.fixture
def stub() -> Iterator[MarketStub]:
    with market_stub() as running:
        yield running


@pytest.fixture
def client(stub: MarketStub) -> Iterator[NacreClient]:
    with NacreClient(stub.url, KEY) as made:
        yield made


@pytest.fixture
def run_script(stub: MarketStub, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen]]:
    """Start a Python script (its text) as an agent of the stub's market; it is killed when the test ends."""
    started: list[subprocess.Popen] = []

    def start(text: str, name: str = "agent.py") -> subprocess.Popen:
        path = tmp_path / name
        path.write_text(text)
        environment = agent_environment(stub.url, KEY, {"PYTHONPATH": str(ROOT)}, os.environ)
        with (tmp_path / f"{name}.err").open("w") as errors:
            process = subprocess.Popen([sys.executable, str(path)], env=environment, stderr=errors)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Wait until something holds, or fail after a minute."""

    def wait(holds: Callable[[], object], seconds: float = 60.0) -> None:
        until = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < until, "it never came to that"
            time.sleep(0.02)

    return wait
