"""The batch routes: many tasks, bids, leases, heartbeats or results in one call under one key.

Stand over the batches of the market's verbs. They answer 200 once the list itself is readable; what became of
each item stands in `results`, in order. They never stop at a refused item.
"""

from fastapi import APIRouter, Request, Response

from app.api import batches, examples
from app.api.answers import JsonObject, described
from app.api.batch_bodies import BatchOfBids, BatchOfHeartbeats, BatchOfLeases, BatchOfResults, BatchOfTasks
from app.api.idempotency import Gate
from app.api.strict_json import StrictRoute
from app.api.verbs import MarketVerbs

router = APIRouter(prefix="/batch", tags=["batch"], route_class=StrictRoute)

_REFUSED = {
    "type": "urn:nacre:problem:not_found",
    "title": "Not found",
    "status": 404,
    "detail": "there is no task 13",
    "code": "not_found",
    "transient": False,
    "field": "body.items[1].task_id",
}


def _results(status: int, answer: JsonObject) -> JsonObject:
    return {"results": [{"status": status, **answer}, _REFUSED]}


def _verbs(request: Request) -> MarketVerbs:
    verbs: MarketVerbs = request.app.state.verbs
    return verbs


@router.post("/tasks", summary="Post many tasks", **described(_results(201, {"task_id": 12}), 400, 403))
async def post_tasks(request: Request, body: BatchOfTasks, gate: Gate) -> Response:
    """Post up to 500 tasks at once; each reserve price goes into escrow, or its item is refused alone."""
    return await batches.post_tasks(gate, _verbs(request), body.items)


@router.post("/bids", summary="Place many bids", **described(_results(201, {"bid_id": 77}), 400, 403))
async def place_bids(request: Request, body: BatchOfBids, gate: Gate) -> Response:
    """Bid on up to 500 tasks at once; each bid is as sealed as a single one."""
    return await batches.place_bids(gate, _verbs(request), body.items)


@router.post("/leases", summary="Take many leases", **described(_results(200, examples.LEASE), 400, 403))
async def take_leases(request: Request, body: BatchOfLeases, gate: Gate) -> Response:
    """Take the leases of up to 500 of my awards at once."""
    return await batches.take_leases(gate, _verbs(request), body.items)


@router.post(
    "/heartbeats",
    summary="Keep many leases alive",
    **described(_results(200, {"expires_at": examples.AT}), 400, 403),
)
async def renew_leases(request: Request, body: BatchOfHeartbeats, gate: Gate) -> Response:
    """Say of up to 500 leases at once that the work goes on."""
    return await batches.renew_leases(gate, _verbs(request), body.items)


@router.post(
    "/results", summary="Hand in many results", **described(_results(200, {"state": "submitted"}), 400, 403)
)
async def submit_results(request: Request, body: BatchOfResults, gate: Gate) -> Response:
    """Hand in up to 500 results at once; each is verified by itself."""
    return await batches.submit_results(gate, _verbs(request), body.items)
