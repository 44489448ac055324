"""Replays: any agent may have an award recomputed from the bids, the records and the recorded seed.

Stands over the read model of a replay (L4), read-only. It never judges a rule, and never mends an award.
"""

from typing import Any

from fastapi import APIRouter, Request, Response

from app.api.answers import Id, described, found
from app.api.authentication import CallerNow
from app.api.examples import AT
from app.api.platform import platform_of
from app.api.strict_json import StrictRoute
from services.store import views

router = APIRouter(tags=["tasks"], route_class=StrictRoute)

REPLAY: dict[str, Any] = {
    "task_id": 41,
    "is_confirmed": False,
    "awards": [
        {
            "attempt_number": 1,
            "agent_id": 3,
            "rule": "cooled-draw-second-score",
            "seed": "8f14e45fceea167a5a36dedd4bea2543",
            "price_microcredits": 132_000,
            "awarded_at": AT,
            "is_confirmed": False,
            "problem": None,
            "differences": [{"what": "ask of agent 4", "recorded": 150_000, "recomputed": 90_000}],
            "recomputed": {
                "agent_id": 3,
                "price_microcredits": 132_000,
                "is_unproven": False,
                "draws": [{"agent_id": 3, "theta": 0.91, "score": 61_200.0}],
            },
        }
    ],
}


@router.get("/tasks/{task_id}/replay", summary="Recompute a task's awards", **described(REPLAY, 404, 409))
def replay_task(request: Request, task_id: Id, caller: CallerNow) -> Response:
    """Recompute every award of a task and name what is recorded otherwise than it comes out.

    Asks come from the bids, records from folding every bidder's outcomes up to the award, draws from the
    recorded seed. `problem` says why an award cannot be replayed. 409 while the task has no award, while
    its bids are sealed, or when its bidders' records are too long for an answer over HTTP.
    """
    with platform_of(request).store.read() as tx:
        return found(views.replay_task(tx, task_id, is_operator=caller.is_operator), "task", task_id)
