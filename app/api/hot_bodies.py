"""The bodies of the hot routes once more, as msgspec reads them: a hundredth of the time, the same meaning.

Stand beside `app.api.bodies` and `app.api.batch_bodies`, whose fields, types and bounds they repeat; a test
holds every one to its twin. What does not fit here is judged by the twin, which also says what is wrong.
They never accept what the twin refuses.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from app.api.bodies import DAY_SECONDS, LARGEST_ID, PRICE_HIGHEST_MICROCREDITS

Identity = Annotated[int, Meta(ge=1, le=LARGEST_ID)]
Price = Annotated[int, Meta(ge=1, le=PRICE_HIGHEST_MICROCREDITS)]
Percent = Annotated[int, Meta(ge=0, le=100)]
Line = Annotated[
    str,
    Meta(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*\Z"),
]
TypeName = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[a-z0-9_.\-]+\Z")]


class HotBody(Struct, forbid_unknown_fields=True):
    """What every body has in common: no unknown fields."""


class HotNothing(HotBody):
    """An empty object."""


class HotBid(HotBody):
    """A sealed bid."""

    ask_microcredits: Price
    confidence_percent: Percent | None = None


class HotBidItem(HotBid, kw_only=True):
    """A sealed bid on one task."""

    task_id: Identity


class HotLeaseItem(HotBody):
    """An awarded task whose lease is to be taken."""

    task_id: Identity


class HotLeaseToken(HotBody):
    """The token of a lease."""

    fencing_token: Identity


class HotHeartbeatItem(HotLeaseToken):
    """A lease to keep alive."""

    task_id: Identity


class HotResult(HotBody):
    """A result in the three-field handoff."""

    fencing_token: Identity
    outcome: Literal["completed", "failed"]
    handoff: dict[str, Any]
    failure_reason: Literal["timed_out", "agent_error"] | None = None


class HotResultItem(HotResult, kw_only=True):
    """A result of one task."""

    task_id: Identity


class HotTask(HotBody):
    """A task to post."""

    type: TypeName
    payload: dict[str, Any]
    reserve_price_microcredits: Price | None = None
    deadline_seconds: Annotated[int, Meta(ge=1, le=30 * DAY_SECONDS)] = 3_600
    workflow: Line | None = None


class HotWorkQuery(HotBody):
    """What kinds of work an agent looks for."""

    types: Annotated[list[TypeName], Meta(max_length=100)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 10
    after: Annotated[int, Meta(ge=0, le=LARGEST_ID)] | None = None
    lease: bool = False
    renew: Annotated[list[HotHeartbeatItem], Meta(max_length=500)] = []
    wait_seconds: Annotated[float, Meta(ge=0, le=30)] = 0.0
