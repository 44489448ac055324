"""`nacre parameter list` and `show`: every registered setting with the value in force.

Stands over the registry, which the composition root builds, and the read models. It never changes a value.
"""

from app.bootstrap import registry_of
from app.cli.actions.opening import reading, settings_of
from app.cli.actions.screen import say_item, say_page
from app.tasks.registry import load_registry
from services.domain.errors import NotFoundError
from services.domain.parameters import ParameterRegistry
from services.store import views

COLUMNS = ("name", "value", "unit", "source", "version", "default", "low", "high", "risk")


def show_all(database: str | None, limit: int, cursor: str | None, *, as_json: bool) -> int:
    """Print a page of parameters by name."""
    registry = _registry(database)
    with reading(database) as tx:
        page = views.list_parameters(tx, registry, limit=limit, cursor=cursor)
    return say_page(page, COLUMNS, as_json=as_json)


def show_one(database: str | None, name: str, *, as_json: bool) -> int:
    """Print one parameter with its history; raise NotFoundError for an unknown name."""
    registry = _registry(database)
    with reading(database) as tx:
        item = views.get_parameter(tx, registry, name)
    if item is None:
        raise NotFoundError(f"there is no parameter {name!r}; `nacre parameter list` lists them")
    return say_item(item, {}, as_json=as_json)


def _registry(database: str | None) -> ParameterRegistry:
    return registry_of(settings_of(database), load_registry().types)
