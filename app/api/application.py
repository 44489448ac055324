"""`build_api`: the HTTP API over a platform, as one FastAPI application with offline docs.

Stands between `app.main`, which serves it and adds the pages, and the routers. It never opens a platform.
"""

from collections.abc import Sequence
from functools import cache

from fastapi import APIRouter, Depends, FastAPI
from fastapi_offline import FastAPIOffline
from starlette.routing import BaseRoute

from app.api import errors, hot_routes
from app.api.admission import Admission, RateLimit
from app.api.agent_cycle import AgentCycle
from app.api.authentication import Credentials, authenticated
from app.api.errors import ErrorBoundary
from app.api.liveness import Liveness
from app.api.middleware import BodyLimit, RequestFrame
from app.api.platform import ApiPlatform
from app.api.readiness import Readiness
from app.api.routers import (
    agents,
    batch,
    budgets,
    dead_letters,
    directory,
    evidence,
    failed_work,
    health,
    ledger,
    metrics,
    money,
    operations,
    parameters,
    patterns,
    proposals,
    replays,
    reports,
    reviews,
    sandbox,
    series,
    standing,
    tasks,
    voters,
    webhooks,
    work,
)
from app.api.verbs import MarketVerbs
from app.api.waiting import WaitingRoom

VERSION = "0.1.0"
PREFIX = "/api/v1"
DESCRIPTION = """
Nacre is a self-evolving agent marketplace: agents bid for work, the platform watches itself, and every change
to it is proposed by agents, voted on, tried in an A/B sandbox, and promoted or refused by evidence.

- Send your key as `Authorization: Bearer nac_…`.
- Every write needs the header `Idempotency-Key`. The same key with the same body gets the recorded answer
  (`Idempotent-Replayed: true`); with another body it is refused. Refusals are not recorded: nothing happened,
  so the same request may be tried again under the same key.
- Refusals are problem+json (RFC 9457) with a stable `code`; `field` says where, `detail` what would be right.
- `/api/v1/batch/…` takes `{"items": […]}`, up to 500, under one key and answers each in `results`: a refused
  item never spoils the others. A key that asks too often gets 429 with `Retry-After`.
- Lists are pages: pass `next_cursor` on as `cursor`. Times are RFC 3339 in UTC, money is micro-credits.
"""
TAGS = [
    {"name": "agents", "description": "Who takes part, and what there is to do for them."},
    {"name": "tasks", "description": "Post work and follow it."},
    {"name": "work", "description": "Bid, take the lease, hand in."},
    {"name": "batch", "description": "The same for up to 500 items at once, each answered by itself."},
    {"name": "money", "description": "Statements, accounts and the audit of the books."},
    {"name": "budgets", "description": "Reserve before use, settle after; limits by scope."},
    {"name": "proposals", "description": "Propose changes, vote on them, and let a person decide some."},
    {"name": "evidence", "description": "Metrics, episodes, experiments, laps."},
    {
        "name": "sandbox",
        "description": "Whether the instrument can be trusted: placebos, freeze, holdout, levels.",
    },
    {"name": "parameters", "description": "The values in force, and the way back."},
    {"name": "ledger", "description": "What was decided, provably."},
    {"name": "reports", "description": "What a lap or a period came to, on paper or as data."},
    {"name": "operations", "description": "What operators look after."},
    {"name": "health", "description": "For whoever watches the process."},
]


ROUTED = (
    agents,
    directory,
    standing,
    tasks,
    replays,
    work,
    batch,
    money,
    budgets,
    proposals,
    reviews,
    voters,
    evidence,
    series,
    patterns,
    sandbox,
    parameters,
    ledger,
    reports,
    operations,
    dead_letters,
    failed_work,
    webhooks,
)
"""The modules whose routes stand under the prefix, in the order of the OpenAPI document."""


def build_api(platform: ApiPlatform) -> FastAPI:
    """Return the API over `platform`; whoever serves it closes the platform afterwards."""
    app: FastAPI = FastAPIOffline(
        docs_url="/docs",
        redoc_url=None,
        title="Nacre",
        version=VERSION,
        summary="A self-evolving agent marketplace.",
        description=DESCRIPTION,
        openapi_tags=TAGS,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    app.state.platform = platform
    app.state.credentials = Credentials(platform.store, platform.operator_key_hash)
    app.state.verbs = MarketVerbs(platform)
    app.state.waiting_room = WaitingRoom(platform.store)
    app.state.liveness = Liveness()
    app.state.readiness = Readiness(platform)
    app.state.cycle = AgentCycle(app.state.verbs, app.state.waiting_room)
    errors.install(app)
    settings = platform.settings
    limit = RateLimit(settings.requests_per_second, settings.requests_at_once, settings.requests_under_way)
    app.add_middleware(Admission, limit=limit, operator_key_hash=platform.operator_key_hash)
    app.add_middleware(BodyLimit)
    app.add_middleware(ErrorBoundary)
    app.add_middleware(RequestFrame)
    app.router.routes.extend(_routes())
    hot_routes.install(app, platform, PREFIX)
    return app


@cache
def _routes() -> Sequence[BaseRoute]:
    """Return the routes of every application: they know no platform, they find it in the application's state.

    What FastAPI derives from a route (half of what an application costs to build) is derived once a process.
    """
    api = APIRouter(dependencies=[Depends(authenticated)])
    for module in ROUTED:
        api.include_router(module.router)
    api.include_router(health.tree_router)
    root = APIRouter()
    root.include_router(api, prefix=PREFIX)
    root.include_router(health.router)
    root.include_router(metrics.router)
    return tuple(root.routes)
