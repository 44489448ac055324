"""The bodies of an operator's acts on webhooks: where events go, which ones, and why.

Stand beside `app.api.bodies`, strict and bounded like them. Bounds here are of form; where an address may
lead is judged by `app.egress`, which event types there are by the record.
"""

from typing import Annotated

from pydantic import ConfigDict, Field

from app.api.bodies import Body, Reason

Url = Annotated[str, Field(min_length=1, max_length=2_000)]
Types = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=80)]], Field(min_length=1, max_length=100)
]
Description = Annotated[str, Field(max_length=200)]


class NewWebhook(Body):
    """A receiver of events; `types` are names like `nacre.task.ended`, or `*` for every one."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "url": "https://hooks.example.org/nacre",
                    "types": ["nacre.parameter.promoted", "nacre.anomaly.detected"],
                    "description": "the channel of the people on call",
                }
            ]
        }
    )
    url: Url
    types: Types
    description: Description = ""


class WebhookChange(Body):
    """What of a webhook changes; null leaves it as it is."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"types": ["*"]}]})
    url: Url | None = None
    types: Types | None = None
    description: Description | None = None


class WebhookReason(Body):
    """Why an operator does this to a webhook; it goes into the ledger."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"reason": "the receiver moves this afternoon"}]}
    )
    reason: Reason
