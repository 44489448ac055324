"""Voters over HTTP: how often each votes, how its forecasts did, and on which side it stood.

Stands over the read models of layer 5. The record is shown to everybody and decides nothing.
"""

from fastapi import APIRouter, Request, Response

from app.api import vote_examples as examples
from app.api.answers import Id, PageAsked, answer, described, found, page_of
from app.api.platform import platform_of
from app.api.strict_json import StrictRoute
from services.store import views

router = APIRouter(tags=["proposals"], route_class=StrictRoute)


@router.get("/voters", summary="List voters' track records", **described(page_of(examples.VOTER)))
def list_voters(request: Request, page: PageAsked) -> Response:
    """Return the agents that ever had a ballot, each with its record.

    `brier` is the mean of (forecast - outcome)² over `scored` forecasts, 0 the best; `reference_brier` is
    what always naming `base_rate`, the share of ended experiments that won, would have scored on them.
    """
    with platform_of(request).store.read() as tx:
        return answer(views.list_voters(tx, **page.arguments()))


@router.get(
    "/voters/{agent_id}", summary="Show a voter's track record", **described(examples.VOTER_LIFE, 404)
)
def show_voter(request: Request, agent_id: Id) -> Response:
    """Return one agent's record with its latest ballots.

    `calibration` counts, for what it said, how often it came true, with the 95 % interval of Wilson (1927).
    """
    with platform_of(request).store.read() as tx:
        return found(views.get_voter(tx, agent_id), "agent", agent_id)
