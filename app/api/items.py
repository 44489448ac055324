"""From checked bodies to what the market takes: one conversion for a body, however it was read.

Stands between the bodies (pydantic's or msgspec's, which have the same fields) and the verbs. Who acts comes
from the key. It never decides what the market decides.
"""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from app.api.batch_bodies import BidItem, HeartbeatItem, LeaseItem, ResultItem
from app.api.bodies import Body, LeaseToken, NewTask, Result
from app.api.bodies import NewBid as BidBody
from app.api.hot_bodies import (
    HotBid,
    HotBidItem,
    HotBody,
    HotHeartbeatItem,
    HotLeaseItem,
    HotLeaseToken,
    HotResult,
    HotResultItem,
    HotTask,
)
from app.api.platform import ApiPlatform
from app.api.verbs import Posting
from app.tasks.task_type import PreparedTask
from services.domain.errors import InvalidValueError
from services.domain.handoff import Handoff, parse_handoff
from services.domain.states import EndReason
from services.meta_task_market import Claim, NewBid, NewResult, Renewal, SubmittedOutcome

B = TypeVar("B", bound=Body)
H = TypeVar("H", bound=HotBody)


@dataclass(frozen=True, slots=True)
class Reader(Generic[H, B]):
    """Reads one kind of item: quickly, and where that fails as its documented schema does."""

    hot: type[H]
    documented: type[B]

    def read(self, value: Any) -> H | B:
        """Return the item; raise pydantic's ValidationError for one that is not of its schema."""
        try:
            return msgspec.convert(value, self.hot)
        except msgspec.ValidationError:
            return self.documented.model_validate(value)


BIDS = Reader(HotBidItem, BidItem)
LEASES = Reader(HotLeaseItem, LeaseItem)
HEARTBEATS = Reader(HotHeartbeatItem, HeartbeatItem)
RESULTS = Reader(HotResultItem, ResultItem)
TASKS = Reader(HotTask, NewTask)


def bid_of(agent_id: int, task_id: int, body: HotBid | BidBody) -> NewBid:
    """Return the bid that a body means."""
    return NewBid(agent_id, task_id, body.ask_microcredits, body.confidence_percent)


def claim_of(agent_id: int, task_id: int) -> Claim:
    """Return the claim of a lease."""
    return Claim(agent_id, task_id)


def renewal_of(agent_id: int, task_id: int, body: HotLeaseToken | LeaseToken) -> Renewal:
    """Return the renewal that a body means."""
    return Renewal(agent_id, task_id, body.fencing_token)


def result_of(agent_id: int, task_id: int, body: HotResult | Result) -> NewResult:
    """Return the result that a body means; raise InvalidValueError for a handoff that is none."""
    return NewResult(
        agent_id=agent_id,
        task_id=task_id,
        fencing_token=body.fencing_token,
        outcome=SubmittedOutcome(body.outcome),
        failure_reason=EndReason(body.failure_reason) if body.failure_reason else None,
        handoff=_handoff(body.handoff),
    )


def _handoff(value: dict[str, Any]) -> Handoff:
    try:
        return parse_handoff(value)
    except InvalidValueError as error:
        raise InvalidValueError(error.detail, field=f"body.{error.field}") from error


def posting_of(platform: ApiPlatform, requester_id: int | None, body: HotTask | NewTask) -> Posting:
    """Return the task that a body means.

    Raises InvalidValueError for an unknown type, RequestValidationError for a payload that its type refuses.
    """
    prepared = _prepared(platform, body.type, body.payload)
    return Posting(
        requester_id=requester_id,
        type=body.type,
        public=prepared.public,
        private=prepared.private,
        reserve_price_microcredits=body.reserve_price_microcredits,
        deadline_seconds=body.deadline_seconds,
        workflow=body.workflow,
    )


def _prepared(platform: ApiPlatform, name: str, payload: dict[str, Any]) -> PreparedTask:
    """Return the checked payload in its public and private parts; refuse it by its field's path."""
    task_type = platform.task_types.get(name)
    if task_type is None:
        known = ", ".join(sorted(platform.task_types))
        raise InvalidValueError(
            f"there is no task type {name!r}; there are {known}", field="body.type", code="type_unknown"
        )
    try:
        return task_type.prepare(payload)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False, include_input=False)
        located = [{**item, "loc": ("body", "payload", *item["loc"])} for item in errors]
        raise RequestValidationError(located) from error
