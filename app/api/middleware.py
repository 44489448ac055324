"""Pure ASGI layers around the API: a request id, security headers, and limits on the size and time of bodies.

Stand between the server and the routes. They never read a body whole and never look at who calls.
"""

import asyncio
import itertools
import uuid

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.errors import STATUS_OF, problem

BODY_LIMIT_BYTES = 1_048_576
BODY_SECONDS = 10.0
CLOSE = {"Connection": "close"}

_DOCS_POLICY = (
    b"default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    b"img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; object-src 'none'"
)
_DATA_POLICY = b"default-src 'none'; frame-ancestors 'none'"
_POLICY = b"content-security-policy"
_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)
_OF_DATA = ((_POLICY, _DATA_POLICY), *_ALWAYS)
_OF_DOCS = ((_POLICY, _DOCS_POLICY), *_ALWAYS)
_OF_THE_API = (*_OF_DATA, (b"cache-control", b"no-store"))


class RequestFrame:
    """Gives each request an id and each answer its security headers; a route's own headers win."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._start = uuid.uuid4().hex[:20]
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with `state.request_id` set, which no other request of any process has."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = f"{self._start}{next(self._numbers):012x}"
        scope.setdefault("state", {})["request_id"] = request_id
        frame = _frame_of(scope["path"])

        async def framed(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = message.get("headers", [])
                named = {name.lower() for name, _ in own}
                added = [item for item in frame if item[0] not in named]
                message["headers"] = [*own, (b"x-request-id", request_id.encode()), *added]
            await send(message)

        await self.app(scope, receive, framed)


def _frame_of(path: str) -> tuple[tuple[bytes, bytes], ...]:
    if path.startswith("/api/"):
        return _OF_THE_API
    return _OF_DOCS if path.startswith(("/docs", "/static-offline-docs")) else _OF_DATA


class BodyLimit:
    """Refuses bodies over the limit, at once when their length is declared, and bodies that do not arrive.

    A body has `seconds` from the end of its headers on; then 408 is answered and the connection closed.
    """

    def __init__(
        self, app: ASGIApp, limit_bytes: int = BODY_LIMIT_BYTES, seconds: float = BODY_SECONDS
    ) -> None:
        self.app = app
        self.limit_bytes = limit_bytes
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, counting what is received and how long it takes."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = _declared_bytes(scope)
        if declared == 0:
            await self.app(scope, receive, send)
            return
        if declared is not None and declared > self.limit_bytes:
            refusal = problem(STATUS_OF["body_too_large"], "body_too_large", self._too_large(), headers=CLOSE)
            await refusal(scope, receive, send)
            return
        await self.app(scope, self._counted(receive), send)

    def _counted(self, receive: Receive) -> Receive:
        received_bytes = 0
        is_whole = False
        ends_at = asyncio.get_running_loop().time() + self.seconds

        async def counted() -> Message:
            nonlocal received_bytes, is_whole
            if is_whole:
                return await receive()
            try:
                async with asyncio.timeout_at(ends_at):
                    message = await receive()
            except TimeoutError:
                sentence = f"the body did not arrive within {self.seconds:g} s"
                raise HTTPException(STATUS_OF["body_too_slow"], sentence, headers=CLOSE) from None
            is_whole = not message.get("more_body", False)
            received_bytes += len(message.get("body", b""))
            if received_bytes > self.limit_bytes:
                raise HTTPException(STATUS_OF["body_too_large"], self._too_large(), headers=CLOSE)
            return message

        return counted

    def _too_large(self) -> str:
        return f"the body is larger than {self.limit_bytes} bytes, the most that is taken"


def _declared_bytes(scope: Scope) -> int | None:
    """Return how many bytes of body the headers declare; None when they come in chunks."""
    length: int | None = 0
    for name, value in scope["headers"]:
        if name == b"transfer-encoding":
            return None
        if name == b"content-length":
            length = int(value[:20]) if value.isdigit() else None
    return length
