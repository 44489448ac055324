"""Read models of experiments: both arms, the wealth of the bet, and the path it took.

Stands in the store beside the sandbox's queries (L6). The salt stays hidden until the experiment has ended.
It never computes a verdict: figures come from the stored state of the bet.
"""

import math
from collections.abc import Sequence
from typing import Any

from sqlalchemy import case, func, select

from services.domain.states import ExperimentKind
from services.store.sql import Row, find, rows
from services.store.tables import experiment, exposure
from services.store.tx import Tx
from services.store.views.paging import LIMIT_DEFAULT, JsonObject, Page, at, fetch_page

HIGHEST_EXPONENT = 700.0
"""exp() of more than this overflows a double; a larger E is shown as exp(700)."""

Arms = dict[tuple[int, int], tuple[int, int, float]]


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
    """Return one experiment with the path of its bet in assignment order, or None."""
    found = find(tx, experiment, id=experiment_id)
    if found is None:
        return None
    return {**experiments_of(tx, [found])[0], "path": _path(tx, experiment_id)}


def experiments_of(tx: Tx, found: Sequence[Row]) -> list[JsonObject]:
    """Return experiment rows as the Experiments of the API's lists (one more query for all their arms)."""
    arms = _arms(tx, [row["id"] for row in found])
    return [_experiment(row, arms) for row in found]


def _experiment(row: Row, arms: Arms) -> JsonObject:
    is_revealed = row["verdict"] is not None
    log_e = _decimal(row["bet_state"], "e_log", 0.0)
    return {
        "experiment_id": row["id"],
        "kind": row["kind"],
        "proposal_id": row["proposal_id"],
        "lap_id": row["lap_id"],
        "parameter": row["parameter"],
        "task_type": row["task_type"],
        "control_value": row["control_value"],
        "treatment_value": row["treatment_value"],
        "state": row["state"],
        "verdict": row["verdict"],
        "reason": row["reason"],
        "plan": row["plan"],
        "salt_commitment": row["salt_commitment"],
        "salt": row["salt"] if is_revealed else None,
        "assigned_count": row["assigned_count"],
        "control": _arm(arms.get((row["id"], 0))),
        "treatment": _arm(arms.get((row["id"], 1))),
        "log_e": log_e,
        "e_value": math.exp(min(log_e, HIGHEST_EXPONENT)),
        "threshold_log_e": -math.log(_decimal(row["plan"], "alpha", 0.05)),
        "estimate": row["estimate"],
        "lower": row["lower"],
        "upper": row["upper"],
        "started_at": at(row["started_at_us"]),
        "closes_at": at(row["closes_at_us"]),
        "ended_at": at(row["ended_at_us"]),
    }


def _decimal(payload: Any, name: str, default: float) -> float:
    """Return a decimal of a stored bet (decimals are text there), or the default where it is missing."""
    value = payload.get(name) if isinstance(payload, dict) else None
    return default if value is None else float(value)


def _arms(tx: Tx, ids: Sequence[int]) -> Arms:
    """Count each arm; resolved is what the bet has counted, so that the figures are those of the verdict."""
    is_counted = exposure.c.is_folded.is_(True)
    statement = (
        select(
            exposure.c.experiment_id,
            exposure.c.arm,
            func.count().label("assigned"),
            func.sum(case((is_counted, 1), else_=0)).label("resolved"),
            func.sum(case((is_counted, exposure.c.outcome), else_=0.0)).label("successes"),
        )
        .where(exposure.c.experiment_id.in_(ids))
        .group_by(exposure.c.experiment_id, exposure.c.arm)
    )
    return {
        (row["experiment_id"], row["arm"]): (row["assigned"], int(row["resolved"]), float(row["successes"]))
        for row in rows(tx, statement)
    }


def _arm(counts: tuple[int, int, float] | None) -> JsonObject:
    assigned, resolved, successes = counts or (0, 0, 0.0)
    return {
        "assigned": assigned,
        "resolved": resolved,
        "successes": int(successes) if successes.is_integer() else successes,
        "rate": successes / resolved if resolved else None,
    }


def _path(tx: Tx, experiment_id: int) -> list[JsonObject]:
    statement = (
        select(exposure.c.ordinal, exposure.c.log_e, exposure.c.arm, exposure.c.outcome)
        .where(exposure.c.experiment_id == experiment_id, exposure.c.is_folded)
        .order_by(exposure.c.ordinal)
    )
    return [dict(row) for row in rows(tx, statement)]
