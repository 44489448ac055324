"""The task type `physics_simulation`: named systems of ordinary differential equations and how well to
solve them. Light: pydantic only. It never integrates.
"""

import math
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

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
RADIANS_MAX = 1_000.0
EXCURSION_MAX = 4.0  # keeps each population between 0.7 % and 690 % of its balance
GREATEST_OVER_BALANCE = 6.9


def _excursion(share_of_balance: float) -> float:
    """What a population that is this multiple of its balance adds to the conserved quantity: r − 1 − ln r."""
    return share_of_balance - 1.0 - math.log(share_of_balance)


class Pendulum(Payload):
    """θ″ = −(g/L) sin θ; state (θ, ω). Energy is conserved."""

    name: Literal["pendulum"]
    length_metres: Annotated[float, Field(ge=0.1, le=100)]
    gravity_metres_per_second2: Annotated[float, Field(ge=0.1, le=30)] = 9.81
    angle_radians: Annotated[float, Field(ge=-3.0, le=3.0)]
    angular_velocity_per_second: Annotated[float, Field(ge=-10, le=10)] = 0.0

    @property
    def rate_per_second(self) -> float:
        """How fast the system moves at its fastest."""
        return math.sqrt(self.gravity_metres_per_second2 / self.length_metres)


class LotkaVolterra(Payload):
    """x′ = ax − bxy, y′ = dxy − cy; state (prey x, predators y). dx − c ln x + by − a ln y is conserved."""

    name: Literal["lotka_volterra"]
    prey_growth: Rate
    predation: Rate
    predator_death: Rate
    conversion: Rate
    prey: Annotated[float, Field(ge=0.01, le=100)]
    predators: Annotated[float, Field(ge=0.01, le=100)]

    @property
    def rate_per_second(self) -> float:
        """How fast the system moves at its fastest, at the greatest numbers it may reach."""
        return GREATEST_OVER_BALANCE * max(self.prey_growth, self.predator_death)

    @model_validator(mode="after")
    def _near_balance(self) -> "LotkaVolterra":
        prey_share = self.prey * self.conversion / self.predator_death
        predator_share = self.predators * self.predation / self.prey_growth
        excursion = self.predator_death * _excursion(prey_share) + self.prey_growth * _excursion(
            predator_share
        )
        if excursion > EXCURSION_MAX * min(self.prey_growth, self.predator_death):
            raise ValueError("the start is too far from balance: the populations would all but die out")
        return self


class Kepler(Payload):
    """A planar orbit in units where GM = 1, started at its nearest point; state (x, y, vx, vy).
    Energy and angular momentum are conserved.
    """

    name: Literal["kepler"]
    semi_major_axis: Annotated[float, Field(ge=0.1, le=100)] = 1.0
    eccentricity: Annotated[float, Field(ge=0, le=0.9)]

    @property
    def rate_per_second(self) -> float:
        """How fast the system moves at its fastest: the angular velocity at the nearest point."""
        nearest = self.semi_major_axis * (1.0 - self.eccentricity)
        return math.sqrt((1.0 + self.eccentricity) / nearest**3)


class DampedOscillator(Payload):
    """x″ = −2ζω₀x′ − ω₀²x; state (x, v). Nothing is conserved: the residual alone is checked."""

    name: Literal["damped_oscillator"]
    natural_frequency_per_second: Rate
    damping_ratio: Annotated[float, Field(ge=0, le=2)]
    position: Annotated[float, Field(ge=-100, le=100)]
    velocity: Annotated[float, Field(ge=-100, le=100)] = 0.0

    @property
    def rate_per_second(self) -> float:
        """How fast the system moves at its fastest."""
        return self.natural_frequency_per_second * max(1.0, 2.0 * self.damping_ratio)


System = Pendulum | LotkaVolterra | Kepler | DampedOscillator

EXAMPLE: dict[str, Any] = {
    "system": {"name": "kepler", "semi_major_axis": 1.0, "eccentricity": 0.5},
    "duration_seconds": 25.0,
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
    tolerance: Annotated[float, Field(ge=1e-8, le=1e-3, description="relative, per interval")] = 1e-7
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0

    @model_validator(mode="after")
    def _affordable(self) -> "PhysicsPayload":
        if self.duration_seconds * self.system.rate_per_second > RADIANS_MAX:
            raise ValueError(f"too many turns: duration × fastest rate must not exceed {RADIANS_MAX:g}")
        return self


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
    known_answers="app.tasks.physics_simulation.known_answers:known_case",
)
