"""Which values a task gets: holdout, arms of running experiments, production; fixed at its first award.

Stands between the award and the sandbox. The arm is a pure function of (salt of the leg, unit), and the unit
ends with digits drawn at the award, so that an agent that has learned the salt from past arms still cannot
bid by arm. A task of the holdout is in no experiment. It never reads an outcome.
"""

from dataclasses import dataclass

from services.domain import assignment
from services.domain.states import ExperimentKind, ExperimentScope, ExperimentState, TaskKind, ValueSource
from services.operations import production_config
from services.operations.production_config import EffectiveValue
from services.store import config, sql, tables
from services.store.sql import Row
from services.store.tx import Tx

SEED_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Assignment:
    """Every value in force for a task, by parameter, and whether the task belongs to the holdout."""

    values: dict[str, EffectiveValue]
    is_holdout: bool


@dataclass(frozen=True, slots=True)
class Placement:
    """What was randomised together with a task: its unit, the unit's arm and the share π that applied."""

    unit: str
    arm: int
    share: float


@dataclass(frozen=True, slots=True)
class LegInForce:
    """What assignment needs of a leg; `version` is that of the value in force while it runs."""

    salt: str
    first_ordinal: int
    started_at_us: int
    version: int


def resolve_for_task(tx: Tx, task: Row, *, agent_id: int, award_seed: str) -> Assignment:
    """Return every value in force for a task and record its exposure to each experiment that bets on it.

    Called once per task, in the transaction of its first award to `agent_id`; retries and take-overs keep
    what is fixed here. Until a task is paid its exposure bears its reserve price, the most it may cost.
    Meta-tasks are neither held out nor experimented on.
    """
    values = production_config.of_type(tx, task["type"])
    if task["kind"] != TaskKind.USER:
        return Assignment(values, is_holdout=False)
    seed = award_seed[:SEED_DIGITS]
    held_out = _held_out(tx, f"{task['id']}:{seed}", values)
    if held_out is not None:
        return Assignment({**values, **held_out}, is_holdout=True)
    for experiment in config.betting_on(tx, task["type"]):
        leg = _leg(tx, experiment)
        placement = _place(tx, experiment, leg, task_id=task["id"], agent_id=agent_id, seed=seed)
        is_placebo = experiment["kind"] == ExperimentKind.PLACEBO
        is_shared = is_placebo or experiment["scope"] == ExperimentScope.PLATFORM
        treated = placement.arm == assignment.TREATMENT
        value = experiment["treatment_value"] if treated else experiment["control_value"]
        stratum = task["type"] if is_shared else f"agent:{agent_id}"
        _expose(tx, experiment, placement, task, value=value, stratum=stratum)
        if not is_placebo:
            values[experiment["parameter"]] = EffectiveValue(
                value, ValueSource.ARM, leg.version, placement.arm, experiment["id"]
            )
    return Assignment(values, is_holdout=False)


def _held_out(tx: Tx, unit: str, values: dict[str, EffectiveValue]) -> dict[str, EffectiveValue] | None:
    """Return the epoch's starting values where the unit is held out, None where it is not."""
    epoch = config.epoch_now(tx)
    if epoch is None or not assignment.arm_of(epoch["salt"], unit, epoch["share"]):
        return None
    return {
        name: EffectiveValue(epoch["config"][name], ValueSource.HOLDOUT, value.version)
        for name, value in values.items()
        if name in epoch["config"]
    }


def _leg(tx: Tx, experiment: Row) -> LegInForce:
    """Return the leg of an experiment that tasks are assigned in now."""
    version = experiment["control_version"]
    if experiment["state"] == ExperimentState.RUNNING:
        return LegInForce(experiment["salt"], 0, experiment["started_at_us"], version)
    row = sql.find(tx, tables.probation, experiment_id=experiment["id"])
    assert row is not None  # noqa: S101 (the state says so; both are written together)
    return LegInForce(row["salt"], row["first_ordinal"], row["started_at_us"], version + 1)


def _place(tx: Tx, experiment: Row, leg: LegInForce, *, task_id: int, agent_id: int, seed: str) -> Placement:
    """Return the task's unit: itself, or the window of its agent or of the platform that is open now.

    The first task of a window draws its arm; the others share it, whatever the share is by then. An award
    that comes after its window was bet on opens a unit of its own.
    """
    key = str(task_id)
    if experiment["scope"] != ExperimentScope.TASK:
        window = (tx.now_us - leg.started_at_us) // experiment["window_us"]
        is_agent = experiment["scope"] == ExperimentScope.AGENT
        key = f"agent:{agent_id}:{window}" if is_agent else f"window:{window}"
        opened = config.open_unit(tx, experiment["id"], leg.first_ordinal, key)
        if opened is not None and not opened["is_folded"]:
            return Placement(opened["unit"], opened["arm"], opened["share"])
    unit, share = f"{key}:{seed}", experiment["treatment_share"]
    return Placement(unit, assignment.arm_of(leg.salt, unit, share), share)


def _expose(tx: Tx, experiment: Row, placement: Placement, task: Row, *, value: str, stratum: str) -> None:
    sql.insert(
        tx,
        tables.exposure,
        experiment_id=experiment["id"],
        task_id=task["id"],
        unit=placement.unit,
        ordinal=experiment["assigned_count"],
        arm=placement.arm,
        share=placement.share,
        value=value,
        stratum=stratum,
        cost_microcredits=task["reserve_price_microcredits"],
        is_folded=False,
        assigned_at_us=tx.now_us,
    )
    config.count_assignment(tx, experiment["id"])
