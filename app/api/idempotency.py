"""The one way a write happens over HTTP: looked up, done and recorded in one transaction under its key.

Stands between the writing routes and the services. The same key with the same body gets the recorded answer,
byte for byte; with another body it is refused. Only successes are recorded: a refusal changes nothing, so the
same request may be tried again under the same key. Calls that wait together are written together, each under
its own key. It never does an act twice, also when two calls race.
"""

import asyncio
import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Header, Request, Response

from app.api.authentication import Caller, CallerNow
from app.api.platform import ApiPlatform, platform_of
from services.domain.errors import ConflictError, InvalidValueError, NacreError
from services.store import idempotency, sql, tables
from services.store.idempotency import Place
from services.store.sql import Row
from services.store.tx import Tx

T = TypeVar("T")
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
class Recorded:
    """An answer as it stands in the record, and whether it was there before this call."""

    status: int
    body: str
    is_replayed: bool


@dataclass(frozen=True, slots=True)
class Keyed(Generic[T]):
    """One item of a verb with the key that it came under."""

    place: Place
    request_hash: str
    item: T


@dataclass(frozen=True)
class Verb(Generic[T]):
    """An act that takes many items at once and answers each, with a refusal where it must.

    `keep` is told of what was refused, without copies of what another process has just done.
    """

    name: str
    status: int
    act: Callable[[Tx, Sequence[T]], Sequence[JsonObject | NacreError]]
    keep: Callable[[Tx, Sequence[tuple[T, NacreError]]], None] | None = None

    def answer_together(self, tx: Tx, asked: Sequence[tuple[str, Keyed[T]]]) -> list[Recorded | NacreError]:
        """Answer what waits together, as pairs of an actor and its item; see `answer`."""
        return self.answer(tx, [keyed for _, keyed in asked])

    def answer(self, tx: Tx, asked: Sequence[Keyed[T]]) -> list[Recorded | NacreError]:
        """Answer every item once under its key, in order; a key that comes twice acts once."""
        first: dict[Place, Keyed[T]] = {}
        repeated = [item for item in asked if first.setdefault(item.place, item) is not item]
        known = idempotency.recorded(tx, list(first))
        fresh = [item for place, item in first.items() if place not in known]
        answers = self._new(tx, fresh, known)
        for place, row in known.items():
            answers[place] = _replay(row, first[place].request_hash)
        later = iter(self.answer(tx, repeated) if repeated else ())
        return [answers[item.place] if first[item.place] is item else next(later) for item in asked]

    def _new(
        self, tx: Tx, fresh: Sequence[Keyed[T]], known: dict[Place, Row]
    ) -> dict[Place, Recorded | NacreError]:
        """Do what is new and record it; `known` gains what another process has recorded meanwhile."""
        if not fresh:
            return {}
        outcomes = self.act(tx, [item.item for item in fresh])
        answers: dict[Place, Recorded | NacreError] = {}
        rows = []
        for keyed, outcome in zip(fresh, outcomes, strict=True):
            if isinstance(outcome, NacreError):
                answers[keyed.place] = outcome
                continue
            body = _encode(outcome)
            answers[keyed.place] = Recorded(self.status, body, is_replayed=False)
            rows.append(_row(keyed.place, keyed.request_hash, self.status, body))
        refused = [place for place, answer in answers.items() if isinstance(answer, NacreError)]
        if refused and tx.is_postgresql:
            known |= idempotency.recorded(tx, refused)
        self.keep_refused(tx, [one for one in zip(fresh, outcomes, strict=True) if one[0].place not in known])
        if not idempotency.record(tx, rows):
            raise _claimed()
        return answers

    def keep_refused(self, tx: Tx, outcomes: Sequence[tuple[Keyed[T], JsonObject | NacreError]]) -> None:
        """Tell `keep` of the refusals among the outcomes."""
        refused = [(one.item, outcome) for one, outcome in outcomes if isinstance(outcome, NacreError)]
        if refused and self.keep is not None:
            self.keep(tx, refused)


