"""Health in three layers: is the process up, can it do its work, and is what it says right?

The three probes stand outside /api/v1 and need no key: they say of a failure its kind, never more. Operators
and agents get the whole tree under /api/v1/health. Only `live` is for whoever restarts the process, only
`ready` for whoever routes to it; `correct` opens investigations and holds promotions by itself. Nothing here
mends anything.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from app.api.answers import refusals
from app.api.liveness import Liveness
from app.api.platform import ApiPlatform, platform_of
from app.api.readiness import Readiness
from app.api.strict_json import StrictRoute
from app.health_json import MEDIA_TYPE, STATUS_CODES, Asked, JsonObject, document, tree
from app.known_names import check_name
from services.domain.checks import Check, Layer, Status

router = APIRouter(tags=["health"])
tree_router = APIRouter(tags=["health"], route_class=StrictRoute)

Component = Annotated[
    str | None,
    Query(max_length=120, pattern=r"^[A-Za-z0-9_./:\-]+$", description="like `job/lease_expiry`, `agent/7`"),
]

_CHECK = {
    "componentId": "database",
    "componentType": "datastore",
    "status": "pass",
    "time": "2026-11-21T11:42:00.000000Z",
    "observedValue": 0.0004,
    "observedUnit": "seconds",
}
_DOCUMENT = {
    "status": "pass",
    "description": "health of the Nacre platform",
    "checks": {"database:answer_time": [_CHECK]},
}
_TREE = {
    **_DOCUMENT,
    "at": "2026-11-21T11:42:00.000000Z",
    "score": {"points": 99, "lost": {"bus": 1.0}, "most": {"bus": 15.0}},
    "promotion_hold": None,
    "held_promotions": [],
    "checks": {"database:answer_time": [{"layer": "ready", **_CHECK}]},
}


def components_of(shown: Mapping[str, Any]) -> set[str]:
    """Return the names of the components in a tree."""
    return {str(check["componentId"]) for found in shown["checks"].values() for check in found}


def _described(example: object, *statuses: int) -> dict[int | str, dict[str, object]]:
    content = {MEDIA_TYPE: {"schema": {"type": "object"}, "example": example}}
    return {status: {"description": "the state of health", "content": content} for status in statuses}


@router.get(
    "/health/live",
    summary="Is the process up?",
    response_class=Response,
    responses=_described(_DOCUMENT, 200, 503),
)
async def live(request: Request) -> Response:
    """Look at this process only: what a restart would mend."""
    watched: Liveness = request.app.state.liveness
    return _answer(watched.checks(platform_of(request).store.clock.now_us()))


@router.get(
    "/health/ready",
    summary="Can it do its work?",
    response_class=Response,
    responses=_described(_DOCUMENT, 200, 503),
)
async def ready(request: Request) -> Response:
    """Look at database, schema, ledger, queues and disk; whatever hangs fails within two seconds."""
    looked: Readiness = request.app.state.readiness
    return _answer(await looked.checks())


@router.get(
    "/health/correct",
    summary="Is what it says right?",
    response_class=Response,
    responses=_described(_DOCUMENT, 200, 503),
)
async def correct(request: Request) -> Response:
    """Return the kept answers of the checks of correctness; `Age` is that of the oldest, in seconds."""
    looked: Readiness = request.app.state.readiness
    found = await looked.correctness()
    now_us = platform_of(request).store.clock.now_us()
    oldest_us = min(check.at_us for check in found)
    age = {"Age": str(max(0, now_us - oldest_us) // 1_000_000)}
    return _answer(found, age)


@tree_router.get(
    "/health",
    summary="Show the whole tree of health",
    response_class=Response,
    responses={**_described(_TREE, 200, 503), **refusals(401, 422, 429)},
)
async def show_tree(request: Request, layer: Layer | None = None, component: Component = None) -> Response:
    """Return the score with its parts, what is held, and every job, agent and task type in three layers.

    The hundred agents that acted last are shown. A failure is a 503, as for the probes.
    """
    platform = platform_of(request)
    looked: Readiness = request.app.state.readiness
    checks = await looked.checks()
    content = await run_in_threadpool(_tree, platform, checks, Asked(layer, component))
    return _document(content, {})


def _tree(platform: ApiPlatform, checks: list[Check], asked: Asked) -> JsonObject:
    with platform.store.read() as tx:
        shown = tree(tx, checks, platform.jobs, platform.task_types, asked)
        if asked.component is not None and not shown["checks"]:
            whole = tree(tx, checks, platform.jobs, platform.task_types, Asked(asked.layer))
            check_name(asked.component, components_of(whole), "component", "query.component")
        return shown


def _answer(checks: Iterable[Check], headers: Mapping[str, str] | None = None) -> Response:
    return _document(document(checks), headers or {})


def _document(content: JsonObject, headers: Mapping[str, str]) -> Response:
    return Response(
        json.dumps(content).encode(),
        STATUS_CODES[Status(content["status"])],
        media_type=MEDIA_TYPE,
        headers={"Cache-Control": "no-store", **headers},
    )
