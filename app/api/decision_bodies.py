"""The bodies of decisions on standing, reviews and failed work: each is a reason, and sometimes a yes or no.

Stand beside `app.api.bodies`, strict and bounded like them. Who decides is never in a body.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from app.api.bodies import Body, Line, Reason


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


class ReviewDecision(Body):
    """A person's word on a GATED change, bound to the hash of what they were shown."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "decision": "approve",
                    "shown_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                    "reviewer": "Ida Lovelace",
                    "reason": "one retry more is worth its cost; the cap bounds it",
                }
            ]
        }
    )
    decision: Literal["approve", "refuse"]
    shown_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    reviewer: Line
    reason: Reason


class Dismissal(Body):
    """Why a line of failed work needs nobody any more."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "the requester has what it needs"}]})
    reason: Reason
