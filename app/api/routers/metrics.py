"""The page `/metrics`: what a Prometheus server scrapes.

Stands outside /api/v1 beside the pages, and needs no key, as they do, unless the deployment asks for the
operator's. It answers in the format that the scraper prefers. It never writes.
"""

from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.concurrency import run_in_threadpool

from app.api.authentication import Credentials
from app.api.exposition import PlatformCollector
from app.api.platform import platform_of

router = APIRouter(tags=["health"])

EXAMPLE = """# HELP nacre_tasks_ended_total Users' tasks settled, failed or expired.
# TYPE nacre_tasks_ended_total counter
nacre_tasks_ended_total{outcome="verified",type="monte_carlo"} 12.0
"""
TEXT = {"text/plain": {"schema": {"type": "string"}, "example": EXAMPLE}}


@router.get(
    "/metrics",
    summary="Figures for Prometheus",
    response_class=Response,
    responses={200: {"description": "every figure, as text", "content": TEXT}},
)
async def metrics(request: Request) -> Response:
    """Return counters, gauges and histograms; OpenMetrics when `Accept` asks for it."""
    if platform_of(request).settings.is_metrics_key_needed:
        known: Credentials = request.app.state.credentials
        (await known.caller(request.scope)).require_operator()
    return await run_in_threadpool(_exposed, request)


def _exposed(request: Request) -> Response:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(PlatformCollector(platform_of(request), request.app.version))
    encode, media_type = choose_encoder(request.headers.get("accept", ""))
    headers = {"Content-Type": media_type, "Cache-Control": "no-store"}
    return Response(encode(registry), headers=headers)
