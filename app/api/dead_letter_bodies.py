"""The bodies of acts on dead letters: which ones, and why.

Stand beside `app.api.bodies`, strict and bounded like them. Who acts is never in a body.
"""

from typing import Annotated

from pydantic import ConfigDict, Field

from app.api.bodies import Body, Identity, Reason
from services.domain.events import EventType

AT_ONCE_HIGHEST = 500

Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.:\-]+$")]


class Replay(Body):
    """Why a dead letter is delivered again; it may be left out."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "the source is back"}]})
    reason: Reason | None = None


class Discard(Body):
    """Why a dead letter is given up."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "its task was settled by hand"}]})
    reason: Reason


class Letters(Body):
    """Which dead letters: by id, or the oldest of a subscriber, of an event type, or of both."""

    delivery_ids: Annotated[list[Identity], Field(min_length=1, max_length=AT_ONCE_HIGHEST)] | None = None
    subscriber: Name | None = None
    event_type: Annotated[EventType, Field(strict=False)] | None = None
    limit: Annotated[int, Field(ge=1, le=AT_ONCE_HIGHEST)] = AT_ONCE_HIGHEST


class ReplayMany(Letters):
    """Dead letters to deliver again."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"subscriber": "resolve", "reason": "the source is back"}]}
    )
    reason: Reason | None = None


class DiscardMany(Letters):
    """Dead letters to give up."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"delivery_ids": [8, 9], "reason": "settled by hand"}]}
    )
    reason: Reason
