"""The leg of an experiment that runs now: trial or probation, each with its plan, state, salt and times.

Stands under evaluation. Both legs are kept in columns of the same names, the trial's in the experiment, the
probation's in a table of its own. It never decides.
"""

from dataclasses import dataclass

from services.domain.bet import BetPlan, BetState
from services.domain.states import ExperimentState, Leg
from services.store import sql, tables
from services.store.sql import Row
from services.store.tx import Tx


@dataclass(frozen=True, slots=True)
class RunningLeg:
    """One leg as it stands: what was planned, what the bet remembers, and its times (µs)."""

    name: Leg
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
        return _leg(Leg.PROBATION, row, row["first_ordinal"])
    return _leg(Leg.TRIAL, experiment, 0)


def update_leg(tx: Tx, experiment_id: int, leg: Leg, **values: object) -> None:
    """Write columns of one leg of an experiment."""
    if leg is Leg.PROBATION:
        sql.update(tx, tables.probation, {"experiment_id": experiment_id}, **values)
    else:
        sql.update(tx, tables.experiment, {"id": experiment_id}, **values)


def _leg(name: Leg, row: Row, first_ordinal: int) -> RunningLeg:
    plan, state = BetPlan.from_payload(row["plan"]), BetState.from_payload(row["bet_state"])
    times = (row["started_at_us"], row["closes_at_us"])
    return RunningLeg(name, plan, state, first_ordinal, *times)
