"""The evolution ledger over HTTP: entries, proofs, checkpoints, past configs, texts, and the export.

Stands over the evolution ledger (L7). The operator's two acts, correcting an entry and erasing a text, are
entries themselves. It never changes one.
"""

import base64
from dataclasses import asdict
from tempfile import SpooledTemporaryFile
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.background import BackgroundTask

from app.api import examples, ledger_examples
from app.api.answers import LARGEST_ID, JsonObject, PageAsked, answer, described, found, page_of
from app.api.idempotency import Gate
from app.api.ledger_bodies import Correction, TextErasure
from app.api.platform import platform_of
from app.api.strict_json import StrictRoute
from app.periods import instant_of
from services import evolution_ledger
from services.domain.clock import to_rfc3339
from services.domain.ledger_schema import EntryType
from services.domain.ledger_subjects import SUBJECT_LENGTH
from services.store import views
from services.store.tx import Tx
from services.store.views.ledger import list_checkpoints

router = APIRouter(tags=["ledger"], route_class=StrictRoute)

SPOOLED_BYTES = 8_000_000
"""An export up to this size is kept in memory while it is sent."""

Index = Annotated[int, Path(ge=0, le=LARGEST_ID, examples=[14])]
Size = Annotated[int, Query(ge=1, le=LARGEST_ID)]
Digest = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$", examples=[examples.HASH])]


@router.get("/ledger", summary="List ledger entries", **described(page_of(examples.ENTRY)))
def list_entries(
    request: Request,
    page: PageAsked,
    type: EntryType | None = None,  # noqa: A002  the name of the filter in the contract
    lap: Annotated[int | None, Query(ge=1, le=LARGEST_ID)] = None,
    subject: Annotated[
        str | None,
        Query(
            max_length=SUBJECT_LENGTH,
            pattern=r"^[a-z]+:[^\x00-\x1f\x7f]+$",
            description="what they are about: `proposal:3`, `experiment:7`, `parameter:NAME`, `entry:5`",
        ),
    ] = None,
) -> Response:
    """Return entries, newest first unless `order=oldest`."""
    with platform_of(request).store.read() as tx:
        return answer(views.list_entries(tx, type=type, lap=lap, subject=subject, **page.arguments()))


@router.get("/ledger/checkpoint", summary="Get the signed checkpoint", **described(examples.CHECKPOINT, 404))
def checkpoint(request: Request) -> Response:
    """Return origin, size and root as a signed C2SP note; keep it, and a cut tail will show."""
    platform = platform_of(request)
    with platform.store.read() as tx:
        return answer(evolution_ledger.checkpoint(tx, platform.signer))


@router.get(
    "/ledger/checkpoints",
    summary="List the checkpoints that were signed",
    **described(page_of(ledger_examples.KEPT_CHECKPOINT)),
)
def checkpoints(request: Request, page: PageAsked) -> Response:
    """Return the signed checkpoints that were kept as the ledger grew, the largest first."""
    with platform_of(request).store.read() as tx:
        return answer(list_checkpoints(tx, **page.arguments()))


@router.get("/ledger/config", summary="Rebuild a past config", **described(ledger_examples.CONFIG, 404))
def config(
    request: Request,
    size: Size | None = None,
    at: Annotated[str | None, Query(max_length=40, description="a UTC day or an RFC 3339 instant")] = None,
) -> Response:
    """Return the config that the first `size` entries add up to, or those up to `at`; all by default.

    It is folded from the entries alone, each held to its hashes of the whole config before and after.
    """
    with platform_of(request).store.read() as tx:
        return answer(evolution_ledger.config_at(tx, size, instant_of(at, "query.at")))


@router.get(
    "/ledger/blobs/{sha256}", summary="Show a text by its hash", **described(ledger_examples.BLOB, 404)
)
def show_blob(request: Request, sha256: Digest) -> Response:
    """Return what an entry names by hash: `text`, or `base64` where it is no UTF-8; null once erased."""
    with platform_of(request).store.read() as tx:
        row = evolution_ledger.get_blob(tx, sha256)
    content, erased_at_us = bytes(row["content"]), row["erased_at_us"]
    shown: JsonObject = {"sha256": sha256, "kind": row["kind"], "text": None, "base64": None}
    if erased_at_us is None:
        try:
            shown["text"] = content.decode()
        except UnicodeDecodeError:
            shown["base64"] = base64.b64encode(content).decode()
    return answer({**shown, "erased_at": None if erased_at_us is None else to_rfc3339(erased_at_us)})


@router.post(
    "/ledger/blobs/{sha256}/erase",
    summary="Erase a text",
    **described(ledger_examples.ERASED, 400, 403, 404, 409),
)
def erase(sha256: Digest, body: TextErasure, gate: Gate) -> Response:
    """Erase a root cause or a reason wherever it is kept; its hash stays in the ledger. Operator only.

    What reviewers were shown of it goes too. An experiment's records are refused with `blob_needed`.
    """
    gate.caller.require_operator()

    def act(tx: Tx) -> JsonObject:
        done = evolution_ledger.erase_blob(tx, sha256, body.reason)
        return {"erased": [asdict(one) for one in done]}

    return gate.run(act)


@router.post(
    "/ledger/{index}/corrections",
    summary="Correct a ledger entry",
    **described(ledger_examples.CORRECTED, 400, 403, 404, status=201),
)
def correct(index: Index, body: Correction, gate: Gate) -> Response:
    """Write a remark on an earlier entry, which stays as it is. Operator only."""
    gate.caller.require_operator()

    def act(tx: Tx) -> JsonObject:
        return {"ledger_index": evolution_ledger.correct(tx, index, body.reason)}

    return gate.run(act, status=201)


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


@router.get("/ledger/{index}", summary="Show a ledger entry", **described(ledger_examples.SHOWN_ENTRY, 404))
def show_entry(request: Request, index: Index) -> Response:
    """Return one entry with the payload that its leaf spells, and the corrections that name it."""
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
