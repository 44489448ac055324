"""Which values a task gets: holdout, arms of running experiments, production; fixed at its first award.

Stands between the award and the sandbox. The arm is a pure function of (salt of the leg, unit), and the unit
ends with digits drawn at the award, so that an agent that has learned the salt from past arms still cannot
bid by arm. A task of the holdout is in no experiment. It never reads an outcome.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

from services.domain import assignment
from services.domain.auction import AwardRule
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
    """What was randomised together with a task: its unit, the unit's arm and the share π that applied.

    `opens` names the window that this draw opens, "" where it was open already.
    """

    unit: str
    arm: int
    share: float
    opens: str = ""


@dataclass(frozen=True, slots=True)
class LegInForce:
    """What assignment needs of a leg; `version` is that of the value in force while it runs."""

    salt: str
    first_ordinal: int
    started_at_us: int
    version: int


@dataclass(slots=True)
class OnTrial:
    """An experiment that tasks are assigned in now, its leg, and how many it has assigned."""

    row: Row
    leg: LegInForce
    assigned: int

    @property
    def is_shared(self) -> bool:
        """Tell whether strata are task types: a placebo, or a change that touches the whole platform."""
        is_placebo = self.row["kind"] == ExperimentKind.PLACEBO
        return bool(is_placebo or self.row["scope"] == ExperimentScope.PLATFORM)

    def concerns(self, task: Row, *, has_agent: bool) -> bool:
        """Tell whether the task is assigned in it; before there is a winner, only what needs no agent is."""
        is_about: bool = self.row["kind"] == ExperimentKind.PLACEBO or self.row["task_type"] == task["type"]
        return is_about and (has_agent or bool(self.row["scope"] == ExperimentScope.PLATFORM))

    def value_of(self, placement: Placement) -> str:
        """Return the value of the placement's arm."""
        treated = placement.arm == assignment.TREATMENT
        return str(self.row["treatment_value"] if treated else self.row["control_value"])


