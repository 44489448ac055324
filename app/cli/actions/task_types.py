"""`nacre task-type list` and `show`: what can be asked for in this installation.

Stands over the registry of task types; it needs no database and imports no tool.
"""

from typing import Any

from app.cli.actions.screen import say_item, say_note, say_page
from app.tasks.registry import load_registry
from app.tasks.task_type import TaskType
from services.domain.errors import NotFoundError

COLUMNS = ("name", "summary")


def show_all(*, as_json: bool) -> int:
    """Print every usable type; entry points that were left out are named on standard error."""
    loaded = load_registry()
    for broken in loaded.broken:
        say_note(f"left out: {broken.name} ({broken.path}): {broken.why}")
    items = [_item(loaded.types[name]) for name in sorted(loaded.types)]
    return say_page({"items": items, "next_cursor": None}, COLUMNS, as_json=as_json)


def show_one(name: str, *, as_json: bool) -> int:
    """Print one type with an example payload; raise NotFoundError for an unknown name."""
    types = load_registry().types
    if name not in types:
        raise NotFoundError(f"there is no task type {name!r}; there are {', '.join(sorted(types))}")
    return say_item(_item(types[name]), {}, as_json=as_json)


def _item(kind: TaskType) -> dict[str, Any]:
    return {
        "name": kind.name,
        "summary": kind.summary,
        "example": kind.example,
        "payload_schema": kind.payload_model.model_json_schema(),
        "parameters": [
            {
                "name": f"{kind.name}.{spec.suffix}",
                "default": spec.default,
                "low": spec.low,
                "high": spec.high,
                "unit": spec.unit,
                "risk": str(spec.risk),
            }
            for spec in kind.parameters
        ],
    }
