"""`nacre parameter list`, `show`, `history`, `of-task`, `diff`: what is in force, when, and for which task.

Stands over the registry, which the composition root builds, and the read models. It never changes a value.
"""

from collections.abc import Mapping
from typing import Any, Final

from app.bootstrap import registry_of
from app.cli.actions.opening import reading, settings_of
from app.cli.actions.screen import say_item, say_note, say_page
from app.tasks.registry import load_registry
from services import evolution_ledger
from services.domain.errors import NotFoundError
from services.domain.parameters import ParameterRegistry
from services.store import views

FINGERPRINT: Final = 16
COLUMNS = ("name", "value", "unit", "source", "version", "default", "low", "high", "risk")

HISTORY = ("version", "value", "source", "actor", "reason", "experiment_id", "ledger_index", "changed_at")
OF_TASK = ("name", "value", "source", "version", "arm", "experiment_id")
DIFFERENCE = ("parameter", "from", "to", "source", "actor", "reason", "ledger_index", "changed_at")


def show_all(database: str | None, limit: int, cursor: str | None, *, as_json: bool) -> int:
    """Print a page of parameters by name."""
    registry = _registry(database)
    with reading(database) as tx:
        page = views.list_parameters(tx, registry, limit=limit, cursor=cursor)
        fault = evolution_ledger.fault_told(tx)
    if fault is not None:
        say_note(fault)
    return say_page(page, COLUMNS, as_json=as_json)


def show_one(database: str | None, name: str, *, as_json: bool) -> int:
    """Print one parameter with its history; raise NotFoundError for an unknown name."""
    registry = _registry(database)
    with reading(database) as tx:
        item = views.get_parameter(tx, registry, name)
    if item is None:
        raise NotFoundError(f"there is no parameter {name!r}; `nacre parameter list` lists them")
    return say_item(item, {}, as_json=as_json)


def show_history(database: str | None, name: str, at: str | None, *, as_json: bool) -> int:
    """Print every change of a parameter, newest first, or the one in force at an instant or ledger size."""
    registry = _registry(database)
    with reading(database) as tx:
        item = views.get_parameter(tx, registry, name)
        then = None if at is None or item is None else views.parameter_at(tx, name, at)
    if item is None:
        raise NotFoundError(f"there is no parameter {name!r}; `nacre parameter list` lists them")
    if then is not None:
        return say_item(then, {}, as_json=as_json)
    return say_page({"items": item["history"], "next_cursor": None}, HISTORY, as_json=as_json)


def show_task(database: str | None, task_id: int, *, as_json: bool) -> int:
    """Print the values that a task got, each with its source; raise NotFoundError for an unknown task."""
    with reading(database) as tx:
        item = views.task_parameters(tx, task_id)
    if item is None:
        raise NotFoundError(f"there is no task {task_id}; `nacre task list` lists them")
    return say_item(item, {"parameters": OF_TASK}, as_json=as_json)


def show_diff(database: str | None, before: str, after: str, *, as_json: bool) -> int:
    """Print what differs between the configs of two instants or ledger sizes."""
    with reading(database) as tx:
        item = views.config_diff(tx, before, after)
    if not as_json:
        item = {**item, "from": _point_words(item["from"]), "to": _point_words(item["to"])}
    return say_item(item, {"changes": DIFFERENCE}, as_json=as_json)


def _point_words(point: Mapping[str, Any]) -> str:
    """Return in words which config of which time is meant."""
    entries, fingerprint = f"{point['ledger_size']:,} entries", point["config_sha256"][:FINGERPRINT]
    return f"{point['at']}, after {entries}: {point['parameters']} parameters, fingerprint {fingerprint}…"


def _registry(database: str | None) -> ParameterRegistry:
    return registry_of(settings_of(database), load_registry().types)
