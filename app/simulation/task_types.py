"""The made-up kinds of work of the scenarios: `work_00`, `work_01`, … each with a time limit and dials.

Stands where the built-in task types stand in a served platform, so that a scenario can have as many kinds
and parameters as it needs. A dial is a parameter that does what the scenario's truth says: nothing, mostly.
No tool and no verifier is ever run: agents are scripted, and the stage believes them.
"""

from app.tasks.task_type import JsonObject, ParameterRisk, ParameterSpec, Payload, PreparedTask, TaskType

TIMEOUT = "timeout_seconds"
TIMEOUT_SECONDS = 90.0
DIALS = 4
NOT_RUN = "app.simulation.stage:believe"


def type_name(number: int) -> str:
    """Return the name of the scenario's kind of work with this number."""
    return f"work_{number:02d}"


def dial_name(number: int) -> str:
    """Return the suffix of a kind's dial with this number."""
    return f"dial_{number:02d}"


def made_up_types(kinds: int, dials: int = DIALS) -> dict[str, TaskType]:
    """Return that many kinds of work with that many dials each, by name."""
    return {name: _made_up(name, dials) for name in map(type_name, range(kinds))}


def _made_up(name: str, dials: int) -> TaskType:
    limit = ParameterSpec(
        suffix=TIMEOUT, default=TIMEOUT_SECONDS, low=1.0, high=3600.0, step_max=2.0, unit="seconds",
        risk=ParameterRisk.OPEN, summary="How long an agent may work on one task before it is stopped.",
    )  # fmt: skip
    others = tuple(
        ParameterSpec(
            suffix=dial_name(number), default=1.0, low=0.001, high=1000.0, step_max=2.0, unit="factor",
            risk=ParameterRisk.OPEN, summary="A dial of a simulated kind of work.",
        )
        for number in range(dials)
    )  # fmt: skip
    return TaskType(name, "simulated work", Payload, _prepare, NOT_RUN, NOT_RUN, (limit, *others), {})


def _prepare(payload: JsonObject) -> PreparedTask:
    return PreparedTask(payload, {})
