"""Errors at the HTTP boundary: one table from code to status, and every refusal as RFC 9457 problem+json.

Stands around every route. Whatever nobody expected is logged with its request id and answered as a 500 that
says nothing of the inside. It never turns a refusal into a success.
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.domain.errors import NacreError

LOG = logging.getLogger("nacre.api")
PROBLEM_JSON = "application/problem+json"
STATUS_INTERNAL = 500
ERRORS_SHOWN = 20
DETAIL_LIMIT = 2_000

STATUS_OF: Mapping[str, int] = {
    "body_not_json": 400,
    "idempotency_key_missing": 400,
    "idempotency_key_invalid": 400,
    "unauthenticated": 401,
    "insufficient_funds": 402,
    "forbidden": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "body_too_slow": 408,
    "conflict": 409,
    "idempotency_key_reused": 409,
    "stale_fencing_token": 409,
    "body_too_large": 413,
    "unsupported_media_type": 415,
    "invalid_value": 422,
    "validation_failed": 422,
    "rate_limited": 429,
    "ledger_broken": 503,
    "budget_exceeded": 503,
    "busy": 503,
    "database_unavailable": 503,
    "internal": STATUS_INTERNAL,
}
"""The one table of statuses. A particular code (`bids_closed`) has the status of its class (`conflict`)."""

_CODE_OF_STATUS = {
    400: "body_not_json",
    404: "not_found",
    405: "method_not_allowed",
    408: "body_too_slow",
    413: "body_too_large",
}
_SENTENCES = {
    404: "nothing stands at this path; /docs lists every path",
    405: "this path does not take this method; the Allow header names those it takes",
}


def status_of(error: NacreError) -> int:
    """Return the HTTP status of a refusal: by its own code, else by its class's."""
    return STATUS_OF.get(error.code) or STATUS_OF.get(type(error).code, STATUS_INTERNAL)


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    field: str | None = None,
    is_transient: bool = False,
    extra: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a problem+json answer; `extra` never replaces a standard member."""
    body = problem_members(status, code, detail, field=field, is_transient=is_transient, extra=extra)
    content = json.dumps(body, default=str).encode()
    return Response(content, status, headers=dict(headers or {}), media_type=PROBLEM_JSON)


def problem_members(
    status: int,
    code: str,
    detail: str,
    *,
    field: str | None = None,
    is_transient: bool = False,
    extra: Mapping[str, object] | None = None,
) -> dict[str, object]:
    """Return the members of a problem object."""
    body: dict[str, object] = {
        **(extra or {}),
        "type": f"urn:nacre:problem:{code}",
        "title": code.replace("_", " ").capitalize(),
        "status": status,
        "detail": detail[:DETAIL_LIMIT],
        "code": code,
        "transient": is_transient,
    }
    if field is not None:
        body["field"] = field
    return body


def problem_of_item(error: NacreError, place: str) -> dict[str, object]:
    """Return the refusal of one item of a batch; `place` is where it stands, like `body.items[3]`."""
    field = error.field
    if field is not None:
        field = f"{place}.{field.removeprefix('body.')}"
    return problem_members(
        status_of(error),
        error.code,
        error.detail,
        field=field,
        is_transient=error.transient,
        extra=json.loads(json.dumps(error.arguments, default=str)),
    )


def install(app: FastAPI) -> None:
    """Answer every kind of refusal of `app` as problem+json."""
    app.add_exception_handler(NacreError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, NacreError)  # noqa: S101 (registered for this class only)
    status = status_of(error)
    headers = {"WWW-Authenticate": "Bearer"} if status == STATUS_OF["unauthenticated"] else None
    return problem(
        status,
        error.code,
        error.detail,
        field=_path_of(request, error.field),
        is_transient=error.transient,
        extra=error.arguments,
        headers=headers,
    )


def _path_of(request: Request, field: str | None) -> str | None:
    """Return where in the request a field named by the core stands: body, path or query."""
    if field is None or field.split(".")[0] in ("body", "path", "query", "header"):
        return field
    if field in request.path_params:
        return f"path.{field}"
    return f"body.{field}" if request.method == "POST" else f"query.{field}"


def _invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 (registered for this class only)
    return validation_problem(error.errors())


def validation_problem(errors: Sequence[Mapping[str, Any]], prefix: tuple[str, ...] = ()) -> Response:
    """Return a 422 that names the path of every wrong field and what would be right."""
    members = validation_members(errors, prefix)
    return Response(json.dumps(members).encode(), STATUS_OF["validation_failed"], media_type=PROBLEM_JSON)


def validation_members(
    errors: Sequence[Mapping[str, Any]], prefix: tuple[str | int, ...] = ()
) -> dict[str, object]:
    """Return the members of a problem that names the path of every wrong field."""
    shown = [
        {"field": _dotted((*prefix, *item["loc"])), "detail": str(item["msg"])[:300]}
        for item in errors[:ERRORS_SHOWN]
    ]
    first = shown[0]
    return problem_members(
        STATUS_OF["validation_failed"],
        "validation_failed",
        f"{first['field']}: {first['detail']}",
        field=first["field"],
        extra={"errors": shown},
    )


def _dotted(location: Sequence[object]) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path.lstrip(".")[:200]


def _http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 (registered for this class only)
    code = _CODE_OF_STATUS.get(error.status_code, "refused")
    detail = _SENTENCES.get(error.status_code, str(error.detail))
    return problem(error.status_code, code, detail, headers=error.headers)


class ErrorBoundary:
    """The outermost edge of a request: what nobody expected is recorded and answered as a bare 500."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; answer for whatever comes out of it as an error."""
        is_started = False

        async def watch(message: Message) -> None:
            nonlocal is_started
            is_started = is_started or message["type"] == "http.response.start"
            await send(message)

        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            await self.app(scope, receive, watch)
        except Exception:
            request_id = scope.get("state", {}).get("request_id", "-")
            LOG.exception("request %s: %s %s failed", request_id, scope["method"], scope["path"])
            if is_started:
                raise
            sentence = (
                f"something went wrong here, not with the request; the log has it as request {request_id}"
            )
            await problem(STATUS_INTERNAL, "internal", sentence, is_transient=True)(scope, receive, send)


def failure_of(check: Callable[[], object]) -> str | None:
    """Run a readiness check; return the name of what it raised, or None. The details go to the log only."""
    try:
        check()
    except Exception as error:
        LOG.warning("a readiness check failed", exc_info=True)
        return type(error).__name__
    return None
