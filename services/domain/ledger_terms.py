"""What the ledger knows of a parameter: who may change it, within what bounds, by what step.

Stands beside `ledger_votes`: a proposal is held to the declaration that stood in the ledger at its filing, so
that nobody can call a FIXED parameter open for the length of one vote. A declaration changes by an entry of
its own, for all to see. It never judges whether a declaration is wise.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from services.domain.errors import InvalidValueError
from services.domain.ledger_history import CausalityError, LedgerHistory, require_cause
from services.domain.ledger_schema import FLAG, NAMES, TEXT, Entry, EntryRefusedError, Kind, check_fields
from services.domain.parameter_kinds import Kind as ValueKind
from services.domain.parameters import (
    PLATFORM_PARAMETERS,
    Parameter,
    ParameterRegistry,
    Risk,
    canonical_value,
    check_change,
)

DECLARED: Final[dict[str, Kind]] = {
    "risk": Kind("a risk class", lambda value: value in list(Risk)),
    "kind": Kind("a kind of value", lambda value: value in list(ValueKind)),
    "low": TEXT,
    "high": TEXT,
    "step_max": TEXT,
    "is_whole": FLAG,
    "choices": NAMES,
    "length_max": Kind("a length", lambda value: type(value) is int and value >= 0),
}
PLATFORM_AREAS: Final = frozenset(parameter.task_type for parameter in PLATFORM_PARAMETERS)
"""What the platform's own parameters govern: no user task is of these types, no experiment can try them."""


def declaration_of(parameter: Parameter) -> dict[str, Any]:
    """Return the JSON object that the ledger keeps of a parameter's limits."""
    return {
        "risk": str(parameter.risk),
        "kind": str(parameter.kind),
        "low": parameter.low,
        "high": parameter.high,
        "step_max": parameter.step_max,
        "is_whole": parameter.is_whole,
        "choices": list(parameter.choices),
        "length_max": parameter.length_max,
    }


def declare(history: LedgerHistory, name: str, declaration: Mapping[str, Any]) -> None:
    """Note a parameter's declaration; raise CausalityError for one that is none."""
    require_cause(name in history.config, f"{name} is not a registered parameter")
    try:
        check_fields(f"declaration of {name}", declaration, DECLARED)
    except EntryRefusedError as error:
        raise CausalityError(str(error)) from error
    history.declarations[name] = dict(declaration)
    parameter = _parameter(history, name)
    sample = {ValueKind.CHOICE: next(iter(parameter.choices), ""), ValueKind.TEXT: "-"}
    try:
        ParameterRegistry([replace(parameter, default=sample.get(parameter.kind, parameter.low))])
    except InvalidValueError as error:
        raise CausalityError(error.detail) from error


def declared(history: LedgerHistory, entry: Entry) -> None:
    """A parameter's limits are others from here on."""
    declare(history, entry.payload["parameter"], entry.payload["declaration"])


def check_proposed(history: LedgerHistory, payload: Mapping[str, Any]) -> None:
    """Raise CausalityError for a change that its parameter's declaration does not allow a proposal to ask."""
    parameter = _parameter(history, payload["parameter"])
    require_cause(
        parameter.task_type not in PLATFORM_AREAS, f"{parameter.name} governs no task type: none can try it"
    )
    require_cause(payload["risk"] == parameter.risk, f"{parameter.name} is {parameter.risk} as declared")
    try:
        allowed = check_change(parameter, payload["from"], payload["to"])
    except InvalidValueError as error:
        raise CausalityError(error.detail) from error
    require_cause(allowed == payload["to"], f"{payload['to']!a} is not the one spelling of {allowed}")


def check_value(history: LedgerHistory, name: str, value: str) -> None:
    """Raise CausalityError for a person's value that the parameter's declaration does not allow."""
    try:
        allowed = canonical_value(_parameter(history, name), value)
    except InvalidValueError as error:
        raise CausalityError(error.detail) from error
    require_cause(allowed == value, f"{value!a} is not the one spelling of {allowed}")


def _parameter(history: LedgerHistory, name: str) -> Parameter:
    found = history.declarations.get(name)
    if found is None:
        raise CausalityError(f"{name} was never declared")
    return Parameter(
        name,
        default="",
        low=found["low"],
        high=found["high"],
        step_max=found["step_max"],
        unit="",
        owner="",
        risk=Risk(found["risk"]),
        summary="",
        is_whole=found["is_whole"],
        kind=ValueKind(found["kind"]),
        choices=tuple(found["choices"]),
        length_max=found["length_max"],
    )
