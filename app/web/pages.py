"""The operator pages as one table: path, name in the menu, page. `build_pages` makes the router of it.

Stands at the edge beside the API, on the same port. A page opens one read transaction, prepares what it
shows, and closes it before a template runs. Pages never write, and work without a script.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from fastapi import APIRouter, Request, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from app.web import (
    agent_pages,
    anomaly_pages,
    evidence_pages,
    health_pages,
    loop_pages,
    market_pages,
    metric_pages,
    operations_pages,
    parameter_pages,
    record_pages,
    report_pages,
    review_pages,
    vote_pages,
)
from app.web.formats import FILTERS, shown
from app.web.visits import ReadModels, Row, Shown, Visit, Workings
from services.domain.clock import to_rfc3339
from services.domain.errors import InvalidValueError
from services.domain.parameters import ParameterRegistry
from services.store import views as store_views
from services.store.tx import Tx

HERE = Path(__file__).parent
STATIC_TYPES = {"nacre.css": "text/css; charset=utf-8", "nacre.svg": "image/svg+xml"}
PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self' data:; frame-ancestors 'none'; "
        "base-uri 'none'; form-action 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Page(NamedTuple):
    """One page: where it is, under which entry of the menu it stands, and what prepares it."""

    path: str
    menu: str
    prepare: Callable[[Visit], Shown | None]


class Sources(NamedTuple):
    """Where pages read from."""

    read: Callable[[], AbstractContextManager[Tx]]
    registry: ParameterRegistry
    workings: Workings
    views: ReadModels


PAGES: tuple[Page, ...] = (
    Page("/", "Loop", loop_pages.loop),
    Page("/laps", "Laps", loop_pages.laps),
    Page("/laps/{id:int}", "Laps", loop_pages.lap),
    Page("/market", "Market", market_pages.market),
    Page("/tasks/{id:int}", "Market", market_pages.task),
    Page("/agents", "Agents", agent_pages.agents),
    Page("/agents/{id:int}", "Agents", agent_pages.agent),
    Page("/metrics-board", "Metrics", metric_pages.board),
    Page("/metrics-board/{name}", "Metrics", metric_pages.metric),
    Page("/anomalies", "Anomalies", anomaly_pages.anomalies),
    Page("/proposals", "Proposals", vote_pages.proposals),
    Page("/proposals/{id:int}", "Proposals", vote_pages.proposal),
    Page("/reviews", "Reviews", review_pages.reviews),
    Page("/reviews/{id:int}", "Reviews", review_pages.review),
    Page("/voters", "Voters", review_pages.voters),
    Page("/voters/{id:int}", "Voters", review_pages.voter),
    Page("/experiments", "Experiments", evidence_pages.experiments),
    Page("/experiments/{id:int}", "Experiments", evidence_pages.experiment),
    Page("/sandbox", "Sandbox", evidence_pages.sandbox),
    Page("/parameters", "Parameters", parameter_pages.parameters),
    Page("/parameters/diff", "Parameters", parameter_pages.difference),
    Page("/parameters/{name}", "Parameters", parameter_pages.parameter),
    Page("/ledger", "Ledger", record_pages.ledger),
    Page("/ledger/{id:int}", "Ledger", record_pages.entry),
    Page("/reports", "Reports", report_pages.reports),
    Page("/platform-health", "Health", health_pages.health),
    Page("/operations", "Operations", operations_pages.operations),
)
MENU: tuple[tuple[str, str], ...] = tuple(
    (page.menu, page.path) for page in PAGES if page.path.count("/") == 1
)


def build_pages(
    read: Callable[[], AbstractContextManager[Tx]],
    registry: ParameterRegistry,
    workings: Workings,
    views: ReadModels = store_views,
) -> APIRouter:
    """Return the router of all operator pages and their two static files.

    `read` opens a read transaction; `workings` tell of the running platform; `views` are the read models
    (both from another source in tests).
    """
    sources = Sources(read, registry, workings, views)
    router = APIRouter(include_in_schema=False)
    templates = build_templates()
    for page in PAGES:
        router.add_api_route(
            page.path,
            _answer(page, sources, templates),
            methods=["GET", "HEAD"],
            response_class=Response,
            name=f"page {page.path}",
        )
    router.add_api_route("/static/{name}", static_file, methods=["GET", "HEAD"], response_class=Response)
    return router


def build_templates() -> Environment:
    """Return the templates: everything escaped, hidden characters shown, an unknown name is an error."""
    templates = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters.update(FILTERS)
    templates.globals.update(menu=MENU, style=f"/static/nacre.css?v={_fingerprint()}")
    return templates


def _fingerprint() -> str:
    return sha256((HERE / "static" / "nacre.css").read_bytes()).hexdigest()[:12]


def _answer(page: Page, sources: Sources, templates: Environment) -> Callable[[Request], Response]:
    """Return the endpoint of one page; FastAPI runs it in a thread, as it is synchronous."""

    def answer(request: Request) -> Response:
        here = request.url.path
        with sources.read() as tx:
            asked = (here, request.path_params, request.query_params)
            visit = Visit(tx, sources.views, sources.registry, sources.workings, *asked)
            prepared, status = prepare_or_say_why(page, visit)
            read_at = to_rfc3339(tx.now_us)
        return html_response(templates, prepared, {"menu_entry": page.menu, "read_at": read_at}, status)

    return answer


def prepare_or_say_why(page: Page, visit: Visit) -> tuple[Shown, int]:
    """Return what a page shows and its status; an unknown id or a foreign cursor gets a page of its own."""
    try:
        prepared = page.prepare(visit)
    except InvalidValueError as error:
        return Shown("refused.html", {"why": error.detail, "here": visit.here}), 400
    return (prepared, 200) if prepared else (Shown("missing.html", {"here": visit.here}), 404)


def html_response(templates: Environment, prepared: Shown, frame: Row, status: int) -> Response:
    """Return a rendered page with the headers that keep scripts and frames out."""
    text = templates.get_template(prepared.template).render({**frame, **prepared.context})
    return Response(text.encode(), status, PAGE_HEADERS, "text/html; charset=utf-8")


def static_file(name: str) -> Response:
    """Answer one of the two files that pages refer to."""
    media_type = STATIC_TYPES.get(name)
    if media_type is None:
        return Response(status_code=404)
    headers = {"Cache-Control": "public, max-age=86400", "X-Content-Type-Options": "nosniff"}
    return Response((HERE / "static" / name).read_bytes(), 200, headers, media_type)
