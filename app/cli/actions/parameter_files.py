"""`nacre parameter export`, `import`, `check`: the config as a file, and files of own parameters.

Stands over production config and the overrides. A file from outside is data: whatever is not exactly an
export, or part of one, is refused with its key. It never changes one value when another is refused.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.bootstrap import registry_of
from app.cli.actions.opening import reading
from app.cli.actions.operating import OPERATOR, opened_platform
from app.cli.actions.screen import say_item, say_json, say_line, say_note
from app.own_parameters import read_own_parameters
from app.settings import read_settings
from app.tasks.registry import load_registry
from app.toml_text import TomlRefusedError, read_toml
from services.domain.errors import InvalidValueError
from services.operations import overrides
from services.operations.overrides import Wanted
from services.store import views

BYTES_HIGHEST = 1_048_576
VERSION_HIGHEST = 2**31 - 1
HEADS = ("exported_at", "ledger_size", "config_sha256")
CHANGES = ("parameter", "from", "to", "version")
DECLARED = ("name", "kind", "default", "low", "high", "choices", "risk", "owner")


def export(database: str | None, layout: str, *, has_versions: bool) -> int:
    """Print the config in force as TOML or JSON."""
    with reading(database) as tx:
        found = views.config_now(tx)
    if not has_versions:
        found["parameters"] = {name: {"value": one["value"]} for name, one in found["parameters"].items()}
    if layout == "json":
        return say_json(found)
    sys.stdout.buffer.write(to_toml(found).encode())
    return 0


def to_toml(found: Mapping[str, Any]) -> str:
    """Return an export as TOML; the strings of JSON are strings of TOML for whatever can be in force."""
    lines = [f"{name} = {_spelled(found[name])}" for name in HEADS]
    for name, one in found["parameters"].items():
        lines += ["", f"[parameters.{_spelled(name)}]"]
        lines += [f"{key} = {_spelled(value)}" for key, value in one.items()]
    return "\n".join(lines) + "\n"


def _spelled(value: str | int) -> str:
    return json.dumps(value, ensure_ascii=False)


def import_file(database: str | None, file: str, reason: str, *, is_dry: bool, as_json: bool) -> int:
    """Set what a file names and is not in force, all or nothing; print what changed, or would."""
    wanted = read_import(Path(file))
    with opened_platform(database) as platform:
        if is_dry:
            with platform.store.read() as tx:
                planned = overrides.plan(tx, platform.registry, wanted)
        else:
            with platform.store.write(actor=OPERATOR) as tx:
                done = overrides.set_many(tx, platform.registry, wanted, reason=reason)
            planned = [one.planned for one in done]
    answer = {"dry_run": is_dry, "changes": [one.to_payload() for one in planned]}
    if not planned and not as_json:
        return say_line("nothing differs: every value of the file is in force")
    return say_item(answer, {"changes": CHANGES}, as_json=as_json)


def read_import(path: Path) -> list[Wanted]:
    """Return the values that a file wants in force; raise InvalidValueError naming file and key otherwise."""
    document = _document(path)
    unknown = sorted(set(document) - {*HEADS, "parameters"})
    if unknown or not isinstance(document.get("parameters"), dict) or not document["parameters"]:
        what = f"has the unknown key {unknown[0][:96]!a}" if unknown else "has no table of parameters"
        raise _refusal(path, "parameters", f"{what}; write it as `nacre parameter export` does")
    return [_wanted(path, name, one) for name, one in document["parameters"].items()]


def _document(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as opened:
            content = opened.read(BYTES_HIGHEST + 1)
        if len(content) > BYTES_HIGHEST:
            raise _refusal(path, "file", f"is larger than {BYTES_HIGHEST} bytes")
        text = content.decode("utf-8")
        is_json = text.lstrip().startswith("{")
        found = json.loads(text, object_pairs_hook=_once) if is_json else read_toml(text)
    except OSError as error:
        raise _refusal(path, "file", f"cannot be read: {error.strerror}") from error
    except TomlRefusedError as error:
        field = ".".join(part for part in (error.table, error.key) if part)
        why = error.why if field else f"is neither TOML nor JSON in UTF-8: {error.why}"
        raise _refusal(path, field or "file", why) from error
    except (ValueError, RecursionError) as error:
        raise _refusal(path, "file", f"is neither TOML nor JSON in UTF-8: {error}") from error
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; raise ValueError for a key that stands in it twice."""
    made: dict[str, Any] = {}
    for name, value in pairs:
        if name in made:
            msg = f"{name[:96]!a} is named twice"
            raise ValueError(msg)
        made[name] = value
    return made


def _wanted(path: Path, name: str, one: object) -> Wanted:
    if isinstance(one, str):
        return Wanted(name, one)
    field = f"parameters.{name[:96]}"
    if not isinstance(one, dict) or set(one) - {"value", "version"} or not isinstance(one.get("value"), str):
        raise _refusal(
            path, field, "must be a value in quotes, or a table with `value` in quotes and `version`"
        )
    version = one.get("version")
    if version is not None and (type(version) is not int or not 1 <= version <= VERSION_HIGHEST):
        raise _refusal(path, field, "has a `version` that is no whole number from 1 to 2147483647")
    return Wanted(name, one["value"], version)


def _refusal(path: Path, field: str, why: str) -> InvalidValueError:
    return InvalidValueError(f"{path}: {field} {why}", field=field, code="import_malformed")


def check(file: str, *, as_json: bool) -> int:
    """Print the own parameters of a file after every check that a start makes; needs no database."""
    types = load_registry().types
    path = Path(file)
    registry_of(replace(read_settings(), parameters_file=path), types)
    declared = [parameter for _, parameter in read_own_parameters(path)]
    for area in sorted({one.task_type for one in declared} - set(types)):
        say_note(f"no task type is called {area} here: its parameters reach no task until one is installed")
    rows = [{key: _shown(getattr(one, key)) for key in DECLARED} for one in declared]
    return say_item({"parameters": rows, "count": len(rows)}, {"parameters": DECLARED}, as_json=as_json)


def _shown(value: object) -> object:
    return list(value) if isinstance(value, tuple) else str(value)
