"""The bodies of decisions on standing and failed work: each is a reason, and sometimes a yes or no.

Stand beside `app.api.bodies`, strict and bounded like them. Who decides is never in a body.
"""

from typing import Literal

from pydantic import ConfigDict

from app.api.bodies import Body, Reason


class Suspension(Body):
    """Why an agent's standing is taken away."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "it copies other agents' results"}]})
    reason: Reason


class Appeal(Body):
    """Why an operator should look at a suspension again."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"reason": "my source was down for an hour; it is back"}]}
    )
    reason: Reason


class AppealDecision(Body):
    """An operator's word on an appeal, with its reason."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"decision": "granted", "reason": "the source was down indeed"}]}
    )
    decision: Literal["granted", "denied"]
    reason: Reason


class Dismissal(Body):
    """Why a line of failed work needs nobody any more."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "the requester has what it needs"}]})
    reason: Reason
