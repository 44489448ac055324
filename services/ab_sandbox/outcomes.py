"""What came of an assigned task, noted on its exposures: the raw record that the bet and the audit read.

Stands between the market, where tasks end, and evaluation. Success is a task that was settled within the
maximum wait, the same window in both arms; every other end is a failure (intention to treat). It never
weighs anything.
"""

from services.domain.clock import SECOND_US
from services.domain.metrics import Metric
from services.domain.states import ExperimentKind, TaskState
from services.store import governance, sql, tables
from services.store.sql import Row
from services.store.tx import Tx


def record_outcome(tx: Tx, task_id: int) -> list[int]:
    """Note the outcome of an ended task on its open exposures; return the changes on trial that it concerns.

    Placebos are left out: nobody waits for them, the clock evaluates them.
    Handling an event twice changes nothing: only exposures without an outcome are written.
    """
    task = sql.find(tx, tables.task, id=task_id)
    if task is None or task["ended_at_us"] is None:
        return []
    waiting = sql.find_all(tx, tables.exposure, task_id=task_id, outcome=None)
    if not waiting:
        return []
    held = sql.find_all(tx, tables.experiment, lock=True, id=[row["experiment_id"] for row in waiting])
    experiments = {row["id"]: row for row in held}
    for row in waiting:
        _note(tx, task, row, experiments[row["experiment_id"]])
    return [row["id"] for row in held if row["kind"] == ExperimentKind.CHANGE]


def _note(tx: Tx, task: Row, row: Row, experiment: Row) -> None:
    took_us = task["ended_at_us"] - row["assigned_at_us"]
    is_in_time = took_us <= experiment["maximum_wait_us"]
    is_success = is_in_time and task["state"] == TaskState.SETTLED
    values: dict[str, object] = {
        "outcome": 1.0 if is_success else 0.0,
        "is_resolved": is_in_time,
        "duration_seconds": took_us / SECOND_US,
        "resolved_at_us": tx.now_us,
    }
    if is_success and _is_cost_measured(experiment):
        values["cost_microcredits"] = governance.price_paid(tx, task["id"])
    sql.update(tx, tables.exposure, {"id": row["id"], "outcome": None}, **values)


def _is_cost_measured(experiment: Row) -> bool:
    plan = experiment["plan"]
    guardrails = [item["metric"] for item in plan.get("guardrails", ())]
    return Metric.COST in (plan.get("metric"), *guardrails)