@dataclass(frozen=True, slots=True)
class WriteGate:
    """Carries one write of one caller under one idempotency key."""

    platform: ApiPlatform
    caller: Caller
    key: str
    request_hash: str

    @property
    def place(self) -> Place:
        """Return where the answer is recorded."""
        return self.caller.actor, self.key

    def run(self, act: Act, *, status: int = 200, reveal: Reveal | None = None) -> Response:
        """Do `act` once and answer with what it returns; for routes that run in a thread.

        `reveal` turns the recorded answer into the shown one, for what must not be stored in the clear. It
        must give the same bytes every time. Raises what the act raises, and then nothing is recorded.
        """
        for _ in range(_TRIES):
            try:
                done = self.platform.writer.submit(self.caller.actor, lambda tx: self._once(tx, act, status))
                return _answer(done.result(), reveal)
            except ClaimedElsewhereError:
                continue
        raise _claimed()

    async def alone(self, act: Act, *, status: int = 200) -> Response:
        """Do `act` once without holding a thread meanwhile; otherwise like `run`."""
        for _ in range(_TRIES):
            try:
                done = self.platform.writer.submit(self.caller.actor, lambda tx: self._once(tx, act, status))
                return _answer(await asyncio.wrap_future(done))
            except ClaimedElsewhereError:
                continue
        raise _claimed()

    async def merged(self, verb: Verb[T], item: T) -> Response:
        """Let `verb` take the item together with those of other callers; raise its refusal."""
        keyed = Keyed(self.place, self.request_hash, item)
        for _ in range(_TRIES):
            try:
                done = self.platform.writer.submit_merged(verb.answer_together, self.caller.actor, keyed)
                return _answer(await asyncio.wrap_future(done))
            except ClaimedElsewhereError:
                continue
        raise _claimed()

    def _once(self, tx: Tx, act: Act, status: int) -> Recorded:
        """Look the key up, claim it, act, and record the answer."""
        found = idempotency.recorded(tx, [self.place]).get(self.place)
        if found is not None:
            answer = _replay(found, self.request_hash)
            if isinstance(answer, NacreError):
                raise answer
            return answer
        claim = _row(self.place, self.request_hash, status, "")
        sql.insert_unique(tx, tables.idempotency, _claimed(), **claim, created_at_us=tx.now_us)
        body = _encode(act(tx))
        principal, key = self.place
        sql.update(tx, tables.idempotency, {"principal": principal, "key": key}, body=body)
        return Recorded(status, body, is_replayed=False)


def _claimed() -> ClaimedElsewhereError:
    return ClaimedElsewhereError("another call with this Idempotency-Key is running; try again")


def _row(place: Place, request_hash: str, status: int, body: str) -> JsonObject:
    principal, key = place
    return {"principal": principal, "key": key, "request_hash": request_hash, "status": status, "body": body}


def _replay(recorded: Row, request_hash: str) -> Recorded | NacreError:
    if recorded["request_hash"] != request_hash:
        return ConflictError(
            "this Idempotency-Key was used for another request; take a fresh key for each new act",
            field="header.Idempotency-Key",
            code="idempotency_key_reused",
        )
    return Recorded(recorded["status"], recorded["body"], is_replayed=True)


def _encode(answer: JsonObject) -> str:
    return json.dumps(answer, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _answer(recorded: Recorded, reveal: Reveal | None = None) -> Response:
    shown = recorded.body if reveal is None else _encode(reveal(json.loads(recorded.body)))
    headers = _REPLAYED if recorded.is_replayed else None
    return Response(shown.encode(), recorded.status, headers=headers, media_type="application/json")


def is_key(text: str) -> bool:
    """Tell whether a text can be an Idempotency-Key."""
    return _KEY.fullmatch(text) is not None


def hash_of(method: str, path: str, body_sha256: str) -> str:
    """Return what tells one request from another under the same key."""
    return hashlib.sha256(f"{method} {path}\n{body_sha256}".encode()).hexdigest()


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
    if not is_key(key):
        raise InvalidValueError(
            "an Idempotency-Key is 1 to 120 visible ASCII characters",
            field="header.Idempotency-Key",
            code="idempotency_key_invalid",
        )
    request_hash = hash_of(request.method, request.url.path, request.state.body_sha256)
    return WriteGate(platform_of(request), caller, key, request_hash)


Gate = Annotated[WriteGate, Depends(write_gate)]
