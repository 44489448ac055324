"""What a task type is: schema of the payload, tool, verifier, parameters. Everything that is asked for in the
market has one of these. Tool and verifier are dotted paths, resolved when first used: a registry of types is
cheap to import. A task type never decides who does the work nor what it pays.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

from pydantic import BaseModel, ConfigDict

from app.lazy import load

JsonObject: TypeAlias = dict[str, Any]
Fetch: TypeAlias = Callable[[str], bytes]
Tool: TypeAlias = Callable[[JsonObject, float, float], JsonObject]


class Payload(BaseModel):
    """Base of payload models: unknown fields and non-finite numbers are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ParameterRisk(StrEnum):
    """Who may change a parameter."""

    OPEN = "open"  # the loop may promote a new value by evidence
    GATED = "gated"  # a person confirms


@dataclass(frozen=True, slots=True)
class ParameterSpec:
    """A setting of a task type, in full `<type>.<suffix>`. An int default means whole numbers only."""

    suffix: str
    default: float
    low: float
    high: float
    step_max: float  # largest factor by which one change may multiply or divide the value
    unit: str
    risk: ParameterRisk
    summary: str
    layer: str = ""  # settings of one layer are coupled: never on trial together; "" is the type's own layer
    payload_field: str | None = None  # this field takes the value in force where the requester left it empty


@dataclass(frozen=True, slots=True)
class PreparedTask:
    """A payload split in what agents see and what the platform holds back for its verifier."""

    public: JsonObject
    private: JsonObject


@dataclass(frozen=True, slots=True)
class Verification:
    """What a verifier found. `reason` is `<code>: <sentence>`; `measures` are finite numbers or texts."""

    is_verified: bool
    reason: str
    measures: dict[str, float | str] = field(default_factory=dict)

    @property
    def code(self) -> str:
        """The machine-readable head of the reason."""
        return self.reason.partition(":")[0]


@dataclass(frozen=True, slots=True)
class KnownCase:
    """A result whose worth is known beyond doubt, by other means than the verifier's own; `name` says why."""

    name: str
    public: JsonObject
    private: JsonObject
    result: JsonObject
    is_good: bool


KnownCases: TypeAlias = Callable[[int, bool], KnownCase]
Verifier: TypeAlias = Callable[[JsonObject, JsonObject, object, Fetch], Verification]


@dataclass(frozen=True, slots=True)
class TaskType:
    """One kind of work. `prepare` raises pydantic.ValidationError for a payload that does not fit."""

    name: str
    summary: str
    payload_model: type[BaseModel]
    prepare: Callable[[JsonObject], PreparedTask]
    tool: str  # dotted path of (payload, effort in (0, 1], deadline_seconds) -> result
    verifier: str  # dotted path of (public, private, result, fetch) -> Verification
    parameters: tuple[ParameterSpec, ...]
    example: JsonObject
    known_answers: str = ""  # dotted path of (number, is_good) -> KnownCase; "": its verifier is not probed

    def load_tool(self) -> Tool:
        """The tool, importing what it needs now. Raises app.lazy.LazyLoadError."""
        tool: Tool = load(self.tool)
        return tool

    def load_verifier(self) -> Verifier:
        """The verifier, importing what it needs now. Raises app.lazy.LazyLoadError."""
        verifier: Verifier = load(self.verifier)
        return verifier

    def load_known_cases(self) -> KnownCases:
        """What gives known cases by number, importing what it needs now. Raises app.lazy.LazyLoadError."""
        cases: KnownCases = load(self.known_answers)
        return cases

    def with_values_in_force(self, payload: JsonObject, values: Mapping[str, float]) -> JsonObject:
        """The payload with empty fields filled from parameter values, keyed by suffix or by full name."""
        filled = dict(payload)
        for spec in self.parameters:
            if spec.payload_field is None or filled.get(spec.payload_field) is not None:
                continue
            value = values.get(spec.suffix, values.get(f"{self.name}.{spec.suffix}"))
            if value is not None:
                filled[spec.payload_field] = int(value) if isinstance(spec.default, int) else value
        return filled


def timeout_parameter(default_seconds: float) -> ParameterSpec:
    """The setting every type has: how long an agent may work on one task before it is stopped."""
    return ParameterSpec(
        suffix="timeout_seconds",
        default=default_seconds,
        low=0.1,
        high=3600.0,
        step_max=2.0,
        unit="seconds",
        risk=ParameterRisk.OPEN,
        summary="How long an agent may work on one task before it is stopped.",
    )


def reserve_price_parameter(default_microcredits: int) -> ParameterSpec:
    """The setting every type has: what a task is worth at most when the requester names no price."""
    return ParameterSpec(
        suffix="reserve_price_microcredits",
        default=default_microcredits,
        low=1_000,
        high=1_000_000_000,
        step_max=2.0,
        unit="microcredits",
        risk=ParameterRisk.GATED,
        summary="Reserve price of a task whose requester names none.",
    )
