"""The page of reports, and the reports themselves as files: of a lap or of a period, in any of the formats.

Stands beside the operator pages, over the reports. It only reads; a wrong question is answered on a page.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta

from fastapi import APIRouter, Request, Response

from app.reports import asking
from app.reports.page import CONTENT_POLICY, as_html
from app.reports.rendering import MEDIA_TYPES, Format, rendered
from app.web.visits import Row, Shown, Visit, rows
from services.domain.clock import to_datetime
from services.domain.errors import InvalidValueError, NacreError, NotFoundError
from services.domain.report_model import Report
from services.operations import report_schedules
from services.store.tx import Tx

LAPS_SHOWN = 20
FILE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": f"{CONTENT_POLICY}; frame-ancestors 'none'; base-uri 'none'",
}


def reports(visit: Visit) -> Shown:
    """Which reports there are to ask for, and the schedules with their last delivery."""
    today = to_datetime(visit.tx.now_us)
    yesterday = today - timedelta(days=1)
    month_end = today.replace(day=1) - timedelta(days=1)
    spans = (
        ("yesterday", yesterday, yesterday),
        ("the last 7 days", today - timedelta(days=7), yesterday),
        ("last month", month_end.replace(day=1), month_end),
    )
    return Shown(
        "reports.html",
        {
            "laps": rows(visit.views.list_laps(visit.tx, limit=LAPS_SHOWN)),
            "formats": tuple(Format),
            "spans": [(name, f"{first:%Y-%m-%d}", f"{last:%Y-%m-%d}") for name, first, last in spans],
            "from": f"{today - timedelta(days=7):%Y-%m-%d}",
            "to": f"{yesterday:%Y-%m-%d}",
            "schedules": report_schedules.listed(visit.tx),
        },
    )


@dataclass(frozen=True, slots=True)
class ReportFiles:
    """The routes that answer a report itself; `say` makes the page that says why there is none."""

    read: Callable[[], AbstractContextManager[Tx]]
    say: Callable[[Request, Row], Response]

    def add_to(self, router: APIRouter) -> None:
        """Add both routes."""
        for path, answer in (("/reports/lap/{id:int}", self.lap), ("/reports/period", self.period)):
            router.add_api_route(path, answer, methods=["GET", "HEAD"], response_class=Response)

    def lap(self, request: Request) -> Response:
        """Answer the report of a lap."""
        number = int(request.path_params["id"])
        return self._answer(request, f"nacre-lap-{number}", lambda tx: asking.lap_from_database(tx, number))

    def period(self, request: Request) -> Response:
        """Answer the report of a period."""
        start, end = (request.query_params.get(name, "") for name in ("from", "to"))

        def build(tx: Tx) -> Report:
            return asking.period_from_database(tx, *asking.asked_period(start, end, tx.now_us))

        return self._answer(request, f"nacre-{start}--{end}", build)

    def _answer(self, request: Request, name: str, build: Callable[[Tx], Report]) -> Response:
        asked = request.query_params.get("format", Format.HTML.value)
        try:
            wanted = format_of(asked)
            with self.read() as tx:
                report = build(tx)
            return report_response(report, wanted, name, is_served=True)
        except (InvalidValueError, NotFoundError) as error:
            return self.say(request, _refusal(error))


def format_of(asked: str) -> Format:
    """Return the format; raise InvalidValueError for one that there is not."""
    if asked not in set(Format):
        msg = f"format must be one of {', '.join(Format)}, not {asked[:40]!r}"
        raise InvalidValueError(msg, field="format")
    return Format(asked)


def _refusal(error: NacreError) -> Row:
    return {"why": error.detail, "status": 404 if isinstance(error, NotFoundError) else 400}


def report_response(report: Report, wanted: Format, name: str, *, is_served: bool) -> Response:
    """Return a report as an answer; `is_served` lets the figures of a page lead to the ledger's pages."""
    is_page = wanted is Format.HTML
    content = as_html(report, is_served=is_served) if is_page else rendered(report, wanted)
    safe = "".join(mark if mark.isascii() and (mark.isalnum() or mark in "-.") else "_" for mark in name)
    disposition = {} if is_page else {"Content-Disposition": f'attachment; filename="{safe}.{wanted}"'}
    return Response(content, 200, {**FILE_HEADERS, **disposition}, MEDIA_TYPES[wanted])
