"""The leg of an experiment that runs now: trial or probation, each with its plan, state, salt and times.

Stands under evaluation. Both legs are kept in columns of the same names, the trial's in the experiment, the
probation's in a table of its own. It never decides.
"""

from dataclasses import dataclass

from sqlalchemy import Table

from services.domain.bet import BetPlan, BetState
from services.domain.states import ExperimentState, Leg
from services.store import sql, tables
from services.store.sql import Row
from services.store.tx import Tx


@dataclass(frozen=True, slots=True)
class RunningLeg:
    """One leg as it stands: what was planned, what the bet remembers, and where it is kept."""

    name: Leg
    table: Table
    key: dict[str, int]
    plan: BetPlan
    state: BetState
    first_ordinal: int
    started_at_us: int
    closes_at_us: int


def running_leg(tx: Tx, experiment: Row) -> RunningLeg:
    """Return the leg that an experiment's tasks are bet on in now (the state must be a betting one)."""
    if experiment["state"] == ExperimentState.PROBATION:
        row = sql.find(tx, tables.probation, experiment_id=experiment["id"])
        assert row is not None  # noqa: S101 (the state says so; both are written together)
        table, key = tables.probation, {"experiment_id": experiment["id"]}
        return _leg(Leg.PROBATION, table, key, row, row["first_ordinal"])
    return _leg(Leg.TRIAL, tables.experiment, {"id": experiment["id"]}, experiment, 0)


def _leg(name: Leg, table: Table, key: dict[str, int], row: Row, first_ordinal: int) -> RunningLeg:
    plan, state = BetPlan.from_payload(row["plan"]), BetState.from_payload(row["bet_state"])
    times = (row["started_at_us"], row["closes_at_us"])
    return RunningLeg(name, table, key, plan, state, first_ordinal, *times)
