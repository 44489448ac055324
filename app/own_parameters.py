"""An operator's own parameters: declared in a TOML file, checked, and registered beside the platform's.

Stands beside the composition root. `NACRE_PARAMETERS` names the file; each section `[task_type.name]` is one
parameter of that task type. Whatever is not exactly right is refused with file, section, key and what would
be right. It never sets a value in force: a parameter's default only matters the first time.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NoReturn

from app.toml_text import TomlRefusedError, read_toml
from services.domain.errors import InvalidValueError, NacreError
from services.domain.parameter_kinds import LENGTH_MAX, Kind
from services.domain.parameters import PLATFORM_PARAMETERS, Parameter, ParameterRegistry, Risk

BYTES_HIGHEST: Final = 262_144
NAME_LENGTH_MAX: Final = 96
LINE_LENGTH_MAX: Final = 400
SHOWN_LENGTH: Final = 80
STEP_MAX: Final = "2"
"""By what factor one change may move a number whose section names none."""
PLATFORM_AREAS: Final = frozenset(one.task_type for one in PLATFORM_PARAMETERS)
_PART: Final = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)
_EVERY_KIND: Final = {"kind": str, "default": object, "risk": str, "owner": str, "summary": str}
_OF_KIND: Final[Mapping[Kind, Mapping[str, type]]] = {
    Kind.NUMBER: {"low": object, "high": object, "step_max": object, "unit": str, "whole": bool},
    Kind.DURATION: {"low": object, "high": object, "step_max": object},
    Kind.CHOICE: {"choices": list},
    Kind.TEXT: {"length_max": int},
}
_NEEDED: Final[Mapping[Kind, tuple[str, ...]]] = {
    Kind.NUMBER: ("default", "low", "high", "unit"),
    Kind.DURATION: ("default", "low", "high"),
    Kind.CHOICE: ("default", "choices"),
    Kind.TEXT: ("default",),
}
_UNITS: Final = {Kind.NUMBER: "", Kind.DURATION: "seconds", Kind.CHOICE: "word", Kind.TEXT: "text"}
_WORDS: Final = {
    str: "a string in quotes",
    bool: "true or false",
    int: "a whole number",
    list: "a list of strings",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a file something is wrong."""

    file: str
    table: str = ""
    key: str = ""

    def refuse(self, why: str) -> NoReturn:
        """Raise InvalidValueError that names file, table and key."""
        table = f" [{self.table}]" if self.table else ""
        key = f" {self.key}" if self.key else ""
        field = ".".join(part for part in (self.table, self.key) if part)
        raise InvalidValueError(
            f"{self.file}:{table}{key}: {why}", field=field or "file", code="own_parameters_invalid"
        )


def registry_with_own(registry: ParameterRegistry, file: Path | None) -> ParameterRegistry:
    """Return the registry with the parameters of `file` besides; InvalidValueError names what is wrong."""
    if file is None:
        return registry
    own: list[Parameter] = []
    for place, parameter in read_own_parameters(file):
        try:
            ParameterRegistry([*registry, *own, parameter])
        except NacreError as error:
            key = error.field if error.field in {*_EVERY_KIND, *_OF_KIND[parameter.kind]} else ""
            Place(place.file, place.table, key or "").refuse(error.detail)
        own.append(parameter)
    return ParameterRegistry([*registry, *own])


def read_own_parameters(file: Path) -> list[tuple[Place, Parameter]]:
    """Return the parameters that a file declares, with the place of each; nothing is registered."""
    here = Place(str(file))
    return [
        (here_of, _parameter(here_of, section))
        for area, sections in _document(here, file).items()
        for here_of, section in _sections(here, area, sections)
    ]


