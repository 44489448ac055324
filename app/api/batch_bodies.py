"""The bodies of the batch routes: one to five hundred items under one key, each judged by itself.

Stand beside the bodies of the single routes, whose fields they repeat with the task's id. The list is checked
here; each item is checked one by one, so that a wrong one is refused alone. They never say who acts.
"""

from typing import Annotated

from pydantic import ConfigDict, Field, SkipValidation
from pydantic.config import JsonDict

from app.api.bodies import Body, Identity, LeaseToken, NewBid, NewTask, Result

ITEMS_HIGHEST = 500

_BID: JsonDict = {"task_id": 12, "ask_microcredits": 120_000, "confidence_percent": 90}
_RESULT: JsonDict = {
    "task_id": 12,
    "fencing_token": 17,
    "outcome": "completed",
    "handoff": {"done": "estimated pi", "changed": {"estimate": 3.14}, "next": "nothing"},
}
_TASK: JsonDict = {
    "type": "monte_carlo",
    "payload": {"model": {"name": "pi_integral"}, "samples": 200_000, "seed": 7},
    "reserve_price_microcredits": 200_000,
}


def _example(item: JsonDict) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [{"items": [item]}]})


class BidItem(NewBid):
    """A sealed bid on one task."""

    task_id: Identity


class LeaseItem(Body):
    """An awarded task whose lease is to be taken."""

    task_id: Identity


class HeartbeatItem(LeaseToken):
    """A lease to keep alive."""

    task_id: Identity


class ResultItem(Result):
    """A result of one task."""

    task_id: Identity


class BatchOfTasks(Body):
    """Tasks to post."""

    model_config = _example(_TASK)
    items: Annotated[list[SkipValidation[NewTask]], Field(min_length=1, max_length=ITEMS_HIGHEST)]


class BatchOfBids(Body):
    """Bids to place."""

    model_config = _example(_BID)
    items: Annotated[list[SkipValidation[BidItem]], Field(min_length=1, max_length=ITEMS_HIGHEST)]


class BatchOfLeases(Body):
    """Leases to take."""

    model_config = _example({"task_id": 12})
    items: Annotated[list[SkipValidation[LeaseItem]], Field(min_length=1, max_length=ITEMS_HIGHEST)]


class BatchOfHeartbeats(Body):
    """Leases to keep alive."""

    model_config = _example({"task_id": 12, "fencing_token": 17})
    items: Annotated[list[SkipValidation[HeartbeatItem]], Field(min_length=1, max_length=ITEMS_HIGHEST)]


class BatchOfResults(Body):
    """Results to hand in."""

    model_config = _example(_RESULT)
    items: Annotated[list[SkipValidation[ResultItem]], Field(min_length=1, max_length=ITEMS_HIGHEST)]
