"""The platform's side of `physics_simulation`: does the reported trajectory obey the equation?
Between reported points picked at random it integrates again, tightly, and it looks at what must be conserved.
A state far from a run of the platform's own is refused before anything is computed from it.
"""

import random
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from app.tasks.deadline import Deadline, DeadlinePassedError
from app.tasks.physics_simulation.declaration import POINTS_MAX, PhysicsPayload
from app.tasks.physics_simulation.systems import Equations, IntegrationError, States, equations, integrated
from app.tasks.seeding import derived_seed
from app.tasks.task_type import Fetch, Verification
from app.tasks.verification import Result, read_result, refused, verified

INTERVALS_CHECKED = 6
REFERENCE_TOLERANCE = 1e-9
RESIDUAL_TOLERANCE = 1e-12
CONSERVATION_FACTOR = 20.0  # drift allowed over the whole run, in tolerances
PATIENCE_SECONDS = 5.0
Number = Annotated[float, Field(ge=-1e6, le=1e6)]


class PhysicsResult(Result):
    """What a worker hands in: times and one state (2 to 4 numbers) for each."""

    times: Annotated[list[Number], Field(min_length=1, max_length=POINTS_MAX)]
    states: Annotated[
        list[Annotated[list[Number], Field(min_length=1, max_length=4)]],
        Field(min_length=1, max_length=POINTS_MAX),
    ]


def verify(public: dict[str, Any], private: dict[str, Any], result: object, fetch: Fetch) -> Verification:
    """Accept a trajectory whose residual and drift stay within the tolerance asked for."""
    del fetch  # nothing outside is needed
    claim = read_result(PhysicsResult, result)
    if isinstance(claim, Verification):
        return claim
    task = PhysicsPayload.model_validate(public)
    system = equations(task.system)
    wrong_shape = _wrong_shape(task, system, claim)
    if wrong_shape is not None:
        return wrong_shape
    seed = derived_seed("physics.verify", private["check_seed"], claim.model_dump())
    try:
        return _judged(task, system, np.asarray(claim.states, dtype=np.float64), seed)
    except (IntegrationError, DeadlinePassedError) as error:
        return refused("cannot_check", f"the platform's own integration stopped: {error}")


def _grid(task: PhysicsPayload) -> list[float]:
    return [float(time) for time in np.linspace(0.0, task.duration_seconds, task.points)]


def _wrong_shape(task: PhysicsPayload, system: Equations, claim: PhysicsResult) -> Verification | None:
    width = len(system.initial)
    if len(claim.times) != task.points or len(claim.states) != task.points:
        return refused("wrong_length", f"result.times and result.states must have {task.points} entries")
    if any(len(state) != width for state in claim.states):
        return refused("wrong_width", f"every entry of result.states must have {width} numbers")
    if not np.allclose(claim.times, _grid(task), rtol=0.0, atol=1e-9 * task.duration_seconds):
        return refused("wrong_times", "result.times are not the equally spaced times asked for")
    if not np.allclose(claim.states[0], system.initial, rtol=0.0, atol=1e-9):
        return refused("wrong_start", "result.states.0 is not the initial state")
    return None


def _judged(task: PhysicsPayload, system: Equations, states: States, seed: int) -> Verification:
    times, deadline = _grid(task), Deadline(PATIENCE_SECONDS)
    reference = integrated(system.slope, system.initial, times, REFERENCE_TOLERANCE, deadline.check)
    scale = np.abs(reference).max(axis=0) + 1e-9
    distance = float((np.abs(states - reference) / scale).max())
    if distance > max(0.05, 1e3 * task.tolerance):
        return refused("far_from_reference", "the trajectory leaves the platform's own", distance=distance)
    residual = max(
        _residual(system, times[index : index + 2], states[index : index + 2], scale, deadline)
        for index in random.Random(seed).sample(range(len(times) - 1), min(INTERVALS_CHECKED, len(times) - 1))
    )
    drift = _drift(system, states, reference)
    measures = {"residual": residual, "drift": drift, "distance": distance, "tolerance": task.tolerance}
    if residual > task.tolerance:
        return refused("residual", f"{residual:.2g} per interval, {task.tolerance:.2g} allowed", **measures)
    if drift > CONSERVATION_FACTOR * task.tolerance:
        return refused("not_conserved", f"a conserved quantity drifts by {drift:.2g}", **measures)
    return verified("the equation holds between the points and what is conserved stays", **measures)


def _residual(
    system: Equations, times: list[float], pair: States, scale: States, deadline: Deadline
) -> float:
    """How far the second state is from where the equation takes the first, relative to the run's size."""
    reached = integrated(system.slope, pair[0].tolist(), times, RESIDUAL_TOLERANCE, deadline.check)[-1]
    return float((np.abs(reached - pair[1]) / scale).max())


def _drift(system: Equations, states: States, reference: States) -> float:
    """Largest change of a conserved quantity, relative to its size (or to 1 where that is smaller)."""
    quantities = system.conserved(states)
    if quantities.size == 0:
        return 0.0
    size = np.maximum(np.abs(system.conserved(reference)).max(axis=1), 1.0)
    return float((np.abs(quantities - quantities[:, :1]).max(axis=1) / size).max())
