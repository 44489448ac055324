"""Metrics over HTTP: what is published, its series and corrections, and the acceptance of a shift.

Stands over the read models of the observatory (L1). Accepting a lasting change as normal is a recorded act
of the operator. It never judges a metric.
"""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from app.api import observatory_examples as examples
from app.api.answers import Id, JsonObject, PageAsked, answer, described, page_of
from app.api.bodies import ShiftAcceptance
from app.api.idempotency import Gate
from app.api.platform import platform_of
from app.api.strict_json import StrictRoute
from app.known_names import check_series
from app.periods import span_of
from services import observatory
from services.domain.measures import Dimension, Grain
from services.store.tx import Tx
from services.store.views import series as views

router = APIRouter(tags=["observatory"], route_class=StrictRoute)

FROM_TO = ("from", "to")
KEYS_ROUTE = "GET /api/v1/metrics/{metric}/keys lists them"
Metric = Annotated[str, Path(max_length=48, pattern=r"^[a-z_]+$", examples=["task_success"])]
Key = Annotated[str, Query(max_length=80, pattern=r"^[^\x00-\x1f]*$")]
Cut = Annotated[Dimension, Query(description="what the series is of")]


@router.get("/metrics", summary="List the metrics", **described(page_of(examples.METRIC)))
def list_metrics(request: Request) -> Response:
    """Return every metric that is published, how it is cut, who watches it, and its newest window."""
    with platform_of(request).store.read() as tx:
        return answer(views.list_metrics(tx))


@router.get(
    "/metrics/{metric}/series",
    summary="Read a series",
    **described(page_of(examples.POINT), 404),
)
def list_series(
    request: Request,
    metric: Metric,
    page: PageAsked,
    dimension: Cut = Dimension.PLATFORM,
    key: Key = "all",
    grain: Annotated[
        Grain, Query(description="windows as counted, or merged days of old ones")
    ] = Grain.WINDOW,
    start: Annotated[str | None, Query(alias="from", max_length=40)] = None,
    end: Annotated[str | None, Query(alias="to", max_length=40)] = None,
) -> Response:
    """Return windows that ended after `from` and up to `to`: exact sums, and what follows from them."""
    asked = views.SeriesAsked(metric, dimension, key, grain, *span_of(start, end, FROM_TO))
    with platform_of(request).store.read() as tx:
        found = views.list_series(tx, asked, **page.arguments())
        check_series(tx, asked, where=KEYS_ROUTE)
    return answer(found)


@router.get("/metrics/{metric}/summary", summary="Sum a series up", **described(examples.SUMMARY, 404))
def summarise(
    request: Request,
    metric: Metric,
    dimension: Cut = Dimension.PLATFORM,
    key: Key = "all",
    start: Annotated[str | None, Query(alias="from", max_length=40)] = None,
    end: Annotated[str | None, Query(alias="to", max_length=40)] = None,
) -> Response:
    """Return all windows of a span as one: rate or mean, spread and percentiles."""
    asked = views.SeriesAsked(metric, dimension, key, Grain.WINDOW, *span_of(start, end, FROM_TO))
    with platform_of(request).store.read() as tx:
        found = views.summarise(tx, asked)
        check_series(tx, asked, where=KEYS_ROUTE)
    return answer(found)


@router.get(
    "/metrics/{metric}/keys", summary="List the series of a metric", **described(page_of(examples.KEY), 404)
)
def list_keys(request: Request, metric: Metric, dimension: Cut = Dimension.TASK_TYPE) -> Response:
    """Return the keys of one dimension that had a window."""
    with platform_of(request).store.read() as tx:
        return answer(views.list_keys(tx, metric=metric, dimension=dimension))


@router.get("/corrections", summary="List late corrections", **described(page_of(examples.CORRECTION), 404))
def list_corrections(
    request: Request, page: PageAsked, metric: Annotated[str | None, Query(max_length=48)] = None
) -> Response:
    """Return what was added to windows after they were published, because it was committed late."""
    with platform_of(request).store.read() as tx:
        return answer(views.list_corrections(tx, metric=metric, **page.arguments()))


@router.post(
    "/episodes/{episode_id}/accept",
    summary="Accept a shift as normal",
    **described({"ledger_index": 41}, 400, 403, 404, 409),
)
def accept_shift(episode_id: Id, body: ShiftAcceptance, gate: Gate) -> Response:
    """Let the baseline of an episode's series start anew. Only the operator can; it goes into the ledger."""
    gate.caller.require_operator()

    def act(tx: Tx) -> JsonObject:
        return {"ledger_index": observatory.accept_shift(tx, episode_id, reason=body.reason)}

    return gate.run(act)
