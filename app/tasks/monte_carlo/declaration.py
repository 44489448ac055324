"""The task type `monte_carlo`: its payload, parameters and what the platform holds back (the checking seed).
Light: pydantic only. It never draws a number.
"""

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

Price = Annotated[float, Field(gt=0, le=1e6)]
DRAWS_MAX = 50_000_000


class EuropeanOption(Payload):
    """Discounted expected payoff of a European option under geometric Brownian motion."""

    name: Literal["european_option"]
    kind: Literal["call", "put"] = "call"
    spot: Price
    strike: Price
    rate_per_year: Annotated[float, Field(ge=-0.5, le=0.5)]
    volatility_per_root_year: Annotated[float, Field(gt=0, le=2)]
    maturity_years: Annotated[float, Field(gt=0, le=30)]

    @property
    def dimension(self) -> int:
        """Draws one sample takes."""
        return 1


class AsianOption(Payload):
    """Discounted expected payoff of an arithmetic-average call under geometric Brownian motion."""

    name: Literal["asian_option"]
    spot: Price
    strike: Price
    rate_per_year: Annotated[float, Field(ge=-0.5, le=0.5)]
    volatility_per_root_year: Annotated[float, Field(gt=0, le=2)]
    maturity_years: Annotated[float, Field(gt=0, le=30)]
    steps: Annotated[int, Field(ge=2, le=365)]

    @property
    def dimension(self) -> int:
        """Draws one sample takes."""
        return self.steps


class Block(Payload):
    """A part of a system that works while at least `needed` of its `components` work."""

    needed: Annotated[int, Field(ge=1, le=50)]
    components: Annotated[int, Field(ge=1, le=50)]
    component_reliability: Annotated[float, Field(gt=0, lt=1)]

    @model_validator(mode="after")
    def _enough_components(self) -> "Block":
        if self.needed > self.components:
            raise ValueError("needed is more than components")
        return self


class SystemReliability(Payload):
    """Probability that a series of k-of-n blocks works (1-of-n is parallel, n-of-n is series)."""

    name: Literal["system_reliability"]
    blocks: Annotated[tuple[Block, ...], Field(min_length=1, max_length=20)]

    @property
    def dimension(self) -> int:
        """Draws one sample takes."""
        return sum(block.components for block in self.blocks)


class PiIntegral(Payload):
    """Pi as four times the probability that a point of the unit square lies in the quarter disc."""

    name: Literal["pi_integral"]

    @property
    def dimension(self) -> int:
        """Draws one sample takes."""
        return 2


class GaussianIntegral(Payload):
    """The integral of exp(−|x|²) over the unit cube."""

    name: Literal["gaussian_integral"]
    dimensions: Annotated[int, Field(ge=1, le=20)]

    @property
    def dimension(self) -> int:
        """Draws one sample takes."""
        return self.dimensions


Model = EuropeanOption | AsianOption | SystemReliability | PiIntegral | GaussianIntegral

EXAMPLE: dict[str, Any] = {
    "model": {
        "name": "european_option",
        "kind": "call",
        "spot": 100.0,
        "strike": 105.0,
        "rate_per_year": 0.03,
        "volatility_per_root_year": 0.2,
        "maturity_years": 1.0,
    },
    "samples": 600_000,
    "seed": 7,
}


class MonteCarloPayload(Payload):
    """Estimate the expectation of `model` from about `samples` samples."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    model: Annotated[Model, Field(discriminator="name")]
    samples: Annotated[int, Field(ge=1_000, le=5_000_000, description="samples asked for")]
    minimum_samples: Annotated[int | None, Field(ge=100, le=5_000_000)] = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0

    @model_validator(mode="after")
    def _affordable(self) -> "MonteCarloPayload":
        if self.samples * self.model.dimension > DRAWS_MAX:
            raise ValueError(f"samples × draws per sample must not exceed {DRAWS_MAX}")
        if self.minimum_samples is not None and self.minimum_samples > self.samples:
            raise ValueError("minimum_samples is more than samples")
        return self


def prepare(payload: dict[str, Any]) -> PreparedTask:
    """Agents get a seed derived one way from the requester's; the checking seed stays with the platform."""
    task = MonteCarloPayload.model_validate(payload)
    public = task.model_dump(mode="json")
    public["seed"] = derived_seed("monte_carlo.work", task.seed)
    public["minimum_samples"] = task.minimum_samples or max(100, task.samples // 10)
    return PreparedTask(public, {"check_seed": derived_seed("monte_carlo.check", task.seed)})


MONTE_CARLO = TaskType(
    name="monte_carlo",
    summary="Estimate an expectation of a named model by sampling, with its standard error.",
    payload_model=MonteCarloPayload,
    prepare=prepare,
    tool="app.tasks.monte_carlo.tool:run",
    verifier="app.tasks.monte_carlo.verifier:verify",
    parameters=(timeout_parameter(30.0), reserve_price_parameter(200_000)),
    example=EXAMPLE,
    known_answers="app.tasks.monte_carlo.known_answers:known_case",
)
