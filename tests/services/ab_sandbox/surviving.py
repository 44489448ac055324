"""What must hold of an experiment whose platforms were killed again and again."""

import json
import subprocess
import sys
from pathlib import Path

from services.domain.states import Leg
from services.store import tables
from tests.plugins.platforms import platform_over
from tests.services.ab_sandbox import killed_experimenters
from tests.services.laboratory import Laboratory

ROOT = Path(__file__).resolve().parents[3]
SANDBOX = {
    "sandbox.ramp_percent": "10",
    "sandbox.holdout_percent": "3",
    "sandbox.placebo_tasks": "60",
    "sandbox.minimum_cycle_seconds": "5",
}


def survive(url, folder, *, kills, seed):
    """Run an experiment through so many kills to its end, check it, return the states it was killed in."""
    lab = Laboratory(platform_over(url, folder, seed=seed, starting_values=SANDBOX)).set_up()
    experiment_id = lab.running()
    lab.platform.close()
    script = [sys.executable, killed_experimenters.__file__, url, str(folder), str(kills), str(seed)]
    done = subprocess.run(
        script, check=True, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, timeout=600, stdout=subprocess.PIPE
    )
    lab = killed_experimenters.resumed(url, folder)
    try:
        check(lab, experiment_id)
        return json.loads(done.stdout)
    finally:
        lab.platform.close()


def check(lab, experiment_id):
    """Every exposure was bet on at most once, the verdicts are those of the records, the ledger holds."""
    experiment = lab.experiment(experiment_id)
    assert experiment["state"] in ("confirmed", "rolled_back", "aborted", "futile", "inconclusive")
    legs = [Leg.TRIAL, *[Leg.PROBATION for _ in lab.rows(tables.probation, experiment_id=experiment_id)]]
    for leg in legs:
        undisturbed, state = lab.replayed(experiment_id, leg), lab.bet(experiment_id, leg)
        assert undisturbed.state == state
        row = lab.probation(experiment_id) if leg is Leg.PROBATION else experiment
        assert row["verdict"] == undisturbed.decision.verdict
        records = lab.leg_records(experiment_id, leg)
        assert state.next_ordinal == len(records) == len({record.unit for record in records})
    for row in lab.rows(tables.experiment):
        ordinals = [found["ordinal"] for found in lab.exposures(row["id"])]
        assert ordinals == list(range(row["assigned_count"]))
        assert len({found["task_id"] for found in lab.exposures(row["id"])}) == len(ordinals)
    for row in lab.rows(tables.experiment, kind="placebo"):
        assert lab.replayed(row["id"]).state == lab.bet(row["id"])
    held = [row["id"] for row in lab.rows(tables.task, is_holdout=True)]
    assert lab.rows(tables.exposure, task_id=held) == []
    kinds = [(found["experiment_id"], found.get("leg")) for found in lab.payloads("VERDICT")]
    assert kinds == [(experiment_id, str(leg)) for leg in legs]
    assert lab.types().count("PROMOTED") == (len(legs) > 1)
    assert [row["state"] for row in lab.rows(tables.delivery, state="dead")] == []
    report = lab.audit()
    assert report.ok, report.reason
