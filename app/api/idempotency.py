"""The one way a write happens over HTTP: looked up, done and recorded in one transaction under its key.

Stands between the writing routes and the services. The same key with the same body gets the recorded answer,
byte for byte; with another body it is refused. Only successes are recorded: a refusal changes nothing, so the
same request may be tried again under the same key. It never does an act twice, also when two calls race.
"""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Header, Request, Response

from app.api.authentication import Caller, CallerNow
from app.api.platform import ApiPlatform, platform_of
from services.domain.errors import ConflictError, InvalidValueError
from services.store import sql, tables
from services.store.sql import Row
from services.store.tx import Tx

JsonObject = dict[str, Any]
Act = Callable[[Tx], JsonObject]
Reveal = Callable[[JsonObject], JsonObject]

_KEY = re.compile(r"[\x21-\x7e]{1,120}")
_TRIES = 3
_REPLAYED = {"Idempotent-Replayed": "true"}


class ClaimedElsewhereError(ConflictError):
    """Another call with this key is writing, or has just written, its answer."""

    transient = True


@dataclass(frozen=True, slots=True)
class WriteGate:
    """Carries one write of one caller under one idempotency key."""

    platform: ApiPlatform
    caller: Caller
    key: str
    request_hash: str

    def run(self, act: Act, *, status: int = 200, reveal: Reveal | None = None) -> Response:
        """Do `act` once and answer with what it returns.

        `reveal` turns the recorded answer into the shown one, for what must not be stored in the clear. It
        must give the same bytes every time. Raises what the act raises, and then nothing is recorded.
        """
        claimed = ClaimedElsewhereError("another call with this Idempotency-Key is running; try again")
        for _ in range(_TRIES):
            try:
                return self._once(act, status, reveal, claimed)
            except ClaimedElsewhereError:
                continue
        raise claimed

    def _once(self, act: Act, status: int, reveal: Reveal | None, claimed: ClaimedElsewhereError) -> Response:
        where = {"principal": self.caller.actor, "key": self.key}
        with self.platform.store.write(actor=self.caller.actor) as tx:
            recorded = sql.find(tx, tables.idempotency, principal=self.caller.actor, key=self.key)
            if recorded is not None:
                return self._replay(recorded, reveal)
            sql.insert_unique(
                tx,
                tables.idempotency,
                claimed,
                **where,
                request_hash=self.request_hash,
                status=status,
                body="",
                created_at_us=tx.now_us,
            )
            body = _encode(act(tx))
            sql.update(tx, tables.idempotency, where, body=body)
        return _answer(status, body, reveal, {})

    def _replay(self, recorded: Row, reveal: Reveal | None) -> Response:
        if recorded["request_hash"] != self.request_hash:
            raise ConflictError(
                "this Idempotency-Key was used for another request; take a fresh key for each new act",
                field="header.Idempotency-Key",
                code="idempotency_key_reused",
            )
        return _answer(recorded["status"], recorded["body"], reveal, _REPLAYED)


def _encode(answer: JsonObject) -> str:
    return json.dumps(answer, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _answer(status: int, body: str, reveal: Reveal | None, headers: dict[str, str]) -> Response:
    shown = body if reveal is None else _encode(reveal(json.loads(body)))
    return Response(shown.encode(), status, headers=headers, media_type="application/json")


async def write_gate(
    request: Request,
    caller: CallerNow,
    key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            description="1 to 120 visible characters, fresh for each act, the same on each retry of it.",
            examples=["9f1c0f6e-1"],
        ),
    ] = None,
) -> WriteGate:
    """Return the gate of this write; raise InvalidValueError for a missing or malformed key."""
    if key is None:
        raise InvalidValueError(
            "every write needs the header Idempotency-Key, so that a retry cannot act twice",
            field="header.Idempotency-Key",
            code="idempotency_key_missing",
        )
    if not _KEY.fullmatch(key):
        raise InvalidValueError(
            "an Idempotency-Key is 1 to 120 visible ASCII characters",
            field="header.Idempotency-Key",
            code="idempotency_key_invalid",
        )
    request_line = f"{request.method} {request.url.path}\n{request.state.body_sha256}"
    return WriteGate(platform_of(request), caller, key, hashlib.sha256(request_line.encode()).hexdigest())


Gate = Annotated[WriteGate, Depends(write_gate)]
