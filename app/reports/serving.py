"""Reports over HTTP: as an answer with the headers of a file, and as pages of the operator's site.

Stands over the renderers, beside the operator pages. A wrong question is answered on a page. It only reads.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from fastapi import APIRouter, Request, Response
from jinja2 import Environment

from app.reports import asking
from app.reports.page import CONTENT_POLICY, as_html
from app.reports.rendering import MEDIA_TYPES, Format, rendered
from app.web.pages import build_templates, html_response
from app.web.visits import Shown
from services.domain.errors import InvalidValueError, NotFoundError
from services.domain.report_model import Report
from services.store.tx import Tx

NOT_FOUND = 404
BAD_REQUEST = 400
FILE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": f"{CONTENT_POLICY}; frame-ancestors 'none'; base-uri 'none'",
}


def report_response(report: Report, wanted: Format, name: str, *, is_served: bool) -> Response:
    """Return a report as an answer; `is_served` lets the figures of a page lead to the ledger's pages."""
    is_page = wanted is Format.HTML
    content = as_html(report, is_served=is_served) if is_page else rendered(report, wanted)
    safe = "".join(mark if mark.isascii() and (mark.isalnum() or mark in "-.") else "_" for mark in name)
    disposition = {} if is_page else {"Content-Disposition": f'attachment; filename="{safe}.{wanted}"'}
    return Response(content, 200, {**FILE_HEADERS, **disposition}, MEDIA_TYPES[wanted])


def format_of(asked: str) -> Format:
    """Return the format; raise InvalidValueError for one that there is not."""
    if asked not in set(Format):
        msg = f"format must be one of {', '.join(Format)}, not {asked[:40]!r}"
        raise InvalidValueError(msg, field="format")
    return Format(asked)


def build_report_pages(read: Callable[[], AbstractContextManager[Tx]]) -> APIRouter:
    """Return the router of `/reports/lap/{id}` and `/reports/period`; `read` opens a read transaction."""
    router = APIRouter(include_in_schema=False)
    pages = _ReportPages(read, build_templates())
    for path, answer in (("/reports/lap/{id:int}", pages.lap), ("/reports/period", pages.period)):
        router.add_api_route(path, answer, methods=["GET", "HEAD"], response_class=Response)
    return router


@dataclass(frozen=True, slots=True)
class _ReportPages:
    read: Callable[[], AbstractContextManager[Tx]]
    templates: Environment

    def lap(self, request: Request) -> Response:
        number = int(request.path_params["id"])
        return self._answer(request, f"nacre-lap-{number}", lambda tx: asking.lap_from_database(tx, number))

    def period(self, request: Request) -> Response:
        start, end = (request.query_params.get(name, "") for name in ("from", "to"))

        def build(tx: Tx) -> Report:
            return asking.period_from_database(tx, *asking.asked_period(start, end, tx.now_us))

        return self._answer(request, f"nacre-{start}--{end}", build)

    def _answer(self, request: Request, name: str, build: Callable[[Tx], Report]) -> Response:
        try:
            wanted = format_of(request.query_params.get("format", Format.HTML.value))
            with self.read() as tx:
                report = build(tx)
            return report_response(report, wanted, name, is_served=True)
        except NotFoundError:
            return self._say("missing.html", request, "", NOT_FOUND)
        except InvalidValueError as error:
            return self._say("refused.html", request, error.detail, BAD_REQUEST)

    def _say(self, template: str, request: Request, why: str, status: int) -> Response:
        shown = Shown(template, {"why": why, "here": request.url.path})
        frame = {"menu_entry": "Reports", "read_at": None}
        return html_response(self.templates, shown, frame, status)