class Assigner:
    """Assigns the tasks of one batch of awards; what it drew is written by `write`.

    The experiments that bet on any of `task_types` are held, in order of id, until the transaction ends.
    """

    def __init__(self, tx: Tx, task_types: Collection[str]) -> None:
        self._tx = tx
        self._production = production_config.of_types(tx, task_types)
        self._epoch = config.epoch_now(tx)
        self._experiments = [
            OnTrial(row, _leg(tx, row), row["assigned_count"]) for row in config.betting_on(tx, task_types)
        ]
        self._opened: dict[tuple[int, str], Placement] = {}
        self._exposures: list[dict[str, object]] = []

    def award_rule(self, task: Row, *, seed: str) -> AwardRule:
        """Return the award rule in force for a task that is about to be awarded under `seed`.

        A trial of the rule itself assigns the task here, before anybody has won it; the same draw stands when
        the award is written.
        """
        fixed = task["effective_values"]
        name = f"{task['type']}.award_rule"
        if fixed is None:
            value = self._values(task, agent_id=None, seed=seed[:SEED_DIGITS])[0].get(name)
            return AwardRule(int(value.value)) if value else AwardRule.COOLED
        return AwardRule(int(fixed[name]["value"])) if name in fixed else AwardRule.COOLED

    def assign(self, task: Row, *, agent_id: int, seed: str) -> Assignment:
        """Return every value in force for a task and note its exposure to each experiment that bets on it.

        Called once per task, at its first award to `agent_id`; retries and take-overs keep what is fixed
        here. Until a task is paid its exposure bears its reserve price, the most it may cost. Meta-tasks are
        neither held out nor experimented on.
        """
        values, is_holdout = self._values(task, agent_id=agent_id, seed=seed[:SEED_DIGITS])
        return Assignment(values, is_holdout)

    def write(self) -> None:
        """Write the exposures and how many each experiment has assigned."""
        sql.insert_many(self._tx, tables.exposure, self._exposures)
        counted = [
            {"id": trial.row["id"], "assigned_count": trial.assigned}
            for trial in self._experiments
            if trial.assigned != trial.row["assigned_count"]
        ]
        sql.update_many(self._tx, tables.experiment, ("id",), counted)

    def _values(
        self, task: Row, *, agent_id: int | None, seed: str
    ) -> tuple[dict[str, EffectiveValue], bool]:
        """Return the values in force and whether the task is held out; without an agent nothing is noted."""
        values = dict(self._production[task["type"]])
        if task["kind"] != TaskKind.USER:
            return values, False
        held_out = self._held_out(f"{task['id']}:{seed}", values)
        if held_out is not None:
            return {**values, **held_out}, True
        for trial in self._experiments:
            if not trial.concerns(task, has_agent=agent_id is not None):
                continue
            placement = self._place(trial, task_id=task["id"], agent_id=agent_id, seed=seed)
            value = trial.value_of(placement)
            if agent_id is not None:
                self._expose(trial, placement, task, value=value, agent_id=agent_id)
            if trial.row["kind"] != ExperimentKind.PLACEBO:
                values[trial.row["parameter"]] = EffectiveValue(
                    value, ValueSource.ARM, trial.leg.version, placement.arm, trial.row["id"]
                )
        return values, False

    def _held_out(self, unit: str, values: dict[str, EffectiveValue]) -> dict[str, EffectiveValue] | None:
        """Return the epoch's starting values where the unit is held out, None where it is not."""
        epoch = self._epoch
        if epoch is None or not assignment.arm_of(epoch["salt"], unit, epoch["share"]):
            return None
        return {
            name: EffectiveValue(epoch["config"][name], ValueSource.HOLDOUT, value.version)
            for name, value in values.items()
            if name in epoch["config"]
        }

    def _place(self, trial: "OnTrial", *, task_id: int, agent_id: int | None, seed: str) -> Placement:
        """Return the task's unit: itself, or the window of its agent or of the platform that is open now.

        The first task of a window draws its arm; the others share it, whatever the share is by then. An award
        that comes after its window was bet on opens a unit of its own.
        """
        experiment, leg = trial.row, trial.leg
        key = str(task_id)
        if experiment["scope"] != ExperimentScope.TASK:
            window = (self._tx.now_us - leg.started_at_us) // experiment["window_us"]
            is_agent = experiment["scope"] == ExperimentScope.AGENT
            key = f"agent:{agent_id}:{window}" if is_agent else f"window:{window}"
            if (experiment["id"], key) in self._opened:
                return self._opened[experiment["id"], key]
            opened = config.open_unit(self._tx, experiment["id"], leg.first_ordinal, key)
            if opened is not None and not opened["is_folded"]:
                return Placement(opened["unit"], opened["arm"], opened["share"])
        unit, share = f"{key}:{seed}", experiment["treatment_share"]
        return Placement(unit, assignment.arm_of(leg.salt, unit, share), share, key)

    def _expose(
        self, trial: "OnTrial", placement: Placement, task: Row, *, value: str, agent_id: int
    ) -> None:
        experiment = trial.row
        if experiment["scope"] != ExperimentScope.TASK and placement.opens:
            self._opened[experiment["id"], placement.opens] = replace(placement, opens="")
        self._exposures.append(
            {
                "experiment_id": experiment["id"],
                "task_id": task["id"],
                "unit": placement.unit,
                "ordinal": trial.assigned,
                "arm": placement.arm,
                "share": placement.share,
                "value": value,
                "stratum": task["type"] if trial.is_shared else f"agent:{agent_id}",
                "cost_microcredits": task["reserve_price_microcredits"],
                "is_folded": False,
                "assigned_at_us": self._tx.now_us,
            }
        )
        trial.assigned += 1


def _leg(tx: Tx, experiment: Row) -> LegInForce:
    """Return the leg of an experiment that tasks are assigned in now."""
    version = experiment["control_version"]
    if experiment["state"] == ExperimentState.RUNNING:
        return LegInForce(experiment["salt"], 0, experiment["started_at_us"], version)
    row = sql.find(tx, tables.probation, experiment_id=experiment["id"])
    assert row is not None  # noqa: S101 (the state says so; both are written together)
    return LegInForce(row["salt"], row["first_ordinal"], row["started_at_us"], version + 1)
