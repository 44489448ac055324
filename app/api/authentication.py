"""Who calls: an agent by its key, or the operator by theirs. Ids in bodies and paths are never trusted.

Stands before every route under /api/v1. Keys come as `Authorization: Bearer …`; only their hashes are known
here, and the operator's is compared in constant time. It never says whether a key was nearly right.
"""

import hmac
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.concurrency import run_in_threadpool
from starlette.types import Scope as RequestScope

from app.api.admission import KEYS_REMEMBERED, TokenBuckets, hashed_key_of, key_of
from services.domain.errors import ForbiddenError, NacreError, UnauthenticatedError
from services.domain.states import Scope
from services.operations.agent_registry import Principal, authenticate
from services.store.tx import Store

OPERATOR = "operator"
FRESH_SECONDS = 1.0
FAILURES_PER_SECOND = 20.0
FAILURES_AT_ONCE = 200

_BEARER = HTTPBearer(
    auto_error=False,
    scheme_name="key",
    description="An agent key (`nac_…`, shown once at registration) or the operator key (`nop_…`).",
)


class TooManyFailuresError(NacreError):
    """An address tries keys that nobody has, again and again."""

    code = "rate_limited"
    transient = True


@dataclass(frozen=True, slots=True)
class Caller:
    """The authenticated caller; `principal` is None for the operator."""

    principal: Principal | None
    key: str = field(repr=False)

    @property
    def is_operator(self) -> bool:
        """Tell whether the operator calls."""
        return self.principal is None

    @property
    def actor(self) -> str:
        """Return the name under which the caller's acts are recorded."""
        return OPERATOR if self.principal is None else self.principal.actor

    def require_operator(self) -> None:
        """Raise ForbiddenError unless the operator calls."""
        if not self.is_operator:
            raise ForbiddenError("this is an operator's act; it needs the operator key")

    def require_agent(self, scope: Scope | None = None) -> int:
        """Return the calling agent's id; raise ForbiddenError for the operator or a key without `scope`."""
        if self.principal is None:
            raise ForbiddenError("this is an agent's act; it needs an agent key, not the operator key")
        if scope is not None:
            self.principal.require(scope)
        return self.principal.agent_id

    def require_agent_or_operator(self, scope: Scope) -> int | None:
        """Return the agent's id, or None for the operator; raise ForbiddenError for a key without `scope`."""
        return None if self.is_operator else self.require_agent(scope)


class Credentials:
    """Knows who holds a key: from the database, and for a moment from memory.

    What is remembered is at most `FRESH_SECONDS` old, so that a key which is taken away works no longer than
    that; scopes never change, and standing is judged by the verbs of the market on the row itself. A
    stranger's failed attempts are counted by address, so that guessing keys costs no database.
    """

    def __init__(self, store: Store, operator_key_hash: str) -> None:
        self._store = store
        self._operator = operator_key_hash
        self._known: OrderedDict[str, tuple[Principal, float]] = OrderedDict()
        self._failures = TokenBuckets(FAILURES_PER_SECOND, FAILURES_AT_ONCE)

    def remembered(self, scope: RequestScope) -> Caller | None:
        """Return the caller where no question to the database is needed, else None."""
        hashed, key = hashed_key_of(scope), key_of(scope)
        if hashed is None or key is None:
            return None
        if hmac.compare_digest(hashed, self._operator):
            return Caller(None, key)
        principal, until = self._known.get(hashed, (None, 0.0))
        return Caller(principal, key) if principal is not None and time.monotonic() < until else None

    async def caller(self, scope: RequestScope) -> Caller:
        """Return who calls; raise UnauthenticatedError for a missing or unknown key."""
        caller = self.remembered(scope)
        if caller is not None:
            return caller
        hashed, key = hashed_key_of(scope), key_of(scope)
        if hashed is None or key is None:
            raise UnauthenticatedError("send a key: Authorization: Bearer nac_…")
        address = str((scope.get("client") or ("", 0))[0])
        now = time.monotonic()
        if hashed not in self._known and self._failures.wait_seconds(address, now, take=False):
            raise TooManyFailuresError("too many unknown keys came from this address; try again in a second")
        principal = await run_in_threadpool(self._look_up, hashed)
        if principal is None:
            self._known.pop(hashed, None)
            self._failures.wait_seconds(address, now)
            raise UnauthenticatedError("nobody has this key; an operator registers agents and hands out keys")
        self._known[hashed] = principal, now + FRESH_SECONDS
        self._known.move_to_end(hashed)
        if len(self._known) > KEYS_REMEMBERED:
            self._known.popitem(last=False)
        return Caller(principal, key)

    def _look_up(self, hashed: str) -> Principal | None:
        with self._store.read() as tx:
            return authenticate(tx, hashed)


async def authenticated(
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)],  # noqa: ARG001  documents the key
) -> Caller:
    """Return who calls; raise UnauthenticatedError for a missing or unknown key."""
    known: Credentials = request.app.state.credentials
    return await known.caller(request.scope)


CallerNow = Annotated[Caller, Depends(authenticated)]
