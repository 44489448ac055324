"""The worker's side of `physics_simulation`: integrate and report the trajectory. Run by agents.
A thrifty worker integrates with a looser tolerance than the one it was asked for.
"""

from typing import Any

import numpy as np

from app.tasks.deadline import Deadline
from app.tasks.physics_simulation.declaration import PhysicsPayload
from app.tasks.physics_simulation.systems import equations, integrated

MARGIN = 0.002  # a careful worker integrates this much tighter than asked, for what interpolation adds
LOOSENESS_DECADES = 3.6  # how much looser, in powers of ten, no effort at all would be


def run(payload: dict[str, Any], effort: float, deadline_seconds: float) -> dict[str, Any]:
    """Integrate the payload's system: {times, states}, one state a time.

    Raises:
        pydantic.ValidationError: the payload does not fit.
        DeadlinePassedError: not done in time.
        IntegrationError: the solver gave up.
    """
    deadline = Deadline(deadline_seconds)
    task = PhysicsPayload.model_validate(payload)
    system = equations(task.system)
    times = np.linspace(0.0, task.duration_seconds, task.points).tolist()
    looseness = 10.0 ** (LOOSENESS_DECADES * (1.0 - min(1.0, effort)))
    tolerance = min(1e-2, task.tolerance * MARGIN * looseness)
    states = integrated(system.slope, system.initial, times, tolerance, deadline.check)
    deadline.check()
    return {"times": times, "states": states.tolist()}
