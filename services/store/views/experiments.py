"""Read models of experiments: what is tried, both legs of the bet, and the path its wealth took.

Stands in the store beside the sandbox's queries (L6). The figures at the top of an experiment are those of
its trial; `trial` and `probation` have them leg by leg. It never computes a verdict: figures come from the
stored state of the bet.
"""

import math
from collections.abc import Sequence

from sqlalchemy import select

from services.domain.states import ExperimentKind, Leg
from services.store.sql import Row, find, find_all, rows
from services.store.tables import experiment, exposure, probation, proposal
from services.store.tx import Tx
from services.store.views.legs import Arms, count_arms, decimal, leg_of, window_seconds
from services.store.views.paging import LIMIT_DEFAULT, JsonObject, Page, at, fetch_page

OF_THE_TRIAL = (
    "verdict", "reason", "salt_commitment", "salt", "control", "treatment", "log_e", "e_value",
    "threshold_log_e", "estimate", "lower", "upper",
)  # fmt: skip
"""What an experiment repeats of its trial, for readers who ask only whether it won."""


def list_experiments(
    tx: Tx,
    *,
    state: str | None = None,
    kind: str = ExperimentKind.CHANGE,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
    oldest_first: bool = False,
) -> Page:
    """Return a page of experiments of a kind, without their paths."""
    statement = select(experiment).where(experiment.c.kind == kind)
    if state is not None:
        statement = statement.where(experiment.c.state == state)
    found, following = fetch_page(
        tx, statement, experiment.c.id, limit=limit, cursor=cursor, oldest_first=oldest_first
    )
    return {"items": experiments_of(tx, found), "next_cursor": following}


def get_experiment(tx: Tx, experiment_id: int) -> JsonObject | None:
    """Return one experiment with the path of its bet in assignment order, both legs, or None."""
    found = find(tx, experiment, id=experiment_id)
    if found is None:
        return None
    return {**experiments_of(tx, [found])[0], "path": _path(tx, experiment_id)}


def experiments_of(tx: Tx, found: Sequence[Row]) -> list[JsonObject]:
    """Return experiment rows as the Experiments of the API's lists (a fixed number of further queries)."""
    ids = [row["id"] for row in found]
    arms = count_arms(tx, ids)
    later = {
        row["experiment_id"]: row
        for row in find_all(tx, probation, order_by="experiment_id", experiment_id=ids)
    }
    admitted = _admissions(tx, [row["proposal_id"] for row in found if row["proposal_id"] is not None])
    return [_experiment(row, later.get(row["id"]), arms, admitted.get(row["proposal_id"])) for row in found]


def _admissions(tx: Tx, proposal_ids: Sequence[int]) -> dict[int, int]:
    """Return how many tasks the admission counted with, by proposal."""
    statement = select(proposal.c.id, proposal.c.admission_tasks).where(proposal.c.id.in_(proposal_ids))
    return {row["id"]: row["admission_tasks"] for row in rows(tx, statement)}


def _experiment(row: Row, later: Row | None, arms: Arms, admission_tasks: int | None) -> JsonObject:
    trial = leg_of(row, row["id"], Leg.TRIAL, arms)
    plan = row["plan"]
    alpha: float | None = row["confirm_alpha"]
    return {
        "experiment_id": row["id"],
        "kind": row["kind"],
        "proposal_id": row["proposal_id"],
        "lap_id": row["lap_id"],
        "parameter": row["parameter"],
        "task_type": row["task_type"],
        "layer": row["layer"],
        "scope": row["scope"],
        "window_seconds": window_seconds(row),
        "metric": plan.get("metric", "task_success"),
        "control_value": row["control_value"],
        "treatment_value": row["treatment_value"],
        "state": row["state"],
        **{name: trial[name] for name in OF_THE_TRIAL},
        "plan": plan,
        "assigned_count": row["assigned_count"],
        "treatment_share": row["treatment_share"],
        "power": {
            "admission_tasks": admission_tasks,
            "effect": decimal(plan, "effect", 0.0),
            "base_rate": None if plan.get("base_rate") is None else decimal(plan, "base_rate", 0.0),
            "cap_tasks": trial["cap_tasks"],
        },
        "stream_position": row["stream_position"],
        "confirm_alpha": alpha,
        "confirm_threshold": None if alpha is None else 1.0 / alpha,
        "confirm_threshold_log_e": None if alpha is None else -math.log(alpha),
        "trial": trial,
        "probation": None if later is None else leg_of(later, row["id"], Leg.PROBATION, arms),
        "started_at": at(row["started_at_us"]),
        "closes_at": at(row["closes_at_us"] if later is None else later["closes_at_us"]),
        "ended_at": at(row["ended_at_us"]),
    }


def _path(tx: Tx, experiment_id: int) -> list[JsonObject]:
    """Return the wealth after each counted task; tasks of one unit share theirs."""
    later = find(tx, probation, experiment_id=experiment_id)
    statement = (
        select(
            exposure.c.ordinal,
            exposure.c.log_e,
            exposure.c.arm,
            exposure.c.outcome,
            exposure.c.share,
        )
        .where(exposure.c.experiment_id == experiment_id, exposure.c.is_folded)
        .order_by(exposure.c.ordinal)
    )
    return [{**row, "leg": _leg_at(row["ordinal"], later)} for row in rows(tx, statement)]


def _leg_at(ordinal: int, later: Row | None) -> str:
    is_later = later is not None and ordinal >= later["first_ordinal"]
    return (Leg.PROBATION if is_later else Leg.TRIAL).value
