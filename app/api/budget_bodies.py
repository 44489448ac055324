"""The bodies of requests about budgets: strict, bounded, and nothing beyond what is named.

Stands beside `app.api.bodies`. Who acts is never in a body.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from app.api.bodies import Body, Identity, Line, Reason

AMOUNT_HIGHEST = 10**15
DAY_SECONDS = 86_400

ResourceName = Literal["tokens", "milliseconds", "microcredits"]
Amount = Annotated[int, Field(ge=1, le=AMOUNT_HIGHEST)]
AmountOrNothing = Annotated[int, Field(ge=0, le=AMOUNT_HIGHEST)]


class NewHold(Body):
    """What is to be reserved; without `expires_in_seconds` the parameter budget.hold_seconds applies.

    Without a task, `workflow` names one of the agent's owner that the agent has posted in.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"resource": "tokens", "amount": 1_500, "task_id": 41, "expires_in_seconds": 60}]
        }
    )
    resource: ResourceName
    amount: Amount
    task_id: Identity | None = None
    workflow: Line | None = None
    parent_hold_id: Identity | None = None
    expires_in_seconds: Annotated[float, Field(ge=1, le=DAY_SECONDS)] | None = None


class Use(Body):
    """What was really used of a hold."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"amount": 900}]})
    amount: AmountOrNothing


class NewLimit(Body):
    """A limit for `day`, `agent:ID`, `task:ID` or `workflow:OWNER/NAME`, and why."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"budget": "agent:7", "resource": "tokens", "amount": 500_000, "reason": "a larger report"}
            ]
        }
    )
    budget: Annotated[str, Field(min_length=1, max_length=340)]
    resource: ResourceName
    amount: AmountOrNothing
    reason: Reason
