"""Certificates of changes that are bet on once per agent or per window: a record is a unit, not a task."""

import random

import pytest

from services.domain.certificate import read_certificate, verify_certificate
from services.domain.states import ExperimentScope
from services.evolution_ledger.certificates import certificate
from services.store import views

RATES = (0.2, 0.97)


@pytest.mark.parametrize("scope", [ExperimentScope.AGENT, ExperimentScope.PLATFORM])
def test_a_record_is_a_unit_and_its_wealth_that_of_all_its_tasks(lab_with, scope):
    lab = lab_with(window_seconds="60")
    number = lab.running(scope=scope)
    agents, rng = [lab.agent() for _ in range(4)], random.Random(5)
    for _ in range(60):
        for agent_id in agents:
            lab.work(2, RATES, rng, agent_id=agent_id)
        lab.pass_seconds(61)
        lab.evaluate()
        lab.deliver()
        if lab.experiment(number)["state"] == "confirmed":
            break
    with lab.read() as tx:
        shown = views.get_experiment(tx, number)
        content = certificate(tx, lab.platform.signer, number)
    assert (shown["state"], shown["window_seconds"], shown["scope"]) == ("confirmed", 60.0, scope)
    for leg, told in zip((shown["trial"], shown["probation"]), content["legs"], strict=True):
        tasks = leg["control"]["resolved"] + leg["treatment"]["resolved"]
        assert leg["units"] == len(told["claims"]) == len(told["records"]["records"]) < tasks
        assert leg["control"]["units"] + leg["treatment"]["units"] == leg["units"]
    assert verify_certificate(read_certificate(content)).difference is None
    content["legs"][1]["claims"][3]["log_e"] = "9.9"
    said = verify_certificate(read_certificate(content)).difference
    assert said.startswith("probation: record 3: log E is 9.9, the records give ")
