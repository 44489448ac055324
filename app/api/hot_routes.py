"""The hot routes: bids, leases, heartbeats, results, posts, work, lists, and the batches, without detours.

Placed before the documented routes of the same paths in the same application. A hot route takes what is well
formed and allowed; whatever it hesitates about goes on, unchanged, to the documented route, which answers or
says what is wrong. Both end in the same verbs. It never decides anything by itself.
"""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.concurrency import run_in_threadpool
from starlette.routing import Match, Route
from starlette.types import Message, Receive, Scope, Send

from app.api import batches, items
from app.api.agent_cycle import AgentCycle
from app.api.authentication import Caller, Credentials
from app.api.bodies import LARGEST_ID
from app.api.hot_bodies import HotBid, HotBody, HotLeaseToken, HotNothing, HotResult, HotTask, HotWorkQuery
from app.api.idempotency import WriteGate, hash_of, is_key
from app.api.platform import ApiPlatform
from app.api.routers.tasks import tasks_page
from app.api.strict_json import BodyRefusedError, check_json
from app.api.verbs import MarketVerbs
from services.domain import states
from services.domain.errors import InvalidValueError, UnauthenticatedError
from services.domain.states import TaskState
from services.store.views import LIMIT_DEFAULT, LIMIT_HIGHEST

B = TypeVar("B", bound=HotBody)

STATES: Final = frozenset(str(state) for state in TaskState)
HESITATED: Final = "nacre_documented"
JSON: Final = (b"application/json", b"application/json; charset=utf-8")


class HesitationError(Exception):
    """The request is for the documented route to judge."""


@dataclass(frozen=True, slots=True)
class HotRequest:
    """A request whose caller is known and whose body is strict JSON; `gate.key` is empty without a key."""

    scope: Scope
    receive: Receive
    gate: WriteGate
    value: Any

    @property
    def task_id(self) -> int:
        """Return the task in the path."""
        task_id: int = self.scope["path_params"]["task_id"]
        if not 1 <= task_id <= LARGEST_ID:
            raise HesitationError
        return task_id

    def agent_id(self, scope: states.Scope) -> int:
        """Return the calling agent, which may do this."""
        principal = self.gate.caller.principal
        if principal is None or scope not in principal.scopes:
            raise HesitationError
        return principal.agent_id

    def body(self, kind: type[B]) -> B:
        """Return the body as `kind`."""
        try:
            return msgspec.convert(self.value, kind)
        except msgspec.ValidationError:
            raise HesitationError from None


Answer = Callable[[HotRequest], Awaitable[Response]]


