"""What operators look after: the cron history, and what waits for a person.

Stands over the cron runner (L3) and the review queue. It never repairs anything by itself.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from app.api import examples
from app.api.answers import Id, JsonObject, PageAsked, Word, answer, described, page_of
from app.api.bodies import JobAct, NewReviewItem, Nothing
from app.api.idempotency import Gate, WriteGate
from app.api.platform import platform_of
from app.api.strict_json import StrictRoute
from services.cron_runner import CronJob, control
from services.loop import LoopContext
from services.operations import review_queue
from services.store import views
from services.store.tx import Tx

router = APIRouter(tags=["operations"], route_class=StrictRoute)

JobName = Annotated[str, Path(max_length=64, examples=[examples.JOB["job"]])]
JobVerb = Callable[[Tx, CronJob[LoopContext], str], Mapping[str, object]]
WHY = "the snapshot is being looked at"


def _changed(*, is_paused: bool) -> dict[str, Any]:
    """Describe the answer of a job that was paused or resumed."""
    return described({"job": examples.JOB["job"], "is_paused": is_paused, "reason": WHY}, 400, 403, 404, 409)


@router.get("/cron", summary="Show the cron jobs and their history", **described(examples.CRON, 404))
def show_cron(request: Request, page: PageAsked, job: Word | None = None) -> Response:
    """Return every job of the table with its next and last tick, and a page of the history.

    A job that is in neither is a 404.
    """
    platform = platform_of(request)
    with platform.store.read() as tx:
        shown = control.show(tx, platform.jobs)
        history = views.cron_history(tx, job=job, **page.arguments())
        if job is not None and not history["items"]:
            control.job_named(platform.jobs, job)
    return answer({**shown, "history": history})


@router.post(
    "/cron/{job}/run",
    summary="Have a cron job run now",
    **described({"job": examples.JOB["job"], "run_asked_at": examples.AT, "reason": WHY}, 400, 403, 404, 409),
)
def run_job(request: Request, job: JobName, body: JobAct, gate: Gate) -> Response:
    """Ask the running platform to run a job, paused or not, within a second. Only the operator can."""
    return _act_on(request, job, body, gate, control.ask_run)


@router.post("/cron/{job}/pause", summary="Pause a cron job", **_changed(is_paused=True))
def pause_job(request: Request, job: JobName, body: JobAct, gate: Gate) -> Response:
    """Let no tick of a job run until it is resumed; each says so. Only the operator can."""
    return _act_on(request, job, body, gate, control.pause)


@router.post("/cron/{job}/resume", summary="Resume a cron job", **_changed(is_paused=False))
def resume_job(request: Request, job: JobName, body: JobAct, gate: Gate) -> Response:
    """Let a paused job run by its table again. Only the operator can."""
    return _act_on(request, job, body, gate, control.resume)


def _act_on(request: Request, job: str, body: JobAct, gate: WriteGate, act: JobVerb) -> Response:
    gate.caller.require_operator()
    named = control.job_named(platform_of(request).jobs, job)
    return gate.run(lambda tx: dict(act(tx, named, body.reason)))


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
