"""What came of an assigned task, noted on its exposures: the raw record that the bet and the audit read.

Stands between the market, where tasks end, and evaluation. Success is a task that was settled within the
maximum wait, the same window in both arms; every other end is a failure (intention to treat). It never
weighs anything.
"""

from collections.abc import Sequence

from services.domain.clock import SECOND_US
from services.domain.metrics import Metric
from services.domain.states import ExperimentKind, TaskState
from services.store import governance, sql, tables
from services.store.sql import Row
from services.store.tx import Tx


def record_outcome(tx: Tx, task_id: int) -> list[int]:
    """Note the outcome of one ended task; return the changes on trial that it concerns."""
    return record_outcomes(tx, [task_id])


def record_outcomes(tx: Tx, task_ids: Sequence[int]) -> list[int]:
    """Note the outcomes of ended tasks on their open exposures; return the changes on trial concerned.

    Placebos are left out: nobody waits for them, the clock evaluates them.
    Handling an event twice changes nothing: only exposures without an outcome are written.
    """
    waiting = sql.find_all(tx, tables.exposure, task_id=list(task_ids), outcome=None)
    if not waiting:
        return []
    ended = {
        row["id"]: row
        for row in sql.find_all(tx, tables.task, id=sorted({row["task_id"] for row in waiting}))
        if row["ended_at_us"] is not None
    }
    concerned = sorted({row["experiment_id"] for row in waiting if row["task_id"] in ended})
    if not concerned:
        return []
    held = sql.find_all(tx, tables.experiment, lock=True, id=concerned)
    experiments = {row["id"]: row for row in held}
    for row in waiting:
        if row["task_id"] in ended:
            _note(tx, ended[row["task_id"]], row, experiments[row["experiment_id"]])
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