class HotRoute(Route):
    """A route that matches only what it may take whole, and nothing that it has passed on."""

    def __init__(self, method: str, path: str, endpoint: "HotEndpoint") -> None:
        super().__init__(path, endpoint, methods=[method], include_in_schema=False)
        self.method = method

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match method and path, unless the request has come back."""
        if scope["type"] != "http" or scope["method"] != self.method or HESITATED in scope["state"]:
            return Match.NONE, {}
        match, child = super().matches(scope)
        return (match, child) if match is Match.FULL else (Match.NONE, {})


class HotEndpoint:
    """Reads one request and lets `answer` have it, or passes it on to the documented route."""

    def __init__(self, app: FastAPI, platform: ApiPlatform, answer: Answer, *, needs_key: bool) -> None:
        self._app = app
        self._platform = platform
        self._credentials: Credentials = app.state.credentials
        self._answer = answer
        self._needs_key = needs_key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        body = await _body_of(receive)
        if body is None:
            return
        try:
            response = await self._answer(await self._read(scope, receive, body))
        except (HesitationError, BodyRefusedError, RequestValidationError, UnauthenticatedError):
            scope["state"][HESITATED] = True
            await self._app.router(scope, _again(body, receive), send)
            return
        await response(scope, receive, send)

    async def _read(self, scope: Scope, receive: Receive, body: bytes) -> HotRequest:
        key, is_json = _headers_of(scope)
        if (body and not is_json) or (self._needs_key and not is_key(key)):
            raise HesitationError
        if scope["query_string"] and scope["method"] != "GET":
            raise HesitationError
        value = check_json(body) if body else None
        caller: Caller = await self._credentials.caller(scope)
        request_hash = ""
        if key:
            digest = hashlib.sha256(body).hexdigest()
            request_hash = hash_of(scope["method"], scope["path"], digest)
        return HotRequest(scope, receive, WriteGate(self._platform, caller, key, request_hash), value)


async def _body_of(receive: Receive) -> bytes | None:
    """Return the whole body, or None when the client has gone."""
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body", False):
        message = await receive()
        body += message.get("body", b"")
    return None if message["type"] == "http.disconnect" else body


def _again(body: bytes, receive: Receive) -> Receive:
    """Give the body that has been read once more, and then what comes."""
    is_given = False

    async def replayed() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed


def _headers_of(scope: Scope) -> tuple[str, bool]:
    """Return the Idempotency-Key (empty without one) and whether the body is said to be JSON."""
    key, is_json, seen = "", False, 0
    for name, value in scope["headers"]:
        if name == b"idempotency-key":
            key, seen = value.decode("latin-1"), seen + 1
        elif name == b"content-type":
            is_json = value in JSON
    if seen > 1:
        raise HesitationError
    return key, is_json


class HotAnswers:
    """What each hot route does with a request that is well formed."""

    def __init__(self, platform: ApiPlatform, verbs: MarketVerbs, cycle: AgentCycle) -> None:
        self._platform = platform
        self._verbs = verbs
        self._cycle = cycle

    async def bid(self, asked: HotRequest) -> Response:
        """Place a sealed bid."""
        agent_id = asked.agent_id(states.Scope.BID)
        bid = items.bid_of(agent_id, asked.task_id, asked.body(HotBid))
        return await asked.gate.merged(self._verbs.bid, bid)

    async def lease(self, asked: HotRequest) -> Response:
        """Take a lease."""
        agent_id = asked.agent_id(states.Scope.BID)
        if asked.value is not None:
            asked.body(HotNothing)
        return await asked.gate.merged(self._verbs.lease, items.claim_of(agent_id, asked.task_id))

    async def heartbeat(self, asked: HotRequest) -> Response:
        """Keep a lease alive."""
        agent_id = asked.agent_id(states.Scope.BID)
        renewal = items.renewal_of(agent_id, asked.task_id, asked.body(HotLeaseToken))
        return await asked.gate.merged(self._verbs.heartbeat, renewal)

    async def result(self, asked: HotRequest) -> Response:
        """Hand in a result."""
        agent_id = asked.agent_id(states.Scope.BID)
        task_id, body = asked.task_id, asked.body(HotResult)
        try:
            result = items.result_of(agent_id, task_id, body)
        except InvalidValueError:
            raise HesitationError from None
        return await asked.gate.merged(self._verbs.result, result)

    async def post(self, asked: HotRequest) -> Response:
        """Post a task."""
        principal = asked.gate.caller.principal
        requester_id = None if principal is None else asked.agent_id(states.Scope.POST)
        body = asked.body(HotTask)
        try:
            posting = items.posting_of(self._platform, requester_id, body)
        except InvalidValueError:
            raise HesitationError from None
        return await asked.gate.merged(self._verbs.post, posting)

    async def work(self, asked: HotRequest) -> Response:
        """Answer what there is to do."""
        query = asked.body(HotWorkQuery)
        if asked.gate.caller.is_operator:
            raise HesitationError
        gate = asked.gate if is_key(asked.gate.key) else replace(asked.gate, key="")
        return await self._cycle.answer(gate, query, Request(asked.scope, asked.receive).is_disconnected)

    async def tasks(self, asked: HotRequest) -> Response:
        """List tasks."""
        return await run_in_threadpool(tasks_page, self._platform, _filters(asked.scope["query_string"]))

    def batch(self, answer: batches.Batch) -> Answer:
        """Return what answers a batch."""

        async def answered(asked: HotRequest) -> Response:
            value = asked.value
            found = value.get("items") if isinstance(value, dict) and len(value) == 1 else None
            if not isinstance(found, list) or not 1 <= len(found) <= batches.ITEMS_HIGHEST:
                raise HesitationError
            response: Response = await answer(asked.gate, self._verbs, found)
            return response

        return answered


def _filters(query: bytes) -> dict[str, object]:
    """Return the filters of the plain listing by type and state; everything else is not for this route."""
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    asked = dict(pairs)
    if len(asked) != len(pairs) or not asked.keys() <= {"limit", "state", "type"}:
        raise HesitationError
    limit = asked.get("limit", str(LIMIT_DEFAULT))
    kind = asked.get("type", "any")
    is_plain = limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= LIMIT_HIGHEST
    if not is_plain or not (kind.isascii() and kind.replace("_", "a").isalnum() and len(kind) <= 64):  # noqa: PLR2004 (letters of a type)
        raise HesitationError
    state = asked.get("state")
    if state is not None and state not in STATES:
        raise HesitationError
    return {"limit": int(limit), "state": state, "type": asked.get("type")}


def install(app: FastAPI, platform: ApiPlatform, prefix: str) -> Sequence[HotRoute]:
    """Place the hot routes before all others and return them."""
    answers = HotAnswers(platform, app.state.verbs, app.state.cycle)
    table: list[tuple[str, str, Answer, bool]] = [
        ("POST", "/tasks/{task_id:int}/bids", answers.bid, True),
        ("POST", "/agents/me/work", answers.work, False),
        ("POST", "/tasks/{task_id:int}/heartbeat", answers.heartbeat, True),
        ("POST", "/tasks/{task_id:int}/result", answers.result, True),
        ("POST", "/tasks/{task_id:int}/lease", answers.lease, True),
        ("POST", "/tasks", answers.post, True),
        ("GET", "/tasks", answers.tasks, False),
        ("POST", "/batch/bids", answers.batch(batches.place_bids), True),
        ("POST", "/batch/leases", answers.batch(batches.take_leases), True),
        ("POST", "/batch/heartbeats", answers.batch(batches.renew_leases), True),
        ("POST", "/batch/results", answers.batch(batches.submit_results), True),
        ("POST", "/batch/tasks", answers.batch(batches.post_tasks), True),
    ]
    routes = [
        HotRoute(method, prefix + path, HotEndpoint(app, platform, answer, needs_key=needs_key))
        for method, path, answer, needs_key in table
    ]
    app.router.routes[:0] = routes
    return routes
