"""Tasks from the requester's side: post, list, show a whole life, take back.

Stands over the market (L4) and the registry of task types. A payload is checked against its type before it
is posted; what its type holds back for the verifier never leaves. It never shows a bid before its time.
"""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from app.api import examples, items
from app.api.answers import Id, JsonObject, PageAsked, Word, answer, described, found, page_of
from app.api.authentication import CallerNow
from app.api.bodies import Cancellation, NewTask
from app.api.idempotency import Gate
from app.api.platform import ApiPlatform, platform_of
from app.api.strict_json import StrictRoute
from app.api.verbs import MarketVerbs
from services import meta_task_market
from services.domain.clock import from_rfc3339
from services.domain.errors import InvalidValueError
from services.domain.states import Scope, TaskKind, TaskState
from services.store import views
from services.store.tx import Tx

router = APIRouter(tags=["tasks"], route_class=StrictRoute)

Instant = Annotated[str, Query(max_length=40, examples=[examples.AT])]


@router.post(
    "/tasks",
    summary="Post a task",
    **described(examples.TASK_LIFE, 400, 403, status=201),
)
async def post_task(request: Request, body: NewTask, gate: Gate) -> Response:
    """Post a task; its reserve price goes into escrow. Needs the scope `post`, or the operator key.

    Without `reserve_price_microcredits` the type's parameter of that name holds.
    """
    requester_id = gate.caller.require_agent_or_operator(Scope.POST)
    verbs: MarketVerbs = request.app.state.verbs
    return await gate.merged(verbs.post, items.posting_of(platform_of(request), requester_id, body))


@router.get("/tasks", summary="List tasks", **described(page_of(examples.TASK), 403))
def list_tasks(
    request: Request,
    caller: CallerNow,
    page: PageAsked,
    type: Word | None = None,  # noqa: A002  the name of the filter in the contract
    state: TaskState | None = None,
    kind: TaskKind | None = None,
    ended_after: Instant | None = None,
    requester: Literal["me"] | None = None,
) -> Response:
    """Return tasks without their bids and attempts; `requester=me` keeps the calling agent's own."""
    asked = {
        "type": type,
        "state": state,
        "kind": kind,
        "ended_after_us": _instant_us(ended_after),
        "requester_id": caller.require_agent() if requester else None,
        **page.arguments(),
    }
    return tasks_page(platform_of(request), asked)


def tasks_page(platform: ApiPlatform, asked: JsonObject) -> Response:
    """Return the page of tasks that the filters ask for."""
    with platform.store.read() as tx:
        return answer(views.list_tasks(tx, **asked))


def _instant_us(text: str | None) -> int | None:
    try:
        return None if text is None else from_rfc3339(text)
    except ValueError as error:
        raise InvalidValueError(
            f"write the instant as RFC 3339 with its offset, like {examples.AT}", field="query.ended_after"
        ) from error


@router.get("/tasks/{task_id}", summary="Show a task's whole life", **described(examples.TASK_LIFE, 404))
def show_task(request: Request, task_id: Id) -> Response:
    """Return one task with its awards, attempts, exposures, money, and its bids once they are open."""
    with platform_of(request).store.read() as tx:
        return found(views.get_task(tx, task_id), "task", task_id)


@router.post(
    "/tasks/{task_id}/cancel",
    summary="Take a task back",
    **described({"state": "cancelled"}, 400, 403, 404, 409),
)
def cancel_task(task_id: Id, body: Cancellation, gate: Gate) -> Response:  # noqa: ARG001  part of the contract
    """Take back a task before a result is in; the escrow returns. Its requester or the operator can."""
    agent_id = gate.caller.require_agent_or_operator(Scope.POST)

    def act(tx: Tx) -> JsonObject:
        meta_task_market.cancel_task(tx, task_id=task_id, agent_id=agent_id)
        return {"state": TaskState.CANCELLED.value}

    return gate.run(act)