def _document(here: Place, file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as opened:
            content = opened.read(BYTES_HIGHEST + 1)
    except OSError as error:
        here.refuse(f"cannot be read: {error.strerror}")
    if len(content) > BYTES_HIGHEST:
        here.refuse(f"is larger than {BYTES_HIGHEST} bytes")
    try:
        return read_toml(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        here.refuse(f"is not UTF-8 at byte {error.start}")
    except TomlRefusedError as error:
        Place(here.file, error.table, error.key).refuse(error.why)


def _sections(here: Place, area: str, sections: object) -> Iterable[tuple[Place, dict[str, Any]]]:
    if not isinstance(sections, dict) or not _PART.fullmatch(area):
        Place(here.file, area[:NAME_LENGTH_MAX]).refuse(
            "parameters stand in sections like [my_type.prompt]: lower-case letters, digits and _, one dot"
        )
    if area in PLATFORM_AREAS:
        Place(here.file, area).refuse(
            "these are the platform's own parameters; begin with a task type's name"
        )
    for name, section in sections.items():
        place = Place(here.file, f"{area}.{name}"[:NAME_LENGTH_MAX])
        if not _PART.fullmatch(name) or len(f"{area}.{name}") > NAME_LENGTH_MAX:
            place.refuse(f"a name is lower-case letters, digits and _, {NAME_LENGTH_MAX} characters at most")
        if not isinstance(section, dict) or any(isinstance(one, dict) for one in section.values()):
            place.refuse("a parameter is one section like [my_type.prompt], with nothing nested in it")
        yield place, section


def _parameter(place: Place, section: Mapping[str, Any]) -> Parameter:
    kind = _one_of(place, "kind", section, Kind)
    risk = _one_of(place, "risk", section, Risk)
    known = {**_EVERY_KIND, **_OF_KIND[kind]}
    for key, value in section.items():
        at = Place(place.file, place.table, key[:NAME_LENGTH_MAX])
        if key not in known:
            at.refuse(f"is no key of a {kind} parameter; it has {', '.join(known)}")
        _check_type(at, value, known[key])
    for key in ("owner", "summary", *_NEEDED[kind]):
        if key not in section:
            Place(place.file, place.table, key).refuse(f"is missing; a {kind} parameter needs it")
    return Parameter(
        name=place.table,
        default=_value(place, "default", section["default"]),
        low=_value(place, "low", section.get("low", "")),
        high=_value(place, "high", section.get("high", "")),
        step_max=_value(place, "step_max", section.get("step_max", STEP_MAX if "low" in section else "")),
        unit=section.get("unit", _UNITS[kind]),
        owner=section["owner"],
        risk=risk,
        summary=section["summary"],
        is_whole=section.get("whole", False),
        kind=kind,
        choices=tuple(section.get("choices", ())),
        length_max=section.get("length_max", LENGTH_MAX),
    )


def _one_of(place: Place, key: str, section: Mapping[str, Any], members: type[Kind] | type[Risk]) -> Any:
    word, words = section.get(key), [str(member) for member in members]
    if not isinstance(word, str) or word not in words:
        said = "is missing" if word is None else f"is {_told(word)}"
        Place(place.file, place.table, key).refuse(f"{said}; it is one of {', '.join(words)}")
    return members(word)


def _check_type(at: Place, value: object, kind: type) -> None:
    if kind is not object and type(value) is not kind:
        at.refuse(f"is {_told(value)}; it must be {_WORDS[kind]}")
    if kind is list and not all(isinstance(word, str) for word in value):  # type: ignore[attr-defined]
        at.refuse(f"is {_told(value)}; it must be {_WORDS[list]}")
    if kind is str and (
        not str(value).strip() or not str(value).isprintable() or len(str(value)) > LINE_LENGTH_MAX
    ):
        at.refuse(f"must be one line of 1 to {LINE_LENGTH_MAX} visible characters")


def _value(place: Place, key: str, value: object) -> str:
    """Return a value as text: strings as they are, numbers in plain digits."""
    if isinstance(value, str):
        return value
    if type(value) is int:
        return str(value)
    if isinstance(value, Decimal) and value.is_finite():
        return format(value, "f")
    return Place(place.file, place.table, key).refuse(
        f"is {_told(value)}; it must be a number, or a string in quotes"
    )


def _told(value: object) -> str:
    """Return a refused value as text that fits on a line."""
    return ascii(value)[:SHOWN_LENGTH]
