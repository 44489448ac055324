"""Who may ask how often: a token bucket and a limit of requests under way for each key, held in memory.

Stands before the routes, so that one agent's flood costs little and never becomes the others' waiting time.
A refusal is answered slowly: a client that asks again at once is held back by its own connection. It never
looks at bodies, never asks the database, and never limits the operator.
"""

import asyncio
import hmac
import math
import time
from collections import Counter, OrderedDict
from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.errors import STATUS_OF, problem
from services.operations.agent_registry import key_hash

KEY_LENGTH_HIGHEST = 200
KEYS_REMEMBERED = 20_000
LONGEST_HOLD_SECONDS = 1.0
BYTES_PER_REQUEST = 2_048
WEIGHT_OF_UNKNOWN = 16.0
BEARER = b"bearer "


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How often one key may ask: `requests_per_second` for long, `burst` at once, so many at the same time.

    Zero requests per second mean no limit of the rate.
    """

    requests_per_second: float = 500.0
    burst: int = 1_000
    under_way: int = 128


class TokenBuckets:
    """One bucket of tokens for each name; a name that has not been seen for long has a full one."""

    def __init__(self, per_second: float, burst: float) -> None:
        self._per_second = per_second
        self._burst = float(burst)
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_seconds(self, name: str, now: float, *, tokens: float = 1.0, take: bool = True) -> float:
        """Take tokens, or return how many seconds (> 0) from `now` on they will be there.

        More than the bucket holds are taken when it is full. Without `take` they are only looked for.
        """
        if self._per_second <= 0:
            return 0.0
        left, at = self._left.pop(name, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._per_second)
        missing = min(tokens, self._burst) - left
        is_taken = missing <= 0 and take
        self._left[name] = (left - min(tokens, self._burst) if is_taken else left, now)
        if len(self._left) > KEYS_REMEMBERED:
            self._left.popitem(last=False)
        return max(0.0, missing / self._per_second)


def hashed_key_of(scope: Scope) -> str | None:
    """Return the hash of the key that a request carries, or None without one; it is computed once."""
    state = scope["state"]
    if "key_hash" not in state:
        key = key_of(scope)
        state["key_hash"] = None if key is None else key_hash(key)
    found: str | None = state["key_hash"]
    return found


def key_of(scope: Scope) -> str | None:
    """Return the key in the Authorization header, cut to its greatest length; None without one."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, key = value.partition(b" ")
            text: str = key.decode("latin-1")[:KEY_LENGTH_HIGHEST]
            return text if scheme.lower() + b" " == BEARER and text else None
    return None


class Admission:
    """Refuses with 429 what a key asks beyond its rate; `Retry-After` says when it is worth while."""

    def __init__(self, app: ASGIApp, limit: RateLimit, operator_key_hash: str) -> None:
        self.app = app
        self._limit = limit
        self._operator = operator_key_hash
        self._buckets = TokenBuckets(limit.requests_per_second, limit.burst)
        self._under_way: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        hashed = hashed_key_of(scope) if scope["type"] == "http" else None
        if hashed is None or hmac.compare_digest(hashed, self._operator):
            await self.app(scope, receive, send)
            return
        if self._under_way[hashed] >= self._limit.under_way:
            await _refuse(
                scope, receive, send, 1.0, "too many requests of this key are under way", close=True
            )
            return
        self._under_way[hashed] += 1
        try:
            weight = _weight_of(scope)
            wait = self._buckets.wait_seconds(hashed, time.monotonic(), tokens=weight)
            if wait > 0:
                await asyncio.sleep(min(LONGEST_HOLD_SECONDS, max(wait, LONGEST_HOLD_SECONDS / 4)))
                why = "this key asks more often than it may"
                await _refuse(scope, receive, send, wait, why, close=weight > 1.0)
            else:
                await self.app(scope, receive, send)
        finally:
            self._under_way[hashed] -= 1
            if not self._under_way[hashed]:
                del self._under_way[hashed]


def _weight_of(scope: Scope) -> float:
    """Return how many requests a request counts as: one, and one more for so many bytes of its body."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            return 1.0 + (int(value[:9]) // BYTES_PER_REQUEST if value.isdigit() else 0)
        if name == b"transfer-encoding":
            return WEIGHT_OF_UNKNOWN
    return 1.0


async def _refuse(
    scope: Scope, receive: Receive, send: Send, wait_seconds: float, why: str, *, close: bool = False
) -> None:
    seconds = max(1, math.ceil(wait_seconds))
    headers = {"Retry-After": str(seconds), **({"Connection": "close"} if close else {})}
    sentence = f"{why}; try again in {seconds} s, or ask for more with one call: /api/v1/batch"
    refusal = problem(STATUS_OF["rate_limited"], "rate_limited", sentence, is_transient=True, headers=headers)
    await refusal(scope, receive, send)
