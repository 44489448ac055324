"""Parameters: what is in force and why, and the operator's rollback.

Stands over production config and the evolution ledger (L7). It never sets a value: the loop promotes, and a
person can only take a promotion back.
"""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from app.api import examples
from app.api.answers import Cursor, JsonObject, Limit, answer, described, found, page_of
from app.api.bodies import Rollback
from app.api.idempotency import Gate
from app.api.platform import platform_of
from app.api.strict_json import StrictRoute
from services import evolution_ledger
from services.store import views
from services.store.tx import Tx
from services.store.views import LIMIT_DEFAULT

router = APIRouter(tags=["parameters"], route_class=StrictRoute)

Name = Annotated[str, Path(max_length=96, examples=[examples.TIMEOUT])]


@router.get("/parameters", summary="List parameters", **described(page_of(examples.PARAMETER)))
def list_parameters(request: Request, limit: Limit = LIMIT_DEFAULT, cursor: Cursor = None) -> Response:
    """Return every registered parameter by name, with the value in force and its source."""
    platform = platform_of(request)
    with platform.store.read() as tx:
        return answer(views.list_parameters(tx, platform.registry, limit=limit, cursor=cursor))


@router.get("/parameters/{name}", summary="Show a parameter", **described(examples.PARAMETER_LIFE, 404))
def show_parameter(request: Request, name: Name) -> Response:
    """Return one parameter with its history."""
    platform = platform_of(request)
    with platform.store.read() as tx:
        return found(views.get_parameter(tx, platform.registry, name), "parameter", name)


@router.post(
    "/parameters/{name}/rollback",
    summary="Take a promotion back",
    **described(
        {"name": examples.TIMEOUT, "value": "0.9", "version": 3, "read_back": "0.9"}, 400, 403, 404, 409
    ),
)
def rollback(request: Request, name: Name, body: Rollback, gate: Gate) -> Response:
    """Restore the value before the newest promotion and read it back. Only the operator can."""
    gate.caller.require_operator()
    registry = platform_of(request).registry

    def act(tx: Tx) -> JsonObject:
        return asdict(evolution_ledger.rollback(tx, registry, parameter=name, reason=body.reason))

    return gate.run(act)
