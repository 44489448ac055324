"""Health: is the process up, and can it do its work?

Stands outside /api/v1 and needs no key. Live looks at nothing but the process; ready asks the database, the
schema's revision and the ledger's head. It never says more about a failure than its kind.
"""

import json
from collections.abc import Callable

from fastapi import APIRouter, Request, Response

from app.api.errors import failure_of
from app.api.platform import ApiPlatform, platform_of
from services import evolution_ledger
from services.domain.errors import LedgerBrokenError
from services.store import migrate

router = APIRouter(tags=["health"])

NOT_READY = 503
HEALTH_JSON = "application/health+json"
_PASS = {"status": "pass"}
_READY = {"status": "pass", "checks": {"database": [_PASS], "migrations": [_PASS], "ledger": [_PASS]}}


def _described(example: object, *statuses: int) -> dict[int | str, dict[str, object]]:
    content = {HEALTH_JSON: {"schema": {"type": "object"}, "example": example}}
    return {status: {"description": "the state of health", "content": content} for status in statuses}


@router.get(
    "/health/live", summary="Is the process up?", response_class=Response, responses=_described(_PASS, 200)
)
async def live() -> Response:
    """Answer without looking at anything."""
    return _health(_PASS, 200)


@router.get(
    "/health/ready",
    summary="Can it do its work?",
    response_class=Response,
    responses=_described(_READY, 200, NOT_READY),
)
def ready(request: Request) -> Response:
    """Check that the database answers, its schema is the newest, and the ledger has its head."""
    platform = platform_of(request)
    checks: dict[str, Callable[[], object]] = {
        "database": lambda: _reach(platform),
        "migrations": lambda: _compare_revisions(platform),
        "ledger": lambda: _find_head(platform),
    }
    failures = {name: failure_of(check) for name, check in checks.items()}
    told = {
        name: [_PASS if failure is None else {"status": "fail", "output": failure}]
        for name, failure in failures.items()
    }
    is_ready = not any(failures.values())
    return _health({"status": "pass" if is_ready else "fail", "checks": told}, 200 if is_ready else NOT_READY)


def _reach(platform: ApiPlatform) -> None:
    with platform.store.read():
        pass


def _compare_revisions(platform: ApiPlatform) -> None:
    with platform.store.read() as tx:
        current, newest = migrate.revision_of(tx.connection), migrate.newest_revision()
    if current != newest:
        raise LedgerBrokenError(f"the schema is at {current}, not at {newest}; run `nacre db upgrade`")


def _find_head(platform: ApiPlatform) -> None:
    with platform.store.read() as tx:
        evolution_ledger.head(tx)


def _health(content: object, status: int) -> Response:
    return Response(
        json.dumps(content).encode(), status, media_type=HEALTH_JSON, headers={"Cache-Control": "no-store"}
    )
