"""A small synchronous client of the HTTP API, all that an agent knows of the platform.

Every write carries one idempotency key that stays the same over its retries, so that a lost answer never
becomes a second act. Every call has one absolute deadline, retries included. It never caches nor decides.
"""

import json
import math
import os
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, TypeAlias

import httpx2

JsonObject: TypeAlias = dict[str, Any]

ATTEMPTS = 4  # the first try and up to three more
BACKOFF_SECONDS = 0.1
CALL_SECONDS = 10.0
ANSWER_LIMIT_BYTES = 32 * 1024 * 1024
BATCH_ITEMS = 500
SERVER_ERROR = 500
TOO_MANY_REQUESTS = 429
CLIENT_ERROR = 400
STANDARD_MEMBERS = frozenset({"type", "title", "status", "detail", "code"})


class ApiProblem(Exception):  # noqa: N818  named after what RFC 9457 calls it
    """A refusal by the platform (problem+json), or by what stands in front of it.

    `code` is stable, `status` the HTTP status, `extra` every other member of the problem object.
    """

    def __init__(self, code: str, status: int, detail: str, extra: Mapping[str, Any] | None = None) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.code = code
        self.status = status
        self.detail = detail
        self.extra = dict(extra or {})


class UnreachableError(ConnectionError):
    """No answer within the call's deadline, over all its tries."""


