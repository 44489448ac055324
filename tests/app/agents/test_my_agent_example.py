"""The example of docs/connect-an-agent.md is a whole agent of at most 30 lines, and it works."""

import json
import os
import subprocess
import sys

import pytest

from app.agents.agent_process import ROOT, agent_environment
from app.tasks.registry import TASK_TYPE_REGISTRY
from tests.app.agents.market_stub import KEY

EXAMPLE = ROOT / "docs" / "examples" / "my_agent.py"


@pytest.fixture
def agent(stub):
    environment = agent_environment(stub.url, KEY, {}, os.environ)
    process = subprocess.Popen([sys.executable, str(EXAMPLE)], env=environment, stdout=subprocess.DEVNULL)
    yield process
    process.kill()
    process.wait()


def test_it_bids_works_and_its_result_is_verified(stub, eventually, request):
    kind = TASK_TYPE_REGISTRY["monte_carlo"]
    prepared = kind.prepare({"model": {"name": "pi_integral"}, "samples": 20_000, "seed": 1})
    other = kind.prepare(kind.example).public
    reserve = {"type": "monte_carlo", "reserve_price_microcredits": 5_001}
    stub.open = [
        {"task_id": 1, "payload": prepared.public, **reserve},
        {"task_id": 3, "payload": other, **reserve},
    ]
    stub.awards = [{"task_id": 2, "type": "monte_carlo", "payload": prepared.public}]
    stub.leases = {2: {"payload": prepared.public, "timeout_seconds": 30.0}}
    process = request.getfixturevalue("agent")
    eventually(lambda: stub.of("POST", "/tasks/2/result"))
    assert stub.of("POST", "/tasks/1/bids")[0].body == {"ask_microcredits": 2_500}
    assert not stub.of("POST", "/tasks/3/bids"), "it bids on what it can do only"
    body = stub.of("POST", "/tasks/2/result")[0].body
    assert (body["outcome"], body["fencing_token"]) == ("completed", 7)
    result = json.loads(json.dumps(body["handoff"]["changed"]))
    found = kind.load_verifier()(prepared.public, prepared.private, result, lambda _: b"")
    assert found.is_verified, found.reason
    assert process.poll() is None
    keys = [call.idempotency_key for call in stub.calls]
    assert len(set(keys)) == len(keys)


def test_it_is_short():
    assert len(EXAMPLE.read_text().splitlines()) <= 30
