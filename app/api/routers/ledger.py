"""The evolution ledger over HTTP: entries, proofs, the signed checkpoint, and an export for offline audit.

Stands over the evolution ledger (L7). It never writes an entry.
"""

from tempfile import SpooledTemporaryFile
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.background import BackgroundTask

from app.api import examples
from app.api.answers import LARGEST_ID, PageAsked, answer, described, found, page_of
from app.api.platform import platform_of
from app.api.strict_json import StrictRoute
from services import evolution_ledger
from services.domain.ledger_schema import EntryType
from services.store import views

router = APIRouter(tags=["ledger"], route_class=StrictRoute)

SPOOLED_BYTES = 8_000_000
"""An export up to this size is kept in memory while it is sent."""

Index = Annotated[int, Path(ge=0, le=LARGEST_ID, examples=[14])]
Size = Annotated[int, Query(ge=1, le=LARGEST_ID)]


@router.get("/ledger", summary="List ledger entries", **described(page_of(examples.ENTRY)))
def list_entries(
    request: Request,
    page: PageAsked,
    type: EntryType | None = None,  # noqa: A002  the name of the filter in the contract
    lap: Annotated[int | None, Query(ge=1, le=LARGEST_ID)] = None,
) -> Response:
    """Return entries, newest first unless `order=oldest`."""
    with platform_of(request).store.read() as tx:
        return answer(views.list_entries(tx, type=type, lap=lap, **page.arguments()))


@router.get("/ledger/checkpoint", summary="Get the signed checkpoint", **described(examples.CHECKPOINT, 404))
def checkpoint(request: Request) -> Response:
    """Return origin, size and root as a signed C2SP note; keep it, and a cut tail will show."""
    platform = platform_of(request)
    with platform.store.read() as tx:
        return answer(evolution_ledger.checkpoint(tx, platform.signer))


@router.get(
    "/ledger/consistency",
    summary="Prove that the ledger only grew",
    **described(examples.CONSISTENCY, 404),
)
def consistency(
    request: Request, first: Annotated[Size, Query(alias="from")], second: Annotated[Size, Query(alias="to")]
) -> Response:
    """Return the RFC 6962 proof that the ledger of `from` entries is a prefix of that of `to` entries."""
    with platform_of(request).store.read() as tx:
        return answer(evolution_ledger.consistency(tx, first, second))


@router.get(
    "/ledger/export",
    summary="Export the ledger for offline audit",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "a checkpoint, every leaf in its exact bytes, every blob; one JSON object a line",
            "content": {"application/x-ndjson": {"example": '{"kind":"checkpoint","size":15}\n'}},
        },
        401: {"description": "no key, or nobody's"},
    },
)
def export(request: Request) -> StreamingResponse:
    """Stream the whole ledger; `nacre ledger verify` checks it with nothing but this file.

    It is written to a temporary file first, so that a slow reader holds no connection to the database.
    """
    platform = platform_of(request)
    spool = SpooledTemporaryFile(max_size=SPOOLED_BYTES)  # noqa: SIM115 (closed when it has been sent)
    with platform.store.read() as tx:
        spool.writelines(evolution_ledger.export_lines(tx, platform.signer))
    spool.seek(0)
    return StreamingResponse(spool, media_type="application/x-ndjson", background=BackgroundTask(spool.close))


@router.get("/ledger/{index}", summary="Show a ledger entry", **described(examples.ENTRY, 404))
def show_entry(request: Request, index: Index) -> Response:
    """Return one entry with the payload that its leaf spells."""
    with platform_of(request).store.read() as tx:
        return found(views.get_entry(tx, index), "ledger entry", index)


@router.get(
    "/ledger/{index}/inclusion",
    summary="Prove that an entry is in the ledger",
    **described(examples.INCLUSION, 404),
)
def inclusion(request: Request, index: Index, size: Size | None = None) -> Response:
    """Return the RFC 6962 proof that the entry is among the first `size` entries (default: all)."""
    with platform_of(request).store.read() as tx:
        return answer(evolution_ledger.inclusion(tx, index, size))