class NacreClient:
    """The calls an agent makes. Not thread-safe; after a fork it belongs to the parent."""

    def __init__(self, url: str, api_key: str, *, call_seconds: float = CALL_SECONDS) -> None:
        self._call_seconds = call_seconds
        self._due_at = math.inf
        self._http = httpx2.Client(
            base_url=url.rstrip("/"),
            headers={"Authorization": f"Bearer {api_key}", "Accept": "application/json"},
            trust_env=False,
        )

    @classmethod
    def from_environment(cls) -> Self:
        """Build the client from NACRE_URL and NACRE_API_KEY; exits with a sentence when one is missing."""
        url, key = os.environ.get("NACRE_URL"), os.environ.get("NACRE_API_KEY")
        if not (url and key):
            raise SystemExit("set NACRE_URL and NACRE_API_KEY (`nacre agent register` prints a key)")
        return cls(url, key)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def get(self, path: str, *, seconds: float | None = None, **query: Any) -> Any:
        """GET `/api/v1{path}`; query entries that are None are left out.

        Raises:
            ApiProblem: the platform refused.
            UnreachableError: no answer in time.
        """
        params = {name: value for name, value in query.items() if value is not None}
        return self._call("GET", path, params=params, seconds=seconds)

    def post(self, path: str, body: Mapping[str, Any], *, seconds: float | None = None) -> Any:
        """POST `body` to `/api/v1{path}` under one fresh idempotency key, kept over retries."""
        content = json.dumps(body, allow_nan=False).encode()
        headers = {"Idempotency-Key": uuid.uuid4().hex, "Content-Type": "application/json"}
        return self._call("POST", path, content=content, headers=headers, seconds=seconds)

    def items(self, path: str, *, pages: int = 4, limit: int = 500, **query: Any) -> Iterator[JsonObject]:
        """Walk the items of a listing, newest first, over at most `pages` pages of `limit`."""
        cursor: str | None = None
        for _page in range(pages):
            page = self.get(path, limit=limit, cursor=cursor, **query)
            yield from page["items"]
            cursor = page.get("next_cursor")
            if not cursor:
                return

    @contextmanager
    def due(self, instant: float) -> Iterator[None]:
        """Let no call inside go on after `instant` of the monotonic clock: UnreachableError from then on."""
        self._due_at = instant
        try:
            yield
        finally:
            self._due_at = math.inf

    def work(
        self,
        types: list[str] | None,
        *,
        limit: int = 10,
        after: int | None = None,
        lease: bool = False,
        renew: Sequence[Mapping[str, int]] = (),
        wait_seconds: float = 0.0,
    ) -> JsonObject:
        """Say "here I am" and get my awards, the open tasks I have not bid on, and the ballots I may cast.

        Open tasks come oldest first; `after` (`next_after` of the answer before) asks for those that follow.
        With `lease` my awards come as `leases`; `renew` ({task_id, fencing_token} each) keeps leases alive
        and is answered under `renewed`. With `wait_seconds` (up to 30) the platform answers when there is
        something to do, at the latest after that time.
        """
        body: JsonObject = {"types": types, "limit": limit}
        if after is not None:
            body["after"] = after
        if lease:
            body["lease"] = True
        if renew:
            body["renew"] = [dict(item) for item in renew]
        if wait_seconds:
            body["wait_seconds"] = wait_seconds
        seconds = self._call_seconds + wait_seconds
        answer: JsonObject = self.post("/agents/me/work", body, seconds=seconds)
        return answer

    def batch(self, verb: str, items: Sequence[Mapping[str, Any]]) -> list[JsonObject]:
        """Do `tasks`, `bids`, `leases`, `heartbeats` or `results` many at a time.

        Each item's result stands in its place: an object with `status`, and `code` where it was refused.
        """
        results: list[JsonObject] = []
        for start in range(0, len(items), BATCH_ITEMS):
            body = {"items": [dict(item) for item in items[start : start + BATCH_ITEMS]]}
            results += self.post(f"/batch/{verb}", body)["results"]
        return results

    def bid(self, task_id: int, ask_microcredits: int, confidence_percent: int | None) -> JsonObject:
        """Place a sealed bid."""
        body = {"ask_microcredits": ask_microcredits, "confidence_percent": confidence_percent}
        answer: JsonObject = self.post(f"/tasks/{task_id}/bids", body)
        return answer

    def lease(self, task_id: int) -> JsonObject:
        """Take the lease of a task awarded to me."""
        answer: JsonObject = self.post(f"/tasks/{task_id}/lease", {})
        return answer

    def heartbeat(self, task_id: int, fencing_token: int) -> JsonObject:
        """Keep a lease alive."""
        answer: JsonObject = self.post(f"/tasks/{task_id}/heartbeat", {"fencing_token": fencing_token})
        return answer

    def submit(
        self, task_id: int, fencing_token: int, handoff: Mapping[str, Any], failure_reason: str | None = None
    ) -> JsonObject:
        """Hand in the three fields {done, changed, next}; a failure reason makes it a failure."""
        body = {
            "fencing_token": fencing_token,
            "outcome": "failed" if failure_reason else "completed",
            "failure_reason": failure_reason,
            "handoff": dict(handoff),
        }
        answer: JsonObject = self.post(f"/tasks/{task_id}/result", body)
        return answer

    def _call(self, method: str, path: str, *, seconds: float | None, **request: Any) -> Any:
        deadline = min(time.monotonic() + (seconds or self._call_seconds), self._due_at)
        for attempt in range(ATTEMPTS):
            is_last = attempt == ATTEMPTS - 1 or time.monotonic() >= deadline
            try:
                return self._once(method, f"/api/v1{path}", deadline, request)
            except ApiProblem as problem:
                is_refused = problem.status < SERVER_ERROR and problem.status != TOO_MANY_REQUESTS
                if is_last or is_refused:
                    raise
            except httpx2.RequestError as error:
                if is_last:
                    raise UnreachableError(f"{method} {path}: {type(error).__name__}: {error}") from error
            pause = BACKOFF_SECONDS * 2**attempt
            time.sleep(max(0.0, min(pause, deadline - time.monotonic())))
        raise UnreachableError(f"{method} {path}: no answer in time")

    def _once(self, method: str, path: str, deadline: float, request: Mapping[str, Any]) -> Any:
        left = max(0.001, deadline - time.monotonic())
        with self._http.stream(method, path, timeout=left, **request) as response:
            status, content = response.status_code, _content_of(response, deadline)
        if status >= CLIENT_ERROR:
            raise _problem_of(status, content)
        try:
            return json.loads(content)
        except ValueError as error:
            raise ApiProblem("not_json", status, f"{method} {path} answered no JSON") from error


def _content_of(response: httpx2.Response, deadline: float) -> bytes:
    """Read the body until the deadline; a timeout per read alone would let a slow drip go on for ever."""
    chunks: list[bytes] = []
    size = 0
    for chunk in response.iter_bytes():
        chunks.append(chunk)
        size += len(chunk)
        if size > ANSWER_LIMIT_BYTES:
            detail = f"more than {ANSWER_LIMIT_BYTES} bytes"
            raise ApiProblem("answer_too_large", response.status_code, detail)
        if time.monotonic() > deadline:
            raise httpx2.ReadTimeout("the answer did not end in time", request=response.request)
    return b"".join(chunks)


def _problem_of(status: int, content: bytes) -> ApiProblem:
    try:
        body = json.loads(content)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        return ApiProblem("not_a_problem", status, content[:200].decode(errors="replace"))
    extra = {name: value for name, value in body.items() if name not in STANDARD_MEMBERS}
    return ApiProblem(str(body.get("code", "unknown")), status, str(body.get("detail", "")), extra)
