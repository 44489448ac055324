"""What an investigator can learn of tasks, parameters and experiments over the API, as plain facts.

Reading only, with any key, as anyone could. It never draws a conclusion: `diagnosis` and the voters' rules
do.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any

from app.agents.client import ApiProblem, JsonObject, NacreClient

PAGES = 2
SINGLE_READS_MAX = 40
FEW_FAILURES = 20


class TaskState(StrEnum):
    """The ends of a task, as the contract names them."""

    SETTLED = "settled"
    FAILED = "failed"
    EXPIRED = "expired"


class EndReason(StrEnum):
    """Why a task failed, as far as the agents tell reasons apart."""

    TIMED_OUT = "timed_out"
    VERIFICATION_FAILED = "verification_failed"
    UNKNOWN = "unknown"


class Risk(StrEnum):
    """Who may change a parameter."""

    OPEN = "open"
    GATED = "gated"
    FIXED = "fixed"


@dataclass(frozen=True, slots=True)
class TaskFact:
    """One ended user task: how it ended, how long it took, who did it, the values in force for it."""

    task_id: int
    type: str
    state: str
    end_reason: str
    duration_seconds: float | None
    agent_id: int | None
    reserve_price_microcredits: int
    values: Mapping[str, float]

    @property
    def is_failure(self) -> bool:
        """Whether the task was tried, or waited for, in vain."""
        return self.state != TaskState.SETTLED


@dataclass(frozen=True, slots=True)
class ParameterFact:
    """One setting: its value, its bounds, the largest factor of one change, and who may change it."""

    name: str
    value: float
    low: float
    high: float
    step_max: float
    unit: str
    risk: str

    @property
    def is_time_limit(self) -> bool:
        """Whether this is the time that tasks of a type are allowed."""
        return self.unit == "seconds" and self.name.partition(".")[2].startswith("timeout")

    @property
    def task_type(self) -> str:
        """The task type that it governs (what stands before the first dot)."""
        return self.name.partition(".")[0]


ROLLED_BACK = "rolled_back"


@dataclass(frozen=True, slots=True)
class Attempted:
    """A change that was tried, or is being tried, and how it ended.

    `verdict` is the trial's, None while it runs; `rolled_back` when its win did not hold in production.
    """

    parameter: str
    value: float
    verdict: str | None


def task_fact(task: Mapping[str, Any]) -> TaskFact:
    """The facts in a Task of the contract."""
    return TaskFact(
        task_id=int(task["task_id"]),
        type=str(task["type"]),
        state=str(task["state"]),
        end_reason=str(task.get("end_reason") or EndReason.UNKNOWN),
        duration_seconds=_number(task.get("duration_seconds")),
        agent_id=task.get("awarded_agent_id"),
        reserve_price_microcredits=int(task.get("reserve_price_microcredits") or 0),
        values=_values(task.get("parameters") or {}),
    )


def parameter_fact(parameter: Mapping[str, Any]) -> ParameterFact | None:
    """The facts in a parameter of the contract; None for one that is no number."""
    numbers = [_number(parameter.get(name)) for name in ("value", "low", "high", "step_max")]
    value, low, high, step_max = numbers
    if value is None or low is None or high is None or step_max is None:
        return None
    unit, risk = str(parameter.get("unit", "")), str(parameter.get("risk", Risk.FIXED))
    return ParameterFact(str(parameter["name"]), value, low, high, step_max, unit, risk)


def ended_tasks(
    client: NacreClient, *, ended_after: str | None, task_type: str | None = None
) -> list[TaskFact]:
    """User tasks that ended (settled, failed, expired) since `ended_after`, each state's newest first."""
    facts = []
    for state in TaskState:
        found = client.items(
            "/tasks", pages=PAGES, kind="user", state=str(state), type=task_type, ended_after=ended_after
        )
        facts += [task_fact(task) for task in found]
    return facts


def tasks_by_id(client: NacreClient, task_ids: Iterable[int]) -> tuple[list[TaskFact], list[int]]:
    """The facts of these tasks, read one by one, and the ids of those that do not exist."""
    found, missing = [], []
    for task_id in task_ids:
        try:
            found.append(task_fact(client.get(f"/tasks/{task_id}")))
        except ApiProblem as problem:
            if problem.status != HTTPStatus.NOT_FOUND:
                raise
            missing.append(task_id)
    return found, missing


def around_an_episode(
    client: NacreClient, payload: Mapping[str, Any], keep_alive: Callable[[], None]
) -> list[TaskFact]:
    """The tasks of an investigation's window and their peers; all recent ones when the window holds few
    failures; and the failing tasks that the payload names.
    """
    facts = ended_tasks(client, ended_after=payload.get("window_start"))
    keep_alive()
    if sum(fact.is_failure for fact in facts) < FEW_FAILURES:
        facts = ended_tasks(client, ended_after=None)
    keep_alive()
    known = {fact.task_id for fact in facts}
    unread = [task_id for task_id in payload.get("failing_task_ids") or [] if task_id not in known]
    return facts + tasks_by_id(client, unread[:SINGLE_READS_MAX])[0]


def all_parameters(client: NacreClient) -> list[ParameterFact]:
    """Every numeric parameter of the platform."""
    read = (parameter_fact(parameter) for parameter in client.items("/parameters"))
    return [fact for fact in read if fact is not None]


def attempted_changes(client: NacreClient) -> list[Attempted]:
    """Changes of numbers that experiments have tried or are trying, newest first."""
    found = client.items("/experiments", pages=1, limit=100)
    return [attempted_of(one) for one in found if _number(one["treatment_value"]) is not None]


def attempted_of(experiment: Mapping[str, Any]) -> Attempted:
    """One experiment as a change that was tried."""
    is_undone = experiment.get("state") == ROLLED_BACK
    verdict = ROLLED_BACK if is_undone else experiment.get("verdict")
    return Attempted(str(experiment["parameter"]), float(experiment["treatment_value"]), verdict)


def sample_of(task_ids: Sequence[int], size: int = SINGLE_READS_MAX) -> list[int]:
    """At most `size` ids, evenly spaced over the list: the same for everyone who looks."""
    distinct = list(dict.fromkeys(task_ids))
    if len(distinct) <= size:
        return distinct
    return [distinct[index * len(distinct) // size] for index in range(size)]


def _values(parameters: Mapping[str, JsonObject]) -> dict[str, float]:
    read = {name: _number(entry.get("value")) for name, entry in parameters.items()}
    return {name: value for name, value in read.items() if value is not None}


def _number(value: Any) -> float | None:
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError):
        return None
