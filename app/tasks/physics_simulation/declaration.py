"""The task type `physics_simulation`: named systems of ordinary differential equations and how well to
solve them. Light: pydantic only. It never integrates.
"""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from app.tasks.seeding import derived_seed
from app.tasks.task_type import (
    Payload,
    PreparedTask,
    TaskType,
    reserve_price_parameter,
    timeout_parameter,
)

Rate = Annotated[float, Field(ge=0.01, le=10)]
POINTS_MAX = 200


class Pendulum(Payload):
    """θ″ = −(g/L) sin θ; state (θ, ω). Energy is conserved."""

    name: Literal["pendulum"]
    length_metres: Annotated[float, Field(ge=0.1, le=100)]
    gravity_metres_per_second2: Annotated[float, Field(ge=0.1, le=30)] = 9.81
    angle_radians: Annotated[float, Field(ge=-3.0, le=3.0)]
    angular_velocity_per_second: Annotated[float, Field(ge=-10, le=10)] = 0.0


class LotkaVolterra(Payload):
    """x′ = ax − bxy, y′ = dxy − cy; state (prey x, predators y). dx − c ln x + by − a ln y is conserved."""

    name: Literal["lotka_volterra"]
    prey_growth: Rate
    predation: Rate
    predator_death: Rate
    conversion: Rate
    prey: Annotated[float, Field(ge=0.01, le=100)]
    predators: Annotated[float, Field(ge=0.01, le=100)]


class Kepler(Payload):
    """A planar orbit in units where GM = 1, started at its nearest point; state (x, y, vx, vy).
    Energy and angular momentum are conserved.
    """

    name: Literal["kepler"]
    semi_major_axis: Annotated[float, Field(ge=0.1, le=100)] = 1.0
    eccentricity: Annotated[float, Field(ge=0, le=0.9)]


class DampedOscillator(Payload):
    """x″ = −2ζω₀x′ − ω₀²x; state (x, v). Nothing is conserved: the residual alone is checked."""

    name: Literal["damped_oscillator"]
    natural_frequency_per_second: Rate
    damping_ratio: Annotated[float, Field(ge=0, le=5)]
    position: Annotated[float, Field(ge=-100, le=100)]
    velocity: Annotated[float, Field(ge=-100, le=100)] = 0.0


System = Pendulum | LotkaVolterra | Kepler | DampedOscillator

EXAMPLE: dict[str, Any] = {
    "system": {"name": "kepler", "semi_major_axis": 1.0, "eccentricity": 0.5},
    "duration_seconds": 40.0,
    "points": 120,
    "tolerance": 1e-7,
    "seed": 7,
}


class PhysicsPayload(Payload):
    """Integrate `system`; report its state at `points` equally spaced times from 0 to `duration_seconds`."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    system: Annotated[System, Field(discriminator="name")]
    duration_seconds: Annotated[float, Field(gt=0, le=200)]
    points: Annotated[int, Field(ge=10, le=POINTS_MAX)] = 120
    tolerance: Annotated[float, Field(ge=1e-9, le=1e-3, description="relative, per interval")] = 1e-7
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0


def prepare(payload: dict[str, Any]) -> PreparedTask:
    """Agents get everything but the seed from which the platform picks the intervals it looks at."""
    task = PhysicsPayload.model_validate(payload)
    public = task.model_dump(mode="json", exclude={"seed"})
    return PreparedTask(public, {"check_seed": derived_seed("physics.check", task.seed)})


PHYSICS_SIMULATION = TaskType(
    name="physics_simulation",
    summary="Integrate a named system of ordinary differential equations to a tolerance.",
    payload_model=PhysicsPayload,
    prepare=prepare,
    tool="app.tasks.physics_simulation.tool:run",
    verifier="app.tasks.physics_simulation.verifier:verify",
    parameters=(timeout_parameter(30.0), reserve_price_parameter(200_000)),
    example=EXAMPLE,
)
