"""Reports over HTTP: of a lap or a period in every format, and the schedules that make them.

Stands over the reports, which are computed from the ledger alone. Anyone with a key reads; only the operator
keeps schedules. It never writes an entry.
"""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request, Response

from app.api.answers import Id, JsonObject, answer, described, refusals
from app.api.bodies import Nothing
from app.api.examples import AT, HASH
from app.api.idempotency import Gate
from app.api.platform import platform_of
from app.api.report_bodies import NewSchedule
from app.api.strict_json import StrictRoute
from app.reports import asking
from app.reports.rendering import MEDIA_TYPES, Format
from app.reports.serving import report_response
from services.domain.report_calendar import Every
from services.operations import report_schedules
from services.store import views
from services.store.tx import Tx

router = APIRouter(tags=["reports"], route_class=StrictRoute)

SCHEDULE: Final[JsonObject] = {
    "name": "weekly",
    "every": "week",
    "formats": ["html", "pdf"],
    "announced": True,
    "next_at": AT,
    "last_error": None,
    "created_by": "operator",
    "created_at": AT,
    "last_delivery": {
        "from": AT,
        "to": AT,
        "ledger_size": 131,
        "files": [{"name": "weekly-2026-01-19--2026-01-25.html", "sha256": HASH, "bytes": 84_000}],
        "delivered_at": AT,
    },
}

BEGINNINGS: Final = {
    Format.HTML: "<!doctype html>…",
    Format.PDF: "%PDF-1.7…",
    Format.MARKDOWN: "# Lap 3: one turn of the loop…",
    Format.CSV: "section,name,label,value,unit,formula,entries,note…",
    Format.JSON: {"report": 1, "kind": "lap", "subject": "3", "headline": [], "sections": []},
}

Name = Annotated[str, Path(min_length=1, max_length=80, pattern=r"^[a-z0-9-]+$", examples=["weekly"])]
Instant = Annotated[str, Query(max_length=40)]


def _answers(*problems: int) -> JsonObject:
    content: dict[str, Any] = {
        media.partition(";")[0]: {"example": BEGINNINGS[form]} for form, media in MEDIA_TYPES.items()
    }
    told = {200: {"description": "the report in the format asked for", "content": content}}
    return {"response_class": Response, "responses": {**told, **refusals(401, 422, 429, *problems)}}


@router.get("/reports/lap/{lap_id}", summary="Report a lap", **_answers(404))
def report_lap(request: Request, lap_id: Id, format: Format = Format.HTML) -> Response:  # noqa: A002  the contract's name
    """Return one turn of the loop from what was seen to what became of it, computed from the ledger alone.

    The same as `nacre report lap`; every figure names its entries.
    """
    with platform_of(request).store.read() as tx:
        report = asking.lap_from_database(tx, lap_id)
    return report_response(report, format, f"nacre-lap-{lap_id}", is_served=False)


@router.get("/reports/period", summary="Report a period", **_answers())
def report_period(
    request: Request,
    start: Annotated[Instant, Query(alias="from", description="first day (UTC), or an instant")],
    end: Annotated[Instant, Query(alias="to", description="last day, included; or an instant, not included")],
    format: Format = Format.HTML,  # noqa: A002  the contract's name
) -> Response:
    """Return what changed in at most 366 days, what was refused and why, who agreed, and what came of it.

    Only the ledger up to the period's end is used: a period that is over reads the same for ever.
    """
    with platform_of(request).store.read() as tx:
        from_us, to_us = asking.asked_period(start, end, tx.now_us, place="query.")
        report = asking.period_from_database(tx, from_us, to_us)
    return report_response(report, format, f"nacre-{start}--{end}", is_served=False)


@router.get(
    "/report-schedules",
    summary="List scheduled reports",
    **described({"items": [SCHEDULE], "next_cursor": None}),
)
def list_schedules(request: Request) -> Response:
    """Return every schedule with its last delivery, or why the last try failed (at most 100)."""
    with platform_of(request).store.read() as tx:
        return answer(views.list_report_schedules(tx))


@router.post(
    "/report-schedules", summary="Schedule a report", **described(SCHEDULE, 400, 403, 409, status=201)
)
def add_schedule(body: NewSchedule, gate: Gate) -> Response:
    """Make a report of every day, week or month from now on. Only the operator can.

    Files go into NACRE_REPORT_FOLDER; `announced` publishes `nacre.report.made` to webhooks.
    """
    gate.caller.require_operator()

    def act(tx: Tx) -> JsonObject:
        report_schedules.add(
            tx, name=body.name, every=Every(body.every), formats=body.formats, is_announced=body.announced
        )
        return views.get_report_schedule(tx, body.name) or {}

    return gate.run(act, status=201)


@router.post(
    "/report-schedules/{name}/remove",
    summary="Remove a scheduled report",
    **described({"name": "weekly", "removed": True}, 400, 403, 404),
)
def remove_schedule(name: Name, gate: Gate, body: Nothing | None = None) -> Response:  # noqa: ARG001  documents the body
    """Remove a schedule; the files it made stay. Only the operator can."""
    gate.caller.require_operator()

    def act(tx: Tx) -> JsonObject:
        report_schedules.remove(tx, name)
        return {"name": name, "removed": True}

    return gate.run(act)


@router.post(
    "/report-schedules/{name}/run",
    summary="Make a scheduled report now",
    **described(SCHEDULE, 400, 403, 404, 409),
)
def run_schedule(name: Name, gate: Gate, body: Nothing | None = None) -> Response:  # noqa: ARG001  documents the body
    """Have what is due made within seconds, or the last period that is over if none was made yet.

    Only the operator can.
    """
    gate.caller.require_operator()

    def act(tx: Tx) -> JsonObject:
        report_schedules.ask_now(tx, name)
        return views.get_report_schedule(tx, name) or {}

    return gate.run(act)
