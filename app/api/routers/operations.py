"""What operators look after: dead letters, the cron history, and what waits for a person.

Stands over the bus (L2), the cron runner (L3) and the review queue. It never repairs anything by itself.
"""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from app.api import examples
from app.api.answers import Id, JsonObject, PageAsked, Word, answer, described, page_of
from app.api.bodies import NewReviewItem, Nothing
from app.api.idempotency import Gate
from app.api.platform import platform_of
from app.api.strict_json import StrictRoute
from services.cron_runner import CronJob
from services.loop import LoopContext
from services.operations import dead_letters, review_queue
from services.store import views
from services.store.tx import Tx

router = APIRouter(tags=["operations"], route_class=StrictRoute)


@router.get("/dead-letters", summary="List dead letters", **described(page_of(examples.DEAD_LETTER)))
def list_dead_letters(request: Request, page: PageAsked) -> Response:
    """Return the deliveries that failed as often as allowed, with their last error."""
    with platform_of(request).store.read() as tx:
        return answer(views.list_dead_letters(tx, **page.arguments()))


@router.post(
    "/dead-letters/{delivery_id}/replay",
    summary="Deliver a dead letter again",
    **described({"delivery_id": 8, "state": "pending"}, 400, 403, 409),
)
def replay(delivery_id: Id, gate: Gate, body: Nothing | None = None) -> Response:  # noqa: ARG001  documents the body
    """Put a dead letter back in line. Only the operator can."""
    gate.caller.require_operator()

    def act(tx: Tx) -> JsonObject:
        dead_letters.replay_one(tx, delivery_id)
        return {"delivery_id": delivery_id, "state": "pending"}

    return gate.run(act)


@router.get("/cron", summary="Show the cron jobs and their history", **described(examples.CRON))
def show_cron(request: Request, page: PageAsked, job: Word | None = None) -> Response:
    """Return every job of the table with its last tick, and a page of the history."""
    platform = platform_of(request)
    with platform.store.read() as tx:
        history = views.cron_history(tx, job=job, **page.arguments())
        latest = {tick["job"]: tick for tick in views.latest_ticks(tx)}
    jobs = [_job(declared, latest.get(declared.name)) for declared in platform.jobs]
    return answer({"jobs": jobs, "history": history})


def _job(declared: CronJob[LoopContext], last_tick: JsonObject | None) -> JsonObject:
    return {
        "job": declared.name,
        "summary": declared.summary,
        "every_seconds": declared.every_seconds,
        "daily_at": declared.daily_at,
        "budget_seconds": declared.budget_seconds,
        "priority": declared.priority,
        "last_tick": last_tick,
    }


@router.get(
    "/review-items", summary="List what waits for a person", **described(page_of(examples.REVIEW_ITEM))
)
def list_review_items(
    request: Request,
    page: PageAsked,
    is_open: Annotated[
        bool | None, Query(alias="open", description="only open ones, or only closed ones")
    ] = None,
) -> Response:
    """Return what waits, or waited, for a person."""
    with platform_of(request).store.read() as tx:
        return answer(views.list_review_items(tx, is_open=is_open, **page.arguments()))


@router.post(
    "/review-items",
    summary="Queue something for a person",
    **described({"item_id": 1}, 400, 403, status=201),
)
def open_review_item(body: NewReviewItem, gate: Gate) -> Response:
    """Queue an item with its context. Only the operator (and the platform itself) can."""
    gate.caller.require_operator()

    def act(tx: Tx) -> JsonObject:
        return {
            "item_id": review_queue.open_item(tx, kind=body.kind, subject=body.subject, context=body.context)
        }

    return gate.run(act, status=201)


@router.post(
    "/review-items/{item_id}/close",
    summary="Close a review item",
    **described({"item_id": 1, "state": "closed"}, 400, 403, 409),
)
def close_review_item(item_id: Id, gate: Gate, body: Nothing | None = None) -> Response:  # noqa: ARG001  documents the body
    """Mark an item as seen to. Only the operator can."""
    gate.caller.require_operator()

    def act(tx: Tx) -> JsonObject:
        review_queue.close_item(tx, item_id)
        return {"item_id": item_id, "state": "closed"}

    return gate.run(act)
