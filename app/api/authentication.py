"""Who calls: an agent by its key, or the operator by theirs. Ids in bodies and paths are never trusted.

Stands before every route under /api/v1. Keys come as `Authorization: Bearer …`; only their hashes are known
here, and the operator's is compared in constant time. It never says whether a key was nearly right.
"""

import hmac
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from app.api.platform import platform_of
from services.domain.errors import ForbiddenError, UnauthenticatedError
from services.domain.states import Scope
from services.operations.agent_registry import Principal, authenticate, key_hash

OPERATOR = "operator"
KEY_LENGTH_HIGHEST = 200

_BEARER = HTTPBearer(
    auto_error=False,
    scheme_name="key",
    description="An agent key (`nac_…`, shown once at registration) or the operator key (`nop_…`).",
)


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


def authenticated(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]
) -> Caller:
    """Return who calls; raise UnauthenticatedError for a missing or unknown key."""
    if credentials is None:
        raise UnauthenticatedError("send a key: Authorization: Bearer nac_…")
    platform = platform_of(request)
    key = credentials.credentials[:KEY_LENGTH_HIGHEST]
    hashed = key_hash(key)
    if hmac.compare_digest(hashed, platform.operator_key_hash):
        return Caller(None, key)
    with platform.store.read() as tx:
        principal = authenticate(tx, hashed)
    if principal is None:
        raise UnauthenticatedError("nobody has this key; an operator registers agents and hands out keys")
    return Caller(principal, key)


CallerNow = Annotated[Caller, Depends(authenticated)]
