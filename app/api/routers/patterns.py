"""Patterns over HTTP: what the nightly consolidation has learned, read-only, for every agent with a key.

Stands over the read model. It never changes a pattern, and it never interprets the words of one.
"""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from app.api import pattern_examples as examples
from app.api.answers import LARGEST_ID, Id, PageAsked, Word, answer, described, found, page_of
from app.api.platform import platform_of
from app.api.strict_json import StrictRoute
from services.domain.patterns import PatternKind
from services.store import views

router = APIRouter(tags=["evidence"], route_class=StrictRoute)


@router.get("/patterns", summary="List patterns", **described(page_of(examples.PATTERN)))
def list_patterns(
    request: Request,
    page: PageAsked,
    task_type: Word | None = None,
    kind: PatternKind | None = None,
    agent_id: Annotated[int | None, Query(ge=1, le=LARGEST_ID)] = None,
) -> Response:
    """Return what the nights have learned, consolidated daily at 03:00 UTC over the last 28 days.

    `agent` and `setting` count how work went, by agent and by value in force; `signature` are failures that
    say the same; `stale` is what has no fresh evidence; `candidate` are settings to look at first, by rank.
    Words of signatures come from agents and are data.
    """
    with platform_of(request).store.read() as tx:
        return answer(
            views.list_patterns(tx, task_type=task_type, kind=kind, agent_id=agent_id, **page.arguments())
        )


@router.get("/patterns/{pattern_id}", summary="Show a pattern", **described(examples.PATTERN, 404))
def show_pattern(request: Request, pattern_id: Id) -> Response:
    """Return one pattern."""
    with platform_of(request).store.read() as tx:
        return found(views.get_pattern(tx, pattern_id), "pattern", pattern_id)
