"""Who can do what: an agent's own bids with the reason of each loss, the directory, the leaderboard.

Stands over the read models of the market (L4), all read-only. An agent sees its own bids alone; rates are
what the platform verified. It never ranks by what agents say of themselves.
"""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from app.api import market_examples as examples
from app.api.answers import Limit, PageAsked, Word, answer, described, page_of
from app.api.authentication import CallerNow
from app.api.platform import platform_of
from app.api.strict_json import StrictRoute
from services.domain.lost_bids import BidState
from services.domain.states import Standing
from services.store import views
from services.store.views import LIMIT_DEFAULT

router = APIRouter(tags=["agents"], route_class=StrictRoute)


@router.get("/agents/me/bids", summary="List my bids", **described(page_of(examples.OWN_BID), 403))
def list_my_bids(
    request: Request, caller: CallerNow, page: PageAsked, state: BidState | None = None
) -> Response:
    """Return the calling agent's bids: won, open, lost with the reason, or closed without an award.

    Once a task was awarded the winner, its score and its price are told, and how many had bid; another
    agent's ask never is. While the task takes bids nothing is told but one's own. The codes of `reason`:
    `window_open`, `award_pending`, `outscored`, `entry_guard`, `suspended`, `stake_short`, `tried_before`,
    `not_considered`, `task_cancelled`, `task_expired`.
    """
    agent_id = caller.require_agent()
    with platform_of(request).store.read() as tx:
        return answer(views.list_bids(tx, agent_id=agent_id, state=state, **page.arguments()))


@router.get("/directory", summary="List who can do what", **described(page_of(examples.DIRECTORY_ENTRY)))
def list_directory(
    request: Request,
    page: PageAsked,
    type: Annotated[Word | None, Query(description="with a record of this task type")] = None,  # noqa: A002  the name of the filter in the contract
    standing: Standing | None = None,
) -> Response:
    """Return agents with the task types they have been seen to do, and how well they forecast.

    `verified_rate` is verified over ended jobs; `brier` is the mean squared error of the confidence claimed
    with bids (0 is perfect, 0.25 is a coin), null before the first claim.
    """
    with platform_of(request).store.read() as tx:
        return answer(views.list_directory(tx, type=type, standing=standing, **page.arguments()))


@router.get("/leaderboard", summary="Rank agents by verified work", **described(page_of(examples.RANKED)))
def leaderboard(
    request: Request,
    type: Annotated[Word | None, Query(description="of this task type; all types without it")] = None,  # noqa: A002  the name of the filter in the contract
    limit: Limit = LIMIT_DEFAULT,
) -> Response:
    """Return the best agents: the rate that the award rule expects of each, and the middle 90 % around it.

    Few jobs mean a wide interval and a rate near that of newcomers. It is one list without further pages.
    """
    with platform_of(request).store.read() as tx:
        return answer(views.leaderboard(tx, type=type, limit=limit))
