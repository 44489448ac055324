"""Failed work over HTTP: one list of everything that failed and waits, with owner, reason and retry.

Stands over the read model and `services.operations.failed_work`. It never repairs anything by itself.
"""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from app.api import market_examples as examples
from app.api.answers import Cursor, Id, JsonObject, Limit, Word, answer, described, page_of
from app.api.authentication import CallerNow
from app.api.bodies import Nothing
from app.api.decision_bodies import Dismissal
from app.api.idempotency import Gate
from app.api.platform import platform_of
from app.api.strict_json import StrictRoute
from services.domain.failed_work import FailedKind
from services.domain.states import Scope
from services.meta_task_market.retrying import retry_task
from services.operations import failed_work
from services.store import views
from services.store.tx import Tx
from services.store.views import LIMIT_DEFAULT

router = APIRouter(tags=["operations"], route_class=StrictRoute)


@router.get("/failed-work", summary="List what failed and waits", **described(page_of(examples.FAILED_LINE)))
def list_failed_work(
    request: Request,
    caller: CallerNow,
    kind: FailedKind | None = None,
    owner: Annotated[
        Word | None, Query(description="who has to do something: `me`, `operator`, `agent:2`, a subsystem")
    ] = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> Response:
    """Return one line per cause: tasks that failed or expired, late results, dead letters, jobs, reviews.

    `id` is the newest of its `ids` (the newest 20), `count` says how many there are. What was retried or
    dismissed is gone, and so is a job that ran well again. It looks back 14 days.
    """
    asked = caller.actor if owner == "me" else owner
    with platform_of(request).store.read() as tx:
        return answer(views.list_failed_work(tx, kind=kind, owner=asked, limit=limit, cursor=cursor))


@router.post(
    "/failed-work/{kind}/{item_id}/retry",
    summary="Retry what failed",
    **described({"kind": "task", "id": 41, "task_id": 52}, 400, 403, 404, 409, status=201),
)
def retry(kind: FailedKind, item_id: Id, gate: Gate, body: Nothing | None = None) -> Response:  # noqa: ARG001  documents the body
    """Post a failed task again on its own terms (`task_id` is the new one), or deliver a dead letter again.

    A task is retried once, by its requester or the operator, and paid by its requester. Everything else is
    refused with `not_retriable` and the reason why.
    """
    agent_id = gate.caller.require_agent_or_operator(Scope.POST)

    def act(tx: Tx) -> JsonObject:
        done = failed_work.retry(tx, kind, item_id, agent_id=agent_id, post_again=retry_task)
        return {"kind": str(done.kind), "id": done.id, "task_id": done.task_id}

    return gate.run(act, status=201)


@router.post(
    "/failed-work/{kind}/{item_id}/dismiss",
    summary="Take a cause off the list",
    **described({"kind": "task", "cause": "task:monte_carlo:timed_out:2", "count": 2}, 400, 403, 409),
)
def dismiss(kind: FailedKind, item_id: Id, body: Dismissal, gate: Gate) -> Response:
    """Dismiss the line that holds this item, with a reason that is kept; what fails later is listed again.

    A requester may dismiss its own tasks, the operator everything.
    """
    agent_id = gate.caller.require_agent_or_operator(Scope.POST)

    def act(tx: Tx) -> JsonObject:
        done = failed_work.dismiss(tx, kind, item_id, agent_id=agent_id, reason=body.reason)
        return {"kind": str(done.kind), "cause": done.cause, "count": done.things}

    return gate.run(act)
